"""The best checkpoint by the recall of a class, which the data must have."""

from types import SimpleNamespace

import pytest

from training.best_checkpoint import check_metric

NAMES = ("calm", "half asleep")


@pytest.mark.parametrize("metric", [None, "macro_f1", "recall_calm", "eval_recall_half asleep"])
def test_metrics_that_there_are(metric):
    check_metric(SimpleNamespace(metric_for_best_model=metric), NAMES)


@pytest.mark.parametrize("metric", ["recall_clam", "eval_recall_clam"])
def test_the_recall_of_an_unknown_class_is_refused_with_the_nearest(metric):
    args = SimpleNamespace(metric_for_best_model=metric)
    with pytest.raises(
        ValueError, match="unknown metric 'recall_clam'; did you mean 'recall_calm'"
    ):
        check_metric(args, NAMES)
