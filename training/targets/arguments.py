"""The flags of the targets, and the steps that they ask for."""

from dataclasses import dataclass

import torch

from ..data import FaceDataset
from ..flags import arg, check_range
from ..network import load_saved_model
from .mixing import Mixing
from .pipeline import Targets, TargetStep
from .smoothing import LabelSmoothing
from .teachers import Teachers
from .votes import Votes


@dataclass
class TargetArguments:
    """What becomes of the labels on their way to the loss: each flag makes soft labels."""

    _argument_group_name = "targets"

    label_smoothing: float = arg(
        0.0, "Share of the target that is spread over all classes, in [0, 1)."
    )
    ferplus_weight: float = arg(
        0.0,
        "Share of the target that comes from the FER+ votes, in [0, 1]; the label has the rest. "
        "Votes are translated into labels, but taken as they are with --label_source ferplus. The "
        "data need the column ferplus_votes.",
    )
    teachers: list[str] = arg(
        [],
        "Saved models, folders or Hub ids, whose mean probabilities for each augmented image "
        "become part of its target (distillation).",
    )
    distillation_weight: float = arg(
        0.5, "Share of the --teachers in the target, in [0, 1]; label and votes have the rest."
    )
    distillation_flip: bool = arg(
        False, "The --teachers see each image and its mirror image, and their mean counts."
    )
    mixup: float = arg(0.0, "alpha of mixup's Beta distribution; 0 is off.")
    cutmix: float = arg(0.0, "alpha of cutmix's Beta distribution; 0 is off.")

    def __post_init__(self):
        check_range(self, "label_smoothing", 0, 1)
        check_range(self, "ferplus_weight", 0, 1, closed=True)
        check_range(self, "distillation_weight", 0, 1, closed=True)
        check_range(self, "mixup", 0, float("inf"))
        check_range(self, "cutmix", 0, float("inf"))

    def soft_label_flags(self) -> list[str]:
        """Names of the flags in use that make soft labels."""
        names = ("label_smoothing", "ferplus_weight", "teachers", "mixup", "cutmix")
        return [name for name in names if getattr(self, name)]

    def build(
        self, train: FaceDataset, *, num_channels: int, device: torch.device, bf16: bool = False
    ) -> Targets:
        """
        Args:
            train: the images that are trained on, after `with_votes` and sampling.
            num_channels: that the teachers' images must have.
            bf16: whether teachers compute in bfloat16.

        Raises:
            SystemExit: a teacher is not there, has other classes, or takes other images.
        """
        # Votes first, which need class ids; teachers after the mixing, whose images they see.
        steps: list[TargetStep] = []
        if self.ferplus_weight:
            steps.append(Votes(self.ferplus_weight, train))
        if self.mixup or self.cutmix:
            steps.append(Mixing(self.mixup, self.cutmix, len(train.label_names)))
        if self.teachers:
            teachers = [load_saved_model(name, train.label_names) for name in self.teachers]
            for name, (teacher, _) in zip(self.teachers, teachers):
                if teacher.config.num_channels != num_channels:
                    raise SystemExit(
                        f"--teachers {name} takes images of {teacher.config.num_channels} "
                        f"channels; expected {num_channels}, as the model that is trained."
                    )
            weight, flip = self.distillation_weight, self.distillation_flip
            steps.append(Teachers(teachers, weight, device, flip=flip, bf16=bf16))
        if self.label_smoothing:
            steps.append(LabelSmoothing(self.label_smoothing, len(train.label_names)))
        return Targets(steps)
