"""The flags that choose a treatment: a sampling and a loss, independently."""

from dataclasses import dataclass
from typing import Literal

from ..flags import arg
from .register import find_loss
from .sampling import AT_MOST, SAMPLINGS


@dataclass
class TreatmentArguments:
    """How the imbalance of the classes is treated: a sampling and a loss, independently."""

    _argument_group_name = "treatment of imbalance"

    sampling: Literal[tuple(SAMPLINGS)] = arg(
        "none", "; ".join(f"{name}: {sampling.help}" for name, sampling in SAMPLINGS.items()) + "."
    )
    undersample: str | None = arg(
        None,
        "Images kept of each class: a number, 'min' for the size of the smallest, or 'at_most:N'. "
        "Implies --sampling undersample.",
    )
    loss: str = arg(
        "cross_entropy",
        "The loss. Its weights and priors come from the class counts after sampling.",
    )
    prior: Literal["learned", "train"] = arg(
        "learned",
        "The class distribution that the trained model assumes: what sampling and loss have taught "
        "it, or the training set's, as common as the classes are there.",
    )

    def __post_init__(self):
        find_loss(self.loss)
        if self.undersample is not None:
            if self.sampling not in ("none", "undersample"):
                raise ValueError(
                    f"--undersample and --sampling {self.sampling} exclude each other; "
                    "give one of them."
                )
            number = self.undersample.removeprefix(AT_MOST)
            if self.undersample != "min" and not (number.isdecimal() and int(number) > 0):
                raise ValueError(
                    "--undersample must be a positive number, 'min' or 'at_most:N', "
                    f"but it is {self.undersample!r}."
                )
            self.sampling = "undersample"
        elif self.sampling == "undersample":
            self.undersample = "min"
