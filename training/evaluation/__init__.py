"""The figures of a run: metrics, calibration, and all of them with and without copies."""

from .calibration import calibrate, certainty_figures, prior_figures
from .metrics import FerMetrics, expected_calibration_error
from .results import (
    copied_splits,
    evaluate,
    evaluation_results,
    recall_table,
    result_line,
    summary,
)

__all__ = [
    "FerMetrics",
    "calibrate",
    "certainty_figures",
    "copied_splits",
    "evaluate",
    "evaluation_results",
    "expected_calibration_error",
    "prior_figures",
    "recall_table",
    "result_line",
    "summary",
]
