"""What a run prints of its results, for any number of classes."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from training.evaluation import evaluation_results, recall_table, summary


def data_of(names, labels, counts=None):
    return SimpleNamespace(
        label_names=names,
        eval=SimpleNamespace(labels=torch.tensor(labels)),
        eval_split="validation",
        counts_before=None if counts is None else np.array(counts),
    )


@pytest.mark.parametrize("number", [2, 64])
def test_summary_of_any_number_of_classes_and_long_names(number):
    names = [f"class {i}, " + "which looks into the mirror " * (i % 3) for i in range(number)]
    labels = np.arange(number)
    logits = 9 * np.eye(number)[labels]
    results = evaluation_results(logits, labels, None, names)
    *table, line = summary(results, data_of(names, labels)).splitlines()
    assert len(table) == 1 + number and len({len(row) for row in table}) == 1
    assert len(table[0]) <= 66 and table[1].endswith("1.000")
    assert line.startswith("validation: accuracy 1.0000 [1.0000, 1.0000], macro-F1 1.0000, bal")
    assert line.endswith(f" over {number} images") and len(line) < 140


def test_a_class_without_images_has_no_recall_and_is_named():
    names = ["calm", "tense", "asleep"]
    results = evaluation_results(np.eye(3)[[0, 1, 1]], np.array([0, 1, 1]), None, names)
    table = recall_table(results, data_of(names, [0, 1, 1], [5, 6, 3])).splitlines()
    assert table[1].split() == ["asleep", "21.4%", "0", "-"]
    assert table[-1] == "Without images, and so not in the mean recall: asleep"
    assert results["eval_balanced_accuracy"] == results["eval_macro_f1"] == 1


def test_without_results_there_is_nothing_to_sum_up():
    assert summary({"temperature": 1.2}, data_of(["a", "b"], [0, 1])) == ""
