"""
What a model card says of a run, as typed data: the content of the folder's files, and what follows
from it. The words are in model_card.md.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import timm

from ..evaluation.calibration import TEMPERATURES
from ..record.lineage import (
    before_shipped,
    commands,
    flags_of,
    is_weights_file,
    on_same_data,
    portable,
)
from ..treatments import SAMPLINGS, losses
from ..treatments.register import BASELINE
from .provenance import Provenance, is_local, provenance
from .quoted_results import TEST, TRAINING

METRICS = {
    "accuracy": "accuracy",
    "macro_f1": "macro-F1",
    "balanced_accuracy": "balanced accuracy",
    "ece": "expected calibration error",
}
CONFUSIONS = 4  # that a card names


class ClassResults(NamedTuple):
    """One class of a split; None where a value was not measured or is undefined."""

    name: str
    training_images: int
    images: int
    mean_score: float | None
    precision: float | None
    recall: float | None
    f1: float | None


class PriorResults(NamedTuple):
    """A split under one prior; recall, precision and mean score are the rarest class's."""

    prior: str
    accuracy: float
    balanced_accuracy: float
    classwise_ece: float | None
    recall: float | None
    precision: float | None
    mean_score: float | None


class Confusion(NamedTuple):
    """The share of a class's images that get another label."""

    label: str
    predicted: str
    share: float


class Split(NamedTuple):
    """
    file: where the results stand. copies: images that are known to be copies of earlier splits'.
    priors: the default first.
    """

    name: str
    file: str
    results: Mapping
    copies: int
    classes: list[ClassResults]
    priors: list[PriorResults]


class Stage(NamedTuple):
    """
    One training of the chain. Other stages are named by their numbers, models outside the chain by
    their names. imagenet_weights: "timm", or the name of a file.
    """

    number: int
    command: str
    epochs: float
    minutes: float
    started_from: int | None
    fine_tuned_from: str | None
    imagenet_weights: str | None
    averaged_with: list[int | str]
    average_weight: float | None
    taught_by: list[int]


