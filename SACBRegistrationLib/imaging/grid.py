"""A voxel grid in physical space (LPS mm) and the grids derived from it."""

from dataclasses import dataclass, replace

import numpy as np
import SimpleITK as sitk

# The letter names the direction in which the index grows, as in NIfTI tools: "LIA"'s axis 0 grows leftwards.
_LPS_LETTERS = (("L", "R"), ("P", "A"), ("S", "I"))


@dataclass(frozen=True)
class Grid:
    """Geometry of a 3D image; indices are (x, y, z), world coordinates are LPS mm, as in SimpleITK.

    Attributes:
        size: Number of voxels along each index axis.
        spacing: Distance of voxel centres along each index axis, mm.
        origin: Centre of voxel (0, 0, 0), LPS mm.
        direction: Row-major 3x3 orthonormal matrix; its columns are the index axes in LPS.
    """

    size: tuple[int, int, int]
    spacing: tuple[float, float, float]
    origin: tuple[float, float, float]
    direction: tuple[float, ...]

    @classmethod
    def from_image(cls, image: sitk.Image) -> "Grid":
        """Returns the grid of a 3D image."""
        return cls(image.GetSize(), image.GetSpacing(), image.GetOrigin(), image.GetDirection())

    @property
    def axes(self) -> np.ndarray:
        """[3, 3] matrix; column i is the unit vector of index axis i in LPS."""
        return np.asarray(self.direction, dtype=float).reshape(3, 3)

    @property
    def matrix(self) -> np.ndarray:
        """[3, 3] matrix that takes index offsets (voxels) to LPS offsets (mm)."""
        return self.axes * np.asarray(self.spacing)

    @property
    def extent(self) -> np.ndarray:
        """[3] lengths of the volume along its index axes, voxel edge to voxel edge, mm."""
        return np.asarray(self.size) * np.asarray(self.spacing)

    @property
    def center(self) -> np.ndarray:
        """[3] centre of the volume, LPS mm."""
        return self.to_lps((np.asarray(self.size) - 1) / 2)

    def to_lps(self, index: np.ndarray) -> np.ndarray:
        """Takes continuous indices [..., 3] (x, y, z) to LPS mm [..., 3]."""
        return np.asarray(index, dtype=float) @ self.matrix.T + np.asarray(self.origin)

    def to_index(self, point: np.ndarray) -> np.ndarray:
        """Takes LPS mm [..., 3] to continuous indices [..., 3] (x, y, z)."""
        offset = np.asarray(point, dtype=float) - np.asarray(self.origin)
        return offset @ np.linalg.inv(self.matrix).T

    def corners(self, margin: float = 0.5) -> np.ndarray:
        """Returns the [8, 3] corners in LPS mm, `margin` voxels outside the outermost voxel centres."""
        low = np.full(3, -margin)
        high = np.asarray(self.size) - 1 + margin
        choice = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), -1).reshape(-1, 3)
        return self.to_lps(np.where(choice, high, low))

    @property
    def axis_codes(self) -> str:
        """Three letters of L/R, P/A, S/I: the nearest anatomical direction in which each index grows."""
        rows = _assign_axes(self.axes)
        return "".join(
            _LPS_LETTERS[row][0 if self.axes[row, column] > 0 else 1] for column, row in enumerate(rows)
        )

    def reoriented(self, codes: str) -> "Grid":
        """Returns the same voxels with index axes permuted and flipped to the given axis codes.

        Args:
            codes: Three letters such as "LIA"; see `axis_codes`.

        Raises:
            ValueError: When the letters do not name three different axes.
        """
        wanted = [_letter(code) for code in codes]
        if sorted(row for row, _ in wanted) != [0, 1, 2]:
            raise ValueError(f"axis codes must name three different axes, not {codes!r}")
        rows = _assign_axes(self.axes)
        columns, start, axes = [], np.zeros(3), np.zeros((3, 3))
        for new, (row, sign) in enumerate(wanted):
            old = rows.index(row)
            columns.append(old)
            flip = np.sign(self.axes[row, old]) != sign
            axes[:, new] = self.axes[:, old] * (-1 if flip else 1)
            start[old] = self.size[old] - 1 if flip else 0
        return Grid(
            tuple(int(self.size[old]) for old in columns),
            tuple(float(self.spacing[old]) for old in columns),
            tuple(self.to_lps(start)),
            tuple(axes.ravel()),
        )

    def coarsened(self, factor: int) -> "Grid":
        """Returns the grid of block averages of `factor` voxels a side, with its half-voxel offset.

        A voxel of the result lies at the centre of the block that it averages; an incomplete block at the end
        is dropped, as average pooling does.
        """
        return replace(
            self,
            size=tuple(n // factor for n in self.size),
            spacing=tuple(s * factor for s in self.spacing),
            origin=tuple(self.to_lps(np.full(3, (factor - 1) / 2))),
        )

    def padded(self, low: tuple[int, int, int], high: tuple[int, int, int]) -> "Grid":
        """Returns the grid with `low` voxels added before index 0 and `high` after the end, per axis."""
        return replace(
            self,
            size=tuple(int(n + a + b) for n, a, b in zip(self.size, low, high, strict=True)),
            origin=tuple(self.to_lps(-np.asarray(low, dtype=float))),
        )

    def covering(self, points: np.ndarray) -> "Grid":
        """Returns the smallest part of the grid's lattice, which has no end, around LPS points [n, 3]."""
        index = self.to_index(points)
        # A point on a voxel's centre must not ask for the next voxel for its rounding error.
        first = np.floor(index.min(axis=0) + 1e-6).astype(int)
        last = np.ceil(index.max(axis=0) - 1e-6).astype(int)
        return self.padded(tuple(-first), tuple(last + 1 - np.asarray(self.size)))

    def resample(
        self,
        image: sitk.Image,
        transform: sitk.Transform | None = None,
        interpolator: int = sitk.sitkLinear,
        default: float = 0.0,
    ) -> sitk.Image:
        """Samples an image on this grid; `transform` takes this grid's points to the image's points."""
        return sitk.Resample(
            image,
            self.size,
            transform if transform is not None else sitk.Transform(3, sitk.sitkIdentity),
            interpolator,
            self.origin,
            self.spacing,
            self.direction,
            default,
            image.GetPixelID(),
        )


def _letter(code: str) -> tuple[int, int]:
    for row, (positive, negative) in enumerate(_LPS_LETTERS):
        if code == positive:
            return row, 1
        if code == negative:
            return row, -1
    raise ValueError(f"an axis code must be one of L, R, P, A, S, I, not {code!r}")


def _assign_axes(axes: np.ndarray) -> list[int]:
    """Returns for each index axis the anatomical axis (0 LR, 1 PA, 2 SI) it is nearest to, each used once."""
    from itertools import permutations

    best = max(permutations(range(3)), key=lambda rows: sum(abs(axes[row, i]) for i, row in enumerate(rows)))
    return list(best)
