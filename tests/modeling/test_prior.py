"""All ways to give a prior are checked alike, and early."""

import numpy as np
import pytest
import torch

from modeling import (
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
    *([], [1, 2], [1] * 8, [[1] * 7], np.ones((7, 1)), np.float32(1)),
    *([-1] + [1] * 6, [0] * 7, [0.0] * 7, [True] * 7, ["1"] * 7, [None] * 7),
    *([np.nan] * 7, [np.inf] + [1] * 6, torch.full((7,), torch.nan), [1e308] * 7),
]


def settings(**changed):
    known = {"learned_distribution": LEARNED, "train_distribution": TRAIN}
    return {"backbone": "test_efficientnet", "image_size": 32} | known | changed


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

    def of_config(config):
        return FerEfficientNetForImageClassification(config).eval()(torch.zeros(1, 1, 32, 32))

    def by_setting(prior):
        config = FerEfficientNetConfig(**settings())
        config.prior = prior
        return of_config(config).logits[0]

    def by_call(prior):
        (answer,) = ready(face, prior=prior)
        return torch.tensor([*answer["scores"].values()]).log()

    def by_construction(prior):
        (answer,) = find(model, prior=prior)(face)
        return torch.tensor([*answer["scores"].values()]).log()

    return {
        "config": lambda prior: of_config(FerEfficientNetConfig(**settings(prior=prior))).logits[0],
        "set later": by_setting,
        "loading": lambda prior: (
            FerEfficientNetForImageClassification.from_pretrained(saved, prior=prior)
            .eval()(torch.zeros(1, 1, 32, 32))
            .logits[0]
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
        with pytest.raises(ValueError, match="^prior must be 'learned', .*7 numbers.*but it is"):
            shift_by(prior)
            pytest.fail(f"{prior!r} was taken")


def test_any_scale_will_do():
    model = build()
    expected = model.prior_shift([1, 2, 3, 4, 5, 6, 7])
    for scale in (1e-300, 1e-20, 1e300):
        found = model.prior_shift([scale * share for share in range(1, 8)])
        torch.testing.assert_close(found, expected)


def test_a_config_is_refused_when_it_is_made_and_says_the_prior_as_a_list():
    config = FerEfficientNetConfig(**settings(prior=torch.tensor(COUNTS)))
    assert config.prior == COUNTS and type(config.prior) is list
    assert all(type(one) is float for one in config.prior)
    three = {"num_labels": 3, "id2label": None}
    with pytest.raises(ValueError, match="prior must be .*3 numbers"):
        FerEfficientNetConfig(backbone="test_efficientnet", prior=[1] * 7, **three)
    assert FerEfficientNetConfig(train_distribution=COUNTS, prior=[1] * 7).prior == [1.0] * 7
    for name in ("learned_distribution", "train_distribution"):
        with pytest.raises(ValueError, match=f"^{name} must be 7 numbers .*but it is 'train'"):
            FerEfficientNetConfig(**{name: "train"})
    for prior, lacking in (("uniform", "learned"), (COUNTS, "learned")):
        with pytest.raises(Exception, match=f"prior .* needs the config's {lacking}_distribution"):
            FerEfficientNetConfig(prior=prior)
    with pytest.raises(Exception, match="prior 'train' needs the config's train_distribution"):
        FerEfficientNetConfig(prior="train", learned_distribution=LEARNED)


def test_a_model_saved_without_what_a_prior_needs_is_refused_when_it_is_loaded(tmp_path):
    build(learned_distribution=None, train_distribution=None).save_pretrained(tmp_path)
    load = FerEfficientNetForImageClassification.from_pretrained
    assert load(tmp_path, prior="train").config.prior == "train"  # nothing else was learned
    with pytest.raises(ValueError, match="needs the config's learned_distribution"):
        load(tmp_path, prior="uniform")


def test_a_number_of_classes_that_is_not_known_yet():
    assert checked_prior([1, 2], None) == [1.0, 2.0]
    with pytest.raises(ValueError, match="or as many numbers as classes"):
        checked_prior([1, -2], None)


def test_a_config_of_before_means_what_it_did():
    """It has no learned distribution, and calls "train" what the network has learned."""
    before = build(learned_distribution=None, prior="train")
    for prior in ("train", "learned"):
        assert not before.prior_shift(prior).any()
    expected = (torch.full((7,), 1 / 7) / torch.tensor(TRAIN)).log()
    shift = before.prior_shift("uniform")
    torch.testing.assert_close(shift - shift[0], expected - expected[0])


@pytest.mark.parametrize("prior", ["learned", "train", COUNTS])
def test_a_compiled_or_exported_network_holds_it(prior):
    model, images = build(prior=prior).eval(), torch.zeros(2, 1, 32, 32)
    with torch.no_grad():
        expected = model(images).logits
        exported = torch.export.export(model, (images,)).module()
        torch.testing.assert_close(exported(images).logits, expected)
