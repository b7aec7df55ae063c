"""Model soup: one network whose weights are the mean of several trained networks' weights."""

from collections.abc import Sequence

import torch
from torch import nn


@torch.no_grad()
def average_weights(network: nn.Module, others: Sequence[nn.Module], weight: float) -> None:
    """
    Changes `network` to (1 - weight) of itself and `weight` of the mean of `others` (Wortsman et
    al., "Model soups", ICML 2022). All must have been trained on from the same weights.

    Batch norm statistics are averaged with the rest, but those of the mean network are others:
    `recompute_statistics` finds them.

    Raises:
        ValueError: another network has other weights or shapes.
    """
    own = network.state_dict()
    theirs = [other.state_dict() for other in others]
    shapes = {name: value.shape for name, value in own.items()}
    if any({name: value.shape for name, value in state.items()} != shapes for state in theirs):
        raise ValueError("networks of other weights or shapes have no mean")
    for name, value in own.items():
        if value.is_floating_point():
            mean = torch.stack([state[name] for state in theirs]).mean(dim=0)
            value.lerp_(mean, weight)
