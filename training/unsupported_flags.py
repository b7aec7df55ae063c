"""Flags of TrainingArguments that fail late, or do something else here than their help says."""

import dataclasses
import os

from transformers import TrainingArguments

TRANSFORMERS_OPTIMIZER = (  # flags that an optimizer of timm leaves without effect
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
UNSUPPORTED = {  # the message is "--" and the flag's name, and what follows here
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
    "train_sampling_strategy": "would order the evaluation images too; --sampling chooses the "
    "training images.",
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


def check_flags(args: TrainingArguments) -> None:
    """
    To be called before `TrainingArguments.__post_init__`, which changes some of the flags.

    Raises:
        ValueError: a flag of `UNSUPPORTED` is set, or one that would fail or be ignored.
    """
    defaults = {field.name: field.default for field in dataclasses.fields(args)}
    for name, why in UNSUPPORTED.items():
        if getattr(args, name) != defaults[name]:
            raise ValueError(f"--{name} {why}")
    for name in ("fsdp", "deepspeed"):
        if os.environ.get(f"ACCELERATE_USE_{name.upper()}", "").lower() in ("true", "1"):
            raise ValueError(f"accelerate launch --use_{name} {_SHARDS}")
    if "tpu_metrics_debug" in (args.debug or ""):
        raise ValueError("--debug tpu_metrics_debug needs a TPU; leave it out.")
    for name in TRANSFORMERS_OPTIMIZER if args.timm_optim else ():
        if getattr(args, name) != defaults[name]:
            raise ValueError(
                f"--{name} is for the optimizers of transformers, but --timm_optim is "
                f"{args.timm_optim}; leave it out, or put timm_optim: null into the recipe."
            )
    if str(args.optim).startswith("schedule_free"):
        raise ValueError(
            f"--optim {args.optim} has other weights in evaluation than in training, so that "
            "averaged and rounded weights would be lost; --ema_decay averages weights with any "
            "other optimizer."
        )
