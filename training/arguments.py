"""
Arguments of train.py: dataclasses with help and cross-field checks, from a YAML recipe and flags.

    python train.py configs/model/1_scratch.yaml --dataset PATH --num_train_epochs 5
"""

import argparse
import copy
import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from timm.optim import list_optimizers
from transformers import HfArgumentParser, TrainingArguments
from transformers.hf_argparser import string_to_bool

from .augmentation import AugmentationArguments
from .best_checkpoint import check_choice_of_checkpoint
from .data import DataArguments
from .early_checks import USAGE, exit_with_usage
from .flags import arg, check_range
from .network import ModelArguments
from .recipes import read_recipe
from .targets import TargetArguments
from .treatments import Loss, TreatmentArguments, find_loss, flag_fields, losses, soft_label_losses
from .unsupported_flags import check_flags
from .wording import unknown_name

METAVARS = {int: "N", float: "X", string_to_bool: "true|false"}
# What --help shows of TrainingArguments beyond the flags that FerTrainingArguments sets.
COMMON_FLAGS = (
    *("num_train_epochs", "max_steps", "learning_rate", "weight_decay", "optim", "seed"),
    *("lr_scheduler_type", "lr_scheduler_kwargs", "warmup_steps", "max_grad_norm"),
    *("gradient_accumulation_steps", "bf16", "fp16", "torch_compile", "use_cpu"),
    *("load_best_model_at_end", "metric_for_best_model"),
    *("dataloader_num_workers", "disable_tqdm"),
)
# Arguments whose names begin like this do not change what a run learns.
LEAST_PRECISE = 32  # images; below, batch norm statistics are chance
NOT_DECISIVE = (
    *(
        "output_dir",
        "overwrite",
        "export_onnx",
        "resume_from_checkpoint",
        "dataset",
        "skip_bad_rows",
    ),
    *("memory_gb", "logging_", "log_", "report_to", "run_name", "project", "trackio"),
    *("disable_tqdm", "local_rank", "calibrate"),
    *("save_", "eval_strategy", "eval_steps", "eval_delay", "push_to_hub", "hub_", "skip_memory"),
    *("dataloader_num_workers", "dataloader_p"),  # pin_memory, persistent_workers, prefetch_factor
    "ddp_find_unused_parameters",
)


LEAST = {
    "per_device_train_batch_size": 2,  # batch norm needs two images
    **dict.fromkeys(("per_device_eval_batch_size", "gradient_accumulation_steps"), 1),
    **dict.fromkeys(("freeze_backbone_epochs", "precise_bn", "num_train_epochs"), 0),
    **dict.fromkeys(("learning_rate", "seed", "dataloader_num_workers"), 0),
}


