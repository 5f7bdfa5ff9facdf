"""Similarity matching: the flow of a level from refined features (paper, equations 8 to 10)."""

import torch
from torch.nn import functional as F


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
    scores = torch.stack([(fixed * shifted(padded, o, shape, pad)).sum(1) for o in offsets], dim=1)
    positions = torch.tensor(offsets, device=scores.device, dtype=scores.dtype)
    return torch.einsum("bkdhw,ki->bidhw", scores.softmax(dim=1), positions)
