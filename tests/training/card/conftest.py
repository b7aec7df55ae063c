"""Facts of cards: those of model/, and changed ones."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from tests.measured import with_test_results
from training.card.card import card_facts
from training.card.facts import CardFacts
from training.data import LABELS, PUBLISHED_COUNTS
from training.evaluation import evaluation_results


@pytest.fixture(scope="session")
def shipped(tmp_path_factory) -> CardFacts:
    return card_facts(with_test_results(tmp_path_factory.mktemp("shipped") / "model"))


@pytest.fixture
def change(shipped):
    """Changed facts: other flags of the run, other results, other fields."""

    def change(card=shipped, flags=(), results=(), test=(), **fields) -> CardFacts:
        run, quoted = copy.deepcopy(card.run), dict(card.quoted)
        for group in run["arguments"].values():
            group |= {name: value for name, value in dict(flags).items() if name in group}
        for file, values in {"all_results.json": results, "test_results.json": test}.items():
            if values:
                quoted[file] = quoted[file] | values
        return replace(card, **{"run": run, "quoted": quoted} | fields)

    return change


@pytest.fixture
def on_other_data(shipped, change):
    """A run of one stage on data with these classes."""

    def facts(names, evaluated, logits=None, **flags) -> CardFacts:
        """evaluated: (N,) ids of the evaluation images. logits: (N, C), of the network."""
        labels, counts = np.asarray(evaluated), [100 + i for i in range(len(names))]
        if logits is None:
            logits = np.random.default_rng(0).normal(size=(len(labels), len(names)))
        results = evaluation_results(np.asarray(logits), labels, None, names)
        results |= {"eval_split": "validation", "epoch": 2.0, "train_runtime": 60.0}
        results |= {"train_samples_per_second": 9.0}
        by_name = dict(zip(names, counts))
        split = {"images": sum(counts), "class_counts": by_name, "blank_images": []}
        audit = {"splits": {"train": split | {"copies_of": {}}}}
        audit |= dict.fromkeys(("groups_of_identical_images", "groups_with_conflicting_labels"), 0)
        audit |= {f"train_counts_{when}_sampling": by_name for when in ("before", "after")}
        stage = {"recipe": None, "flags": "--dataset faces", "data_fingerprint": "a"}
        return change(
            flags={"dataset": "./my/faces", "ferplus_weight": 0.0} | flags,
            chain={"train": stage | {"epoch": 2.0, "train_runtime": 60.0}},
            quoted={"all_results.json": results},
            config=shipped.config | {"id2label": {str(i): name for i, name in enumerate(names)}},
            audit=audit,
            robustness=None,
            onnx=None,
            pictures=frozenset(),
        )

    return facts


@pytest.fixture
def ferplus(on_other_data):
    """Facts of a run on FER-2013's images with FER+'s labels."""
    card = on_other_data((*LABELS, "contempt"), range(8), label_source="ferplus")
    card.audit["images_without_ferplus_majority"] = {"train": 4000}
    images = sum(PUBLISHED_COUNTS["train"]) - 4000
    card.audit["splits"]["train"]["images"] = images
    return card