@dataclass
class FerTrainingArguments(TrainingArguments):
    """transformers.TrainingArguments, every flag of it, and what FerTrainer adds."""

    _argument_group_name = "training (with all of transformers.TrainingArguments: --help_all)"

    ema_decay: float = arg(
        0.0,
        "Average the weights with this decay (0.999, for example), and evaluate and save the "
        "average. 0 is off.",
    )
    timm_optim: str | None = arg(
        None,
        "An optimizer of timm in place of --optim: nmuon (Muon for matrices and convolutions, "
        "AdamW for the rest), lamb, lion, ...",
    )
    progressive_sizes: list[int] = arg(
        [],
        "Sides of the training images in pixels, each for an equal share of the epochs: "
        "32 40 48 learns on small images first (EfficientNetV2's progressive learning).",
    )
    weights_dtype: Literal["float32", "float16"] = arg(
        "float32",
        "How model.safetensors stores weight matrices and convolutions; float16 halves the file. "
        "The rounded weights are the ones evaluated, and they load as float32.",
    )
    precise_bn: int = arg(
        0,
        "After training, recompute the batch norm statistics from this many training images "
        "without augmentation. 0 is off.",
    )
    freeze_backbone_epochs: int = arg(0, "Train the head alone for the first N epochs.")
    channels_last: bool = arg(
        True, "Lay images out as (N, H, W, C) in memory: faster on CPUs and on GPUs in bf16."
    )
    save_predictions: bool = arg(
        False, "Write predictions.csv: each evaluation image's label, prediction and logits."
    )
    evaluate_only: bool = arg(
        False, "Only evaluate --model_name_or_path on --eval_split, and write the report."
    )
    export_onnx: bool = arg(
        True,
        "Write model.onnx, for use without torch, and measure it. Needs pip install '.[publish]'.",
    )
    calibrate: bool = arg(
        False,
        "With --evaluate_only: fit temperature and thresholds again, on the validation split, and "
        "write them into the model's folder.",
    )
    overwrite: bool = arg(False, "Replace the run that --output_dir holds.")

    output_dir: str | None = arg(
        None, "Folder of the result. Default: runs/<recipe>, or runs/evaluation."
    )
    per_device_train_batch_size: int = arg(128, "Images per process and step.")
    per_device_eval_batch_size: int = arg(256, "Images per process in evaluation.")
    eval_strategy: str = arg("epoch", "When to evaluate: no, steps or epoch.")
    save_strategy: str = arg("epoch", "When to write a checkpoint: no, steps, epoch or best.")
    save_total_limit: int | None = arg(2, "Checkpoints kept.")
    logging_steps: float = arg(20, "Steps between log lines; below 1, a fraction of the run.")
    report_to: str = arg("tensorboard", "Where to log: tensorboard, wandb, ..., none.")
    resume_from_checkpoint: str | None = arg(
        None, "true: go on from the last whole checkpoint of --output_dir; or the path of one."
    )
    # the flag of this name is DataArguments'
    label_names: list[str] | None = field(default=None, init=False)
    dataloader_pin_memory: bool = arg(
        False,
        "Leave the training images on the host and pin each batch. By default a GPU holds them in "
        "its memory.",
    )
    # batches hold only what is used
    remove_unused_columns: bool = field(default=False, init=False)

    def __post_init__(self):
        if str(self.resume_from_checkpoint).lower() == "false":
            self.resume_from_checkpoint = None
        self.output_dir = self.output_dir or (
            "runs/evaluation" if self.evaluate_only else "runs/train"
        )
        if self.num_train_epochs == 0:
            self.max_steps = -1  # nothing is trained
        check_flags(self)
        check_choice_of_checkpoint(self)
        check_range(self, "ema_decay", 0, 1)
        for name, least in LEAST.items():
            check_range(self, name, least, float("inf"))
        if self.max_steps == 0:
            raise ValueError(
                "--max_steps must be at least 1, or -1 for --num_train_epochs, but it is 0. "
                "--num_train_epochs 0 trains nothing."
            )
        if self.timm_optim and self.timm_optim not in list_optimizers():
            raise ValueError(
                "--timm_optim: " + unknown_name(self.timm_optim, list_optimizers(), "optimizer")
            )
        if 0 < self.precise_bn < LEAST_PRECISE:
            raise ValueError(
                f"--precise_bn must be 0 (off) or at least {LEAST_PRECISE}, but it is "
                f"{self.precise_bn}: statistics of so few images are chance."
            )
        if self.num_train_epochs and self.max_steps <= 0:
            if self.num_train_epochs < len(self.progressive_sizes):
                raise ValueError(
                    f"--progressive_sizes has {len(self.progressive_sizes)} sizes, but there are "
                    f"{self.num_train_epochs:g} epochs: the last size, which is evaluated, would "
                    "not be reached. Leave out sizes, or train longer."
                )
        if any(size < 16 for size in self.progressive_sizes):
            raise ValueError(
                "--progressive_sizes must be at least 16 pixels each, "
                f"but they are {self.progressive_sizes}."
            )
        if self.ddp_find_unused_parameters is None:
            # only frozen layers lack a gradient, and the search takes time
            self.ddp_find_unused_parameters = self.freeze_backbone_epochs > 0
        super().__post_init__()
        if self.fp16 and self.device.type == "cpu":
            raise ValueError("--fp16 needs a GPU and would be ignored; --bf16 works on CPUs.")


