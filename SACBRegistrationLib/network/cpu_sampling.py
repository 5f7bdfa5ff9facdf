"""Trilinear sampling of volumes whose channels lie last on a CPU, without gradients.

The result is that of `torch.nn.functional.grid_sample` with aligned corners and zeros outside, up to
rounding. Torch treats every corner and channel on its own; here the eight corners of a voxel are eight rows
of a table [V, C], and their weighted sum is a bag of an embedding, which torch computes with full vectors.
"""

from collections.abc import Sequence
from itertools import product

import torch
from torch.nn import functional as F

_FAST = ("AVX2", "AVX512")


def is_worth_it(volume: torch.Tensor) -> bool:
    """Returns whether bags are fast for this volume here: torch has fast ones for x86 processors."""
    return volume.dtype == torch.float32 and torch.backends.cpu.get_cpu_capability() in _FAST


def sample(voxels: torch.Tensor, coordinates: Sequence[torch.Tensor]) -> torch.Tensor:
    """Samples a volume at many points.

    Args:
        voxels: [D, H, W, C] float32, contiguous.
        coordinates: Of the points along w, h and d, each [P], from -1 at the centre of an axis' first voxel
            to 1 at that of its last.

    Returns:
        [P, C]; zero where a corner lies outside.
    """
    depth, height, width, channels = voxels.shape
    places = [_place(own, size) for own, size in zip(coordinates, (width, height, depth), strict=True)]
    strides = [
        stride if size > 1 else 0 for stride, size in ((1, width), (width, height), (width * height, depth))
    ]
    (along_w, low_w), (along_h, low_h), (along_d, low_d) = places
    base = low_d.mul_(strides[2]).add_(low_h.mul_(strides[1])).add_(low_w)
    points = len(base)
    indices = base.new_empty(points, 8)
    weights = voxels.new_empty(points, 8)
    plane = [[w * h for w in along_w] for h in along_h]
    for k, (d, h, w) in enumerate(product((0, 1), repeat=3)):
        torch.add(base, d * strides[2] + h * strides[1] + w * strides[0], out=indices[:, k])
        torch.mul(plane[h][w], along_d[d], out=weights[:, k])
    offsets = torch.arange(0, 8 * points, 8, dtype=indices.dtype)
    return F.embedding_bag(
        indices.view(-1),
        voxels.view(-1, channels),
        offsets,
        mode="sum",
        per_sample_weights=weights.view(-1),
    )


def _place(coordinate: torch.Tensor, size: int) -> tuple[tuple[torch.Tensor, torch.Tensor], torch.Tensor]:
    """Returns the weights of two neighbours along an axis, zero outside, and the int32 index of the first."""
    # Rounded in the same order as torch's own sampling: random weights sharpen the difference a hundredfold.
    position = ((coordinate + 1) / 2).mul_(size - 1)
    # A flow that is not finite gives what is not finite, but no index outside.
    low = position.floor().nan_to_num_(0.0, 0.0, 0.0).clamp_(0, max(size - 2, 0))
    beyond = position.sub_(low)
    first = (1 - beyond.abs()).clamp_(min=0)
    second = torch.minimum(beyond, 2 - beyond).clamp_(min=0)
    return (first, second), low.int()
