"""An abdomen sampled on a training grid, finer than its voxels, so that voxels hold shares of tissues."""

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import torch
from torch.nn import functional as F

from SACBRegistrationLib.training.abdomen_classes import BODY, NUMBER, STRUCTURES, structure_table
from SACBRegistrationLib.training.abdomen_deformation import Frame

_FINER = 2


@dataclass(frozen=True)
class AbdomenVolume:
    """Tissues at points twice as fine as a training grid's voxels.

    Attributes:
        classes: [points] int32, classes of `ABDOMEN_CLASSES`, of a grid [2D, 2H, 2W].
        frame: The training grid.
    """

    classes: torch.Tensor
    frame: Frame

    def pooled(self, table: np.ndarray) -> torch.Tensor:
        """Returns the mean over every voxel of a value per class ([classes]), [D, H, W] float32."""
        values = torch.from_numpy(table.astype(np.float32)).index_select(0, self.classes)
        return F.avg_pool3d(values.reshape(1, *(n * _FINER for n in self.frame.size)), _FINER)[0]

    @cached_property
    def body(self) -> torch.Tensor:
        """The share of every voxel that is no air around the body, [D, H, W]."""
        return self.pooled(np.arange(len(structure_table())) != NUMBER["air"])

    def structure_shares(self) -> torch.Tensor:
        """Returns the share of every voxel that each of `STRUCTURES` fills, [1, structures, D, H, W]."""
        size = self.frame.size
        voxels = int(np.prod(size))
        table = torch.from_numpy(structure_table())
        points = (table < len(STRUCTURES)).index_select(0, self.classes).nonzero()[:, 0]
        channel = table.index_select(0, self.classes[points])
        place = channel * voxels + _voxel_of_point(size)[points]
        shares = torch.zeros(len(STRUCTURES) * voxels)
        shares.index_add_(0, place, torch.full((1,), 1 / _FINER**3).expand(len(place)))
        shares = shares.reshape(len(STRUCTURES), *size)
        shares[STRUCTURES.index(BODY)] = self.body
        return shares[None]


@lru_cache(maxsize=4)
def _voxel_of_point(size: tuple[int, int, int]) -> torch.Tensor:
    """Returns the flat voxel index of every point, [8 * voxels] int64."""
    voxels = torch.arange(int(np.prod(size))).reshape(size)
    for axis in range(3):
        voxels = voxels.repeat_interleave(_FINER, dim=axis)
    return voxels.reshape(-1)


def sample_abdomen(
    classes: np.ndarray,
    spacing: float,
    middle: np.ndarray,
    affine: np.ndarray,
    displacement: torch.Tensor,
    frame: Frame,
    mirrored: bool,
) -> AbdomenVolume:
    """Returns a deformed abdomen.

    The point x of the frame (common coordinates) shows the abdomen at c + A(x - c + u(x)), with c the
    frame's middle and u the displacement.

    Args:
        classes: [D, H, W] uint8, air outermost.
        spacing: Voxel size of `classes`, mm.
        middle: [3] mm from the first voxel's centre to the origin of common coordinates.
        affine: [3, 4] A, mm.
        displacement: u on `frame.coarser()`, [3, D, H, W], mm.
        frame: The training grid.
        mirrored: Whether the anatomy's left is on the right.
    """
    coarse = frame.coarser()
    flip = np.diag([-1.0 if mirrored else 1.0, 1.0, 1.0])
    matrix = flip @ affine[:, :3] / spacing
    shift = (flip @ (affine[:, 3] + frame.center - affine[:, :3] @ frame.center) + middle) / spacing
    place = torch.einsum("ij,jdhw->idhw", torch.from_numpy(matrix).float(), coarse.points() + displacement)
    place += torch.from_numpy(shift).float().reshape(3, 1, 1, 1)
    bases = [_linear(n, m * _FINER) for n, m in zip(coarse.size, frame.size, strict=True)]
    place = torch.einsum("cdhw,xw->cdhx", place, bases[2])
    place = torch.einsum("cdhw,xh->cdxw", place, bases[1])
    flat = None
    for axis, side in enumerate(classes.shape):
        # Whole numbers below 2^24 are exact in float32.
        index = (bases[0] @ place[axis].flatten(1)).round_().clamp_(0, side - 1)
        flat = index if flat is None else flat.mul_(side).add_(index)
    sampled = torch.from_numpy(classes).reshape(-1).index_select(0, flat.reshape(-1).int())
    return AbdomenVolume(sampled.int(), frame)


@lru_cache(maxsize=16)
def _linear(samples: int, points: int) -> torch.Tensor:
    """Returns [points, samples] weights of linear interpolation between cell centres, extrapolated."""
    place = (np.arange(points) + 0.5) * samples / points - 0.5
    first = np.clip(np.floor(place).astype(int), 0, samples - 2)
    weights = np.zeros((points, samples), dtype=np.float32)
    weights[np.arange(points), first] = first + 1 - place
    weights[np.arange(points), first + 1] = place - first
    return torch.from_numpy(weights)