@dataclass
class Arguments:
    """
    Every argument of a run, by room. `loss` is the loss that `treatment` names, with its own flags.

    Raises ValueError where arguments of two rooms do not go together.
    """

    data: DataArguments
    treatment: TreatmentArguments
    loss: Loss
    targets: TargetArguments
    model: ModelArguments
    augmentation: AugmentationArguments
    training: FerTrainingArguments

    def __post_init__(self):
        soft = self.targets.soft_label_flags()
        if soft and not self.loss.takes_soft_labels:
            raise ValueError(
                f"--{soft[0]} makes soft labels, for which the {self.loss.name} loss is not "
                f"defined; leave --{soft[0]} out or use one of {', '.join(soft_label_losses())}."
            )
        if self.training.num_train_epochs and self.training.max_steps < 0:
            self.loss.check_epochs(self.training.num_train_epochs)
        if self.training.evaluate_only and not self.model.model_name_or_path:
            raise ValueError(
                "--evaluate_only needs --model_name_or_path, the folder or Hub id of a saved model."
            )
        if self.training.calibrate and not (
            self.training.evaluate_only
            and self.data.eval_split == "validation"
            and Path(self.model.model_name_or_path).is_dir()
        ):
            raise ValueError(
                "--calibrate needs --evaluate_only, --eval_split validation and a folder as "
                "--model_name_or_path: a training fits temperature and thresholds anyway."
            )
        if self.training.freeze_backbone_epochs and not (
            self.model.pretrained or self.model.model_name_or_path
        ):
            raise ValueError(
                "--freeze_backbone_epochs keeps the backbone as it is, but it would be random: "
                "add --pretrained or --model_name_or_path."
            )
        chosen = self.training.load_best_model_at_end and not self.training.evaluate_only
        if chosen and self.data.eval_split == "test" and not self.data.development_share:
            raise ValueError(
                "--load_best_model_at_end with --eval_split test would choose the checkpoint by "
                "the test split. Train with the validation split, then --evaluate_only --eval_split"
                " test; or --development_share 0.1; or --load_best_model_at_end false."
            )

    def earlier_models(self) -> list[str]:
        """The saved models that the run starts from, is averaged with and is taught by."""
        start = [self.model.model_name_or_path] if self.model.model_name_or_path else []
        return [*start, *self.model.average_with, *self.targets.teachers]

    def to_dict(self) -> dict[str, dict]:
        """Every resolved argument by group, without tokens, ready for JSON and YAML."""
        training = self.training.to_dict()
        groups = {
            "data": dataclasses.asdict(self.data),
            "treatment": dataclasses.asdict(self.treatment) | dataclasses.asdict(self.loss),
            "targets": dataclasses.asdict(self.targets),
            "model": dataclasses.asdict(self.model),
            "augmentation": dataclasses.asdict(self.augmentation),
            "training": {
                name: value for name, value in training.items() if not name.endswith("_token")
            },
        }
        return json.loads(json.dumps(groups, default=str))

    def decisive(self, data_fingerprint: str) -> dict:
        """The settings that decide which weights come out, flat."""
        kept = {
            name: value
            for room, group in self.to_dict().items()
            for name, value in group.items()
            if room not in ("data", "training") or not name.startswith(NOT_DECISIVE)
        }
        kept["loss"] = Path(self.treatment.loss).name  # a file from outside may lie elsewhere
        return kept | {"data_fingerprint": data_fingerprint, "processes": self.training.world_size}


def make_parser(
    description: str, outside: Sequence[type[Loss]] = (), help_all: bool = False
) -> HfArgumentParser:
    """
    Args:
        outside: losses from outside the package, whose flags are added.
        help_all: whether --help shows every flag of TrainingArguments, or those in common use.
    """
    of_losses = dataclasses.make_dataclass("LossArguments", flag_fields(outside))
    of_losses._argument_group_name = "losses"
    treatment = (TreatmentArguments, of_losses, TargetArguments)
    parser = HfArgumentParser(
        (DataArguments, *treatment, ModelArguments, AugmentationArguments, FerTrainingArguments),
        usage=USAGE,
        description=description,
        allow_abbrev=False,
    )
    parser.formatter_class = _HelpFormatter
    parser.add_argument(
        "--no_pretrained",
        dest="pretrained",
        action="store_const",
        const=None,
        default=None,
        help="Start from random weights although the recipe says otherwise.",
    )
    parser.add_argument("--help_all", action="help", help="Show every flag and exit.")
    shown = {*FerTrainingArguments.__annotations__, *COMMON_FLAGS}
    rare = {field_.name for field_ in dataclasses.fields(TrainingArguments)} - shown
    for action in parser._actions:
        negated = isinstance(action, argparse._StoreFalseAction)  # --no_flag beside --flag false
        if negated or (action.dest in rare and not help_all):
            action.help = argparse.SUPPRESS
        if action.nargs != 0 and not 0 < len(action.choices or ()) <= 8:
            action.metavar = METAVARS.get(action.type, "TEXT")
        if action.nargs == "+":
            action.nargs = "*"  # an empty list is a value too: no hidden layer
        if action.dest == "loss":
            names = "; ".join(f"{name}: {loss.title}" for name, loss in losses().items())
            action.help += f" One of {names}; or path/to/file.py:ClassName."
    return parser