@dataclass(frozen=True)
class CardFacts:
    """
    Args:
        run: as `read_run` gives it. chain: as `stages_of` does. quoted: as `quoted_results` does.
        config, audit, robustness, onnx: config.json, data_report.json, robustness.json, onnx.json.
        parameters: the number of trained weights. pictures: names of those that lie in the folder.
    """

    run: Mapping
    chain: Mapping[str, Mapping]
    quoted: Mapping[str, Mapping]
    config: Mapping
    audit: Mapping
    robustness: Mapping | None
    onnx: Mapping | None
    parameters: int
    pictures: frozenset[str]

    @cached_property
    def options(self) -> dict:
        """The run's flags."""
        return flags_of(self.run)

    @property
    def results(self) -> Mapping:
        """The training's results, which its calibration is about."""
        return self.quoted[TRAINING]

    @cached_property
    def label_names(self) -> list[str]:
        return [self.config["id2label"][str(i)] for i in range(len(self.config["id2label"]))]

    @property
    def rarest(self) -> str:
        """The class with the fewest training images."""
        return min(self.label_names, key=self.audit["train_counts_before_sampling"].get)

    @cached_property
    def data(self) -> Provenance:
        return provenance(self.options, self.audit)

    @property
    def dataset(self) -> str:
        return portable(self.options["dataset"])

    @property
    def own_copy(self) -> bool:
        """Whether the data were a file or folder of the machine."""
        return is_local(self.options["dataset"])

    @property
    def earlier_data_differ(self) -> bool:
        return len(on_same_data(self.chain)) < len(self.chain)

    @property
    def treatments(self) -> list[str]:
        """Titles of sampling and loss, where they treat the imbalance."""
        loss = self.run["loss_title"] if self.options["loss"] != BASELINE else ""
        return [title for title in (SAMPLINGS[self.options["sampling"]].title, loss) if title]

    @property
    def earlier_treatments(self) -> dict[str, list[int]]:
        """Titles of the treatments of earlier stages -> the numbers of those stages."""
        numbers: dict[str, list[int]] = {}
        for number, name in enumerate(self._own_stages[:-1], 1):
            sampling, loss = (self.chain[name].get(flag, "none") for flag in ("sampling", "loss"))
            titled = losses().get(loss)
            for title in (SAMPLINGS[sampling].title, titled.title if titled else loss):
                if title not in ("", "none"):
                    numbers.setdefault(title, []).append(number)
        return numbers

    @property
    def loss(self) -> str:
        return Path(self.options["loss"]).name  # of one from outside, the file's name

    @property
    def loss_options(self) -> dict[str, str]:
        """The chosen loss's own flags, and what makes its targets soft."""
        names = {*self.run["arguments"]["treatment"]} - {"sampling", "undersample", "loss"}
        names -= {"prior"} if self.options.get("prior") == "learned" else set()
        soft = ("label_smoothing", "ferplus_weight", "mixup", "cutmix")
        names |= {name for name in soft if self.options[name]}
        names |= {"distillation_weight"} if self.options["teachers"] else set()
        return {
            name: " ".join(map(str, value)) if isinstance(value, list) else str(value)
            for name, value in self.options.items()
            if name in names and value is not None
        }

    @cached_property
    def splits(self) -> list[Split]:
        """The quoted ones, in order."""
        return [
            Split(
                results["eval_split"],
                file,
                results,
                results["eval_samples"]
                - results.get("eval_samples_without_copies", results["eval_samples"]),
                self._classes(results),
                self._priors(results),
            )
            for file, results in self.quoted.items()
        ]

    def _classes(self, results: Mapping) -> list[ClassResults]:
        before = self.audit["train_counts_before_sampling"]
        after = self.audit["train_counts_after_sampling"]
        keys = ("mean_score", "precision", "recall", "f1")
        return [
            ClassResults(
                name,
                min(before[name], after[name]),  # repeated ones once
                sum(results["eval_confusion_matrix"][c]),
                *self._of_class(results, "eval_", name, keys),
            )
            for c, name in enumerate(self.label_names)
        ]

    def _priors(self, results: Mapping) -> list[PriorResults]:
        starts = {"learned" if "eval_train_prior_accuracy" in results else "train": "eval_"}
        for prior in ("train", "uniform"):
            if f"eval_{prior}_prior_accuracy" in results:
                starts[prior] = f"eval_{prior}_prior_"
        keys = ("recall", "precision", "mean_score")
        return [
            PriorResults(
                prior,
                results[f"{start}accuracy"],
                results[f"{start}balanced_accuracy"],
                results.get(f"{start}classwise_ece"),
                *self._of_class(results, start, self.rarest, keys),
            )
            for prior, start in starts.items()
        ]

    def _of_class(
        self, results: Mapping, start: str, name: str, keys: Sequence[str]
    ) -> list[float | None]:
        undefined = set()
        if results.get(f"{start}mean_score_{name}") == 0:  # no image was predicted as the class
            undefined = {"mean_score", "precision"}
        if not any(results["eval_confusion_matrix"][self.label_names.index(name)]):
            undefined = set(keys)
        return [None if key in undefined else results.get(f"{start}{key}_{name}") for key in keys]

    @property
    def copies_were_trained_on(self) -> bool:
        """Whether the training has seen images of which the quoted test split has a copy."""
        dropped = "test" in self.audit.get("dropped_as_copies_of", ())
        return TEST in self.quoted and self.splits[0].copies > 0 and not dropped

    @property
    def chosen(self) -> list[str]:
        """What was chosen by results on held-out images: of "epochs", "stages", "soup"."""
        stages = self.chain
        if self.options["label_source"] != "ferplus":  # whose images are FER-2013's
            stages = on_same_data(stages)
        several = len(stages) > 1
        applies = {
            "epochs": several or self.options["load_best_model_at_end"],
            "stages": several,
            "soup": any("averaged_with" in stage for stage in stages.values()),
        }
        return [name for name, chosen in applies.items() if chosen]

    @property
    def chosen_on(self) -> str:
        """The split's name."""
        return "development" if self.options["development_share"] else self.results["eval_split"]

    @property
    def temperature_is_limit(self) -> bool:
        """Whether the fit ended where the range that is searched ends, and so says nothing."""
        low, high = TEMPERATURES
        return not 1.01 * low < self.results["temperature"] < 0.99 * high

    @property
    def confusions(self) -> list[Confusion]:
        """The largest of the first split."""
        counts = np.array(self.splits[0].results["eval_confusion_matrix"], dtype=float)
        share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
        np.fill_diagonal(share, 0)
        cells = np.argsort(-share, axis=None)[:CONFUSIONS]
        pairs = [np.unravel_index(cell, share.shape) for cell in cells]
        names = self.label_names
        return [Confusion(names[a], names[b], float(share[a, b])) for a, b in pairs if share[a, b]]

    @cached_property
    def stages(self) -> list[Stage]:
        """Those after the model that ships, if the run goes back to it."""
        numbers = {name: number for number, name in enumerate(self._own_stages, 1)}
        return [
            Stage(
                numbers[name],
                command,
                stage["epoch"],
                stage["train_runtime"] / 60,
                numbers.get(stage.get("started_from")),
                stage.get("fine_tuned") or stage.get("model_name_or_path"),
                _imagenet_weights(stage.get("pretrained")),
                [
                    numbers.get(name, name.removeprefix("./"))
                    for name in stage.get("averaged_with", ())
                ],
                stage.get("average_weight"),
                [numbers[name] for name in stage.get("taught_by", ()) if name in numbers],
            )
            for (name, stage), command in zip(self.chain.items(), commands(self.chain))
            if name in numbers
        ]

    @property
    def _own_stages(self) -> list[str]:
        shipped = before_shipped(self.chain)
        return [name for name in self.chain if name not in shipped]

    @property
    def shipped_stages(self) -> int:
        """How many led to the model of the repository, from which this one started; or 0."""
        return len(self.chain) - len(self.stages)

    @property
    def minutes(self) -> float:
        """The training of all stages."""
        return sum(stage.minutes for stage in self.stages)

    @property
    def folder(self) -> str:
        """Where the last command leaves the model."""
        return f"runs/{[*self.chain][-1]}"

    @property
    def weights_file(self) -> str | None:
        """The first file that a stage took ImageNet weights from."""
        names = (stage.imagenet_weights for stage in self.stages)
        return next((name for name in names if name and name != "timm"), None)

    @property
    def base_model(self) -> str | None:
        """Hub id of the weights that the run goes back to; those of teachers do not count."""
        *_, stage = self.chain.values()
        while previous := stage.get("started_from"):
            stage = self.chain[previous]
        if source := stage.get("model_name_or_path"):
            return source if "/" in source else None  # or the folder of a machine
        pretrained = stage.get("pretrained")
        if _imagenet_weights(pretrained) != "timm":
            return None
        name = stage["backbone"] if pretrained == "imagenet" else pretrained
        return timm.get_pretrained_cfg(name).hf_hub_id


def _imagenet_weights(pretrained: str | None) -> str | None:
    """--pretrained -> "timm", or the name of a file."""
    return "timm" if pretrained and not is_weights_file(pretrained) else pretrained
