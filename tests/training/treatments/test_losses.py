import doctest
import importlib
import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from training.targets import Batch, LabelSmoothing
from training.treatments import (
    class_balanced_loss,
    class_weights,
    focal_loss,
    ldam_loss,
    logit_adjusted_loss,
    losses,
    soft_label_losses,
    weighted_bce_loss,
    weighted_cross_entropy_loss,
)

C = 7
COUNTS = torch.tensor([50, 5, 20, 100, 30, 10, 60])
WEIGHTS = class_weights(COUNTS)
ALPHA = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7]
FUNCTIONS = {
    "weighted_bce": lambda x, y, **kw: weighted_bce_loss(x, y, WEIGHTS, **kw),
    "weighted_cross_entropy": lambda x, y, **kw: weighted_cross_entropy_loss(x, y, WEIGHTS, **kw),
    "class_balanced": lambda x, y, **kw: class_balanced_loss(x, y, COUNTS, 0.99, **kw),
    "logit_adjusted": lambda x, y, **kw: logit_adjusted_loss(x, y, COUNTS, 1.5, **kw),
    "focal_0.5": lambda x, y, **kw: focal_loss(x, y, 0.5, **kw),
    "focal_2": lambda x, y, **kw: focal_loss(x, y, 2.0, WEIGHTS, **kw),
    "ldam": lambda x, y, **kw: ldam_loss(x, y, COUNTS, scale=10.0, **kw),
}
LOSSES, SOFT_LABEL_LOSSES = list(losses()), soft_label_losses()


def bound(name, counts=COUNTS, **flags):
    return losses()[name](**flags).bind(counts)


BOUND = {
    **{name: bound(name) for name in LOSSES},
    "focal_0.5": bound("focal", focal_gamma=0.5),
    "focal_alpha": bound("focal", focal_alpha=["inverse"]),
    "ldam_reweighted": bound("ldam", deferred_reweighting_epoch=0),
}

each_function = pytest.mark.parametrize("loss", FUNCTIONS.values(), ids=FUNCTIONS)
each_soft_function = pytest.mark.parametrize(
    "loss",
    [FUNCTIONS[name] for name in SOFT_LABEL_LOSSES if name in FUNCTIONS],
    ids=[name for name in SOFT_LABEL_LOSSES if name in FUNCTIONS],
)
every_loss = pytest.mark.parametrize("loss", BOUND.values(), ids=BOUND)


def batch(n=32, dtype=torch.float32, requires_grad=False):
    generator = torch.Generator().manual_seed(0)
    logits = 3 * torch.randn(n, C, generator=generator, dtype=torch.float64)
    labels = torch.randint(C, (n,), generator=generator)
    return logits.to(dtype).requires_grad_(requires_grad), labels


def raises(text):
    return pytest.raises(ValueError, match="^" + re.escape(text) + "$")


def test_class_weights_by_hand():
    assert_close(class_weights(torch.tensor([1, 2, 4])), torch.tensor([12 / 7, 6 / 7, 3 / 7]))
    weights = class_weights(torch.tensor([1, 2]), "effective", beta=0.5)
    assert_close(weights, torch.tensor([1.2, 0.8]))


def test_effective_weights_go_from_equal_to_inverse_as_beta_grows():
    assert_close(class_weights(COUNTS, "effective", beta=0.0), torch.ones(C))
    assert_close(class_weights(COUNTS, "effective", 1 - 1e-9), WEIGHTS, rtol=1e-5, atol=0)


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            ([0, 3, 0],),
            "Class weights need at least one image of each class, but classes [0, 2] have none.",
        ),
        ((COUNTS, "effective", -0.1), "beta must be in [0, 1), but it is -0.1."),
        ((COUNTS, "effective", 1.0), "beta must be in [0, 1), but it is 1.0."),
        ((COUNTS, "sqrt"), "scheme must be 'inverse' or 'effective', but it is 'sqrt'."),
    ],
)
def test_class_weights_refuse_what_has_no_meaning(arguments, message):
    with raises(message):
        class_weights(*arguments)


def test_weighted_bce_equals_torch_on_one_hot_targets():
    logits, labels = batch()
    expected = F.binary_cross_entropy_with_logits(
        logits, F.one_hot(labels, C).float(), weight=WEIGHTS
    )
    assert_close(weighted_bce_loss(logits, labels, WEIGHTS), expected)


@pytest.mark.parametrize(
    "special_case",
    [
        lambda x, y: weighted_cross_entropy_loss(x, y, torch.ones(C)),
        lambda x, y: focal_loss(x, y, gamma=0.0),
        lambda x, y: class_balanced_loss(x, y, COUNTS, beta=0.0),
        lambda x, y: logit_adjusted_loss(x, y, COUNTS, tau=0.0),
        lambda x, y: ldam_loss(x, y, COUNTS, max_margin=0.0, scale=1.0),
    ],
    ids=["unit weights", "gamma 0", "beta 0", "tau 0", "no margin and scale"],
)
def test_a_special_case_is_cross_entropy(special_case):
    logits, labels = batch()
    assert_close(special_case(logits, labels), F.cross_entropy(logits, labels))


