"""Knowledge distillation: trained models say what they see in the images of the student."""

from collections.abc import Sequence

import torch
from torch import nn

from .losses import one_hot


class Teachers:
    """
    Mixes the mean probabilities of `teachers` into the targets of a batch.

    They see each image as the student does, augmented and mixed (Beyer et al., "Knowledge
    distillation: A good teacher is patient and consistent", CVPR 2022), at their own size. The
    temperature is 1: their probabilities are calibrated when they are saved.

    Args:
        teachers: networks with their image processors; of one class order and number of channels.
        weight: share of the teachers in the target, in [0, 1].
    """

    def __init__(
        self,
        teachers: Sequence[tuple[nn.Module, object]],
        weight: float,
        device: torch.device,
    ):
        self.teachers = [
            (network.to(device, memory_format=torch.channels_last).eval(), processor)
            for network, processor in teachers
        ]
        self.weight = weight

    @torch.no_grad()
    def __call__(self, images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """(N, channels, H, W) in [0, 255], ids (N,) or probabilities (N, C) -> (N, C) float32."""
        said = []
        for network, processor in self.teachers:
            pixel_values = processor.normalize_batch(images)
            pixel_values = pixel_values.contiguous(memory_format=torch.channels_last)
            said.append(network(pixel_values=pixel_values)["logits"].float().softmax(dim=1))
        mean = torch.stack(said).mean(dim=0)  # (N, C)
        return self.mix(one_hot(labels, mean.shape[1]), mean)

    def presented_shares(self, shares: torch.Tensor) -> torch.Tensor:
        """Shares (C,) of the classes in the labels -> in the targets, by what the teachers saw."""
        of_teachers = [network.config.train_distribution for network, _ in self.teachers]
        if None in of_teachers:
            return shares
        mean = torch.tensor(of_teachers, dtype=shares.dtype, device=shares.device).mean(dim=0)
        return self.mix(shares / shares.sum(), mean)

    def mix(self, targets: torch.Tensor, said: torch.Tensor) -> torch.Tensor:
        return (1 - self.weight) * targets + self.weight * said
