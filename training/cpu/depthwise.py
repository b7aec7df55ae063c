"""
Faster depthwise convolutions for training on CPUs: the weight gradient on tiny maps, and the type
under bfloat16 autocast.

FER-2013's faces are 48 px, so the last stages of an EfficientNet convolve maps of 2x2 or 3x3 with
5x5 kernels. oneDNN's weight gradient there takes ten to fifty times as long as the handful of
products it consists of, and most of a training step with it (benchmarks/LOG.md). Forward, input
gradient and every other shape stay PyTorch's.

Under --bf16, a CPU with AMX computes the other convolutions three times as fast, but depthwise ones
more slowly than in float32. So these stay in float32.
"""

import torch
import torch.nn.functional as F
from timm.layers import Conv2dSame
from torch import nn
from torch.autograd.function import FunctionCtx

Pair = tuple[int, int]  # height, width


def overlap(tap: int, size: int, out_size: int, stride: int, padding: int) -> tuple[int, int]:
    """Range [low, high) of output positions whose input under this kernel tap lies in the map."""
    low = max(0, -((tap - padding) // stride))
    high = min(out_size, (size - 1 + padding - tap) // stride + 1)
    return low, high


class _DepthwiseConv2d(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: FunctionCtx, x: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair
    ) -> torch.Tensor:
        ctx.save_for_backward(x, weight)
        ctx.stride, ctx.padding = stride, padding
        return F.conv2d(x, weight, None, stride, padding, groups=weight.shape[0])

    @staticmethod
    def backward(ctx: FunctionCtx, grad: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, weight = ctx.saved_tensors
        geometry = (ctx.stride, ctx.padding, (1, 1), False, (0, 0), weight.shape[0])
        wanted = (True, False, False)  # the gradients of x, weight and bias
        grad_x, *_ = torch.ops.aten.convolution_backward(grad, x, weight, None, *geometry, wanted)
        return grad_x, _weight_gradient(x, grad, weight, ctx.stride, ctx.padding), None, None


def _weight_gradient(
    x: torch.Tensor, grad: torch.Tensor, weight: torch.Tensor, stride: Pair, padding: Pair
) -> torch.Tensor:
    """dL/dw[c, 0, i, j] = sum_{n, y, x} input[n, c, y s + i - p, x s + j - p] grad[n, c, y, x]."""
    result = torch.zeros_like(weight)
    # (N, H, W, C): contiguous in channels_last
    x, grad = (tensor.permute(0, 2, 3, 1) for tensor in (x, grad))
    for i in range(weight.shape[2]):
        top, bottom = overlap(i, x.shape[1], grad.shape[1], stride[0], padding[0])
        for j in range(weight.shape[3]):
            left, right = overlap(j, x.shape[2], grad.shape[2], stride[1], padding[1])
            if top >= bottom or left >= right:
                continue
            y0, x0 = top * stride[0] + i - padding[0], left * stride[1] + j - padding[1]
            rows = slice(y0, y0 + (bottom - top - 1) * stride[0] + 1, stride[0])
            columns = slice(x0, x0 + (right - left - 1) * stride[1] + 1, stride[1])
            result[:, 0, i, j] = (x[:, rows, columns] * grad[:, top:bottom, left:right]).sum(
                (0, 1, 2)
            )
    return result


class _PastAutocast:
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.to(self.weight.dtype))


class SmallMapDepthwiseConv2d(_PastAutocast, nn.Conv2d):
    """A depthwise nn.Conv2d without bias, its gradient faster where the kernel exceeds the map."""

    def _conv_forward(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        small = max(x.shape[-2:]) < min(self.kernel_size)
        if small and self.training and torch.is_grad_enabled():
            return _DepthwiseConv2d.apply(x, weight, self.stride, self.padding)
        return super()._conv_forward(x, weight, bias)


class DepthwiseConv2dSame(_PastAutocast, Conv2dSame):
    """timm's convolution with TensorFlow's padding, which the tf_ networks have at stride 2."""


def use_fast_depthwise(model: nn.Module) -> int:
    """
    Switches the depthwise convolutions of the model over, in place; returns how many.

    Weights stay as they are.
    """
    switched = 0
    for module in model.modules():
        if fast := _fast_class(module):
            module.__class__ = fast
            switched += 1
    return switched


def _fast_class(module: nn.Module) -> type | None:
    if not isinstance(module, nn.Conv2d) or module.groups == 1:
        return None
    if not module.groups == module.in_channels == module.out_channels:
        return None
    if type(module) is Conv2dSame:
        return DepthwiseConv2dSame
    plain = module.bias is None and module.dilation == (1, 1)
    padded = module.padding_mode == "zeros" and not isinstance(module.padding, str)
    return SmallMapDepthwiseConv2d if type(module) is nn.Conv2d and plain and padded else None
