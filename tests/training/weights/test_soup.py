"""training/weights/soup.py: the mean of networks' weights."""

import pytest
import torch
from torch import nn

from training.weights.soup import average_weights


def a_network(seed, width=3):
    torch.manual_seed(seed)
    network = nn.Sequential(nn.Linear(2, width), nn.BatchNorm1d(width))
    network(torch.randn(8, 2))  # statistics, and a count of batches
    return network


def test_the_mean_is_of_all_weights_by_their_shares():
    own, *others = (a_network(seed) for seed in range(3))
    before = [{k: v.clone() for k, v in network.state_dict().items()} for network in (own, *others)]
    average_weights(own, others, 0.5)
    for name, value in own.state_dict().items():
        if value.is_floating_point():
            first, second, third = (weights[name] for weights in before)
            torch.testing.assert_close(value, first / 2 + second / 4 + third / 4)
    assert own[1].num_batches_tracked == 1


@pytest.mark.parametrize("weight", [0, 1])
def test_a_share_of_none_or_all_is_the_one_or_the_other(weight):
    own, other = a_network(0), a_network(1)
    expected = (own, other)[weight][0].weight.clone()
    average_weights(own, [other], weight)
    torch.testing.assert_close(own[0].weight, expected)


def test_another_network_is_refused():
    with pytest.raises(ValueError, match="no mean"):
        average_weights(a_network(0), [a_network(1), a_network(2, width=4)], 0.5)
