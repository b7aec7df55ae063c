"""Temperature, certainty and prior, on logits whose truth is known."""

import numpy as np
import pytest
import torch
from scipy.special import softmax

from modeling import FerEfficientNetConfig, FerEfficientNetForImageClassification
from training.evaluation.calibration import (
    calibrate,
    calibrate_smaller,
    certainty_results,
    certainty_threshold,
    fit_temperature,
    forget_fit,
    prior_results,
)
from training.evaluation.metrics import expected_calibration_error
from training.treatments import losses

RNG = np.random.default_rng(0)


def calibrated_scores(size=20_000, classes=7):
    """Logits, and labels sampled from their softmax: calibrated by construction."""
    logits = RNG.normal(0, 2, (size, classes))
    labels = (softmax(logits, axis=1).cumsum(axis=1) > RNG.random((size, 1))).argmax(axis=1)
    return logits, labels


def test_the_temperature_that_was_multiplied_in_is_found():
    logits, labels = calibrated_scores()
    for factor in (0.4, 1.0, 3.0):
        assert fit_temperature(logits * factor, labels) == pytest.approx(factor, rel=0.03)


def test_the_certain_ones_are_right_often_enough_and_no_more_could_be():
    logits, labels = calibrated_scores()
    probabilities = softmax(logits, axis=1)
    right = probabilities.argmax(axis=1) == labels
    threshold = certainty_threshold(probabilities, labels)
    certain = probabilities.max(axis=1) >= threshold
    assert 0.8 <= right[certain].mean() < 0.805
    results = certainty_results(logits, labels, threshold)
    assert results["eval_certain_share"] == pytest.approx(certain.mean())
    assert results["eval_certain_accuracy"] == pytest.approx(right[certain].mean())


def test_a_threshold_counts_all_predictions_of_its_score():
    """Of four equal scores three are right: all or none of them."""
    probabilities = np.array([[0.9, 0.1]] + [[0.7, 0.3]] * 4)
    assert certainty_threshold(probabilities, np.array([0, 0, 0, 0, 1])) == 0.0  # 4 of 5
    assert certainty_threshold(probabilities, np.array([0, 0, 0, 1, 1])) == 0.9
    assert certainty_threshold(probabilities, np.array([1, 1, 1, 1, 1])) == 1.0


def test_calibrate_writes_into_the_config():
    logits, labels = calibrated_scores()
    config = FerEfficientNetConfig()
    calibrated, figures = calibrate(config, 3 * logits, labels, np.zeros(7))
    np.testing.assert_allclose(calibrated, 3 * logits / config.fitted_temperature)
    assert config.fitted_temperature == fit_temperature(
        3 * logits, labels
    )  # no shift: to the last digit
    assert (
        config.fitted_temperature == pytest.approx(3, rel=0.03) and 0 < config.uncertain_below < 1
    )
    assert figures["eval_ece_before_temperature"] > 0.1


def test_the_temperature_of_a_network_that_expects_other_classes_is_fitted_under_the_datas_own():
    logits, labels = calibrated_scores()
    shift = np.log(np.array([0.3, 0.02, 0.1, 0.28, 0.1, 0.1, 0.1]))
    treated = 3 * (logits - shift)  # as if it had seen all classes alike
    config = FerEfficientNetConfig()
    calibrated, figures = calibrate(config, treated, labels, shift)
    assert config.fitted_temperature == pytest.approx(3, rel=0.03)
    assert fit_temperature(treated, labels) > 4  # which would flatten what is right
    probabilities = softmax(calibrated + shift, axis=1)
    assert expected_calibration_error(probabilities, labels) < 0.02
    before = softmax(treated + shift, axis=1)
    expected = expected_calibration_error(before, labels)
    assert figures["eval_ece_before_temperature"] == expected
    default = softmax(calibrated, axis=1)
    assert config.uncertain_below == certainty_threshold(default, labels)


def test_each_size_of_faces_has_its_own_fit():
    logits, labels = calibrated_scores()
    config = FerEfficientNetConfig()
    config.update_calibration(temperature=1.0, uncertain_below=0.0)
    weaker = logits + RNG.normal(0, 2, logits.shape)
    rows = calibrate_smaller(config, {16: 3 * weaker, 24: 3 * logits}, labels, np.zeros(7))
    small, large = config.calibration["smaller_faces"]
    assert (small["side"], large["side"]) == (16, 24)
    assert large["temperature"] == pytest.approx(3, rel=0.03) and small["temperature"] > 3.5
    for row in rows:
        assert 0.8 <= row["eval_certain_accuracy"] < 0.805
    assert rows[0]["eval_certain_share"] < rows[1]["eval_certain_share"]
    forget_fit(config)
    assert not {"temperature", "uncertain_below", "smaller_faces"} & {*config.calibration}


