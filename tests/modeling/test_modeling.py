import math

import pytest
import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from transformers import ResNetConfig, ResNetForImageClassification

from modeling import FerEfficientNetConfig, FerEfficientNetForImageClassification
from modeling.warn_once import warn_once


def build(**kwargs):
    torch.manual_seed(0)
    defaults = {"backbone": "test_efficientnet", "image_size": 32, "head_hidden_sizes": [16]}
    return FerEfficientNetForImageClassification(FerEfficientNetConfig(**(defaults | kwargs)))


def images(model, n=4):
    size = model.config.image_size
    return torch.randn(n, model.config.num_channels, size, size)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(
    "kwargs",
    [
        {"backbone": "efficientnet_b0", "image_size": 48},
        {"head_hidden_sizes": []},
        {"head_hidden_sizes": [32, 16], "num_labels": 3},
        {"num_channels": 3, "stem_stride": 1},
    ],
)
def test_first_loss_is_that_of_a_uniform_guess(kwargs, training):
    model = build(**kwargs).train(training)
    classes = model.config.num_labels
    loss = model(images(model, 16), labels=torch.randint(0, classes, (16,))).loss
    assert loss.item() == pytest.approx(math.log(classes), rel=0.05)


@pytest.mark.parametrize(
    "backbone, num_channels",
    [("efficientnet_b0", 1), ("efficientnet_lite0", 3), ("efficientnet_es", 1),
     ("tf_efficientnetv2_b0", 3)],
)  # fmt: skip
def test_equals_timm_with_the_same_weights(backbone, num_channels):
    model = build(
        backbone=backbone, num_channels=num_channels, head_hidden_sizes=[], initializer_range=0.02
    ).eval()
    reference = timm.create_model(backbone, num_classes=7, in_chans=num_channels).eval()
    weights = reference.state_dict()
    final = {name: weights.pop(f"classifier.{name}") for name in ("weight", "bias")}
    model.backbone.load_state_dict(weights)
    model.head[-1].load_state_dict(final)
    x = images(model).double()  # so that the order of sums, which differs by CPU, does not count
    model.double(), reference.double()
    with torch.no_grad():
        torch.testing.assert_close(model(x).logits, reference(x), rtol=0, atol=1e-10)
        with_maps = model(x, output_hidden_states=True)
    torch.testing.assert_close(with_maps.logits, model(x).logits)


def test_stem_stride_1_doubles_the_maps_with_the_same_weights():
    maps = {}
    for stride in (1, 2):
        model = build(stem_stride=stride).eval()
        maps[stride] = [
            m.shape[-1] for m in model(images(model), output_hidden_states=True).hidden_states
        ]
    assert maps == {1: [32, 16, 8, 4, 2], 2: [16, 8, 4, 2, 1]}


def test_head_is_linear_batch_norm_activation_dropout_linear():
    layers = [type(layer).__name__ for layer in build(head_hidden_sizes=[32, 16]).head]
    block = ["Linear", "BatchNorm1d", layers[2], "Dropout"]
    assert layers == [*block, *block, "Linear"] and layers[2].startswith("SiLU")


def test_drop_path_rate_reaches_the_blocks():
    rates = [
        m.drop_prob for m in build(drop_path_rate=0.3).modules() if type(m).__name__ == "DropPath"
    ]
    assert rates and max(rates) == pytest.approx(0.3, abs=0.15)


def test_cosine_logits_stay_within_the_scale():
    model = build(cosine_scale=5.0).train()
    logits = model(100 * images(model)).logits
    assert logits.abs().max() <= 5.0 + 1e-4
    assert logits.std() > 0.1


def test_cosine_rows_start_with_about_unit_norm_and_point_apart():
    torch.manual_seed(0)
    rows = build(cosine_scale=30.0, head_hidden_sizes=[512]).head[-1].weight
    norms = rows.norm(dim=1)
    torch.testing.assert_close(norms, torch.ones(7), atol=0.15, rtol=0)
    cosines = (rows @ rows.T / norms.outer(norms)).fill_diagonal_(0)
    assert cosines.abs().max() < 0.2


def test_return_dict_false_gives_a_tuple():
    model = build().eval()
    x, labels = images(model), torch.tensor([0, 1, 2, 3])
    loss, logits = model(x, labels=labels, return_dict=False)
    output = model(x, labels=labels)
    torch.testing.assert_close((loss, logits), (output.loss, output.logits))
    torch.testing.assert_close(loss, F.cross_entropy(logits, labels))


def squared_error(logits, labels):
    return F.mse_loss(logits.reshape(labels.shape), labels)


IDS, FLOATS = torch.tensor([0, 1, 2, 1]), torch.linspace(0, 1, 12).view(4, 3)


