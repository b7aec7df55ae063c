"""By which metric the best checkpoint of a training is chosen."""

from collections.abc import Sequence

from transformers import TrainingArguments

from .wording import unknown_name

METRICS = ("loss", "accuracy", "balanced_accuracy", "macro_f1", "ece")
RECALL = "recall_"  # and the name of a class


def check_choice_of_checkpoint(args: TrainingArguments) -> None:
    """Raises ValueError where no evaluation, or an unknown metric, is to choose the best one."""
    chooses = args.load_best_model_at_end or args.save_strategy == "best"
    if chooses and args.eval_strategy == "no":
        raise ValueError(
            "--load_best_model_at_end and --save_strategy best choose by evaluations during "
            "the training, but --eval_strategy is no; set it to epoch or steps."
        )
    if args.metric_for_best_model is None:
        if args.save_strategy == "best":
            raise ValueError(
                "--save_strategy best needs --metric_for_best_model: loss, accuracy, macro_f1, "
                "balanced_accuracy, ..."
            )
        return
    metric = args.metric_for_best_model.removeprefix("eval_")
    if metric not in METRICS and not metric.startswith(RECALL):
        raise ValueError("--metric_for_best_model: " + unknown_name(metric, METRICS, "metric"))
    if args.greater_is_better is None and metric == "ece":
        args.greater_is_better = False  # transformers knows this of the loss alone


def check_metric(args: TrainingArguments, label_names: Sequence[str]) -> None:
    """Raises ValueError where the metric is the recall of a class that the data do not have."""
    metric = (args.metric_for_best_model or "").removeprefix("eval_")
    recalls = [RECALL + name for name in label_names]
    if metric.startswith(RECALL) and metric not in recalls:
        raise ValueError("--metric_for_best_model: " + unknown_name(metric, recalls, "metric"))
