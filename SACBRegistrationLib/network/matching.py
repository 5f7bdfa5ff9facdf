"""Similarity matching: the flow of a level from refined features (paper, equations 8 to 10)."""

import torch
from torch.nn import functional as F

from SACBRegistrationLib.network import triton_support
from SACBRegistrationLib.network.precision import at_least_float32, without_autocast

_TILE_VALUES = 2**18
_SLAB_VALUES = 2**25


def window_offsets(window: int) -> list[tuple[int, int, int]]:
    """Returns the offsets (d, h, w) of a cubic window, in voxels, w fastest.

    Raises:
        ValueError: When the window is not odd and positive.
    """
    if window < 1 or window % 2 == 0:
        raise ValueError(f"a matching window must be odd and positive, not {window}")
    reach = range(-(window // 2), window // 2 + 1)
    return [(d, h, w) for d in reach for h in reach for w in reach]


def shifted(padded: torch.Tensor, offset: tuple[int, int, int], shape: torch.Size, pad: int) -> torch.Tensor:
    """Returns the view v -> x(v + offset) of a tensor that was padded by `pad` on every side.

    Args:
        padded: [..., D + 2 pad, H + 2 pad, W + 2 pad].
        offset: (d, h, w) in voxels, each at most `pad`.
        shape: (D, H, W) of the unpadded tensor.
        pad: Padding of every side.
    """
    d, h, w = (pad + o for o in offset)
    return padded[..., d : d + shape[0], h : h + shape[1], w : w + shape[2]]


def planes_at_once(values: int) -> int:
    """Returns how many planes along D a GPU treats at once, from the values that one plane takes."""
    return max(1, _SLAB_VALUES // values)


def match(moving: torch.Tensor, fixed: torch.Tensor, window: int = 3) -> torch.Tensor:
    """Estimates for each fixed voxel where in the window around it the moving features match best.

    The score of an offset is the unscaled dot product of the features, zero outside the moving grid; the
    result is the softmax-weighted mean offset.

    Args:
        moving: [B, C, D, H, W], refined and already warped.
        fixed: [B, C, D, H, W].
        window: Odd width of the search window, voxels.

    Returns:
        [B, 3, D, H, W] in voxels of this level, channels (d, h, w).
    """
    offsets = window_offsets(window)
    if triton_support.serves(fixed):
        from SACBRegistrationLib.network.triton_kernels import match_triton

        return match_triton(moving, fixed, window)
    # A position rounded to half precision would be off by up to a voxel.
    with without_autocast(fixed.device.type):
        padded = F.pad(at_least_float32(moving), [window // 2] * 6)
        fixed = at_least_float32(fixed)
        if torch.is_grad_enabled():
            return _match_whole(padded, fixed, offsets)
        if fixed.device.type != "cpu":
            return _match_in_slabs(padded, fixed, offsets)
        flows = [_match_in_tiles(m, f, offsets) for m, f in zip(padded, fixed, strict=True)]
        return flows[0][None] if len(flows) == 1 else torch.stack(flows)


def _match_whole(padded, fixed, offsets):
    """Matches padded moving [B, C, D + 2 pad, ...] and fixed [B, C, D, H, W]; gradients flow."""
    shape, pad = fixed.shape[2:], offsets[-1][0]
    scores = torch.stack([(fixed * shifted(padded, o, shape, pad)).sum(1) for o in offsets], dim=1)
    # Made on the device: a copy from the host would be waited for.
    reach = torch.arange(-pad, pad + 1, device=scores.device, dtype=scores.dtype)
    positions = torch.stack(torch.meshgrid(reach, reach, reach, indexing="ij")).flatten(1)
    return torch.einsum("bkdhw,ik->bidhw", scores.softmax(dim=1), positions)


def _match_in_slabs(padded, fixed, offsets):
    """Matches as `_match_whole` does, in slabs that bound the memory of wide windows."""
    depth, pad = fixed.shape[2], offsets[-1][0]
    planes = planes_at_once(len(offsets) * fixed[:, 0, 0].numel())
    parts = [
        _match_whole(padded[:, :, d : d + planes + 2 * pad], fixed[:, :, d : d + planes], offsets)
        for d in range(0, depth, planes)
    ]
    return torch.cat(parts, dim=2)


def _match_in_tiles(padded, fixed, offsets):
    """Matches one sample, padded moving [C, D + 2 pad, ...] and fixed [C, D, H, W], a few planes at a time.

    With the channels first, vector units run along the rows; the products of one offset stay in the cache.
    """
    channels, depth, height, width = fixed.shape
    pad = (padded.shape[1] - depth) // 2
    moving = padded.contiguous()
    positions = torch.tensor(offsets, device=fixed.device, dtype=fixed.dtype)
    result = fixed.new_empty(3, depth, height, width)
    planes = max(1, _TILE_VALUES // (channels * height * width))
    scratch = fixed.new_empty(channels, planes, height, width)
    scores = fixed.new_empty(len(offsets), planes, height, width)
    for start in range(0, depth, planes):
        own = fixed[:, start : start + planes].contiguous()
        count = own.shape[1]
        around = moving[:, start : start + count + 2 * pad]
        for k, offset in enumerate(offsets):
            products = torch.mul(own, shifted(around, offset, own.shape[1:], pad), out=scratch[:, :count])
            torch.sum(products, 0, out=scores[k, :count])
        weights = scores[:, :count].softmax(0)
        expected = positions.T @ weights.view(len(offsets), -1)
        result[:, start : start + count] = expected.view(3, count, height, width)
    return result
