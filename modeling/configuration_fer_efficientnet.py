"""Configuration of an EfficientNet that classifies facial expressions."""

from typing import Any

from huggingface_hub.dataclasses import strict
from transformers import PreTrainedConfig

from .calibration import Calibrated, checked_calibration, checked_prior
from .names import EXPRESSIONS


@strict
class FerEfficientNetConfig(Calibrated, PreTrainedConfig):
    r"""
    Configuration of [`FerEfficientNetForImageClassification`].

    Args:
        backbone (`str`, defaults to `"efficientnet_b0"`):
            Name of an EfficientNet in timm: b0 to b7, v2, lite, es
            (`timm.list_models("*efficientnet*")`).
        num_channels (`int`, defaults to 1):
            Channels of the input: 1 (grey) or 3 (RGB).
        image_size (`int`, defaults to 48):
            Height and width of the input in pixels.
        stem_stride (`int`, defaults to 2):
            Stride of the first convolution: 2 as published, or 1 to keep the detail of 48 px faces
            at about four times the cost.
        drop_path_rate (`float`, defaults to 0.0):
            Stochastic depth of the last block, in [0, 1); earlier blocks get linearly less.
        head_hidden_sizes (`list[int]`, defaults to `[512]`):
            Width of each hidden layer of the head (linear, batch normalisation, activation,
            dropout). Empty: the final linear layer stands on the pooled features, as in timm.
        head_dropout (`float`, defaults to 0.2):
            Dropout probability in the head, in [0, 1).
        hidden_act (`str`, defaults to `"silu"`):
            Activation of the head, a name of `transformers.activations.ACT2FN`.
        cosine_scale (`float`, *optional*):
            None: a linear classifier. A number s > 0: logits are s times the cosine between
            features and class weights, so they lie in [-s, s]. LDAM needs this (Cao et al., 2019,
            use s = 30).
        initializer_range (`float`, defaults to 0.0):
            Standard deviation of the final layer's initial weights. With 0 every class starts
            equally likely, so the first loss is ln(classes) whatever the backbone.
        calibration (`dict`, *optional*):
            What was fitted after training, and for which `classes` and `head`; it is used only
            where the config's are the same. Written by
            [`~FerEfficientNetConfig.update_calibration`]. In it may be

            - `temperature`: in eval mode logits are divided by it, so that probabilities under
              `prior="train"` are calibrated (Guo et al., "On Calibration of Modern Neural
              Networks", 2017)
            - `uncertain_below`: the least probability at which a prediction counts as certain
            - `smaller_faces`: `temperature` and `uncertain_below` for faces that are smaller than
              the input, a dict for each `side` in pixels, ascending
            - `train_distribution`: the share of each class in the training set, before sampling
            - `learned_distribution`: the share of each class that the network has learned to
              expect, sampling, weights and soft targets included. Default: `train_distribution`.
        prior (`str` or `list[float]`, defaults to `"learned"`):
            The class distribution to assume in eval mode: `"learned"` changes nothing; `"train"`
            (the training set's), `"uniform"`, or a share for each class, adds
            log(prior / learned_distribution) to the logits (Saerens et al., "Adjusting the Outputs
            of a Classifier to New a Priori Probabilities", 2002).
        id2label (`dict[int, str]`, *optional*):
            Defaults to FER-2013's seven classes in the order of the Kaggle CSV.

    Example:

    ```python
    >>> from modeling import FerEfficientNetConfig, FerEfficientNetForImageClassification

    >>> config = FerEfficientNetConfig(
    ...     backbone="efficientnet_b0", num_channels=1, image_size=48, stem_stride=1
    ... )
    >>> model = FerEfficientNetForImageClassification(config)
    >>> model.config.id2label[3]
    'happy'

    ```"""

    model_type = "fer_efficientnet"

    backbone: str = "efficientnet_b0"
    num_channels: int = 1
    image_size: int = 48
    stem_stride: int = 2
    drop_path_rate: float | int = 0.0
    head_hidden_sizes: list[int] | tuple[int, ...] = (512,)
    head_dropout: float | int = 0.2
    hidden_act: str = "silu"
    cosine_scale: float | int | None = None
    initializer_range: float | int = 0.0
    calibration: dict[str, Any] | None = None
    prior: Any = "learned"

    def __post_init__(self, **kwargs: Any):
        if self.id2label is None and kwargs.get("num_labels", len(EXPRESSIONS)) == len(EXPRESSIONS):
            self.id2label = dict(enumerate(EXPRESSIONS))
            self.label2id = {name: i for i, name in enumerate(EXPRESSIONS)}
        self.head_hidden_sizes = list(self.head_hidden_sizes)
        super().__post_init__(**kwargs)
        checked_prior(self.prior_in_use, self.num_labels)

    def __setattr__(self, name: str, value: Any):
        if name == "id2label" and value:  # transformers' example gives the ids as strings
            value = {int(i): label for i, label in value.items()}
        elif name == "prior":
            value = checked_prior(value, None)  # classes may be set after it
        elif name == "calibration" and value is not None:
            value = checked_calibration(value)
        super().__setattr__(name, value)

    def update_calibration(self, **fitted: Any) -> None:
        """Writes what was fitted for these classes and this head into `calibration`."""
        self.calibration = self.fitted | self._fitted_for() | fitted

    def forget_calibration(self) -> None:
        self.calibration, self.prior = None, "learned"

    def validate_fer_efficientnet(self) -> None:
        """Part of `@strict`-powered validation: values that no network can be built from."""
        expected = {
            "num_channels": (self.num_channels in (1, 3), "1 (grey) or 3 (RGB)"),
            "stem_stride": (self.stem_stride in (1, 2), "1 or 2"),
            "image_size": (self.image_size >= 32, "at least 32 pixels"),
            "drop_path_rate": (0 <= self.drop_path_rate < 1, "in [0, 1)"),
            "head_dropout": (0 <= self.head_dropout < 1, "in [0, 1)"),
            "head_hidden_sizes": (
                all(size > 0 for size in self.head_hidden_sizes),
                "positive widths",
            ),
            "cosine_scale": (
                self.cosine_scale is None or self.cosine_scale > 0,
                "None or a positive number",
            ),
            "initializer_range": (self.initializer_range >= 0, "at least 0"),
        }
        for name, (valid, what) in expected.items():
            if not valid:
                raise ValueError(f"`{name}` must be {what}, but it is {getattr(self, name)!r}.")
        self.assumed_and_learned(self.prior_in_use)


FerEfficientNetConfig.register_for_auto_class()

__all__ = ["FerEfficientNetConfig"]
