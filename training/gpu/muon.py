"""timm's Muon on GPUs, where small kernels cost more by their number than by their work."""

import functools
import importlib
from collections import defaultdict
from collections.abc import Callable, Sequence

import torch


def stack_equal_matrices(optimizer: type) -> bool:
    """
    Has Muon step all matrices of one shape together, in this process; returns whether it is Muon.

    timm steps one matrix after another: 3,500 kernels for the 139 matrices of EfficientNetV2-S,
    which have 30 shapes; together, they take 1,200. timm has no option for it, but it can step a
    convolution position by position, each a matrix, and a stack of matrices is given as one.

    Args:
        optimizer: the class; nothing is done for any other than timm's Muon.
    """
    if optimizer.__module__ != "timm.optim.muon":
        return False
    module = importlib.import_module(optimizer.__module__)
    if not isinstance(module.muon, functools.partial):
        module.muon = functools.partial(_step_in_stacks, module.muon)
    return True


def _step_in_stacks(
    step: Callable,
    params: Sequence[torch.Tensor],
    grads: Sequence[torch.Tensor],
    momentum_bufs: Sequence[torch.Tensor],
    *,
    conv_mode: str,
    normalize_spatial: bool,
    **settings,
) -> None:
    """`step` is timm's function; the others are its arguments, changed in place as by itself."""
    if conv_mode != "flatten":
        modes = {"conv_mode": conv_mode, "normalize_spatial": normalize_spatial}
        return step(params, grads, momentum_bufs, **modes, **settings)
    by_shape = defaultdict(list)
    for row, param in enumerate(params):
        by_shape[len(param), param[0].numel()].append(row)
    for rows in by_shape.values():
        stacks = [
            _stack([tensors[row] for row in rows]) for tensors in (params, grads, momentum_bufs)
        ]
        step(*([one] for one in stacks), conv_mode="batched", normalize_spatial=False, **settings)
        for tensors, stack in ((params, stacks[0]), (momentum_bufs, stacks[2])):
            for row, matrix in zip(rows, stack.unbind(-1)):
                tensors[row].copy_(matrix.reshape(tensors[row].shape))


def _stack(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    """K of (out, in, ...) -> (out, in x ..., K), each matrix contiguous in memory."""
    return torch.stack([tensor.flatten(1) for tensor in tensors]).permute(1, 2, 0)
