"""Grad-CAM: which parts of a face spoke for a class."""

import torch
import torch.nn.functional as F

LEAST_CELLS = 6  # the deepest map of at least so many cells a side is explained


@torch.enable_grad()
def grad_cam(model, pixel_values: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """
    Selvaraju et al., "Grad-CAM: Visual Explanations from Deep Networks via Gradient-based
    Localization", ICCV 2017, equations 1 and 2, on the deepest stage whose map has `LEAST_CELLS`
    cells a side: the last map of a 48 px face has 3.

    Args:
        model: a `FerEfficientNetForImageClassification` in eval mode.
        pixel_values: (N, num_channels, H, W).
        classes: (N,) ids of the classes to be explained.

    Returns:
        (N, H, W) float32 in [0, 1]; 1 where most spoke for the class, 0 all over where nothing did.
    """
    maps: list[torch.Tensor] = []
    hooks = [
        stage.register_forward_hook(lambda module, inputs, output: maps.append(output))
        for stage in model.backbone.blocks
    ]
    try:
        logits = model(pixel_values.requires_grad_()).logits  # (N, C)
    finally:
        for hook in hooks:
            hook.remove()
    deepest = [stage for stage in maps if min(stage.shape[-2:]) >= LEAST_CELLS] or maps[:1]
    chosen = deepest[-1]  # (N, K, h, w)
    (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), chosen)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    cam = F.relu((weights * chosen).sum(dim=1, keepdim=True)).detach()  # (N, 1, h, w)
    cam = cam / cam.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)
    size = pixel_values.shape[-2:]
    return F.interpolate(cam, size=size, mode="bilinear").squeeze(1)
