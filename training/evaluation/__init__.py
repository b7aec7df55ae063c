"""The figures of a run: metrics, calibration, and all of them with and without copies."""

from .calibration import calibrate, certainty_figures, prior_figures
from .metrics import classification_metrics, expected_calibration_error
from .results import copied_splits, evaluate, evaluation_results, recall_table, result_line, summary


def __getattr__(name: str):
    """The metrics as the library `evaluate` has them, which not every machine has."""
    if name != "FerMetrics":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .hub_metric import FerMetrics

    return FerMetrics


__all__ = [
    "FerMetrics",
    "calibrate",
    "certainty_figures",
    "classification_metrics",
    "copied_splits",
    "evaluate",
    "evaluation_results",
    "expected_calibration_error",
    "prior_figures",
    "recall_table",
    "result_line",
    "summary",
]
