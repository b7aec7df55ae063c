import pytest
import torch

from modeling import FerEfficientNetImageProcessor
from tests.networks import tiny_network
from training.targets import Batch, Teachers

CPU = torch.device("cpu")


def a_teacher(seed, size=32, **config):
    network = tiny_network(seed=seed, image_size=size, **config)
    return network, FerEfficientNetImageProcessor(size=size)


@pytest.fixture
def images():
    return 255 * torch.rand(4, 1, 48, 48, generator=torch.Generator().manual_seed(0))


def said(teacher, images):
    network, processor = teacher
    with torch.no_grad():
        return network.eval()(pixel_values=processor.normalize_batch(images)).logits.softmax(1)


def test_the_target_is_label_and_teachers_by_weight(images):
    teachers = [a_teacher(1), a_teacher(2, size=64, head_dropout=0.9)]
    labels = torch.tensor([0, 6, 3, 3])
    targets = Teachers(teachers, 0.25, CPU).apply(Batch(images, labels)).targets
    mean = sum(said(teacher, images) for teacher in teachers) / 2
    hard = torch.nn.functional.one_hot(labels, 7)
    torch.testing.assert_close(targets, 0.75 * hard + 0.25 * mean)
    assert not targets.requires_grad
    soft = Teachers(teachers, 0.25, CPU).apply(Batch(images, targets)).targets  # of mixup, say
    torch.testing.assert_close(soft, 0.75 * targets + 0.25 * mean)


def test_teachers_see_both_ways_round(images):
    teachers = [a_teacher(1), a_teacher(2)]
    batch = Batch(images, torch.tensor([0, 6, 3, 3]))
    targets = Teachers(teachers, 1.0, CPU, flip=True).apply(batch).targets
    views = [said(teacher, view) for teacher in teachers for view in (images, images.flip(3))]
    torch.testing.assert_close(targets, sum(views) / 4)


def test_teachers_compute_in_bfloat16_if_asked(images):
    teacher, dtypes = a_teacher(1), []
    teacher[0].head.register_forward_hook(lambda *args: dtypes.append(args[2].dtype))
    batch = Batch(images, torch.tensor([0, 6, 3, 3]))
    whole, half = (
        Teachers([teacher], 1.0, CPU, bf16=bf16).apply(batch).targets for bf16 in (False, True)
    )
    assert dtypes == [torch.float32, torch.bfloat16] and half.dtype == torch.float32
    torch.testing.assert_close(half, whole, rtol=0, atol=0.02)


def test_shares_are_those_of_label_and_teachers():
    shares = [0.4, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1]
    teacher, treated = a_teacher(1), a_teacher(1)
    teacher[0].config.update_calibration(train_distribution=shares)
    treated[0].config.update_calibration(learned_distribution=[1] * 7, train_distribution=shares)
    teachers = Teachers([teacher, teacher], 0.5, CPU)
    presented = teachers.shares(torch.tensor([0.5, 0, 0, 0, 0, 0, 0.5]))
    torch.testing.assert_close(presented, torch.tensor([0.45, *[0.05] * 5, 0.3]))
    presented = Teachers([treated, teacher], 1.0, CPU).shares(torch.ones(7) / 7)
    torch.testing.assert_close(presented, (torch.ones(7) / 7 + torch.tensor(shares)) / 2)
    unknown = torch.tensor([3.0, 1, 1, 1, 1, 1, 1])
    assert Teachers([a_teacher(1)], 0.5, CPU).shares(unknown) is unknown
