"""Anatomical planes through a volume and the sampling of images on them."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid

_COARSE_MM = 3.0


@dataclass(frozen=True)
class Plane:
    """One picture plane, the right way up.

    Attributes:
        name: "axial", "coronal" or "sagittal".
        grid: One voxel thick grid of square pixels; x runs right, y runs down.
        letters: What lies at the left, right, top and bottom: letters of L, R, A, P, S, I.
    """

    name: str
    grid: Grid
    letters: tuple[str, str, str, str]

    @property
    def extent(self) -> tuple[float, float]:
        """Width and height, mm."""
        return tuple(self.grid.extent[:2])

    def sample(
        self, image: sitk.Image, interpolator: int = sitk.sitkLinear, default: float = 0.0
    ) -> np.ndarray:
        """Returns an image on the plane, [height, width] or [height, width, components].

        Args:
            image: Scalar or vector image.
            interpolator: sitk.sitkNearestNeighbor for labels.
            default: Value outside the image.
        """
        image = self._around(image)
        if interpolator != sitk.sitkNearestNeighbor and image.GetNumberOfComponentsPerPixel() == 1:
            image = sitk.Cast(image, sitk.sitkFloat32)
        return sitk.GetArrayFromImage(self.grid.resample(image, None, interpolator, default))[0]

    def _around(self, image: sitk.Image) -> sitk.Image:
        """Returns the part of an image that the plane can see, so that the rest need not be converted."""
        corners = Grid.from_image(image).to_index(self.grid.corners())
        last = np.asarray(image.GetSize()) - 1
        # A plane beside the image sees its outermost layers, which are as far away.
        low = np.clip(np.floor(corners.min(axis=0)) - 2, 0, np.maximum(last - 3, 0)).astype(int)
        high = np.clip(np.ceil(corners.max(axis=0)) + 2, np.minimum(low + 3, last), last).astype(int)
        return image[tuple(slice(int(a), int(b) + 1) for a, b in zip(low, high, strict=True))]

    def points(self) -> np.ndarray:
        """Returns the LPS mm of every pixel, [height, width, 3]."""
        width, height, _ = self.grid.size
        index = np.stack(np.meshgrid(np.arange(width), np.arange(height)), -1)
        return self.grid.to_lps(np.concatenate([index, np.zeros((height, width, 1))], axis=-1))


def anatomical_planes(fixed: sitk.Image, pixels: int = 360) -> tuple[Plane, Plane, Plane]:
    """Returns the axial, coronal and sagittal plane through the middle of the anatomy, cropped to it.

    Planes follow the image's own axes, so that an oblique scan is shown as it was taken. Patient right is on
    the left of the picture, anterior is at the top of the axial and the left of the sagittal plane.

    Args:
        fixed: Scalar image.
        pixels: Pixels along the longest side.
    """
    volume = Grid.from_image(fixed).reoriented("LPS")
    low, high = _anatomy(fixed, volume)
    center, extent = volume.to_lps((low + high) / 2), (high - low) * volume.spacing
    spacing = float(extent.max() / pixels)
    left, posterior, superior = volume.axes.T
    return (
        _plane("axial", center, (left, extent[0]), (posterior, extent[1]), spacing, ("R", "L", "A", "P")),
        _plane("coronal", center, (left, extent[0]), (-superior, extent[2]), spacing, ("R", "L", "S", "I")),
        _plane(
            "sagittal", center, (posterior, extent[1]), (-superior, extent[2]), spacing, ("A", "P", "S", "I")
        ),
    )


def _plane(
    name: str,
    center: np.ndarray,
    right: tuple[np.ndarray, float],
    down: tuple[np.ndarray, float],
    spacing: float,
    letters: tuple[str, str, str, str],
) -> Plane:
    axes = np.stack([right[0], down[0], np.cross(right[0], down[0])], axis=1)
    size = tuple(max(1, round(extent / spacing)) for _, extent in (right, down))
    origin = center - axes[:, :2] @ ((np.asarray(size) - 1) / 2 * spacing)
    grid = Grid(
        (*size, 1),
        (spacing, spacing, spacing),
        tuple(float(v) for v in origin),
        tuple(float(v) for v in axes.ravel()),
    )
    return Plane(name, grid, letters)


def _anatomy(fixed: sitk.Image, volume: Grid) -> tuple[np.ndarray, np.ndarray]:
    """Returns the box of the anatomy with a margin, as continuous indices (edges) of `volume`."""
    step = np.maximum(1, np.round(_COARSE_MM / np.asarray(volume.spacing))).astype(int)
    coarse = Grid(
        tuple(int(n) for n in np.maximum(1, np.asarray(volume.size) // step)),
        tuple(float(s) for s in np.asarray(volume.spacing) * step),
        tuple(float(v) for v in volume.to_lps((step - 1) / 2)),
        volume.direction,
    )
    values = sitk.GetArrayFromImage(coarse.resample(sitk.Cast(fixed, sitk.sitkFloat32))).transpose(2, 1, 0)
    dark, bright = np.percentile(values, (1, 99.5))
    mask = values > dark + 0.1 * (bright - dark)
    low, high = np.full(3, -0.5), np.asarray(volume.size) - 0.5
    margin = 6.0 / np.asarray(volume.spacing)
    for axis in range(3):
        counts = mask.sum(axis=tuple(other for other in range(3) if other != axis))
        # A few bright voxels (noise, a headrest) do not open the box.
        occupied = np.flatnonzero(counts > 0.02 * counts.max())
        if len(occupied):
            low[axis] = max(low[axis], occupied[0] * step[axis] - 0.5 - margin[axis])
            high[axis] = min(high[axis], (occupied[-1] + 1) * step[axis] - 0.5 + margin[axis])
    return low, high
