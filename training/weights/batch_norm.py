"""Batch norm statistics of images as they are evaluated, in place of augmented ones."""

import torch
from torch import nn

from .. import modeling


@torch.no_grad()
def recompute_statistics(
    network: nn.Module,
    images: torch.Tensor,
    processor: modeling.FerEfficientNetImageProcessor,
    count: int,
    batch_size: int,
    seed: int,
) -> None:
    """
    Sets means and variances to those of `count` of the images, each batch weighing the same
    ("precise BN": Wu & Johnson, "Rethinking 'Batch' in BatchNorm", 2021, section 3).

    What training leaves behind comes from augmented, mixed images, which are flatter than the ones
    that are evaluated.

    Args:
        images: uint8 (N, C, H, W), or rows of it, not augmented.
        count: images to take, at random by `seed`; all of them if there are fewer.
    """
    kind = nn.modules.batchnorm._BatchNorm
    layers = [module for module in network.modules() if isinstance(module, kind)]
    momenta = [layer.momentum for layer in layers]
    network.eval()
    for layer in layers:
        layer.reset_running_stats()
        layer.train()
        layer.momentum = None  # the mean of all batches
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(seed))[:count]
    device = next(network.parameters()).device
    for rows in order.split(batch_size):
        if len(rows) > 1:  # one image has no variance
            pixel_values = processor.normalize_batch(images[rows].to(device))
            network(pixel_values=pixel_values.contiguous(memory_format=torch.channels_last))
    for layer, momentum in zip(layers, momenta):
        layer.momentum = momentum
        layer.eval()