def rare_and_common():
    """Logits of an ideal classifier of two classes, one of them rare, labels, and the shares."""
    shares = np.array([0.9, 0.1])
    labels = (RNG.random(20_000) < 0.1).astype(int)
    evidence = RNG.normal(2 * labels - 1, 1.0)  # log odds of the classes alone: 2 x evidence
    return np.log(shares) + np.stack([-evidence, evidence], axis=1), labels, shares


def test_a_uniform_prior_raises_the_rare_classs_recall():
    logits, labels, shares = rare_and_common()
    trained = prior_results("train", logits, labels, ["common", "rare"])
    uniform = prior_results("uniform", logits - np.log(shares), labels, ["common", "rare"])
    trained, uniform = (
        {key.split("_prior_")[1]: value for key, value in figures.items()}
        for figures in (trained, uniform)
    )
    assert uniform["recall_rare"] > trained["recall_rare"] + 0.1
    assert uniform["balanced_accuracy"] > trained["balanced_accuracy"]
    assert uniform["accuracy"] < trained["accuracy"]
    assert trained["ece"] < 0.02 and "ece" not in uniform and "classwise_ece" not in uniform


def test_class_by_class_a_treated_network_is_wrong_of_the_rare_class_until_told_the_truth():
    logits, labels, shares = rare_and_common()
    (before, after) = (
        prior_results("train", scores, labels, ["common", "rare"])
        for scores in (logits - np.log(shares), logits)
    )
    name = "eval_train_prior_"
    gap = before[f"{name}mean_score_rare"] - before[f"{name}precision_rare"]
    assert gap > 0.3
    assert after[f"{name}mean_score_rare"] == pytest.approx(
        after[f"{name}precision_rare"], abs=0.03
    )
    assert after[f"{name}classwise_ece"] < 0.02 < 0.1 < before[f"{name}classwise_ece"]


def test_what_a_loss_presents():
    shares = torch.tensor([30.0, 10.0])
    assert presented("cross_entropy", shares, shares).tolist() == [0.75, 0.25]
    for name in ("weighted_cross_entropy", "logit_adjusted"):
        assert presented(name, shares, shares).tolist() == pytest.approx([0.5, 0.5])
    softened = torch.tensor([0.6, 0.4])  # by votes: the loss knows the labels' counts alone
    shown = presented("logit_adjusted", shares, softened)
    assert shown.tolist() == pytest.approx([1 / 3, 2 / 3])


def presented(name, counts, shares):
    return losses()[name]().bind(counts).presented_distribution(shares)


def test_the_model_applies_it_in_eval_mode_only():
    torch.manual_seed(0)
    config = FerEfficientNetConfig(
        backbone="test_efficientnet",
        initializer_range=1.0,
        head_hidden_sizes=[],
        head_dropout=0.0,
    )
    model = FerEfficientNetForImageClassification(config).eval()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = 0.0
    images = torch.randn(4, 1, 48, 48)
    with torch.no_grad():
        plain = model(images).logits
        training = model.train()(images).logits
        model.eval()
        config.update_calibration(temperature=2.0)
        torch.testing.assert_close(model(images).logits, plain / 2)
        with pytest.raises(ValueError, match="needs the config's learned_distribution"):
            model.prior_shift("uniform")
        config.update_calibration(train_distribution=[0.4] + [0.1] * 6)
        config.prior = "uniform"
        shift = -torch.tensor(config.train_distribution).log() - torch.tensor(7.0).log()
        torch.testing.assert_close(model(images).logits, plain / 2 + shift)
        config.prior = "train"  # as models say that were saved without a learned distribution
        assert torch.equal(model(images).logits, plain / 2)
        config.update_calibration(learned_distribution=[0.1] * 6 + [0.4])
        shift = torch.tensor(config.train_distribution).log()
        shift -= torch.tensor(config.learned_distribution).log()
        torch.testing.assert_close(model(images).logits, plain / 2 + shift)
        config.prior = "learned"
        assert torch.equal(model(images).logits, plain / 2)
        torch.testing.assert_close(model.train()(images).logits, training)
