"""
Arguments of train.py: dataclasses with help and cross-field checks, from a YAML recipe and flags.

    python train.py configs/model/1_scratch.yaml --dataset PATH --num_train_epochs 5
"""

import dataclasses
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import torch
from timm.optim import list_optimizers
from transformers import HfArgumentParser, TrainingArguments

from .data import DEFAULT_SOURCE
from .losses import LOSSES, SOFT_LABEL_LOSSES
from .recipes import read_recipe, unknown_name
from .sampling import SAMPLINGS

# Beginnings of the names of arguments that do not change what a run learns.
NOT_RECIPE = (
    *("output_dir", "overwrite", "resume_from_checkpoint", "dataset", "skip_bad_rows"),
    *(
        "logging_",
        "log_",
        "report_to",
        "run_name",
        "project",
        "trackio",
        "disable_tqdm",
        "local_rank",
    ),
    *("save_", "eval_strategy", "eval_steps", "eval_delay", "push_to_hub", "hub_", "skip_memory"),
    *("dataloader_num_workers", "dataloader_p"),  # pin_memory, persistent_workers, prefetch_factor
)
# What a checkpoint does not fit if it differs.
FIXED_BY_CHECKPOINT = (
    *("data_fingerprint", "eval_split", "backbone", "num_channels", "image_size", "stem_stride"),
    *("head_hidden_sizes", "loss", "optim", "timm_optim", "ema_decay"),
    *("learning_rate", "weight_decay"),  # optimizer and scheduler restore their own
)


def arg(default, help: str, **metadata):
    if isinstance(default, list):
        return field(default_factory=lambda: list(default), metadata={"help": help, **metadata})
    return field(default=default, metadata={"help": help, **metadata})


@dataclass
class DataArguments:
    """What is trained and evaluated on."""

    _argument_group_name = "data"

    dataset: str = arg(
        DEFAULT_SOURCE,
        "fer2013.csv, a folder of images by class, a folder of parquet files, a Hub id, "
        "or 'synthetic' (drawn faces).",
    )
    dataset_revision: str | None = arg(
        None, "Revision of a Hub data set; the default source has its own pinned one."
    )
    label_names: list[str] = arg(
        [], "Class names by id, for data whose labels are integers without names."
    )
    ferplus_csv: str | None = arg(
        None, "FER+ votes for Kaggle's CSV: fer2013new.csv of github.com/microsoft/FERPlus."
    )
    skip_bad_rows: bool = arg(
        False,
        "Leave out rows and files that cannot be used, and list them in data_report.json, "
        "instead of stopping at the first.",
    )
    split: Literal["official", "paper"] = arg(
        "official",
        "'official' keeps the data's splits; "
        "'paper' pools them, takes up to N a class and splits 70/30.",
    )
    paper_samples_per_class: int = arg(4000, "Images of each class taken at most by --split paper.")
    eval_split: Literal["train", "validation", "test"] | None = arg(
        None, "Split to evaluate. Default: validation; with --split paper: test."
    )
    drop_eval_copies: bool = arg(
        False, "Remove training images that are pixel-for-pixel copies of evaluation images."
    )
    synthetic_images: int = arg(5000, "Training images drawn by --dataset synthetic.")
    synthetic_seed: int = arg(0, "Seed of --dataset synthetic.")

    def __post_init__(self):
        _check_range(self, "paper_samples_per_class", 2, float("inf"))
        _check_range(self, "synthetic_images", 1, float("inf"))


