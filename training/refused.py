"""Flags of TrainingArguments that fail late, or do something else here than they say."""

import os
from collections.abc import Sequence

from transformers import TrainingArguments

from .wording import unknown_name

# Metrics of evaluations during the training, beside each class's recall.
METRICS = ("loss", "accuracy", "balanced_accuracy", "macro_f1", "ece")
RECALL = "recall_"
OF_OPTIM = (
    *("optim", "optim_args", "optim_target_modules"),
    *("adam_beta1", "adam_beta2", "adam_epsilon"),
)
_NOT_WHOLE = "leaves out what resuming, the averaged weights and the report need; leave it out. "
_ROUNDS = (
    "would round the weights that are evaluated and saved; --bf16, or --fp16 on a GPU, computes in "
    "half precision and keeps them whole."
)
_BY_BATCH = (
    "would compute metrics batch by batch, but they are of all images together; leave it out. "
    "--eval_accumulation_steps 1 saves GPU memory."
)
_SHARDS = (
    "splits the network over GPUs, for which it is too small; averaged weights and checkpoints "
    "need all of it. Several processes train by torchrun or accelerate launch alone."
)
_OF_LANGUAGE = "is for language models; leave it out."
# Flags of TrainingArguments that would fail, some only after the training, or do something else
# here than they say: "--flag" and what follows is the message.
REFUSED = {
    "label_smoothing_factor": "is the Trainer's own; use --label_smoothing here.",
    **dict.fromkeys(
        ("push_to_hub", "hub_token"),
        "would send checkpoints unchecked; train.py sends nothing. Publish the finished run by "
        "push_to_hub.py, the token in HF_TOKEN.",
    ),
    **dict.fromkeys(
        ("save_only_model", "prediction_loss_only"),
        f"{_NOT_WHOLE}The result is saved without optimizer state anyway.",
    ),
    **dict.fromkeys(("bf16_full_eval", "fp16_full_eval"), _ROUNDS),
    "dataloader_drop_last": "would leave out evaluation images as well; leave it out. Of the "
    "training images, a last batch of a single one is left out anyway.",
    "dataloader_in_order": "false would mix up the evaluation images; leave it out.",
    "batch_eval_metrics": _BY_BATCH,
    "eval_do_concat_batches": f"false {_BY_BATCH}",
    "train_sampling_strategy": "would order the evaluation images too; --sampling says how "
    "training images are drawn.",
    "eval_use_gather_object": "is for outputs that are no tensors and fails with several "
    "processes; leave it out.",
    "accelerator_config": "would deal out batches among processes in another way than sampling and "
    "evaluation rely on; leave it out.",
    "auto_find_batch_size": "would train with another batch size than the record says; set "
    "--per_device_train_batch_size, and --gradient_accumulation_steps to make up for it.",
    **dict.fromkeys(
        ("use_liger_kernel", "liger_kernel_config", "neftune_noise_alpha"), _OF_LANGUAGE
    ),
    **dict.fromkeys(("fsdp", "fsdp_config", "deepspeed", "parallelism_config"), _SHARDS),
}


def refuse_flags(args: TrainingArguments) -> None:
    """
    Before `TrainingArguments.__post_init__`, which changes some of them.

    Raises:
        ValueError: a flag of `REFUSED`, or a value or a combination that would fail or be ignored.
    """
    for name, why in REFUSED.items():
        if getattr(args, name) != _default(args, name):
            raise ValueError(f"--{name} {why}")
    for name in ("fsdp", "deepspeed"):
        if os.environ.get(f"ACCELERATE_USE_{name.upper()}", "").lower() in ("true", "1"):
            raise ValueError(f"accelerate launch --use_{name} {_SHARDS}")
    if "tpu_metrics_debug" in (args.debug or ""):
        raise ValueError("--debug tpu_metrics_debug needs a TPU; leave it out.")
    _check_optimizer(args)
    _check_choice_of_checkpoint(args)


def _default(args: TrainingArguments, name: str):
    return args.__dataclass_fields__[name].default


def _check_optimizer(args: TrainingArguments) -> None:
    for name in OF_OPTIM if args.timm_optim else ():
        if getattr(args, name) != _default(args, name):
            raise ValueError(
                f"--{name} is for the optimizers of transformers, but --timm_optim is "
                f"{args.timm_optim}; leave it out, or say timm_optim: null in the recipe."
            )
    if str(args.optim).startswith("schedule_free"):
        raise ValueError(
            f"--optim {args.optim} has other weights in evaluation than in training, by which "
            "the averaged and the rounded ones would be lost; --ema_decay averages weights "
            "with any other optimizer."
        )


def _check_choice_of_checkpoint(args: TrainingArguments) -> None:
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
        args.greater_is_better = False  # transformers knows it of the loss alone


def refuse_metric(args: TrainingArguments, label_names: Sequence[str]) -> None:
    """
    Raises:
        ValueError: --metric_for_best_model is the recall of a class that the data do not have.
    """
    metric = (args.metric_for_best_model or "").removeprefix("eval_")
    recalls = [RECALL + name for name in label_names]
    if metric.startswith(RECALL) and metric not in recalls:
        raise ValueError("--metric_for_best_model: " + unknown_name(metric, recalls, "metric"))
