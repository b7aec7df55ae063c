"""Each step of the targets predicts what it does to the classes' shares: compared with batches."""

import numpy as np
import pytest
import torch

from modeling import FerEfficientNetImageProcessor
from tests.networks import tiny_network
from training.data import FaceDataset, RunData
from training.targets import Batch, TargetArguments, Targets
from training.treatments import (
    SAMPLINGS,
    EpochSampler,
    apply_sampling,
    losses,
    soft_label_losses,
)

COUNTS = np.array([40, 8, 44, 72, 48, 32, 50])
STEPS = {
    "ferplus_weight": 0.3,
    "mixup": 0.4,
    "cutmix": 0.5,
    "teachers": ["a teacher"],
    "label_smoothing": 0.1,
}
CPU = torch.device("cpu")


def make_run(sampling):
    generator = torch.Generator().manual_seed(0)
    labels = torch.from_numpy(np.repeat(np.arange(7), COUNTS))
    images = torch.randint(0, 256, (len(labels), 1, 8, 8), dtype=torch.uint8, generator=generator)
    voted = torch.rand(len(labels), 7, generator=generator) ** 4
    voted[:, 6] += 0.3
    faces = FaceDataset(images, labels, voted=voted / voted.sum(1, keepdim=True))
    run = RunData(faces, faces, "validation", None, {})
    return apply_sampling(run, sampling, "min" if sampling == "undersample" else None, seed=0)


@pytest.fixture
def teacher(monkeypatch):
    """One that says of any image what it expects: its final layer's weights are zero."""
    expected = torch.tensor([0.3, 0.05, 0.15, 0.2, 0.1, 0.1, 0.1])
    network = tiny_network(initializer_range=0.0)
    network.config.update_calibration(train_distribution=expected.tolist())
    with torch.no_grad():
        network.head[-1].bias.copy_(expected.log())
    pair = network, FerEfficientNetImageProcessor(size=32)
    monkeypatch.setattr("training.targets.arguments.load_saved_model", lambda *_: pair)


def sampled_targets(run, targets, sampling, epochs):
    """(N, C) targets of so many epochs' batches, and the labels' ids (N,)."""
    weighted = SAMPLINGS[sampling].weighted
    sampler = EpochSampler(run.train.labels.numpy(), weighted=weighted, seed=1)
    for epoch in range(epochs):
        sampler.set_epoch(epoch)
        for rows in torch.tensor(list(sampler)).split(64):
            item = run.train[rows]
            batch = Batch(item["pixel_values"].float(), item["labels"], item["voted"])
            yield targets(batch).targets


@pytest.mark.parametrize(
    "sampling, names",
    [(sampling, tuple(STEPS)) for sampling in SAMPLINGS]
    + [("weighted", ()), ("none", ("mixup", "cutmix")), ("none", ("teachers", "label_smoothing"))]
    + [("none", (name,)) for name in STEPS],
)
def test_the_shares_that_are_predicted_are_those_of_the_batches(sampling, names, teacher):
    run, flags = make_run(sampling), TargetArguments(**{name: STEPS[name] for name in names})
    targets = flags.build(run.train, num_channels=1, device=CPU)
    torch.manual_seed(0)
    seen = torch.cat(
        [
            torch.nn.functional.one_hot(batch, 7).float() if batch.ndim == 1 else batch
            for batch in sampled_targets(run, targets, sampling, epochs=12)
        ]
    )
    torch.testing.assert_close(seen.sum(1), torch.ones(len(seen)))
    predicted = targets.shares(run.seen_counts)
    assert predicted.sum().item() == pytest.approx(1, abs=1e-5)
    torch.testing.assert_close(predicted, seen.mean(0), atol=0.012, rtol=0)


@pytest.mark.parametrize("loss", soft_label_losses())
@pytest.mark.parametrize("sampling", ["none", "weighted"])
def test_what_a_treatment_teaches_is_what_is_learned_from_its_targets(loss, sampling, teacher):
    """Logits alone, fitted to the targets of many batches: nothing tells the classes apart."""
    run, flags = make_run(sampling), TargetArguments(**STEPS)
    targets = flags.build(run.train, num_channels=1, device=CPU)
    torch.manual_seed(0)
    seen = torch.cat(list(sampled_targets(run, targets, sampling, epochs=4)))
    criterion = losses()[loss]().bind(run.seen_counts)
    logits = torch.zeros(7, requires_grad=True)
    optimizer = torch.optim.LBFGS([logits], lr=0.5, max_iter=100)

    def closure():
        optimizer.zero_grad()
        value = criterion(logits.expand(len(seen), 7), seen)
        value.backward()
        return value

    optimizer.step(closure)
    learned = logits.sigmoid() if loss == "weighted_bce" else logits.softmax(0)
    taught = criterion.presented_distribution(targets.shares(run.seen_counts))
    torch.testing.assert_close(taught, learned.detach(), atol=0.02, rtol=0)


def test_without_steps_labels_stay_ids():
    labels = torch.tensor([0, 3])
    batch = Batch(torch.zeros(2, 1, 4, 4), labels)
    assert Targets()(batch).targets is labels
    assert TargetArguments().build(None, num_channels=1, device=CPU).steps == ()