@dataclass
class ImbalanceArguments:
    """How the imbalance of the classes is treated: a sampling and a loss, independently."""

    _argument_group_name = "treatment of imbalance"

    sampling: Literal[SAMPLINGS] = arg(
        "none",
        "undersample: the same number of each class; oversample: repeat small classes; "
        "weighted: with replacement.",
    )
    undersample: str | None = arg(
        None, "Images kept of each class, a number or 'min'; implies --sampling undersample."
    )
    loss: Literal[LOSSES] = arg(
        "cross_entropy", "Weights and priors come from the class counts after sampling."
    )
    focal_gamma: float = arg(2.0, "Focusing exponent of the focal loss, at least 0.")
    focal_alpha: list[str] = arg(
        ["none"], "Class weights of the focal loss: none, inverse, or one number per class."
    )
    class_balanced_beta: float = arg(0.9999, "beta of the effective number of samples, in [0, 1).")
    logit_adjustment_tau: float = arg(
        1.0, "Strength of the prior in the logit-adjusted loss, at least 0."
    )
    ldam_max_margin: float = arg(0.5, "LDAM: margin of the rarest class, in units of the cosine.")
    ldam_scale: float = arg(30.0, "LDAM: scale of the cosine logits.")
    deferred_reweighting_epoch: int | None = arg(
        None, "LDAM: weigh classes from this epoch on (DRW)."
    )
    label_smoothing: float = arg(0.0, f"In [0, 1); with {', '.join(SOFT_LABEL_LOSSES)}.")
    ferplus_weight: float = arg(
        0.0,
        "Share in the target of what the FER+ votes say of the label, in [0, 1]; the label has the "
        "rest. Needs data with the column ferplus_votes, and the same losses as label smoothing.",
    )
    teachers: list[str] = arg(
        [],
        "Saved models, folders or Hub ids, whose mean probabilities for each augmented image go "
        "into its target (distillation); with the same losses as label smoothing.",
    )
    distillation_weight: float = arg(
        0.5, "Share of the --teachers in the target, in [0, 1]; label and votes have the rest."
    )
    mixup: float = arg(
        0.0,
        "alpha of mixup's Beta distribution, 0 is off; with the same losses as label smoothing.",
    )
    cutmix: float = arg(
        0.0,
        "alpha of cutmix's Beta distribution, 0 is off; with the same losses as label smoothing.",
    )

    def __post_init__(self):
        if self.undersample is not None:
            if self.sampling not in ("none", "undersample"):
                raise ValueError(
                    f"--undersample and --sampling {self.sampling} exclude each other; "
                    "give one of them."
                )
            if self.undersample != "min" and not (
                self.undersample.isdigit() and int(self.undersample) > 0
            ):
                raise ValueError(
                    "--undersample must be a positive number or 'min', "
                    f"but it is {self.undersample!r}."
                )
            self.sampling = "undersample"
        elif self.sampling == "undersample":
            self.undersample = "min"
        if self.loss not in SOFT_LABEL_LOSSES:
            for name in ("label_smoothing", "ferplus_weight", "teachers", "mixup", "cutmix"):
                if getattr(self, name):
                    raise ValueError(
                        f"--{name} makes soft labels, "
                        f"for which the {self.loss} loss is not defined; "
                        f"leave --{name} out or use one of {', '.join(SOFT_LABEL_LOSSES)}."
                    )
        if self.deferred_reweighting_epoch is not None and self.loss != "ldam":
            raise ValueError(
                f"--deferred_reweighting_epoch belongs to --loss ldam, but the loss is {self.loss}."
            )
        if self.ldam_scale <= 0:
            raise ValueError(f"--ldam_scale must be above 0, but it is {self.ldam_scale}.")
        _check_range(self, "label_smoothing", 0, 1)
        _check_range(self, "ferplus_weight", 0, 1.000001)
        _check_range(self, "distillation_weight", 0, 1.000001)
        _check_range(self, "class_balanced_beta", 0, 1)
        for name in ("focal_gamma", "logit_adjustment_tau", "ldam_max_margin", "mixup", "cutmix"):
            _check_range(self, name, 0, float("inf"))
        self.parsed_focal_alpha()

    def parsed_focal_alpha(self) -> str | list[float] | None:
        """None, "inverse" or one number per class."""
        if self.focal_alpha == ["none"]:
            return None
        if self.focal_alpha == ["inverse"]:
            return "inverse"
        try:
            return [float(value) for value in self.focal_alpha or [""]]
        except ValueError:
            raise ValueError(
                "--focal_alpha must be none, inverse or one number per class, "
                f"but it is {' '.join(self.focal_alpha) or 'empty'}."
            ) from None


