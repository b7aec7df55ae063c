"""Batch norm statistics recomputed, against those of the images at once."""

import torch
from torch import nn

from training.weights.batch_norm import recompute_statistics


class Halved:
    @staticmethod
    def normalize_batch(images):
        return images.float() / 2


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Dropout(0.9), nn.BatchNorm2d(1, momentum=0.3))

    def forward(self, pixel_values):
        return self.layers(pixel_values)


def test_they_are_those_of_the_images_as_they_are():
    images = torch.randint(0, 256, (64, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    network = Network().train()
    network(torch.full((4, 1, 4, 4), 1e3))
    recompute_statistics(network, images, Halved, count=64, batch_size=16, seed=1)
    norm = network.layers[1]
    halves = images.float() / 2
    torch.testing.assert_close(norm.running_mean.item(), halves.mean().item())
    torch.testing.assert_close(norm.running_var.item(), halves.var().item(), rtol=0.05, atol=0)
    assert norm.momentum == 0.3 and not any(module.training for module in network.modules())


def test_some_of_the_images_are_sampled_by_seed():
    images = torch.arange(65).view(-1, 1, 1, 1)
    means = []
    for count, seed in ((16, 0), (16, 0), (16, 1), (65, 0)):
        network = Network()
        recompute_statistics(network, images, Halved, count=count, batch_size=16, seed=seed)
        means.append(network.layers[1].running_mean.item())
    assert means[0] == means[1] != means[2]
    assert 14 < means[3] < 18  # a last batch of one image is left out
