"""Convolution and normalisation of large volumes on a CPU, without gradients.

The results are those of `torch.nn.functional.conv3d`, `instance_norm` and `leaky_relu` up to rounding. What
differs is the way there: vector units are filled, and memory is read as few times as possible.
"""

import torch
from torch.nn import functional as F

_VECTOR_CHANNELS = 16
_CHUNK_VALUES = 2**18
_ROW_VALUES = 4096
_LEAST_VOXELS = 2**15


def is_worth_it(x: torch.Tensor) -> bool:
    """Returns whether a volume [B, C, D, H, W] is handled here: large, on a CPU, and without gradients."""
    return (
        x.device.type == "cpu"
        and x.dtype == torch.float32
        and not torch.is_grad_enabled()
        and x[0, 0].numel() >= _LEAST_VOXELS
        and x.shape[-1] % 4 == 0
    )


def convolve(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
    """Convolves with a 3x3x3 kernel, zero-padded by 1.

    A convolution with few output channels leaves most of a vector unit idle. So f neighbours along w are
    computed at once, as f times as many channels of a convolution with stride f and a kernel f - 1 wider,
    whose channels-last result lies in memory as the wanted one does.

    Args:
        x: [B, C_in, D, H, W].
        weight: [C_out, C_in, 3, 3, 3].
        bias: [C_out] or None.

    Returns:
        [B, C_out, D, H, W], channels last.
    """
    x = x.contiguous(memory_format=torch.channels_last_3d)
    fold = _fold(x.shape[-1], weight.shape[0])
    wide = _widened(weight, fold).contiguous(memory_format=torch.channels_last_3d)
    biases = None if bias is None else bias.repeat(fold)
    result = F.conv3d(x, wide, biases, stride=(1, 1, fold), padding=1)
    batch, _, depth, height, width = result.shape
    voxels = result.permute(0, 2, 3, 4, 1).reshape(batch, depth, height, width * fold, -1)
    # Small convolutions are computed by another library, in the other layout.
    return voxels.permute(0, 4, 1, 2, 3).contiguous(memory_format=torch.channels_last_3d)


def normalize_and_activate_(x: torch.Tensor, eps: float, negative_slope: float) -> torch.Tensor:
    """Normalises every channel of every sample to mean 0 and variance 1, then LeakyReLU, in place.

    Args:
        x: [B, C, D, H, W], channels last; overwritten.
        eps: Added to the variance.
        negative_slope: Of the LeakyReLU.

    Returns:
        x.
    """
    for sample in x:
        rows, voxels = _rows(sample)
        channels, repeats = sample.shape[0], rows.shape[1] // sample.shape[0]

        chunks = rows.split(max(1, _CHUNK_VALUES // rows.shape[1]))
        totals = torch.zeros(rows.shape[1], dtype=torch.float64)
        for chunk in chunks:
            totals += chunk.sum(0, dtype=torch.float64)
        mean = (totals.view(repeats, channels).sum(0) / voxels).float().repeat(repeats)
        totals.zero_()
        scratch = torch.empty_like(chunks[0])
        for chunk in chunks:
            totals += torch.sub(chunk, mean, out=scratch[: len(chunk)]).square_().sum(0, dtype=torch.float64)
        # Rounded where torch's own normalisation rounds, here and in one multiplication with addition below:
        # random weights sharpen a difference in the last digit a hundredfold.
        variance = (totals.view(repeats, channels).sum(0).float() / voxels).double()
        scale = (variance + eps).rsqrt().float().repeat(repeats)
        shift = -(mean * scale)
        for chunk in chunks:
            F.leaky_relu_(torch.addcmul(shift, chunk, scale, out=chunk), negative_slope)
    return x


def _fold(width: int, channels: int) -> int:
    """Returns how many neighbours are computed at once: as many as fill a vector and divide the width."""
    fold = max(1, _VECTOR_CHANNELS // channels)
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


def _rows(sample: torch.Tensor) -> tuple[torch.Tensor, int]:
    """Returns a channels-last volume [C, D, H, W] as [rows, whole voxels side by side], and its voxels.

    Long rows let the vector units run over several voxels; channels alone would be too few.
    """
    channels, voxels = sample.shape[0], sample[0].numel()
    together = 1
    while voxels % (2 * together) == 0 and 2 * together * channels <= _ROW_VALUES:
        together *= 2
    return sample.permute(1, 2, 3, 0).view(-1, together * channels), voxels
