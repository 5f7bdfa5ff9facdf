"""Similarity matching: the flow of a level from refined features (paper, equations 8 to 10)."""

import torch
from torch.nn import functional as F

_TILE_VALUES = 2**21


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
    if fixed.dtype in (torch.float16, torch.bfloat16):
        # Scores of some tens, of which the softmax needs the differences.
        padded, fixed = padded.float(), fixed.float()
    scores = torch.stack([(fixed * shifted(padded, o, shape, pad)).sum(1) for o in offsets], dim=1)
    positions = torch.tensor(offsets, device=scores.device, dtype=scores.dtype)
    # Under autocast the product would be a flow in half precision, and doubled at every level from there.
    with torch.autocast(scores.device.type, enabled=False):
        return torch.einsum("bkdhw,ki->bidhw", scores.softmax(dim=1), positions)


def _match_in_tiles(padded, fixed, offsets):
    """Matches one sample, padded moving [C, D + 2 pad, ...] and fixed [C, D, H, W], in tiles of rows.

    With the channels last, the window around each voxel is a view of the padded features; the products are
    the only copy, and stay in the cache.
    """
    channels, depth, height, width = fixed.shape
    window = round(len(offsets) ** (1 / 3))
    target = fixed.permute(1, 2, 3, 0).contiguous()
    voxels = padded.permute(1, 2, 3, 0).contiguous()
    plane, row, voxel, one = voxels.stride()
    begin = voxels.storage_offset()
    positions = torch.tensor(offsets, device=fixed.device, dtype=fixed.dtype)
    result = voxels.new_empty(depth, height, width, 3)
    rows = max(1, min(height, _TILE_VALUES // (len(offsets) * channels * width)))
    scratch = voxels.new_empty(rows, width, window, window, window, channels)
    for d in range(depth):
        for h in range(0, height, rows):
            own = target[d, h : h + rows]
            shape = (len(own), width, window, window, window)
            around = voxels.as_strided(
                (*shape, channels), (row, voxel, plane, row, voxel, one), begin + d * plane + h * row
            )
            products = torch.mul(around, own[:, :, None, None, None], out=scratch[: len(own)])
            scores = products.view(*shape[:2], -1, channels).sum(-1)
            result[d, h : h + rows] = scores.softmax(-1) @ positions
    return result.permute(3, 0, 1, 2)