def parse_arguments(description: str, argv: Sequence[str]) -> Arguments:
    """
    Reads the recipe and then the flags, which override it. Exits with one message at an unknown key
    or flag (naming the nearest known one), a wrong value, or a combination without meaning.
    """
    argv = list(argv)
    recipe = Path(argv.pop(0)) if argv and not argv[0].startswith("-") else None
    try:
        names = [_loss_named(argv), str(read_recipe(recipe).get("loss", "")) if recipe else ""]
        outside = [find_loss(name) for name in names if ".py:" in name]
        parser = make_parser(description, outside, help_all="--help_all" in argv)
        options = parser._option_string_actions
        known = {option[2:] for option in options if option.startswith("--")}
        if recipe:
            argv = _as_flags(read_recipe(recipe, known), parser) + argv
            parser.set_defaults(output_dir=f"runs/{recipe.stem}")
        data, treatment, flags, *others, unknown = parser.parse_args_into_dataclasses(
            argv, return_remaining_strings=True, look_for_args_file=False
        )
        if unknown:
            parser.error(unknown_name(unknown[0].lstrip("-").split("=")[0], known, "flag"))
        return Arguments(data, treatment, _chosen_loss(treatment.loss, flags), *others)
    except (ValueError, argparse.ArgumentError) as error:
        exit_with_usage(str(error))


def _loss_named(argv: list[str]) -> str:
    """The value of --loss, read before the other flags: a loss from outside brings its own."""
    finder = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    finder.add_argument("--loss", default="")
    return finder.parse_known_args(argv)[0].loss


def _chosen_loss(name: str, flags: object) -> Loss:
    """The loss with its flags. The values of the other losses' flags are checked as well."""
    chosen = find_loss(name)
    instances = {
        loss: loss(**{flag: getattr(flags, flag) for flag in loss.flags()})
        for loss in {*losses().values(), chosen}
    }
    for loss in losses().values():
        for field_ in dataclasses.fields(loss):
            is_set = field_.default is None and getattr(flags, field_.name) is not None
            if is_set and field_.name not in chosen.flags():
                raise ValueError(
                    f"--{field_.name} belongs to --loss {loss.name}, but the loss is {name}."
                )
    return instances[chosen]


def _as_flags(recipe: dict, parser: HfArgumentParser) -> list[str]:
    """A recipe as a command line, so that one parser reads both."""
    flags = []
    for key, value in recipe.items():
        action = parser._option_string_actions[f"--{key}"]
        if value is True and action.nargs in (0, "?"):
            flags.append(f"--{key}")  # a switch, such as pretrained
        elif value is False and f"--no_{key}" in parser._option_string_actions:
            flags.append(f"--no_{key}")
        elif isinstance(value, list):
            flags += [f"--{key}", *map(str, value)]
        else:
            flags += [f"--{key}", json.dumps(value) if isinstance(value, dict) else str(value)]
    return flags


class _HelpFormatter(HfArgumentParser().formatter_class):
    """Shows each flag once, with its default, and keeps the line breaks of the description."""

    def _format_action_invocation(self, action: argparse.Action) -> str:
        shown = copy.copy(action)
        shown.option_strings = action.option_strings[:1]  # --a-flag is read as --a_flag is
        return super()._format_action_invocation(shown)

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default is None else super()._get_help_string(action)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return text
