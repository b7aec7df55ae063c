"""Muon over stacks of equal matrices: the same step."""

import copy

import pytest
import timm.optim.muon
import torch
from timm.optim import create_optimizer_v2
from torch import nn

from training.gpu import stack_equal_matrices


@pytest.fixture
def iterated(monkeypatch):
    """Shapes that the iterations see; in float32, so that another order of sums changes little."""
    shapes, iterations = [], timm.optim.muon.zeropower_via_newtonschulz

    def noted(matrices, *args, **kwargs):
        shapes.append(tuple(matrices.shape))
        return iterations(matrices, *args, dtype=torch.float32, **kwargs)

    monkeypatch.setattr(timm.optim.muon, "zeropower_via_newtonschulz", noted)
    monkeypatch.setattr(timm.optim.muon, "muon", timm.optim.muon.muon)  # undone afterwards
    return shapes


def trained(network, steps=3):
    network = copy.deepcopy(network)
    optimizer = create_optimizer_v2(network, opt="nmuon", lr=0.01, weight_decay=0.05)
    torch.manual_seed(0)
    for _ in range(steps):
        optimizer.zero_grad()
        network(torch.randn(2, 8, 6, 6)).square().mean().backward()
        optimizer.step()
    return network.state_dict(), optimizer


def test_the_step_is_that_of_single_matrices(iterated):
    convolutions = [nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 8, 1), nn.Conv2d(8, 8, 1)]
    network = nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(32, 7))
    network = network.to(memory_format=torch.channels_last)
    expected, optimizer = trained(network, steps=3)
    assert len(iterated) == 3 * 5
    assert stack_equal_matrices(type(optimizer)) and stack_equal_matrices(type(optimizer))
    stepped, _ = trained(network, steps=3)
    assert iterated[15:18] == [(2, 8, 72), (2, 8, 8), (1, 7, 32)] and len(iterated) == 15 + 3 * 3
    for name, value in network.state_dict().items():
        torch.testing.assert_close(stepped[name], expected[name], rtol=1e-4, atol=1e-6)
        assert (stepped[name] - value).abs().max() > 1e-3


def test_other_optimizers_and_other_modes_are_left_alone(iterated):
    assert not stack_equal_matrices(torch.optim.AdamW)
    weight = torch.nn.Parameter(torch.randn(8, 4, 3, 3))
    weight.grad = torch.randn_like(weight)
    optimizer = timm.optim.muon.Muon([weight], lr=0.1, conv_mode="batched")
    alone = copy.deepcopy(weight)
    alone.grad = weight.grad.clone()
    timm.optim.muon.Muon([alone], lr=0.1, conv_mode="batched").step()
    stack_equal_matrices(type(optimizer))
    optimizer.step()
    assert torch.equal(weight, alone)
