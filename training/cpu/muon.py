"""timm's Muon on CPUs without bfloat16 arithmetic."""

import functools
import importlib

import torch


def use_float32_iterations(optimizer: type) -> bool:
    """
    Has Muon's Newton-Schulz iterations run in float32, in this process, where the CPU would have to
    emulate their bfloat16; returns whether it was needed.

    There they take several times as long, and most of a training step with it (benchmarks/LOG.md).
    timm has no option for it: the type is a default of the function that its optimizer calls.

    Args:
        optimizer: the class; nothing is done for any other than timm's Muon.
    """
    if optimizer.__module__ != "timm.optim.muon":
        return False
    if torch.backends.cpu.get_cpu_capability() == "AVX512":
        return False
    module = importlib.import_module(optimizer.__module__)
    module.zeropower_via_newtonschulz = functools.partial(
        module.zeropower_via_newtonschulz, dtype=torch.float32
    )
    return True