@dataclass
class ModelArguments:
    """The network."""

    _argument_group_name = "model"

    model_name_or_path: str | None = arg(
        None,
        "A saved model to evaluate or fine-tune; its config replaces the flags below, except "
        "--image_size.",
    )
    average_with: list[str] = arg(
        [],
        "Saved models of the same network: start training from the mean of their weights and those "
        "of --model_name_or_path (a model soup). Batch norm needs --precise_bn then.",
    )
    average_weight: float = arg(
        0.5, "Share in that mean of the --average_with models together, in [0, 1]."
    )
    backbone: str = arg("efficientnet_b0", "An EfficientNet of timm: b0 to b7, v2, lite, es.")
    pretrained: str | None = arg(
        None,
        "Start from ImageNet weights of timm: alone for the backbone's own, or a timm name, "
        "or a local weights file. "
        "--no_pretrained overrides a recipe.",
        nargs="?",
        const="imagenet",
    )
    num_channels: int = arg(1, "1 (grey) or 3 (RGB).")
    image_size: int | None = arg(
        None, "Side of the input in pixels; default: 48, or the saved model's."
    )
    stem_stride: int = arg(
        2, "2 as published, or 1 to keep the detail of 48 px faces at about four times the cost."
    )
    drop_path_rate: float = arg(0.0, "Stochastic depth of the last block.")
    head_hidden_sizes: list[int] = arg(
        [512], "Widths of the head's hidden layers; none for a plain linear layer."
    )
    head_dropout: float = arg(0.2, "Dropout in the head.")

    def __post_init__(self):
        if self.average_with and not self.model_name_or_path:
            raise ValueError("--average_with needs --model_name_or_path, which has the rest.")
        _check_range(self, "average_weight", 0, 1.000001)


