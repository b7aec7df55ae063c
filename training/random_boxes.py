"""Rectangles at random places, one per image: what is erased, and what cutmix pastes."""

import torch


def random_boxes(images: torch.Tensor, area: torch.Tensor, aspect: torch.Tensor) -> torch.Tensor:
    """
    Args:
        images: (N, C, H, W). area: (N,), the share of the image that its box covers.
        aspect: (N,), width / height of the box.

    Returns:
        bool (N, 1, H, W), True inside the box. Boxes are cut off at the edges.
    """
    n, _, height, width = images.shape
    # (N, 1, 1, 1) each, in pixels
    half_h = (area / aspect).sqrt().clamp(max=1).view(n, 1, 1, 1) * height / 2
    half_w = (area * aspect).sqrt().clamp(max=1).view(n, 1, 1, 1) * width / 2
    center_y = torch.rand(n, 1, 1, 1, device=images.device) * height
    center_x = torch.rand(n, 1, 1, 1, device=images.device) * width
    y = torch.arange(height, device=images.device).view(1, 1, height, 1) + 0.5
    x = torch.arange(width, device=images.device).view(1, 1, 1, width) + 0.5
    return ((y - center_y).abs() < half_h) & ((x - center_x).abs() < half_w)