def test_weighted_cross_entropy_is_a_mean_over_samples_not_over_weights():
    logits, labels = batch()
    loss = weighted_cross_entropy_loss(logits, labels, WEIGHTS)
    per_sample = F.cross_entropy(logits, labels, reduction="none")
    assert_close(loss, (WEIGHTS[labels] * per_sample).sum() / len(labels))
    assert not torch.isclose(loss, F.cross_entropy(logits, labels, weight=WEIGHTS), rtol=1e-3)


def test_focal_with_gamma_two_by_hand():
    logits = torch.tensor([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1]]).log()
    alpha = torch.tensor([0.5, 1.0, 2.0])
    values = focal_loss(logits, torch.tensor([0, 2]), gamma=2.0, reduction="none")
    expected = torch.tensor([-(0.3**2) * math.log(0.7), -(0.9**2) * math.log(0.1)])
    assert_close(values, expected)
    values = focal_loss(logits, torch.tensor([0, 2]), 2.0, alpha, reduction="none")
    assert_close(values, expected * torch.tensor([0.5, 2.0]))


def test_class_balanced_weighs_by_the_effective_number():
    logits, labels = batch()
    values = class_balanced_loss(logits, labels, COUNTS, beta=0.9, reduction="none")
    weights = 0.1 / (1 - 0.9 ** COUNTS.double())
    weights = (weights / weights.mean()).float()
    assert_close(values, weights[labels] * F.cross_entropy(logits, labels, reduction="none"))


def test_logit_adjusted_shifts_logits_by_the_log_prior():
    logits = torch.tensor([[1.0, 2.0]])
    loss = logit_adjusted_loss(logits, torch.tensor([1]), torch.tensor([30, 10]), tau=2.0)
    rare, common = math.exp(2) * 0.25**2, math.exp(1) * 0.75**2
    assert loss.item() == pytest.approx(-math.log(rare / (rare + common)))


def test_ldam_margins_by_hand():
    margins = [0.25, 0.5, 0.5 / 3]  # 0.5 (1 / n_c)^(1/4)
    values = ldam_loss(
        torch.zeros(3, 3),
        torch.arange(3),
        torch.tensor([16, 1, 81]),
        max_margin=0.5,
        scale=2.0,
        reduction="none",
    )
    expected = [-math.log(math.exp(-2 * m) / (math.exp(-2 * m) + 2)) for m in margins]
    assert_close(values, torch.tensor(expected))


@each_function
def test_reduction_none_has_one_value_per_sample_and_mean_is_their_mean(loss):
    logits, labels = batch()
    values = loss(logits, labels, reduction="none")
    assert values.shape == (32,)
    assert values.std() > 0
    assert_close(loss(logits, labels), values.mean())
    with raises("reduction must be 'mean' or 'none', but it is 'sum'."):
        loss(logits, labels, reduction="sum")


@every_loss
def test_gradients_equal_finite_differences_in_float64(loss):
    logits, labels = batch(n=4, dtype=torch.float64, requires_grad=True)
    assert loss(logits, labels).dtype == torch.float64
    assert torch.autograd.gradcheck(lambda x: loss(x, labels), logits)


@every_loss
@pytest.mark.parametrize("autocast", [False, True])
def test_values_and_gradients_are_finite_at_logits_of_100(loss, autocast):
    signs = torch.eye(C).repeat(3, 1) * 2 - 1
    signs[C : 2 * C] *= -1
    signs[2 * C :] = 1
    logits = (100 * signs).requires_grad_()
    labels = torch.arange(C).repeat(3)  # surely right, surely wrong, undecided
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        value = loss(logits, labels)
    value.backward()
    assert value.isfinite()
    assert logits.grad.isfinite().all()
    assert logits.grad.abs().sum() > 0


@every_loss
def test_mean_of_four_chunks_equals_the_whole_batch(loss):
    whole, labels = batch(dtype=torch.float64, requires_grad=True)
    chunked = whole.detach().clone().requires_grad_()
    value = loss(whole, labels)
    value.backward()
    chunks = [loss(x, y) for x, y in zip(chunked.split(8), labels.split(8))]
    mean = torch.stack(chunks).mean()
    mean.backward()
    assert_close(mean, value)
    assert_close(chunked.grad, whole.grad)


