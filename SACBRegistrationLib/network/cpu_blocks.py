"""Blocks of convolution, instance normalisation and LeakyReLU on a CPU, a few planes at a time.

The results are those of torch's own layers up to rounding. A few planes at a time are convolved, measured and
stored while they lie in the cache, and normalised when the next convolution reads them; where it can, a
result overwrites what it was made of, since memory that was never used before is the slowest.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from SACBRegistrationLib.network.cpu_layers import convolve

_SLAB_VALUES = 2**21
_FEW_ROWS = 24

Kernel = tuple[torch.Tensor, torch.Tensor]
"""Weight [C_out, C_in, 3, 3, 3] and bias [C_out] of a convolution."""


@dataclass(frozen=True)
class Normalization:
    """What the instance normalisation and the activation after it need.

    Attributes:
        eps: Added to the variance.
        negative_slope: Of the LeakyReLU.
    """

    eps: float
    negative_slope: float


@dataclass(frozen=True)
class _Volume:
    """A volume [D, H, W, C] whose normalisation is still to come where scale and shift [C] are given."""

    voxels: torch.Tensor
    scale: torch.Tensor | None = None
    shift: torch.Tensor | None = None

    def read(self, start: int, stop: int, out: torch.Tensor, negative_slope: float) -> None:
        """Writes the planes start to stop - 1, normalised, into [planes, H, W, C]."""
        planes = self.voxels[start:stop]
        if self.scale is None:
            out.copy_(planes)
            return
        # Long rows let the vector units run over many voxels; channels alone would be too few.
        rows, width = out.view(-1, planes.shape[2] * planes.shape[3]), planes.shape[2]
        torch.addcmul(self.shift.repeat(width), planes.view_as(rows), self.scale.repeat(width), out=rows)
        F.leaky_relu_(rows, negative_slope)


def apply_blocks(
    volumes: list[torch.Tensor], kernels: Sequence[Kernel], normalization: Normalization, overwrite: bool
) -> torch.Tensor:
    """Applies blocks one after the other.

    Args:
        volumes: One volume [B, C, D, H, W], or several whose channels together are the first block's input;
            emptied, so that memory becomes free as soon as it can.
        kernels: One for each block.
        normalization: That of every block.
        overwrite: Whether the volumes may be used for the result.

    Returns:
        [B, C_out, D, H, W], channels last.
    """
    batch = len(volumes[0])
    if batch == 1:
        parts = [_Volume(x[0].permute(1, 2, 3, 0)) for x in volumes]
        volumes.clear()
        return _apply(parts, kernels, normalization, overwrite)[None].permute(0, 4, 1, 2, 3)
    results = []
    for sample in range(batch):
        parts = [_Volume(x[sample].permute(1, 2, 3, 0)) for x in volumes]
        results.append(_apply(parts, kernels, normalization, overwrite=False))
    volumes.clear()
    return torch.stack(results).permute(0, 4, 1, 2, 3)


def _apply(parts: list[_Volume], kernels, normalization, overwrite) -> torch.Tensor:
    """Returns the last block's result [D, H, W, C]; empties the list."""
    for weight, bias in kernels:
        reusable = (
            overwrite and parts[0].voxels.is_contiguous() and weight.shape[0] == parts[0].voxels.shape[3]
        )
        sides = parts[0].voxels.shape[:3]
        out = parts[0].voxels if reusable else weight.new_empty(*sides, weight.shape[0])
        total = _convolve(parts, weight, bias, out, normalization.negative_slope)
        parts[:] = [_Volume(out, *_scale_and_shift(out, total, normalization.eps))]
        overwrite = True
    (last,) = parts
    parts.clear()
    for start in range(0, len(last.voxels), _planes(last.voxels)):
        stop = min(start + _planes(last.voxels), len(last.voxels))
        last.read(start, stop, last.voxels[start:stop], normalization.negative_slope)
    return last.voxels


def _planes(voxels: torch.Tensor) -> int:
    """Returns how many planes of [D, H, W, C] are treated at a time, with two more on the way in."""
    return min(len(voxels), max(2, _SLAB_VALUES // voxels[0].numel() - 2))


def _convolve(parts, weight, bias, out, negative_slope) -> torch.Tensor:
    """Convolves the parts [D, H, W, C] into `out`, which may be one of them; returns the sums [C]."""
    depth, *sides = out.shape[:3]
    planes = min(_planes(part.voxels) for part in (*parts, _Volume(out)))
    kernels = weight.split([part.voxels.shape[3] for part in parts], dim=1)
    # Planes start - 1 to stop of every part, normalised: what `out` overwrites is no longer needed.
    windows = [weight.new_zeros(planes + 2, *sides, part.voxels.shape[3]) for part in parts]
    total = torch.zeros(len(weight), dtype=torch.float64)
    for start in range(0, depth, planes):
        stop = min(start + planes, depth)
        first = start + 1 if start else 0
        last = min(stop + 1, depth)
        result = None
        for part, window, kernel in zip(parts, windows, kernels, strict=True):
            if start:
                window[:2] = window[planes:].clone()
            offset = 1 - start
            part.read(first, last, window[first + offset : last + offset], negative_slope)
            window[last + offset :].zero_()
            own = window[: stop - start + 2].permute(3, 0, 1, 2)[None]
            convolved = convolve(own, kernel, bias if result is None else None, padding=(0, 1, 1))
            result = convolved if result is None else result.add_(convolved)
        result = result[0].permute(1, 2, 3, 0)
        for plane in result:
            total += _sums(plane)
        out[start:stop] = result
    return total


def _scale_and_shift(
    voxels: torch.Tensor, total: torch.Tensor, eps: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns scale and shift [C], with which x * scale + shift has mean 0 and variance 1.

    Rounded where torch's own normalisation rounds, in differences, squares, variance, scale, and in one
    multiplication with addition later: random weights sharpen a difference in the last digit a hundredfold.

    Args:
        voxels: [D, H, W, C].
        total: [C] the sum over all voxels, float64.
        eps: Added to the variance.
    """
    count = voxels[..., 0].numel()
    mean = (total / count).float()
    of_row = mean.repeat(voxels.shape[2])
    squares = torch.zeros_like(total)
    scratch = torch.empty_like(voxels[0])
    for plane in voxels:
        rows = scratch.view(-1, len(of_row))
        torch.sub(plane.view_as(rows), of_row, out=rows)
        squares += _sums(scratch.square_())
    variance = (squares.float() / count).double()
    scale = (variance + eps).rsqrt().float()
    return scale, -(mean * scale)


def _sums(plane: torch.Tensor) -> torch.Tensor:
    """Returns the sums [C] over the voxels of a plane [H, W, C], float64.

    The first additions are float32, of pairs: exact for the equal values of a background, whose errors would
    add up.
    """
    rows = plane.view(len(plane), -1)
    while len(rows) % 2 == 0 and len(rows) > _FEW_ROWS:
        upper, lower = rows.chunk(2)
        rows = upper + lower
    return rows.sum(0, dtype=torch.float64).view(plane.shape[1:]).sum(0)
