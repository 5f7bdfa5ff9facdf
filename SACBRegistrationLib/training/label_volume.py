"""A head sampled on a training grid, finer than its voxels, so that voxels hold shares of classes."""

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from torch.nn import functional as F

from SACBRegistrationLib.training.label_classes import BACKGROUND, STRUCTURES, mirror_table, structure_table
from SACBRegistrationLib.training.label_maps import LabelMap

_POINTS = 8  # sampled points per voxel, two along each axis


@dataclass(frozen=True)
class LabelVolume:
    """The sampled points that are no background; a voxel is the block of 2x2x2 points.

    Attributes:
        classes: Compact class of every point, [P] int64.
        blocks: Flat index of the voxel that holds the point, [P] int64.
        size: Voxels along D, H, W.
        spacing: Voxel size, mm.
    """

    classes: torch.Tensor
    blocks: torch.Tensor
    size: tuple[int, int, int]
    spacing: float

    def kept(self, chosen: torch.Tensor) -> "LabelVolume":
        """Returns the volume with the points outside the mask [P] turned into background."""
        return replace(self, classes=self.classes[chosen], blocks=self.blocks[chosen])

    def pooled(self, values: torch.Tensor) -> torch.Tensor:
        """Returns the mean of the points' values [P] in every voxel, [1, D, H, W]; background counts as 0."""
        sums = torch.zeros(int(np.prod(self.size))).index_add_(0, self.blocks, values)
        return sums.reshape(1, *self.size) / _POINTS

    def structure_shares(self) -> torch.Tensor:
        """Returns the share of every voxel that each of `STRUCTURES` fills, [1, structures, D, H, W]."""
        voxels = int(np.prod(self.size))
        place = torch.from_numpy(structure_table())[self.classes] * voxels + self.blocks
        counts = torch.bincount(place, minlength=(len(STRUCTURES) + 1) * voxels)
        shares = counts[: len(STRUCTURES) * voxels].float() / _POINTS
        return shares.reshape(1, len(STRUCTURES), *self.size)


def sample_head(
    head: LabelMap, affine: np.ndarray, field: torch.Tensor, spacing: float, mirrored: bool
) -> LabelVolume:
    """Returns a deformed head; the grid's middle is the middle of the common brain.

    The point x of the grid (mm from its middle) shows the head at pose(affine(x + field(x))).

    Args:
        head: The label map.
        affine: [3, 4], mm along D, H, W.
        field: Displacement, [3, D, H, W], mm.
        spacing: Voxel size of the grid, mm.
        mirrored: Whether to exchange left and right.
    """
    size = tuple(field.shape[1:])
    full = after(np.diag(1 / np.asarray(head.spacing)), after(head.pose, affine))
    if mirrored:
        full[:, 0] *= -1
    matrix = torch.from_numpy(full.astype(np.float32))
    place = torch.zeros_like(field)
    for axis, n in enumerate(size):
        line = (torch.arange(n, dtype=torch.float32) - (n - 1) / 2) * spacing
        place[axis] = field[axis] + line.reshape([-1 if a == axis else 1 for a in range(3)])
    place = (matrix[:, :3] @ place.reshape(3, -1) + matrix[:, 3:]).reshape(1, 3, *size)
    # Points lie a quarter of a voxel to either side of the centre; the affine part is interpolated exactly.
    place = F.interpolate(place, scale_factor=2, mode="trilinear", align_corners=False)[0].round_()
    flat = torch.zeros(place.shape[1:])
    for axis, side in enumerate(head.classes.shape):
        # Whole numbers below 2^24 are exact in float32.
        flat = flat.mul_(side).add_(place[axis].clamp_(0, side - 1))
    classes = torch.from_numpy(head.classes).reshape(-1)[flat.reshape(-1).long()]
    points = (classes != BACKGROUND).nonzero()[:, 0]
    classes = classes[points].long()
    if mirrored:
        classes = torch.from_numpy(mirror_table()).long()[classes]
    return LabelVolume(classes, _block_of_point(size)[points], size, spacing)


def after(second: np.ndarray, first: np.ndarray) -> np.ndarray:
    """Returns the [3, 4] affine that applies `first`, then `second` ([3, 4], or [3, 3] without a shift)."""
    shift = second[:, 3:].sum(axis=1, keepdims=True)
    return np.concatenate([second[:, :3] @ first[:, :3], second[:, :3] @ first[:, 3:] + shift], axis=1)


@lru_cache(maxsize=4)
def _block_of_point(size: tuple[int, int, int]) -> torch.Tensor:
    """Returns the flat voxel index of every point, [8 * voxels] int64."""
    voxels = torch.arange(int(np.prod(size))).reshape(size)
    for axis in range(3):
        voxels = voxels.repeat_interleave(2, dim=axis)
    return voxels.reshape(-1)
