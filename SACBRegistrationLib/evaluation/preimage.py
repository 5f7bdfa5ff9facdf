"""Which fixed points a displacement field can take into a region of the moving volume."""

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid

# Nodes per side of the blocks whose bounds are kept: 64 times fewer numbers, and hardly less tight.
_BLOCK = 4


class Preimage:
    """Bounds of T(x) = x + u(x) over blocks of a field, from which preimages of boxes are bounded.

    Between nodes u is trilinear, hence T(x) is a convex combination of T at the nodes around x, and a block's
    smallest and largest T per component bound T in all of it. No point is ever missed.

    Args:
        displacement_field: Vector image u, LPS mm.
    """

    def __init__(self, displacement_field: sitk.Image):
        grid = Grid.from_image(displacement_field)
        field = sitk.GetArrayViewFromImage(displacement_field)
        # The field reaches half a node beyond its outermost nodes, with their displacement.
        self._grid = grid.padded((1, 1, 1), (1, 1, 1))
        x, y, z = (
            np.arange(n)[:, None] * axis for n, axis in zip(self._grid.size, self._grid.matrix.T, strict=True)
        )
        plane = y[:, None] + x + np.asarray(self._grid.origin)
        nearest = [np.clip(np.arange(-1, n + 1), 0, n - 1) for n in field.shape[:3]]
        low, high = [], []
        for start in range(0, len(z) - 1, _BLOCK):
            part = slice(start, start + _BLOCK + 1)
            mapped = field[np.ix_(nearest[0][part], nearest[1], nearest[2])] + z[part, None, None] + plane
            low.append(_over_blocks(np.minimum, mapped.min(axis=0)))
            high.append(_over_blocks(np.maximum, mapped.max(axis=0)))
        self._low, self._high = np.stack(low), np.stack(high)

    def corners(self, low: np.ndarray, high: np.ndarray) -> np.ndarray | None:
        """Returns the corners of a box of fixed points that holds every x with low <= T(x) <= high.

        Args:
            low: [3] lower corner in moving space, LPS mm.
            high: [3] upper corner.

        Returns:
            [8, 3] LPS mm of a box along the field's axes, or None when the field takes no point there.
        """
        hit = np.argwhere(((self._low <= high) & (self._high >= low)).all(axis=-1))[:, ::-1]
        if not len(hit):
            return None
        size = np.asarray(self._grid.size)
        first = hit.min(axis=0) * _BLOCK
        last = np.minimum((hit.max(axis=0) + 1) * _BLOCK, size - 1)
        return self._grid.padded(tuple(-first), tuple(last + 1 - size)).corners(0)


def _over_blocks(extreme: np.ufunc, plane: np.ndarray) -> np.ndarray:
    """Returns the extreme over blocks of [y, x, 3]; neighbouring blocks share their border's nodes."""
    for axis in (0, 1):
        starts = np.arange(0, plane.shape[axis] - 1, _BLOCK)
        blocks = np.moveaxis(extreme.reduceat(plane, starts, axis), axis, 0)
        following = np.moveaxis(plane.take(starts[1:], axis), axis, 0)
        extreme(blocks[:-1], following, out=blocks[:-1])
        plane = np.moveaxis(blocks, 0, axis)
    return plane
