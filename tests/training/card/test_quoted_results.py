"""training/card/quoted_results.py: results of other weights, or of another split, are left out."""

import json
import logging

import pytest

from tests.measured import with_test_results
from training.card.quoted_results import ROBUSTNESS, quoted_measurement, quoted_results


@pytest.fixture
def folder(tmp_path):
    return with_test_results(tmp_path)


def change_json(folder, name, **values):
    file = folder / f"{name}.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_the_test_split_comes_first(folder):
    quoted = quoted_results(folder)
    assert [results["eval_split"] for results in quoted.values()] == ["test", "validation"]
    assert quoted_measurement(folder, ROBUSTNESS)["split"] == "validation"
    (folder / "test_results.json").unlink()
    (folder / "robustness.json").unlink()
    assert [*quoted_results(folder)] == ["all_results.json"] and quoted_measurement(
        folder, ROBUSTNESS
    ) is None


@pytest.mark.parametrize(
    "name, values, reason",
    [
        ("test_results", {"weights_sha256": "0" * 64}, "it does not name these weights"),
        ("test_results", {"weights_sha256": None}, "it does not name these weights"),
        ("test_results", {"eval_split": "train"}, "it is not of a test split"),
        ("config", dict.fromkeys(("uncertain_below", "calibration")), "calibration has changed"),
        ("all_results", {"eval_split": "test"}, "evaluated on a test split of its own"),
        ("robustness", {"weights_sha256": "0" * 64}, "it does not name these weights"),
    ],
)
def test_results_of_another_model_or_split_are_left_out(folder, caplog, name, values, reason):
    change_json(folder, name, **values)
    with caplog.at_level(logging.INFO, "training"):
        quoted = [*quoted_results(folder)]
        robustness = quoted_measurement(folder, ROBUSTNESS)
    assert (len(quoted), robustness is None) == ((2, True) if name == "robustness" else (1, False))
    (message,) = caplog.messages
    assert "json is left out: " in message and reason in message
