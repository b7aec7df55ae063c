"""All ways to give a prior are checked alike, and early."""

import numpy as np
import pytest
import torch

from modeling import (
    EXPRESSIONS,
    FacialEmotionPipeline,
    FerEfficientNetConfig,
    FerEfficientNetForImageClassification,
    FerEfficientNetImageProcessor,
    checked_prior,
)

LEARNED = [0.1, 0.2, 0.1, 0.2, 0.1, 0.2, 0.1]
TRAIN = [0.14, 0.015, 0.14, 0.25, 0.17, 0.11, 0.175]
COUNTS = [3995, 436, 4097, 7215, 4830, 3171, 4965]
SAME = [COUNTS, tuple(COUNTS), np.array(COUNTS), torch.tensor(COUNTS), [*np.float32(COUNTS)]]
WRONG = [
    *("balanced", "", 5, None, True, {}, b"train"),
    *([], [1, 2], [1] * 8, np.ones((7, 1)), np.float32(1), [[1] * 6]),
    *([-1] + [1] * 6, [0] * 7, [0.0] * 7, [True] * 7, ["1"] * 7, [None] * 7),
    *([np.nan] * 7, [np.inf] + [1] * 6, torch.full((7,), torch.nan), [1e308] * 7),
]
HEAD = {"backbone": "test_efficientnet", "cosine_scale": None, "head_hidden_sizes": []}


def settings(prior="learned", **fitted):
    fitted = fitted or {"learned_distribution": LEARNED, "train_distribution": TRAIN}
    calibration = {"classes": [*EXPRESSIONS], "head": HEAD} | fitted
    return HEAD | {"image_size": 32, "calibration": calibration, "prior": prior}


def build(**changed):
    config = FerEfficientNetConfig(**settings(**changed))
    return FerEfficientNetForImageClassification(config).eval()


def find(model, **options):
    return FacialEmotionPipeline(
        model=model,
        image_processor=FerEfficientNetImageProcessor(size=32),
        task="facial-emotion",
        device="cpu",
        detector="none",
        **options,
    )


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("saved")
    build().save_pretrained(folder)
    return folder


def ways(saved):
    """Each takes a prior and gives the logits' shift, or refuses it."""
    model, face = build(), np.zeros((32, 32), np.uint8)
    ready = find(model)

    def by_config(config):
        model = FerEfficientNetForImageClassification(config).eval()
        return model(torch.zeros(1, 1, 32, 32)).logits[0]

    def by_setting(prior):
        config = FerEfficientNetConfig(**settings())
        config.prior = prior
        return by_config(config)

    def by_call(prior):
        (answer,) = ready(face, prior=prior)
        return torch.tensor([*answer["scores"].values()]).log()

    def by_construction(prior):
        (answer,) = find(model, prior=prior)(face)
        return torch.tensor([*answer["scores"].values()]).log()

    return {
        "config": lambda prior: by_config(FerEfficientNetConfig(**settings(prior))),
        "set later": by_setting,
        "loading": lambda prior: by_config(
            FerEfficientNetConfig.from_pretrained(saved, prior=prior)
        ),
        "model": model.prior_shift,
        "pipeline": by_construction,
        "call": by_call,
    }


@pytest.mark.parametrize("way", ["config", "set later", "loading", "model", "pipeline", "call"])
def test_every_way_takes_the_same_priors_and_refuses_the_same(saved, way):
    shift_by, learned = ways(saved)[way], torch.tensor(LEARNED)
    assumed = {"learned": LEARNED, "train": TRAIN, "uniform": [1 / 7] * 7}
    given = [*assumed.items(), *((one, COUNTS) for one in SAME)]
    for prior, shares in given:
        expected = torch.tensor(shares, dtype=torch.float32) / learned  # the logits are zero
        found = shift_by(prior).detach().softmax(0)
        torch.testing.assert_close(found, expected / expected.sum(), msg=repr(prior))
    for prior in WRONG:
        if prior is None and way in ("call", "pipeline"):
            continue  # the config's
        with pytest.raises(ValueError, match="^prior must be 'learned', .* numbers.*but it is"):
            shift_by(prior)
            pytest.fail(f"{prior!r} was taken")


def test_any_scale_will_do():
    model = build()
    expected = model.prior_shift([1, 2, 3, 4, 5, 6, 7])
    for scale in (1e-300, 1e-20, 1e300):
        found = model.prior_shift([scale * share for share in range(1, 8)])
        torch.testing.assert_close(found, expected)


def test_a_config_holds_shares_as_a_list_and_is_refused_when_it_is_made():
    config = FerEfficientNetConfig(**settings(torch.tensor(COUNTS)))
    assert config.prior == COUNTS and type(config.prior) is list
    assert all(type(share) is float for share in config.prior)
    three = {"num_labels": 3, "id2label": None}
    with pytest.raises(ValueError, match="prior must be .*3 numbers"):
        FerEfficientNetConfig(backbone="test_efficientnet", prior=[1] * 7, **three)
    for name in ("learned_distribution", "train_distribution"):
        with pytest.raises(ValueError, match=f"^{name} must be 7 numbers .*but it is 'train'"):
            FerEfficientNetConfig(**settings(**{name: "train"}))
    for prior in ("uniform", COUNTS):
        with pytest.raises(Exception, match="prior .* needs the config's learned_distribution"):
            FerEfficientNetConfig(prior=prior)
    with pytest.raises(Exception, match="prior 'train' needs the config's train_distribution"):
        FerEfficientNetConfig(**settings("train", learned_distribution=LEARNED))


def test_a_network_without_a_learned_distribution_has_learned_the_training_sets():
    plain = build(train_distribution=TRAIN, prior="train")
    for prior in ("train", "learned"):
        assert not plain.prior_shift(prior).any()
    expected = (torch.full((7,), 1 / 7) / torch.tensor(TRAIN)).log()
    shift = plain.prior_shift("uniform")
    torch.testing.assert_close(shift - shift[0], expected - expected[0])


def test_a_number_of_classes_that_is_not_known_yet():
    assert checked_prior([1, 2], None) == [1.0, 2.0]
    with pytest.raises(ValueError, match="or as many numbers as classes"):
        checked_prior([1, -2], None)


def test_several_priors_are_answered_by_name():
    ask, face = find(build()), np.zeros((32, 32), np.uint8)
    (answer,) = ask(face, prior=["train", "uniform", "train"])
    alone = {prior: ask(face, prior=prior)[0] for prior in ("train", "uniform")}
    assert [*answer["by_prior"]] == ["train", "uniform"]
    for prior, expected in alone.items():
        assert answer["by_prior"][prior].items() < expected.items()  # but for box and face_score
        assert "by_prior" not in expected
    assert answer["scores"] == alone["train"]["scores"]
    (answer,) = ask(face, prior=[COUNTS, "uniform"])
    assert answer["scores"] == ask(face, prior=COUNTS)[0]["scores"]
    assert [*answer["by_prior"]] == ["uniform"]
    with pytest.raises(ValueError, match="only the first may be shares"):
        ask(face, prior=["uniform", COUNTS])


@pytest.mark.parametrize("prior", ["learned", "train", COUNTS])
def test_a_compiled_or_exported_network_holds_it(prior):
    model, images = build(prior=prior).eval(), torch.zeros(2, 1, 32, 32)
    with torch.no_grad():
        expected = model(images).logits
        exported = torch.export.export(model, (images,)).module()
        torch.testing.assert_close(exported(images).logits, expected)
