"""EfficientNet (timm) as a Transformers image classifier, with the head of the imbalance paper."""

import difflib
import math
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import timm
import torch
import torch.nn.functional as F
from timm.models.efficientnet import EfficientNet
from torch import nn
from transformers import PreTrainedModel
from transformers.activations import ACT2FN
from transformers.modeling_layers import GradientCheckpointingLayer
from transformers.modeling_outputs import (
    BaseModelOutputWithPoolingAndNoAttention,
    ImageClassifierOutputWithNoAttention,
)

from .configuration_fer_efficientnet import FerEfficientNetConfig
from .detector_file import detector_file
from .face_detection import YUNET

if TYPE_CHECKING:  # transformers saves and loads what is imported in a file, be it never run
    from .pipeline_facial_emotion import FacialEmotionPipeline  # noqa: F401

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as of the image processor
AUTO_MAP = {
    "AutoModel": "modeling_fer_efficientnet.FerEfficientNetModel",
    "AutoModelForImageClassification": (
        "modeling_fer_efficientnet.FerEfficientNetForImageClassification"
    ),
}
CUSTOM_PIPELINES = {  # as transformers' Pipeline.save_pretrained writes it
    "facial-emotion": {
        "impl": "pipeline_facial_emotion.FacialEmotionPipeline",
        "pt": ["AutoModelForImageClassification"],
    }
}


def create_backbone(config: FerEfficientNetConfig) -> EfficientNet:
    """
    Builds the timm network without its classifier; no weights are fetched.

    Raises:
        ValueError: `config.backbone` is not an EfficientNet that this timm knows; the message names
            the nearest ones.
    """
    name = config.backbone
    known = timm.list_models("*efficientnet*")
    if name.split(".")[0] not in known:
        near = difflib.get_close_matches(name, known, n=3) or [
            "efficientnet_b0",
            "efficientnetv2_rw_t",
        ]
        raise ValueError(
            f"backbone {name!r} is not an EfficientNet of timm {timm.__version__}; "
            f"the nearest are {', '.join(near)}. "
            'List them with timm.list_models("*efficientnet*").'
        )
    backbone = timm.create_model(
        name,
        pretrained=False,
        num_classes=0,
        in_chans=config.num_channels,
        drop_path_rate=config.drop_path_rate,
    )
    if not isinstance(backbone, EfficientNet):
        raise ValueError(
            f"backbone {name!r} is a {type(backbone).__name__}; "
            "expected one of timm's EfficientNet class."
        )
    if config.stem_stride == 1:
        backbone.conv_stem.stride = (1, 1)  # same kernel and padding, so ImageNet weights still fit
    backbone.blocks = nn.Sequential(*(CheckpointedStage(*stage) for stage in backbone.blocks))
    return backbone


class CheckpointedStage(GradientCheckpointingLayer, nn.Sequential):
    """A stage of timm's blocks, with the same parameter names, that transformers can checkpoint."""

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        if not self.training and maps.is_cpu:  # a sixth faster there; training has its own flag
            maps = maps.contiguous(memory_format=torch.channels_last)
        return super().forward(maps)


class CosineClassifier(nn.Linear):
    """Logits in [-scale, scale]: `scale` times the cosine of features and each class's weights."""

    def __init__(self, in_features: int, out_features: int, scale: float):
        super().__init__(in_features, out_features, bias=False)
        self.scale = scale

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        return self.scale * F.linear(F.normalize(features), F.normalize(self.weight))


class FerEfficientNetHead(nn.Sequential):
    """
    Pooled features (N, F) -> logits (N, C).

    [linear, batch norm, activation, dropout] per hidden size, then the final linear layer.
    """

    def __init__(self, config: FerEfficientNetConfig, in_features: int):
        layers: list[nn.Module] = []
        for size in config.head_hidden_sizes:
            layers += [
                nn.Linear(in_features, size),
                nn.BatchNorm1d(size),
                ACT2FN[config.hidden_act],
                nn.Dropout(config.head_dropout),
            ]
            in_features = size
        if not config.head_hidden_sizes:
            layers.append(nn.Dropout(config.head_dropout))
        if config.cosine_scale is None:
            layers.append(nn.Linear(in_features, config.num_labels))
        else:
            layers.append(CosineClassifier(in_features, config.num_labels, config.cosine_scale))
        super().__init__(*layers)