@dataclass
class FerTrainingArguments(TrainingArguments):
    """transformers.TrainingArguments, every flag of it, and what FerTrainer adds."""

    _argument_group_name = "training (all of transformers.TrainingArguments)"

    ema_decay: float = arg(
        0.0,
        "Average the weights with this decay (0.999, say), "
        "evaluate and save the average. 0 is off.",
    )
    timm_optim: str | None = arg(
        None,
        "Take this optimizer of timm in place of --optim: nmuon (Muon for matrices and "
        "convolutions, AdamW for the rest), lamb, lion, ...",
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
        "After training, recompute the batch norm statistics from this many training images as "
        "they are, not augmented. 0 is off.",
    )
    freeze_backbone_epochs: int = arg(0, "Train the head alone for the first N epochs.")
    augment_flip: float = arg(0.5, "Probability of a horizontal flip.")
    augment_rotate: float = arg(10.0, "Largest rotation, degrees.")
    augment_translate: float = arg(0.08, "Largest shift, fraction of the side.")
    augment_scale: float = arg(0.1, "Largest change of size, fraction.")
    augment_brightness: float = arg(0.15, "Largest change of brightness, fraction of the range.")
    augment_contrast: float = arg(0.2, "Largest change of contrast, fraction.")
    augment_erasing: float = arg(0.0, "Probability that a rectangle is erased.")
    channels_last: bool = arg(
        True, "Lay images out as (N, H, W, C) in memory: faster on CPUs and on GPUs in bf16."
    )
    evaluate_only: bool = arg(
        False, "Only evaluate --model_name_or_path on --eval_split and write the report."
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
    label_names: list[str] | None = field(
        default=None, init=False
    )  # here the flag names the classes of the data
    dataloader_pin_memory: bool = arg(
        torch.cuda.is_available(), "Pin host memory; only of use with a GPU."
    )
    remove_unused_columns: bool = arg(
        False, "Has no effect: batches hold only what the model reads."
    )

    def __post_init__(self):
        if str(self.resume_from_checkpoint).lower() == "false":
            self.resume_from_checkpoint = None
        self.output_dir = self.output_dir or (
            "runs/evaluation" if self.evaluate_only else "runs/train"
        )
        if self.label_smoothing_factor:
            raise ValueError(
                "--label_smoothing_factor is the Trainer's own; use --label_smoothing here."
            )
        if self.push_to_hub or self.hub_token:
            raise ValueError(
                "--push_to_hub and --hub_token would send checkpoints unchecked; train.py sends "
                "nothing. Publish the finished run by push_to_hub.py, the token in HF_TOKEN."
            )
        for name in ("save_only_model", "prediction_loss_only"):
            if getattr(self, name):
                raise ValueError(
                    f"--{name} leaves out what resuming, the averaged weights and the report "
                    "need; leave it out. The result is saved without optimizer state anyway."
                )
        _check_range(self, "ema_decay", 0, 1)
        for name in ("freeze_backbone_epochs", "precise_bn"):
            if getattr(self, name) < 0:
                raise ValueError(f"--{name} must be at least 0, but it is {getattr(self, name)}.")
        if self.timm_optim and self.timm_optim not in list_optimizers():
            raise ValueError(
                "--timm_optim: " + unknown_name(self.timm_optim, list_optimizers(), "optimizer")
            )
        if any(size < 16 for size in self.progressive_sizes):
            raise ValueError(
                "--progressive_sizes must be at least 16 pixels each, "
                f"but they are {self.progressive_sizes}."
            )
        super().__post_init__()


def _check_range(arguments, name: str, low: float, high: float) -> None:
    value = getattr(arguments, name)
    if not low <= value < high:
        raise ValueError(f"--{name} must be in [{low}, {high}), but it is {value}.")


@dataclass
class Arguments:
    data: DataArguments
    imbalance: ImbalanceArguments
    model: ModelArguments
    training: FerTrainingArguments

    def __post_init__(self):
        if self.training.evaluate_only and not self.model.model_name_or_path:
            raise ValueError(
                "--evaluate_only needs --model_name_or_path, the folder or Hub id of a saved model."
            )
        if self.training.freeze_backbone_epochs and not (
            self.model.pretrained or self.model.model_name_or_path
        ):
            raise ValueError(
                "--freeze_backbone_epochs keeps the backbone as it is, but it would be random: "
                "add --pretrained or "
                "--model_name_or_path."
            )
        if self.model.pretrained and self.model.model_name_or_path:
            raise ValueError(
                "--pretrained and --model_name_or_path exclude each other: "
                "both say where weights come from."
            )
        if self.data.split == "paper" and self.data.eval_split not in (None, "test"):
            raise ValueError(
                "--split paper has a train and a test part, "
                f"but --eval_split is {self.data.eval_split!r}."
            )
        if self.data.eval_split == "train" and self.data.drop_eval_copies:
            raise ValueError(
                "--drop_eval_copies would drop every training image with --eval_split train; "
                "leave one of them out."
            )
        if self.data.eval_split is None:
            self.data.eval_split = "test" if self.data.split == "paper" else "validation"
        chosen = self.training.load_best_model_at_end and not self.training.evaluate_only
        if chosen and self.data.eval_split == "test":
            raise ValueError(
                "--load_best_model_at_end with --eval_split test would choose the checkpoint by "
                "the test split. Train with the validation split, then --evaluate_only --eval_split"
                " test; or --load_best_model_at_end false."
            )

    def to_dict(self) -> dict[str, dict]:
        """Every resolved argument by group, without tokens, ready for JSON and YAML."""
        groups = {
            "data": dataclasses.asdict(self.data),
            "imbalance": dataclasses.asdict(self.imbalance),
            "model": dataclasses.asdict(self.model),
            "training": self.training.to_dict(),
        }
        groups["training"] = {
            name: value for name, value in groups["training"].items() if not name.endswith("_token")
        }
        return json.loads(json.dumps(groups, default=str))

    def recipe(self, data_fingerprint: str) -> dict:
        """What decides which weights come out, flat."""
        groups = self.to_dict()
        flat = groups["training"] | groups["data"] | groups["imbalance"] | groups["model"]
        kept = {name: value for name, value in flat.items() if not name.startswith(NOT_RECIPE)}
        return kept | {"data_fingerprint": data_fingerprint, "processes": self.training.world_size}


def make_parser(description: str) -> HfArgumentParser:
    parser = HfArgumentParser(
        (DataArguments, ImbalanceArguments, ModelArguments, FerTrainingArguments),
        usage="train.py [RECIPE.yaml] [--flag value ...]",
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
    for action in parser._actions:
        if action.nargs == "+":
            action.nargs = "*"  # an empty list is a value too: no hidden layer
    return parser


def parse_arguments(description: str, argv: list[str] | None = None) -> Arguments:
    """
    Recipe first, then flags, which override it. Exits with one message on an unknown key or flag
    (naming the nearest known one), a wrong value, or a combination without meaning.
    """
    parser = make_parser(description)
    argv = list(sys.argv[1:] if argv is None else argv)
    known = {option.lstrip("-") for action in parser._actions for option in action.option_strings}
    try:
        if argv and not argv[0].startswith("-"):
            recipe = Path(argv.pop(0))
            argv = _as_flags(read_recipe(recipe, known), parser) + argv
            parser.set_defaults(output_dir=f"runs/{recipe.stem}")
        *groups, unknown = parser.parse_args_into_dataclasses(
            argv, return_remaining_strings=True, look_for_args_file=False
        )
        if unknown:
            parser.error(unknown_name(unknown[0].lstrip("-").split("=")[0], known, "flag"))
        return Arguments(*groups)
    except ValueError as error:
        parser.error(str(error))


def _as_flags(recipe: dict, parser: HfArgumentParser) -> list[str]:
    """Flag: value -> the words of a command line, so that both are read alike."""
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
    """Shows defaults, and leaves line breaks of the description as they are."""

    def _fill_text(self, text, width, indent):
        return text
