"""A metric of a class that the data do not have."""

from types import SimpleNamespace

import pytest
from training.refused import refuse_metric

NAMES = ("calm", "half asleep")


@pytest.mark.parametrize("metric", [None, "macro_f1", "recall_calm", "eval_recall_half asleep"])
def test_metrics_that_there_are(metric):
    refuse_metric(SimpleNamespace(metric_for_best_model=metric), NAMES)


@pytest.mark.parametrize("metric", ["recall_clam", "eval_recall_clam"])
def test_the_recall_of_an_unknown_class_is_refused_with_the_nearest(metric):
    args = SimpleNamespace(metric_for_best_model=metric)
    words = "--metric_for_best_model: unknown metric 'recall_clam'; did you mean 'recall_calm'"
    with pytest.raises(ValueError, match=words):
        refuse_metric(args, NAMES)
