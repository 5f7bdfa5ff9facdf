"""Similarity matching: the flow of a level from refined features (paper, equations 8 to 10)."""

import torch
from torch.nn import functional as F

_TILE_VALUES = 2**18


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
    pad = window // 2
    shape = fixed.shape[2:]
    padded = F.pad(moving, [pad] * 6)
    if not torch.is_grad_enabled():
        flows = [_match_in_tiles(m, f, offsets) for m, f in zip(padded, fixed, strict=True)]
        return flows[0][None] if len(flows) == 1 else torch.stack(flows)
    scores = torch.stack([(fixed * shifted(padded, o, shape, pad)).sum(1) for o in offsets], dim=1)
    positions = torch.tensor(offsets, device=scores.device, dtype=scores.dtype)
    return torch.einsum("bkdhw,ki->bidhw", scores.softmax(dim=1), positions)


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
