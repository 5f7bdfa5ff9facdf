"""Small oblique, anisotropic, non-cubic volumes and smooth deformations for tests of fields and outputs."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import array_to_image


def rotation(x: float, y: float, z: float) -> np.ndarray:
    """Rotation by angles in degrees about the world axes."""
    transform = sitk.Euler3DTransform((0, 0, 0), *np.radians((x, y, z)))
    return np.asarray(transform.GetMatrix()).reshape(3, 3)


def oblique_grid(size, spacing, center, axes) -> Grid:
    """Grid around a centre; `axes` is the 3x3 direction matrix."""
    half = axes @ ((np.asarray(size) - 1) / 2 * np.asarray(spacing))
    return Grid(
        tuple(int(n) for n in size),
        tuple(float(s) for s in spacing),
        tuple(float(v) for v in np.asarray(center) - half),
        tuple(float(v) for v in np.ravel(axes)),
    )


@dataclass(frozen=True)
class Case:
    """A pair's geometry: u(x) = A(x + d(x)) - x with an analytic d.

    d is a sum of sine waves of `amplitude` mm and about `wavelength` mm length.
    """

    fixed_grid: Grid
    moving_grid: Grid
    network_grid: Grid
    alignment: sitk.Transform
    amplitude: float
    wavelength: float

    def deformation(self, points: np.ndarray) -> np.ndarray:
        """d(x), mm, at LPS points [..., 3]."""
        local = (points - self.fixed_grid.center) * 2 * np.pi / self.wavelength
        x, y, z = np.moveaxis(local, -1, 0)
        waves = (
            np.sin(y + 0.4) * np.cos(0.6 * z),
            np.cos(0.8 * z + 1) * np.sin(0.7 * x),
            np.sin(x + 0.5 * y),
        )
        return self.amplitude * np.stack(waves, -1)

    def phi(self) -> torch.Tensor:
        """d sampled on the network grid, in its voxels."""
        return phi_of(self.network_grid, self.deformation)

    def mapped(self, points: np.ndarray) -> np.ndarray:
        """T(x) = A(x + d(x))."""
        moved = points + self.deformation(points)
        flat = [self.alignment.TransformPoint(point) for point in moved.reshape(-1, 3)]
        return np.asarray(flat).reshape(points.shape)

    def points(self, count: int = 400, seed: int = 3, margin: float = 0.5) -> np.ndarray:
        """Random LPS points of the fixed volume; margin in voxels beyond the outermost centres."""
        size = np.asarray(self.fixed_grid.size)
        index = np.random.default_rng(seed).uniform(-margin, size - 1 + margin, (count, 3))
        return self.fixed_grid.to_lps(index)


def phi_of(grid: Grid, deformation) -> torch.Tensor:
    """A deformation function (LPS mm to mm) on a grid as [1, 3, D, H, W] voxels."""
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), -1)
    voxels = deformation(grid.to_lps(index)) @ np.linalg.inv(grid.matrix).T
    return torch.from_numpy(voxels).float().permute(3, 0, 1, 2)[None]


def make_case(
    amplitude: float = 4.0, wavelength: float = 90.0, alignment: sitk.Transform | None = None
) -> Case:
    """An oblique pair, 60 mm and 20 degrees apart, whose network grid covers the whole fixed volume."""
    fixed_axes = rotation(12, -9, 17) @ np.array([[0, 0, 1], [-1, 0, 0], [0, 1, 0]], float)
    fixed = oblique_grid((52, 38, 27), (1.3, 1.9, 2.7), (11, -23, 35), fixed_axes)
    network = fixed.reoriented("LIA")
    sizes = tuple(int(16 * np.ceil(extent / 2.1 / 16)) for extent in network.extent + 6)
    shifted = fixed.center + np.array((0.7, -0.4, 0.3))
    network = oblique_grid(sizes, (2.1, 2.1, 2.1), shifted, network.axes)
    if alignment is None:
        alignment = sitk.AffineTransform(3)
        alignment.SetMatrix(np.ravel(rotation(-14, 8, 11) @ np.diag((1.08, 0.95, 1.03))))
        alignment.SetCenter(fixed.center)
        alignment.SetTranslation((38.0, -29.0, 36.0))
    center = alignment.TransformPoint(fixed.center)
    moving = oblique_grid(
        (36, 44, 41), (2.2, 1.7, 1.5), center, rotation(-20, 15, -8) @ np.diag((-1, -1, 1.0))
    )
    return Case(fixed, moving, network, alignment, amplitude, wavelength)


def smooth_image(grid: Grid, seed: int = 0, pixel: int = sitk.sitkFloat32) -> sitk.Image:
    """An image of soft blobs, between 0 and about 1000."""
    generator = np.random.default_rng(seed)
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), -1)
    points = grid.to_lps(index)
    values = np.zeros(grid.size)
    for _ in range(12):
        center = grid.to_lps(generator.uniform(0, grid.size))
        values += 400 * np.exp(-((points - center) ** 2).sum(-1) / (2 * generator.uniform(8, 16) ** 2))
    return sitk.Cast(array_to_image(values.astype(np.float32), grid), pixel)
