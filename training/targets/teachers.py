"""Knowledge distillation: trained models say what they see in the images of the student."""

import dataclasses
from collections.abc import Sequence

import torch
from torch import nn

from ..network import load_saved_model
from ..treatments.functional import one_hot
from .pipeline import Batch


class Teachers:
    """
    Mixes the mean probabilities of `teachers` into the targets of a batch.

    They see each image as the student does, augmented and mixed (Beyer et al., "Knowledge
    distillation: A good teacher is patient and consistent", CVPR 2022), at their own size. The
    temperature is 1: their probabilities are calibrated when they are saved.

    Args:
        teachers: networks with their image processors; of one class order and number of channels.
        weight: share of the teachers in the target, in [0, 1].
        flip: they see each image and its mirror image, and say the mean.
        bf16: they compute in bfloat16, as the student does with --bf16.
    """

    def __init__(
        self,
        teachers: Sequence[tuple[nn.Module, object]],
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

    @torch.no_grad()
    def apply(self, batch: Batch) -> Batch:
        views = [batch.images, batch.images.flip(-1)] if self.flip else [batch.images]
        images, said = torch.cat(views), []  # (views x N, channels, H, W)
        for network, processor in self.teachers:
            pixel_values = processor.normalize_batch(images)
            pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
            with torch.autocast(images.device.type, torch.bfloat16, enabled=self.bf16):
                logits = network(pixel_values=pixel_values)["logits"]
            said.extend(logits.float().softmax(dim=1).chunk(len(views)))
        mean = torch.stack(said).mean(dim=0)  # (N, C)
        targets = one_hot(batch.targets, mean.shape[1])
        return dataclasses.replace(batch, targets=self._mix(targets, mean))

    def shares(self, shares: torch.Tensor) -> torch.Tensor:
        """By the distribution that the teachers assume; unchanged where that is not known."""
        configs = [network.config for network, _ in self.teachers]
        assumed = [config.assumed_by(config.prior_in_use) for config in configs]
        if None in assumed:
            return shares
        rows = torch.tensor(assumed, dtype=shares.dtype, device=shares.device)  # (teachers, C)
        return self._mix(shares, (rows / rows.sum(dim=1, keepdim=True)).mean(dim=0))

    def _mix(self, targets: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        return (1 - self.weight) * targets + self.weight * said


def load_teachers(
    names: Sequence[str],
    weight: float,
    *,
    label_names: Sequence[str],
    num_channels: int,
    device: torch.device,
    **options,
) -> Teachers:
    """
    Args:
        names: of saved models, folders or Hub ids.
        label_names, num_channels: of the network that is taught.
        options: of `Teachers`.

    Raises:
        SystemExit: one is not there, has other classes, or takes other images.
    """
    teachers = [load_saved_model(name, label_names) for name in names]
    for name, (teacher, _) in zip(names, teachers):
        if teacher.config.num_channels != num_channels:
            raise SystemExit(
                f"--teachers {name} takes images of {teacher.config.num_channels} channels; "
                f"expected {num_channels}, as the model that is trained."
            )
    return Teachers(teachers, weight, device, **options)
