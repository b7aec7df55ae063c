"""Knowledge distillation: the probabilities of trained models for the images of the student."""

import dataclasses
from collections.abc import Sequence

import torch

from ..cpu import use_fast_depthwise
from ..network import Network, Processor
from ..treatments.functional import one_hot
from .pipeline import Batch


class Teachers:
    """
    Mixes the mean probabilities of `teachers` into the targets of a batch.

    They see each image as the student does, augmented and mixed (Beyer et al., "Knowledge
    distillation: A good teacher is patient and consistent", CVPR 2022), but before it is degraded,
    and at their own size. There is no temperature: a saved model is calibrated.

    Args:
        teachers: networks with their image processors, of one class order and number of channels.
        weight: share of the teachers in the target, in [0, 1].
        flip: they see each image and its mirror image as well, and the mean counts.
        bf16: they compute in bfloat16, as the student does with --bf16.
    """

    def __init__(
        self,
        teachers: Sequence[tuple[Network, Processor]],
        weight: float,
        device: torch.device,
        *,
        flip: bool = False,
        bf16: bool = False,
    ):
        self.teachers = [
            (network.to(device, memory_format=torch.channels_last).eval(), processor)
            for network, processor in teachers
        ]
        self.weight, self.flip, self.bf16 = weight, flip, bf16
        if device.type == "cpu":
            for network, _ in teachers:
                use_fast_depthwise(network)

    @torch.no_grad()
    def apply(self, batch: Batch) -> Batch:
        views = [batch.images, batch.images.flip(-1)] if self.flip else [batch.images]
        # one pass for all views, so that large batches stay large
        images, probabilities = torch.cat(views), []  # (views * N, channels, H, W)
        for network, processor in self.teachers:
            pixel_values = processor.normalize_batch(images)  # at the teacher's own size
            pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
            with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
                logits = network(pixel_values=pixel_values)["logits"]
            probabilities.extend(logits.float().softmax(dim=1).chunk(len(views)))  # (N, C) each
        mean = torch.stack(probabilities).mean(dim=0)  # (N, C)
        targets = one_hot(batch.targets, mean.shape[1])
        return dataclasses.replace(batch, targets=self._mix(targets, mean))

    def shares(self, shares: torch.Tensor) -> torch.Tensor:
        """The teachers add the class distribution that they assume. Not known: unchanged."""
        configs = [network.config for network, _ in self.teachers]
        assumed = [config.assumed_by(config.prior_in_use) for config in configs]
        if None in assumed:
            return shares
        rows = torch.tensor(assumed, dtype=shares.dtype, device=shares.device)  # (teachers, C)
        return self._mix(shares, (rows / rows.sum(dim=1, keepdim=True)).mean(dim=0))

    def _mix(self, own: torch.Tensor, taught: torch.Tensor) -> torch.Tensor:
        return (1 - self.weight) * own + self.weight * taught
