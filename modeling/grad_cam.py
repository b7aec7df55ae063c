"""Grad-CAM: which parts of a face spoke for a class."""

import torch
import torch.nn.functional as F

LEAST_CELLS = 6  # the deepest map of at least so many cells a side is explained


@torch.inference_mode(False)
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
    # copies: tensors made in inference mode have no gradient, and the caller's need none
    pixel_values, classes = pixel_values.clone().requires_grad_(), classes.clone()
    # the model's own outputs and no hooks, which threads would share
    outputs = model(pixel_values, output_hidden_states=True, return_dict=True)
    logits, maps = outputs.logits, outputs.hidden_states  # (N, C), one (N, K, h, w) a resolution
    deepest = [stage for stage in maps if min(stage.shape[-2:]) >= LEAST_CELLS] or maps[:1]
    chosen = deepest[-1]  # (N, K, h, w)
    (gradient,) = torch.autograd.grad(logits.gather(1, classes[:, None]).sum(), chosen)
    weights = gradient.mean(dim=(2, 3), keepdim=True)
    cam = F.relu((weights * chosen).sum(dim=1, keepdim=True)).detach()  # (N, 1, h, w)
    cam = cam / cam.amax(dim=(2, 3), keepdim=True).clamp_min(1e-12)
    size = pixel_values.shape[-2:]
    return F.interpolate(cam, size=size, mode="bilinear").squeeze(1)
