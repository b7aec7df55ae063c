"""
A faster weight gradient for depthwise convolutions on tiny maps, for training on CPUs.

FER-2013's faces are 48 px, so the last stages of an EfficientNet convolve maps of 2x2 or 3x3 with
5x5 kernels. oneDNN's weight gradient there takes ten to fifty times as long as the handful of
products it consists of, and most of a training step with it (benchmarks/LOG.md). Forward, input
gradient and every other shape stay PyTorch's.
"""

import torch
import torch.nn.functional as F
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


class SmallMapDepthwiseConv2d(nn.Conv2d):
    """A depthwise nn.Conv2d without bias, its gradient faster where the kernel exceeds the map."""

    def _conv_forward(
        self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None
    ) -> torch.Tensor:
        small = max(x.shape[-2:]) < min(self.kernel_size)
        autocast = torch.is_autocast_enabled(x.device.type)  # x, weight and grad differ in dtype
        if small and self.training and torch.is_grad_enabled() and not autocast:
            return _DepthwiseConv2d.apply(x, weight, self.stride, self.padding)
        return super()._conv_forward(x, weight, bias)


def use_small_map_gradient(model: nn.Module) -> int:
    """
    Switches every plain depthwise convolution of the model over, in place; returns how many.

    Weights stay as they are.
    """
    switched = 0
    for module in model.modules():
        if type(module) is not nn.Conv2d:
            continue
        depthwise = module.groups == module.in_channels == module.out_channels > 1
        plain = module.bias is None and module.dilation == (1, 1)
        padded = module.padding_mode == "zeros" and not isinstance(module.padding, str)
        if depthwise and plain and padded:
            module.__class__ = SmallMapDepthwiseConv2d
            switched += 1
    return switched