class FerEfficientNetForImageClassification(PreTrainedModel):
    """
    EfficientNet backbone from timm under a head of linear, batch normalisation, activation, dropout
    and linear layers, as in Elizabeth & Sadeddin, "Facial emotion recognition and handling data
    imbalance in machine learning".

    `from_pretrained` loads what was saved and nothing else: ImageNet weights come in through
    [`~FerEfficientNetForImageClassification.load_timm_weights`] before training.
    """

    config_class = FerEfficientNetConfig
    main_input_name = "pixel_values"
    input_modalities = ("image",)
    supports_gradient_checkpointing = True
    accepts_loss_kwargs = False  # the Trainer must not pass `num_items_in_batch` to `forward`
    _no_split_modules = ["EfficientNet"]

    def __init__(self, config: FerEfficientNetConfig):
        super().__init__(config)
        config.assumed_and_learned(config.prior_in_use)  # may be set after the config is made
        self.num_labels = config.num_labels
        self.backbone = create_backbone(config)
        self.head = FerEfficientNetHead(config, self.backbone.head_hidden_size)
        self.backbone_frozen = False
        self.post_init()

    @torch.no_grad()
    def _init_weights(self, module: nn.Module):
        """
        timm's initialisation, except for the final layer (see `initializer_range`).

        With timm's there, training would start at a loss of 4.
        """
        if isinstance(module, CosineClassifier):
            # independent rows of about unit norm, as Cao et al. start: AdamW turns rows of a larger
            # norm too slowly for the classes to part
            nn.init.normal_(module.weight, std=module.in_features**-0.5)
        elif module is self.head[-1]:
            nn.init.normal_(module.weight, std=self.config.initializer_range)
            nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Conv2d):
            fan_out = (
                module.kernel_size[0] * module.kernel_size[1] * module.out_channels // module.groups
            )
            nn.init.normal_(module.weight, std=math.sqrt(2.0 / fan_out))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.kaiming_normal_(module.weight)
            nn.init.zeros_(module.bias)
        elif isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            super()._init_weights(module)

    def get_input_embeddings(self) -> None:
        return None  # an image network has no token embeddings

    def save_pretrained(self, save_directory: str | Path, *args: Any, **kwargs: Any) -> None:
        """
        transformers' own; the config names the facial-emotion pipeline, whose code and face
        detector are saved.
        """
        self.config.custom_pipelines = CUSTOM_PIPELINES
        known = getattr(self.config, "auto_map", None) or {}
        self.config.auto_map = known | AUTO_MAP  # transformers adds this class alone
        if self.config.calibration and not self.config.fitted:  # it is of another head
            self.config.forget_calibration()
        super().save_pretrained(save_directory, *args, **kwargs)
        source, target = detector_file(self.config, local_files_only=True), Path(save_directory)
        if source and target.is_dir() and not (target / YUNET).exists():
            shutil.copyfile(source, target / YUNET)

    def load_timm_weights(self, name: str, file: str | None = None) -> None:
        """
        Replaces the backbone's weights by timm's, adapted by timm to the number of input channels.

        Args:
            name (`str`): timm's name of the pretrained network, with or without a tag
                (`"efficientnet_b0.ra_in1k"`).
            file (`str`, *optional*): A local weights file (.safetensors, or a .pth read with
                `weights_only`).

        Raises:
            OSError and its kind, from timm: the weights could not be fetched.
        """
        overlay = {"file": file} if file else None
        source = timm.create_model(
            name,
            pretrained=True,
            pretrained_cfg_overlay=overlay,
            num_classes=0,
            in_chans=self.config.num_channels,
        )
        self.backbone.load_state_dict(source.state_dict())
        self.backbone.pretrained_cfg = source.pretrained_cfg

    def freeze_backbone(self, frozen: bool = True) -> None:
        """Trains the head alone: the backbone gets no gradient, its batch norms stay in eval."""
        self.backbone_frozen = frozen
        self.train(self.training)

    def train(self, mode: bool = True) -> "FerEfficientNetForImageClassification":
        super().train(mode)
        if self.backbone_frozen:
            self.backbone.eval()
        return self

    def prior_shift(self, prior: str | list[float]) -> torch.Tensor:
        """The config's `prior_shift`, which documents it, as a tensor (num_labels,), float32."""
        return torch.from_numpy(self.config.prior_shift(prior))

    def features(
        self, pixel_values: torch.Tensor, output_hidden_states: bool
    ) -> tuple[torch.Tensor, torch.Tensor, tuple[torch.Tensor, ...] | None]:
        """The last map (N, F, h, w); that, pooled, (N, F); and the maps of all stages, or None."""
        if self.config.num_channels == 1 and pixel_values.shape[1] == 3:
            luma = torch.tensor(LUMA, dtype=pixel_values.dtype, device=pixel_values.device)
            pixel_values = (pixel_values * luma.view(3, 1, 1)).sum(1, keepdim=True)  # (N, 1, H, W)
        hidden_states = None
        frozen = self.backbone_frozen and self.training  # Grad-CAM needs the gradient of maps
        with torch.set_grad_enabled(torch.is_grad_enabled() and not frozen):
            if output_hidden_states:
                last, hidden_states = self.backbone.forward_intermediates(pixel_values)
                hidden_states = tuple(hidden_states)
            else:
                last = self.backbone.forward_features(pixel_values)
            return last, self.backbone.forward_head(last), hidden_states

    def forward(
        self,
        pixel_values: torch.Tensor,
        labels: torch.Tensor | None = None,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> ImageClassifierOutputWithNoAttention | tuple[torch.Tensor, ...]:
        """
        Args:
            pixel_values (`torch.Tensor` of shape `(N, num_channels, image_size, image_size)`):
                Normalised images, as [`FerEfficientNetImageProcessor`] makes them. A grey network
                makes RGB grey, as transforms from elsewhere may give it.
            labels (`torch.Tensor`, *optional*): What the config's `problem_type` says, as in
                transformers' own classifiers: class ids of shape `(N,)` (cross-entropy), or floats
                of shape `(N, num_labels)` (binary cross-entropy of multi-label classification, or
                mean squared error of regression). By default one label is regression, integers
                are class ids, and floats are multiple labels.
            output_hidden_states (`bool`, *optional*): Also return the feature map after each stage
                of the backbone.
            return_dict (`bool`, *optional*): False returns a tuple.

        Returns:
            [`~transformers.modeling_outputs.ImageClassifierOutputWithNoAttention`]: `loss` (scalar,
            with labels), `logits` of shape (N, num_labels), in eval mode after the config's
            `temperature` and `prior`, `hidden_states` (tuple of
            (N, C_i, H_i, W_i), if asked for).
        """
        return_dict = self.config.return_dict if return_dict is None else return_dict
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states

        _, pooled, hidden_states = self.features(pixel_values, output_hidden_states)
        logits = self.head(pooled)  # (N, num_labels)
        if not self.training:
            logits = logits / self.config.fitted_temperature
            prior = self.config.prior_in_use
            if self.config.assumed_and_learned(prior) is not None:
                logits = logits + self.prior_shift(prior).to(logits)

        loss = None
        if labels is not None:
            loss = self.loss_function(labels, logits.float(), self.config)
        if not return_dict:
            return tuple(value for value in (loss, logits, hidden_states) if value is not None)
        return ImageClassifierOutputWithNoAttention(
            loss=loss, logits=logits, hidden_states=hidden_states
        )


class FerEfficientNetModel(FerEfficientNetForImageClassification):
    """The same network for its features: what `AutoModel` and image-feature-extraction load."""

    def forward(
        self,
        pixel_values: torch.Tensor,
        output_hidden_states: bool | None = None,
        return_dict: bool | None = None,
    ) -> BaseModelOutputWithPoolingAndNoAttention | tuple[torch.Tensor, ...]:
        """
        The arguments are the classifier's.

        Returns:
            [`~transformers.modeling_outputs.BaseModelOutputWithPoolingAndNoAttention`]:
            `last_hidden_state` (N, F, h, w), `pooler_output` (N, F), and `hidden_states`, if asked
            for.
        """
        if output_hidden_states is None:
            output_hidden_states = self.config.output_hidden_states
        last, pooled, states = self.features(pixel_values, output_hidden_states)
        output = BaseModelOutputWithPoolingAndNoAttention(last, pooled, states)
        as_dict = self.config.return_dict if return_dict is None else return_dict
        return output if as_dict else output.to_tuple()


FerEfficientNetForImageClassification.register_for_auto_class("AutoModelForImageClassification")
FerEfficientNetModel.register_for_auto_class("AutoModel")

__all__ = ["FerEfficientNetForImageClassification", "FerEfficientNetModel"]
