"""Convolution and pooling of large volumes on a CPU, without gradients.

The results are those of `torch.nn.functional.conv3d` and `avg_pool3d` up to rounding. What differs is the way
there: vector units are filled, and volumes keep their channels last.
"""

from collections.abc import Sequence

import torch
from torch.nn import functional as F

_LANES = {"AVX512": 16}
_USUAL_LANES = 8
_LEAST_VOXELS = 2**15
_POOLED_VALUES = 2**17


def is_worth_it(x: torch.Tensor) -> bool:
    """Returns whether a volume [B, C, D, H, W] is handled here: large, on a CPU, and without gradients."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and x[0, 0].numel() >= _LEAST_VOXELS
        and x.shape[-1] % 4 == 0
    )


def convolve(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: Sequence[int] = (1, 1, 1)
) -> torch.Tensor:
    """Convolves with a 3x3x3 kernel.

    A convolution with few output channels leaves most of a vector unit idle. So f neighbours along w are
    computed at once, as f times as many channels of a convolution with stride f and a kernel f - 1 wider,
    whose channels-last result lies in memory as the wanted one does.

    Args:
        x: [B, C_in, D, H, W].
        weight: [C_out, C_in, 3, 3, 3].
        bias: [C_out] or None.
        padding: Zeros on both sides along d and h: 0 or 1; along w it is 1.

    Returns:
        [B, C_out, D, H, W], channels last; D and H are smaller by 2 where nothing was padded.
    """
    x = x.contiguous(memory_format=torch.channels_last_3d)
    fold = _fold(x.shape[-1], weight.shape[0])
    wide = _widened(weight, fold)
    biases = None if bias is None else bias.repeat(fold)
    result = strided_convolution(x, wide, biases, (1, 1, fold), padding)
    batch, _, depth, height, width = result.shape
    voxels = result.permute(0, 2, 3, 4, 1).reshape(batch, depth, height, width * fold, -1)
    # Without oneDNN the result comes in the other layout.
    return voxels.permute(0, 4, 1, 2, 3).contiguous(memory_format=torch.channels_last_3d)


def strided_convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
) -> torch.Tensor:
    """Convolves [B, C, D, H, W], channels last, by oneDNN where there is one.

    Left to itself, torch takes slower ways for small or flat volumes.
    """
    weight = weight.contiguous(memory_format=torch.channels_last_3d)
    if torch.backends.mkldnn.is_available() and x.dtype == torch.float32:
        return torch.mkldnn_convolution(x, weight, bias, padding, stride, (1, 1, 1), 1)
    return F.conv3d(x, weight, bias, stride, padding)


def halve(x: torch.Tensor) -> torch.Tensor:
    """Returns the mean of every 2x2x2 voxels of [B, C, D, H, W], channels last; D, H and W must be even.

    Torch's pooling knows only the other layout. The eight are added in its order, so that nothing is rounded
    differently.
    """
    voxels = x.permute(0, 2, 3, 4, 1)
    batch, depth, height, width, channels = voxels.shape
    pairs = voxels.unflatten(3, (-1, 2)).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
    result = x.new_empty(batch, depth // 2, height // 2, width // 2, channels)
    planes = max(1, _POOLED_VALUES // result[0, 0].numel())
    for sample, own in enumerate(pairs):
        for some, total in zip(own.split(planes), result[sample].split(planes), strict=True):
            first, *others = (some[:, d, :, h, :, w] for d in (0, 1) for h in (0, 1) for w in (0, 1))
            total.copy_(first)
            for other in others:
                total.add_(other)
            total.mul_(0.125)
    return result.permute(0, 4, 1, 2, 3)


def _fold(width: int, channels: int) -> int:
    """Returns how many neighbours are computed at once: as many as fill a vector and divide the width."""
    lanes = _LANES.get(torch.backends.cpu.get_cpu_capability(), _USUAL_LANES)
    fold = max(1, lanes // channels)
    fold = 1 << (fold.bit_length() - 1)
    while width % fold:
        fold //= 2
    return min(fold, 4)


def _widened(weight: torch.Tensor, fold: int) -> torch.Tensor:
    """Returns [fold C_out, C_in, 3, 3, fold + 2]: the kernel once for each of the neighbours, shifted."""
    if fold == 1:
        return weight
    outputs, inputs = weight.shape[:2]
    wide = weight.new_zeros(fold, outputs, inputs, 3, 3, fold + 2)
    for place in range(fold):
        wide[place, ..., place : place + 3] = weight
    return wide.reshape(fold * outputs, inputs, 3, 3, fold + 2)
