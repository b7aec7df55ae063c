"""The results of a run: metrics and calibration, with and without copies."""

from .metrics import classification_metrics
from .results import copied_splits, evaluate, evaluation_results, summary