@pytest.mark.parametrize(
    "problem_type, labels, expected",
    [
        ("single_label_classification", IDS, F.cross_entropy),
        ("multi_label_classification", FLOATS, F.binary_cross_entropy_with_logits),
        ("multi_label_classification", FLOATS[:, :1], F.binary_cross_entropy_with_logits),
        ("regression", FLOATS, squared_error),
        ("regression", FLOATS[:, 0], squared_error),
        (None, IDS, F.cross_entropy),
        (None, FLOATS, F.binary_cross_entropy_with_logits),
        (None, FLOATS[:, :1], squared_error),
        (None, FLOATS[:, 0], squared_error),
    ],
)
def test_the_loss_is_that_of_transformers_own_classifiers(problem_type, labels, expected):
    classes = 1 if labels.dtype.is_floating_point and labels.shape[1:] != (3,) else 3
    model = build(num_labels=classes, problem_type=problem_type, initializer_range=1.0).eval()
    resnet = ResNetConfig(
        num_channels=1, embedding_size=8, hidden_sizes=[8], depths=[1], num_labels=classes,
        problem_type=problem_type,
    )  # fmt: skip
    x = images(model)
    for other in (model, ResNetForImageClassification(resnet).eval()):
        output = other(x, labels=labels)
        torch.testing.assert_close(output.loss, expected(output.logits, labels))


FITTED = {
    "temperature": 2.0,
    "uncertain_below": 0.5,
    "train_distribution": [1.0] * 7,
    "learned_distribution": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0],
}
THREE = {0: "good", 1: "bad", 2: "neither"}


def test_a_prior_is_of_one_label_out_of_several():
    config = build().config
    config.update_calibration(**FITTED)
    config.prior = "uniform"
    config.problem_type = "single_label_classification"
    FerEfficientNetForImageClassification(config)
    for config.problem_type in ("multi_label_classification", "regression"):
        with pytest.raises(ValueError, match="prior 'uniform' needs problem_type 'single_label"):
            FerEfficientNetForImageClassification(config)


@pytest.fixture
def calibrated(tmp_path):
    model = build()
    model.config.update_calibration(**FITTED)
    model.config.prior = "train"
    model.save_pretrained(tmp_path / "calibrated")
    return tmp_path / "calibrated"


@pytest.mark.parametrize(
    "other",
    [
        {"num_labels": 3},
        {"id2label": THREE, "label2id": {name: i for i, name in THREE.items()}},
        {"id2label": dict(enumerate("abcdefg"))},  # as many, but others
        {"head_hidden_sizes": [8]},
        {"head_hidden_sizes": []},
        {"cosine_scale": 10.0},
        {"backbone": "test_efficientnet_ln"},
    ],
)
def test_a_calibration_is_not_used_with_another_head(other, calibrated, tmp_path, caplog):
    warn_once.cache_clear()
    config = FerEfficientNetConfig.from_pretrained(calibrated, **other)
    model = FerEfficientNetForImageClassification(config).eval()
    warnings = [record.message for record in caplog.records if "calibration" in record.message]
    assert len(warnings) == 1 and "was fitted for other classes or another head" in warnings[0]
    assert (config.fitted, config.fitted_temperature, config.prior_in_use) == ({}, 1.0, "learned")
    assert config.uncertain_below is config.train_distribution is None
    assert config.learned_distribution is None
    with pytest.raises(ValueError, match="prior 'uniform' needs the config's learned_distribution"):
        model.prior_shift("uniform")
    config.update_calibration(temperature=3.0)  # of its own
    assert config.fitted_temperature == 3.0 and config.train_distribution is None


def test_what_is_saved_with_another_head_has_no_calibration(calibrated, tmp_path):
    load = FerEfficientNetForImageClassification.from_pretrained
    load(calibrated, num_labels=3, ignore_mismatched_sizes=True).save_pretrained(tmp_path / "new")
    config = FerEfficientNetConfig.from_pretrained(tmp_path / "new")
    assert config.calibration is None and config.prior == "learned"


@pytest.mark.parametrize(
    "same",
    [
        {},
        {"num_labels": 7},
        {"head_hidden_sizes": (16,)},
        {"image_size": 64},
        {"id2label": {str(i): name for i, name in FerEfficientNetConfig().id2label.items()}},
    ],
)
def test_the_same_head_keeps_its_calibration(same, calibrated):
    config = FerEfficientNetForImageClassification.from_pretrained(calibrated, **same).config
    assert {name: config.fitted[name] for name in FITTED} == FITTED
    assert config.prior_in_use == "train"


