"""Mixup and cutmix."""

import dataclasses
from dataclasses import dataclass

import torch

from ..random_boxes import random_boxes
from ..treatments.functional import one_hot
from .pipeline import Batch


@dataclass
class Mixing:
    """
    Mixup and cutmix with a partner from the same batch, each image with a ratio of its own.

    Args:
        mixup: alpha of Beta(alpha, alpha) (Zhang et al., ICLR 2018); 0 is off.
        cutmix: likewise (Yun et al., ICCV 2019). With both on, one of the two at random per image.
        num_classes: C.
    """

    mixup: float
    cutmix: float
    num_classes: int

    def apply(self, batch: Batch) -> Batch:
        images, n, device = batch.images, len(batch.images), batch.images.device
        order = torch.randperm(n, device=device)  # (N,), the partner of each
        targets = one_hot(batch.targets, self.num_classes)  # (N, C)
        share = 0.5 if self.mixup and self.cutmix else float(self.cutmix > 0)
        cut = torch.rand(n, device=device) < share  # (N,): cutmix, or else mixup
        # (N,), the share that stays of the own image
        keep = torch.where(cut, _beta(self.cutmix, n, device), _beta(self.mixup, n, device))
        area = torch.where(cut, 1 - keep, 0)
        inside = random_boxes(images, area, aspect=torch.ones(n, device=device))
        # a box is cut off at the edge and ends at whole pixels: its share is counted
        keep = torch.where(cut, 1 - inside.float().mean(dim=(1, 2, 3)), keep)

        partner = images[order]
        blend = torch.where(cut, 1, keep).view(n, 1, 1, 1)
        # (N, channels, H, W): where cut, `blend` is 1 and the partner lies in the box alone
        mixed = torch.where(inside, partner, blend * images + (1 - blend) * partner)
        mixed_targets = keep[:, None] * targets + (1 - keep[:, None]) * targets[order]
        return dataclasses.replace(batch, images=mixed, targets=mixed_targets)

    def shares(self, shares: torch.Tensor) -> torch.Tensor:
        return shares  # a partner's class is as likely as the own one


def _beta(alpha: float, n: int, device: torch.device) -> torch.Tensor:
    """(n,) samples of Beta(alpha, alpha); ones where alpha is 0."""
    if not alpha:
        return torch.ones(n, device=device)
    return torch.distributions.Beta(torch.full((n,), alpha, device=device), alpha).sample()
