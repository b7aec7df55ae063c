import copy

import pytest
import timm
import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from torch import nn
from torch.testing import assert_close

from training.cpu.depthwise import SmallMapDepthwiseConv2d, _DepthwiseConv2d, use_fast_depthwise

FAST = "_DepthwiseConv2dBackward"


def depthwise(channels=8, kernel=5, stride=1, padding=2, **kwargs):
    kwargs = {"groups": channels, "bias": False} | kwargs
    return nn.Conv2d(channels, channels, kernel, stride, padding, **kwargs)


def switched(**kwargs):
    conv = depthwise(**kwargs)
    assert use_fast_depthwise(conv) == 1
    return conv


def small_model():
    torch.manual_seed(0)
    return timm.create_model("test_efficientnet", num_classes=7).double()


def gradients(model, images):
    model.zero_grad()
    model(images).square().sum().backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    "channels, size, kernel, stride, padding",
    [
        (3, (1, 1), (5, 5), (1, 1), (2, 2)),
        (8, (3, 3), (5, 5), (2, 2), (2, 2)),
        (4, (2, 4), (5, 5), (1, 1), (2, 2)),
        (5, (2, 2), (3, 3), (2, 2), (1, 1)),
        (2, (7, 5), (3, 3), (2, 2), (1, 1)),
        (2, (6, 9), (3, 5), (1, 2), (0, 2)),
        (2, (8, 8), (5, 3), (3, 2), (1, 0)),
        (3, (1, 2), (3, 3), (2, 1), (3, 3)),
    ],
)
@pytest.mark.parametrize("memory_format", [torch.contiguous_format, torch.channels_last])
def test_gradients_equal_those_of_torch(channels, size, kernel, stride, padding, memory_format):
    torch.manual_seed(0)
    x = torch.randn(4, channels, *size, dtype=torch.float64)
    x = x.contiguous(memory_format=memory_format).requires_grad_()
    weight = torch.randn(channels, 1, *kernel, dtype=torch.float64, requires_grad=True)
    expected_out = F.conv2d(x, weight, None, stride, padding, groups=channels)
    upstream = torch.randn_like(expected_out)
    expected = torch.autograd.grad(expected_out, (x, weight), upstream)
    out = _DepthwiseConv2d.apply(x, weight, stride, padding)
    assert torch.equal(out, expected_out)
    for actual, reference in zip(torch.autograd.grad(out, (x, weight), upstream), expected):
        assert_close(actual, reference, atol=1e-12, rtol=1e-12)


def test_every_depthwise_convolution_of_a_model_is_switched_and_no_other():
    model = small_model()
    plain = [m for m in model.modules() if isinstance(m, nn.Conv2d)]
    separable = [m for m in plain if m.groups == m.in_channels > 1]
    assert 0 < len(separable) < len(plain)
    assert use_fast_depthwise(model) == len(separable)
    assert [m for m in plain if type(m) is SmallMapDepthwiseConv2d] == separable
    assert use_fast_depthwise(model) == 0


@pytest.mark.parametrize(
    "other",
    [
        {"groups": 1},
        {"groups": 4},
        {"bias": True},
        {"dilation": 2},
        {"padding": "same"},
        {"padding_mode": "reflect"},
        {"channels": 1},
    ],
)
def test_other_convolutions_stay_as_they_are(other):
    conv = depthwise(**other)
    assert use_fast_depthwise(conv) == 0
    assert type(conv) is nn.Conv2d


def test_gradients_of_a_switched_model_equal_those_of_the_plain_one():
    model = small_model()
    reference = copy.deepcopy(model)
    use_fast_depthwise(model)
    used = []
    for module in model.modules():
        if type(module) is SmallMapDepthwiseConv2d:
            module.register_forward_hook(lambda m, x, out: used.append(out.grad_fn.name()))
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    assert list(model.state_dict()) == list(reference.state_dict())
    assert torch.equal(model(images), reference(images))
    actual, expected = gradients(model, images), gradients(reference, images)
    assert FAST in used
    for name in expected:
        assert_close(actual[name], expected[name], atol=1e-10, rtol=1e-8)


def test_gradients_of_a_deep_copy_go_to_the_copy():
    model = small_model()
    use_fast_depthwise(model)
    duplicate = copy.deepcopy(model)
    images = torch.randn(4, 3, 32, 32, dtype=torch.float64)
    of_copy = gradients(duplicate, images)
    assert all(parameter.grad is None for parameter in model.parameters())
    of_model = gradients(model, images)
    assert sum(type(m) is SmallMapDepthwiseConv2d for m in duplicate.modules()) > 0
    for name in of_model:
        assert_close(of_copy[name], of_model[name])


def test_fast_gradient_is_used_in_training_on_maps_smaller_than_the_kernel():
    conv = switched(kernel=5)
    assert conv(torch.randn(2, 8, 4, 4)).grad_fn.name() == FAST
    assert conv(torch.randn(2, 8, 5, 5)).grad_fn.name() != FAST
    assert conv(torch.randn(2, 8, 2, 5)).grad_fn.name() != FAST
    assert conv.eval()(torch.randn(2, 8, 2, 2)).grad_fn.name() != FAST


@pytest.mark.parametrize("kind", [nn.Conv2d, Conv2dSame])
def test_autocast_leaves_depthwise_convolutions_in_float32(kind):
    torch.manual_seed(0)
    reference = kind(8, 8, 5, stride=2, groups=8, bias=False)
    conv = copy.deepcopy(reference)
    assert use_fast_depthwise(conv) == 1
    x = torch.randn(2, 8, 6, 6)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = conv(x.bfloat16())
    expected = reference(x.bfloat16().float())
    assert out.dtype == torch.float32 and torch.equal(out, expected)
    for result in (out, expected):
        result.square().sum().backward()
    assert_close(conv.weight.grad, reference.weight.grad)
