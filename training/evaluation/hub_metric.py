"""The metrics as an `evaluate.Metric` of this package: no download."""

from collections.abc import Sequence

import datasets
import evaluate
import numpy as np

from .metrics import classification_metrics, require_images


class FerMetrics(evaluate.Metric):
    """
    `classification_metrics` for the library `evaluate`, its evaluators too.

    Args:
        label_names: the C class names, in the order of their ids.
        bootstrap: resamples for the 95 % intervals; 0 leaves them out.
        seed: of the bootstrap.

    `compute(predictions=..., references=...)` takes and returns what that function does, and raises
    its errors.
    """

    def __init__(
        self, label_names: Sequence[str], *, bootstrap: int = 1000, seed: int = 0, **kwargs
    ):
        self.label_names = list(label_names)
        self.bootstrap = bootstrap
        self.bootstrap_seed = seed
        super().__init__(keep_in_memory=True, **kwargs)

    def _info(self) -> evaluate.MetricInfo:
        ids, scores = datasets.Value("int64"), datasets.List(datasets.Value("float32"))
        return evaluate.MetricInfo(
            description="Classification metrics for imbalanced facial expressions.",
            citation="",
            inputs_description=self.__doc__,
            features=[
                datasets.Features({"predictions": predictions, "references": ids})
                for predictions in (scores, ids)
            ],
        )

    def compute(
        self,
        *,
        predictions: Sequence | np.ndarray | None = None,
        references: Sequence[int] | np.ndarray | None = None,
        **kwargs,
    ) -> dict | None:
        """`evaluate.Metric.compute`, which fails with an IndexError where there are no images."""
        if references is not None:
            require_images(references)
        return super().compute(predictions=predictions, references=references, **kwargs)

    def _compute(self, predictions: Sequence, references: Sequence[int]) -> dict:
        return classification_metrics(
            np.asarray(predictions),
            np.asarray(references),
            self.label_names,
            bootstrap=self.bootstrap,
            seed=self.bootstrap_seed,
        )
