"""The moving image of an alignment level at points that a linear transform leads to."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.alignment_levels import AlignmentLevel
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.linear import AffinePart, affine_part

# A moving image seen through a nonlinear transform is known so far beyond the fixed volume, mm.
_MARGIN = 40.0
# So many points at a time stay in the processor's cache; fresh memory costs more than the arithmetic.
_BLOCK = 2**13


@dataclass(frozen=True)
class Sampled:
    """The moving image at n points.

    Attributes:
        values: [n] float32, interpolated linearly; anything where not inside.
        inside: [n] bool, where the moving image (and its mask) reaches.
        slopes: [3, n] float32, exact derivatives of the values by the continuous index (x, y, z), or None.
    """

    values: np.ndarray
    inside: np.ndarray
    slopes: np.ndarray | None


class MovingSampler:
    """Samples the moving image at M (x - center) + target, and takes slopes back to M and target."""

    def __init__(self, level: AlignmentLevel, initial: sitk.Transform | None) -> None:
        """Takes the moving image as it is seen through a transform.

        Args:
            level: The pair.
            initial: Takes the points to moving points (LPS mm), or None. One that is not linear resamples the
                moving image on the fixed level's lattice, once.
        """
        moving, mask, before = level.moving, level.moving_mask, AffinePart(np.eye(3), np.zeros(3), True)
        if initial is not None:
            before = affine_part(initial, Grid.from_image(level.fixed))
            if not before.exact:
                moving, mask = _seen_through(level, initial)
                before = AffinePart(np.eye(3), np.zeros(3), True)
        self.image = moving
        self._values = np.ascontiguousarray(sitk.GetArrayViewFromImage(moving), np.float32).ravel()
        self._size = np.asarray(moving.GetSize())
        self._mask = None if mask is None else sitk.GetArrayFromImage(mask) != 0
        self._mask_grid = None if mask is None else Grid.from_image(mask)
        self._grid = Grid.from_image(moving)
        self._before = before
        self._to_index = np.linalg.inv(self._grid.matrix) @ before.matrix

    def sample(
        self, offsets: np.ndarray, matrix: np.ndarray, target: np.ndarray, with_slopes: bool
    ) -> Sampled:
        """Samples the moving image.

        Args:
            offsets: [3, n] float32, x - center, LPS mm.
            matrix: [3, 3], M.
            target: [3] LPS mm.
            with_slopes: Whether derivatives are wanted.
        """
        goal = self._before.matrix @ target + self._before.offset
        whole, shift = self._to_index @ matrix, self._grid.to_index(goal)
        count = offsets.shape[1]
        values, inside = np.empty(count, np.float32), np.empty(count, bool)
        slopes = np.empty((3, count), np.float32) if with_slopes else None
        last = (self._size - 1).astype(np.float32)[:, None]
        for start in range(0, count, _BLOCK):
            block = slice(start, min(start + _BLOCK, count))
            index = _moved(offsets[:, block], whole, shift)
            inside[block] = ((index >= -0.5) & (index <= last + 0.5)).all(axis=0)
            np.clip(index, 0, last, out=index)
            values[block], steps = self._interpolated(index, with_slopes)
            if with_slopes:
                slopes[:, block] = steps
        if self._mask is not None:
            inside &= self._in_mask(offsets, matrix, goal)
        return Sampled(values, inside, slopes)

    def by_transform(self, slopes: np.ndarray, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns derivatives by M, [3, 3], and by target, [3], from those by the index, [3, n]."""
        backward = self._to_index.T
        return backward @ (slopes @ offsets.T).astype(float), backward @ slopes.sum(axis=1, dtype=float)

    def _in_mask(self, offsets: np.ndarray, matrix: np.ndarray, goal: np.ndarray) -> np.ndarray:
        whole = np.linalg.inv(self._mask_grid.matrix) @ self._before.matrix @ matrix
        nearest = np.rint(_moved(offsets, whole, self._mask_grid.to_index(goal))).astype(np.intp)
        size = np.asarray(self._mask_grid.size)[:, None]
        within = ((nearest >= 0) & (nearest < size)).all(axis=0)
        x, y, z = np.clip(nearest, 0, size - 1)
        return within & self._mask[z, y, x]

    def _interpolated(self, index: np.ndarray, with_slopes: bool) -> tuple[np.ndarray, np.ndarray | None]:
        width, depth = int(self._size[0]), int(self._size[0] * self._size[1])
        first = np.minimum(index.astype(np.int32), (self._size - 2).astype(np.int32)[:, None])
        x, y, z = index - first
        corner = first[0] + width * first[1] + depth * first[2]
        v = [self._values[corner + shift] for shift in (0, 1, width, width + 1)]
        v += [self._values[corner + depth + shift] for shift in (0, 1, width, width + 1)]
        along = [v[1] - v[0], v[3] - v[2], v[5] - v[4], v[7] - v[6]]
        low, low_next, high, high_next = (v[2 * k] + x * step for k, step in enumerate(along))
        rise_low, rise_high = low_next - low, high_next - high
        below, above = low + y * rise_low, high + y * rise_high
        up = above - below
        values = below + z * up
        if not with_slopes:
            return values, None
        near, far = along[0] + y * (along[1] - along[0]), along[2] + y * (along[3] - along[2])
        return values, np.stack([near + z * (far - near), rise_low + z * (rise_high - rise_low), up])


def _moved(offsets: np.ndarray, matrix: np.ndarray, shift: np.ndarray) -> np.ndarray:
    return matrix.astype(np.float32) @ offsets + shift.astype(np.float32)[:, None]


def _seen_through(level: AlignmentLevel, initial: sitk.Transform) -> tuple[sitk.Image, sitk.Image]:
    """Returns moving(initial(x)) around the fixed volume, and where it is known."""
    grid = Grid.from_image(level.fixed)
    margin = tuple(int(np.ceil(_MARGIN / spacing)) for spacing in grid.spacing)
    grid = grid.padded(margin, margin)
    known = sitk.Image(level.moving.GetSize(), sitk.sitkUInt8) + 1
    known.CopyInformation(level.moving)
    nearest = sitk.sitkNearestNeighbor
    reached = grid.resample(known, initial, nearest)
    if level.moving_mask is not None:
        reached = sitk.And(reached, grid.resample(level.moving_mask, initial, nearest))
    return grid.resample(level.moving, initial), reached
