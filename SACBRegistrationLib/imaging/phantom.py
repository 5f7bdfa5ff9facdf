"""A pair of brain images whose true transform is known: the bundled input of the demo and of tests."""

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.arrays import array_to_image
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.phantom_anatomy import BrainAnatomy
from SACBRegistrationLib.imaging.phantom_fields import Waves
from SACBRegistrationLib.imaging.phantom_transform import KnownTransform, rotation

_MOST_BUMP = 8.0  # mm
_FIXED_CENTER = np.array([14.0, -22.0, 31.0])  # LPS mm; scanners do not put the origin into the thalamus
_VOLUME_CENTER = _FIXED_CENTER + np.array([0.0, 2.0, -4.0])


@dataclass(frozen=True)
class PhantomPair:
    """Two images of one phantom brain, the moving one displaced, turned, scaled and deformed.

    Attributes:
        fixed: T1-like image, signed 16 bit, on an oblique anisotropic grid.
        moving: The same anatomy on another oblique grid with other axes and brightness, 32-bit float.
        fixed_labels: FreeSurfer label values on the fixed grid.
        moving_labels: The same on the moving grid, drawn from the anatomy and not resampled.
        truth: The transform with moving(truth(x)) = fixed(x).
        landmarks: [n, 3] points spread evenly over the brain in the fixed image, LPS mm.
    """

    fixed: sitk.Image
    moving: sitk.Image
    fixed_labels: sitk.Image
    moving_labels: sitk.Image
    truth: KnownTransform
    landmarks: np.ndarray

    def true_displacement(self, points: np.ndarray) -> np.ndarray:
        """Returns u(x) = truth(x) - x for points [..., 3], LPS mm."""
        return self.truth.displacement(points)

    def errors(self, transform: sitk.Transform) -> np.ndarray:
        """Returns how far a transform takes every landmark from where it belongs.

        Args:
            transform: Takes fixed points to moving points, LPS mm.

        Returns:
            [n] distances, mm.
        """
        reached = np.array([transform.TransformPoint(point) for point in self.landmarks.tolist()])
        return np.linalg.norm(reached - self.truth.to_moving(self.landmarks), axis=1)


def make_phantom_pair(seed: int = 0, landmarks: int = 4000, coarsening: float = 1.0) -> PhantomPair:
    """Makes a pair of images of one brain and the transform between them.

    The anatomy is a function of the point, so both images are drawn from it directly: the moving image at y
    shows the anatomy at truth^-1(y). Nothing is resampled, and the truth is exact.

    Args:
        seed: Chooses the individual, the transform and the noise; the same seed gives the same voxels.
        landmarks: Most landmarks to choose.
        coarsening: Factor on the voxel sizes; the volumes that the images cover and the truth stay.
    """
    generator = np.random.default_rng([seed, 1])
    anatomy = BrainAnatomy.random(seed)
    pose = rotation(np.array([0.5, 0.3, 1.0]), 5.0)
    truth = KnownTransform.random(generator, _FIXED_CENTER, _MOST_BUMP)
    fixed_grid = _grid(
        (156, 172, 150),
        (1.05, 1.2, 1.1),
        rotation(np.array([1.0, -0.4, 0.6]), 11.0),
        _VOLUME_CENTER,
        coarsening,
    )
    # Voxels run backwards, downwards and to the right, as in a sagittal acquisition.
    sagittal = np.array([[0.0, 0.0, -1.0], [1.0, 0.0, 0.0], [0.0, -1.0, 0.0]])
    moving_grid = _grid(
        (176, 180, 118),
        (1.2, 1.0, 1.5),
        rotation(np.array([-0.3, 1.0, 0.5]), 9.0) @ sagittal,
        truth.to_moving(_VOLUME_CENTER),
        coarsening,
    )

    def draw(grid: Grid, to_fixed, brightness, noise_seed: int) -> tuple[np.ndarray, np.ndarray]:
        points = to_fixed(_voxel_centers(grid)) - _FIXED_CENTER.astype(np.float32)
        value, label = anatomy.evaluate(points @ pose.astype(np.float32))
        return brightness(value.reshape(grid.size), grid, noise_seed), label.reshape(grid.size)

    with ThreadPoolExecutor(2) as pool:
        parts = [
            pool.submit(draw, fixed_grid, lambda points: points, _scanner_a, seed),
            pool.submit(draw, moving_grid, truth.to_fixed, _scanner_b, seed),
        ]
        (fixed, fixed_labels), (moving, moving_labels) = (part.result() for part in parts)
    brain = np.argwhere((fixed_labels != 0) & (fixed_labels != 24))
    chosen = generator.choice(brain, size=min(landmarks, len(brain)), replace=False)
    return PhantomPair(
        array_to_image(fixed, fixed_grid),
        array_to_image(moving, moving_grid),
        array_to_image(fixed_labels, fixed_grid),
        array_to_image(moving_labels, moving_grid),
        truth,
        fixed_grid.to_lps(chosen),
    )


def _grid(size: tuple, spacing: tuple, axes: np.ndarray, center: np.ndarray, coarsening: float) -> Grid:
    size = tuple(math.ceil(n / coarsening) for n in size)
    spacing = tuple(coarsening * s for s in spacing)
    half = axes @ ((np.asarray(size) - 1) / 2 * np.asarray(spacing))
    return Grid(size, spacing, tuple((center - half).tolist()), tuple(axes.ravel().tolist()))


def _voxel_centers(grid: Grid) -> np.ndarray:
    """Returns [N, 3] float32 LPS points of all voxels, index z fastest."""
    steps = [
        np.arange(n, dtype=np.float32)[:, None] * grid.matrix[:, i].astype(np.float32)
        for i, n in enumerate(grid.size)
    ]
    plane = steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :]
    return (plane + np.asarray(grid.origin, dtype=np.float32)).reshape(-1, 3)


def _scanner_a(value: np.ndarray, grid: Grid, seed: int) -> np.ndarray:
    return np.round(_acquired(value, grid, 880.0, 15.0, [seed, 2])).astype(np.int16)


def _scanner_b(value: np.ndarray, grid: Grid, seed: int) -> np.ndarray:
    return _acquired(value ** np.float32(1.2), grid, 190.0, 4.0, [seed, 3])


def _acquired(value: np.ndarray, grid: Grid, white: float, noise: float, seed: list[int]) -> np.ndarray:
    """Adds a smooth bias of about 6 percent and noise, as a scanner does; the stripped background stays 0."""
    generator = np.random.default_rng(seed)
    # The bias is smooth: a coarse lattice of it, linearly enlarged, is the same to the eye and cheap.
    bias = Waves.random(generator, 4, 150.0, 300.0)
    coarse = Grid(
        tuple(-(-n // 8) + 1 for n in grid.size),
        tuple(8 * s for s in grid.spacing),
        grid.origin,
        grid.direction,
    )
    points = _voxel_centers(coarse)
    lattice = array_to_image(bias.value(tuple(points.T)).reshape(coarse.size), coarse)
    smooth = sitk.GetArrayFromImage(grid.resample(lattice)).transpose(2, 1, 0)
    noisy = value * np.float32(white) * (1 + np.float32(0.06) * smooth)
    noisy += np.float32(noise) * generator.standard_normal(value.shape, dtype=np.float32)
    return np.where(value > 0, np.maximum(noisy, 0), 0).astype(np.float32)
