"""The results of a run: metrics and calibration, with and without copies."""

from typing import Any

from .calibration import calibrate, certainty_results, prior_results
from .metrics import classification_metrics, expected_calibration_error
from .results import copied_splits, evaluate, evaluation_results, recall_table, result_line, summary


def __getattr__(name: str) -> Any:
    """`FerMetrics` is imported when it is asked for: not every machine has `evaluate`."""
    if name != "FerMetrics":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .hub_metric import FerMetrics

    return FerMetrics


__all__ = [
    "FerMetrics",
    "calibrate",
    "certainty_results",
    "classification_metrics",
    "copied_splits",
    "evaluate",
    "evaluation_results",
    "expected_calibration_error",
    "prior_results",
    "recall_table",
    "result_line",
    "summary",
]