@each_soft_function
def test_mixed_labels_give_the_mixture_of_the_losses(loss):
    logits, labels = batch()
    others = labels.flip(0)
    mixed = 0.3 * F.one_hot(labels, C) + 0.7 * F.one_hot(others, C)
    expected = 0.3 * loss(logits, labels, reduction="none")
    expected += 0.7 * loss(logits, others, reduction="none")
    assert_close(loss(logits, mixed, reduction="none"), expected)


@every_loss
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_logits_give_the_float32_loss(loss, dtype):
    logits, labels = batch(dtype=dtype)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        value = loss(logits, labels)
    assert_close(value, loss(logits.float(), labels))


@pytest.mark.parametrize("name", SOFT_LABEL_LOSSES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_one_hot_labels_of_another_precision_equal_class_ids(name, dtype):
    logits, labels = batch(dtype=dtype)
    assert_close(BOUND[name](logits, F.one_hot(labels, C).float()), BOUND[name](logits, labels))


@pytest.mark.parametrize(
    "name, loss", [("focal_loss", FUNCTIONS["focal_2"]), ("ldam_loss", FUNCTIONS["ldam"])]
)
def test_focal_and_ldam_refuse_soft_labels(name, loss):
    logits, labels = batch(n=4)
    with raises(f"{name} needs class ids of shape (N,), but labels have shape (4, 7)."):
        loss(logits, F.one_hot(labels, C).float())


@pytest.mark.parametrize(
    "name, flags, function",
    [
        ("cross_entropy", {}, F.cross_entropy),
        ("weighted_bce", {}, lambda x, y: weighted_bce_loss(x, y, WEIGHTS)),
        ("weighted_cross_entropy", {}, lambda x, y: weighted_cross_entropy_loss(x, y, WEIGHTS)),
        (
            *("class_balanced", {"class_balanced_beta": 0.9}),
            lambda x, y: class_balanced_loss(x, y, COUNTS, 0.9),
        ),
        (
            *("logit_adjusted", {"logit_adjustment_tau": 0.5}),
            lambda x, y: logit_adjusted_loss(x, y, COUNTS, 0.5),
        ),
        (
            *("focal", {"focal_gamma": 1.5, "focal_alpha": ["inverse"]}),
            lambda x, y: focal_loss(x, y, 1.5, WEIGHTS),
        ),
        (
            *("focal", {"focal_alpha": [str(value) for value in ALPHA]}),
            lambda x, y: focal_loss(x, y, 2.0, torch.tensor(ALPHA)),
        ),
        (
            *("ldam", {"ldam_max_margin": 0.4, "ldam_scale": 20.0}),
            lambda x, y: ldam_loss(x / 20, y, COUNTS, 0.4, 20.0),
        ),
    ],
)
def test_a_loss_applies_its_function_with_its_flags(name, flags, function):
    logits, labels = batch()
    assert_close(bound(name, **flags)(logits, labels), function(logits, labels))


@pytest.mark.parametrize(
    "name, weights, shift",
    [
        ("cross_entropy", None, 0),
        ("weighted_cross_entropy", WEIGHTS, 0),
        ("class_balanced", class_weights(COUNTS, "effective"), 0),
        ("logit_adjusted", None, (COUNTS / COUNTS.sum()).log()),
    ],
)
def test_label_smoothing_equals_that_of_torch(name, weights, shift):
    logits, labels = batch()
    expected = F.cross_entropy(
        logits + shift, labels, weight=weights, label_smoothing=0.1, reduction="none"
    )
    smoothed = LabelSmoothing(0.1, C).apply(Batch(logits, labels)).targets
    assert_close(bound(name)(logits, smoothed), expected.mean())


def test_deferred_reweighting_switches_on_at_its_epoch():
    criterion = bound("ldam", deferred_reweighting_epoch=3)
    logits, labels = batch()
    values = ldam_loss(logits / 30, labels, COUNTS, reduction="none")
    weights = class_weights(COUNTS, "effective")[labels]
    criterion.set_epoch(2)
    assert_close(criterion(logits, labels), values.mean())
    criterion.set_epoch(3)
    assert_close(criterion(logits, labels), (weights * values).mean())


@pytest.mark.parametrize("name", LOSSES)
def test_equal_counts_after_balanced_sampling_weigh_all_classes_alike(name):
    flags = {"focal": {"focal_alpha": ["inverse"]}, "ldam": {"deferred_reweighting_epoch": 0}}
    criterion = bound(name, [500] * C, **flags.get(name, {}))
    assert_close(criterion.presented_distribution(torch.ones(C)), torch.full((C,), 1 / C))
    weights = getattr(criterion, "weights", getattr(criterion, "alpha", torch.ones(C)))
    assert_close(weights, torch.ones(C))


@pytest.mark.parametrize("name", ["functional", *(name for name in LOSSES[1:])])
def test_examples_in_the_docstrings(name):
    results = doctest.testmod(importlib.import_module(f"training.treatments.{name}"))
    assert results.attempted > 0
    assert results.failed == 0
