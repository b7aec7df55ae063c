"""Grad-CAM: which parts of a face spoke for a class."""

import torch
import torch.nn.functional as F
from torch import nn

LEAST_CELLS = 6  # the deepest map of at least so many cells a side is explained


@torch.inference_mode(False)
@torch.enable_grad()
def logits_and_maps(
    model: nn.Module, pixel_values: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """
    Args:
        model: a `FerEfficientNetForImageClassification` in eval mode.
        pixel_values: (N, num_channels, H, W).

    Returns:
        The logits (N, C) and the maps (N, K, h, w) of the deepest stage with `LEAST_CELLS` cells a
        side, through which `grad_cam` looks back: the last map of a 48 px face has 3.
    """
    # a copy: tensors made in inference mode have no gradient, and the caller's needs none
    pixel_values = pixel_values.clone().requires_grad_()
    # the model's own outputs and no hooks, which threads would share
    outputs = model(pixel_values, output_hidden_states=True, return_dict=True)
    stages = outputs.hidden_states  # (N, K, h, w) each, h and w ever smaller
    deep = [stage for stage in stages if min(stage.shape[-2:]) >= LEAST_CELLS] or stages[:1]
    return outputs.logits, deep[-1]


@torch.inference_mode(False)
@torch.enable_grad()
def grad_cam(
    logits: torch.Tensor, maps: torch.Tensor, classes: torch.Tensor, size: tuple[int, int]
) -> torch.Tensor:
    """
    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", ICCV 2017, equations 1 and 2. It may be called for several `classes`.

    Args:
        logits, maps: of `logits_and_maps`.
        classes: (N,) ids of the classes to be explained.
        size: height and width of the heat maps.

    Returns:
        (N, *size) float32 in [0, 1]; 1 where most spoke for the class, 0 everywhere if nothing did.
    """
    score = logits.gather(1, classes.clone()[:, None]).sum()  # faces do not mix: each has its own
    (gradient,) = torch.autograd.grad(score, maps, retain_graph=True)
    weights = gradient.mean(dim=(2, 3), keepdim=True)  # (N, K, 1, 1)
    cam = F.relu((weights * maps).sum(dim=1, keepdim=True)).detach()  # (N, 1, h, w)
    cam = cam / cam.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)
    return F.interpolate(cam, size=size, mode="bilinear").squeeze(1)