@pytest.mark.parametrize(
    "changed, message",
    [
        ({"classes": None}, "must name the classes and the head .* but classes is missing"),
        ({"temperature": 0}, "temperature must be a positive number, but it is 0"),
        ({"uncertain_below": 2}, r"uncertain_below must be None or in \[0, 1\], but it is 2"),
        ({"smaller_faces": [{"side": 16, "temperature": 0}]}, "temperature must be a positive"),
        ({"train_distribution": [1, 2]}, "train_distribution must be 7 numbers"),
    ],
)
def test_a_calibration_that_is_none_is_refused(changed, message):
    config = build().config
    config.update_calibration(**FITTED)
    record = config.calibration | changed
    record = {name: value for name, value in record.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        config.calibration = record


def test_a_grey_network_takes_rgb():
    model = build(initializer_range=0.02).eval()
    rgb = torch.randn(2, 3, 40, 40)
    luma = 0.299 * rgb[:, :1] + 0.587 * rgb[:, 1:2] + 0.114 * rgb[:, 2:]
    torch.testing.assert_close(model(rgb).logits, model(luma).logits)


def test_activation_checkpointing_gives_the_same_gradients():
    gradients = []
    for checkpointing in (False, True):
        model = build(head_dropout=0.0, initializer_range=0.02).train()
        if checkpointing:
            model.gradient_checkpointing_enable()
        torch.manual_seed(1)
        model(images(model, 8), labels=torch.arange(8) % 7).loss.backward()
        gradients.append(model.backbone.conv_stem.weight.grad)
    assert gradients[0].abs().max() > 0
    torch.testing.assert_close(*gradients)


def test_frozen_backbone_gets_no_gradient_and_keeps_its_statistics():
    model = build(initializer_range=0.02).train()
    model.freeze_backbone()
    before = {name: value.clone() for name, value in model.backbone.state_dict().items()}
    model.train()
    model(images(model), labels=torch.tensor([0, 1, 2, 3])).loss.backward()
    assert all(p.grad is None for p in model.backbone.parameters())
    assert all(p.grad is not None for p in model.head.parameters())
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, before[name]), name
    model.freeze_backbone(False)
    model(images(model), labels=torch.tensor([0, 1, 2, 3])).loss.backward()
    assert all(p.grad is not None for p in model.backbone.parameters())
    assert not torch.equal(model.backbone.bn1.running_mean, before["bn1.running_mean"])


def test_local_timm_weights_are_adapted_to_grey_by_timm(tmp_path):
    torch.manual_seed(3)
    source = timm.create_model("test_efficientnet", in_chans=3)
    save_file(source.state_dict(), tmp_path / "weights.safetensors")
    model = build()
    model.load_timm_weights("test_efficientnet", file=str(tmp_path / "weights.safetensors"))
    expected = source.conv_stem.weight.sum(dim=1, keepdim=True)
    torch.testing.assert_close(model.backbone.conv_stem.weight, expected)
    torch.testing.assert_close(model.backbone.conv_head.weight, source.conv_head.weight)


def test_save_and_load_keep_every_weight_and_setting(tmp_path):
    model = build(stem_stride=1, cosine_scale=30.0, drop_path_rate=0.1).eval()
    model.save_pretrained(tmp_path)
    loaded = FerEfficientNetForImageClassification.from_pretrained(tmp_path).eval()
    x = images(model)
    assert torch.equal(loaded(x).logits, model(x).logits)
    assert loaded.config.to_diff_dict() | {"dtype": 0} == model.config.to_diff_dict() | {"dtype": 0}
    assert not list(tmp_path.glob("*.bin"))


def test_unknown_backbone_names_the_nearest():
    with pytest.raises(
        ValueError, match="not an EfficientNet of timm.*nearest are efficientnet_b8"
    ):
        build(backbone="efficientnet_b99")
    with pytest.raises(ValueError, match="not an EfficientNet of timm"):
        build(backbone="resnet18")


@pytest.mark.parametrize(
    "kwargs, message",
    [
        ({"num_channels": 2}, "`num_channels` must be 1"),
        ({"stem_stride": 3}, "`stem_stride` must be 1 or 2"),
        ({"head_dropout": 1.0}, "`head_dropout` must be in"),
        ({"head_hidden_sizes": [0]}, "`head_hidden_sizes` must be positive"),
        ({"image_size": "48"}, "image_size"),
    ],
)
def test_config_refuses_what_no_network_can_be_built_from(kwargs, message):
    with pytest.raises(Exception, match=message):
        FerEfficientNetConfig(**kwargs)


def test_default_labels_are_fer2013s_and_others_stay():
    assert FerEfficientNetConfig().id2label[3] == "happy"
    assert FerEfficientNetConfig().label2id["neutral"] == 6
    assert FerEfficientNetConfig(num_labels=2).id2label == {0: "LABEL_0", 1: "LABEL_1"}
    assert (
        FerEfficientNetConfig(id2label={0: "a", 1: "b"}, label2id={"a": 0, "b": 1}).num_labels == 2
    )


@pytest.mark.parametrize("training", [True, False])
def test_evaluation_on_a_cpu_runs_channels_last_and_training_as_it_is_told(training):
    model, formats = build().train(training), []
    model.backbone.blocks[1].register_forward_hook(
        lambda module, inputs, output: formats.append(
            output.is_contiguous(memory_format=torch.channels_last)
        )
    )
    model(images(model))
    assert formats == [not training]
