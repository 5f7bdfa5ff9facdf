"""Oblique, anisotropic, non-cubic volumes of known content, and displaced copies of real ones."""

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.resampling import resample
from SACBRegistrationLib.imaging.tensors import array_to_image


def rotation(*degrees: float) -> np.ndarray:
    """Returns the matrix that turns about the world's x, y and z axes by these angles."""
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*np.radians(degrees))
    return np.asarray(turn.GetMatrix()).reshape(3, 3)


def oblique_grid(
    size: tuple[int, int, int] = (38, 30, 24),
    spacing: tuple[float, float, float] = (1.1, 1.7, 2.3),
    center: tuple[float, float, float] = (12.0, -31.0, 47.0),
    degrees: tuple[float, float, float] = (11.0, -17.0, 23.0),
    left_handed: bool = False,
) -> Grid:
    """Returns a grid whose axes, spacings and sizes all differ."""
    axes = rotation(*degrees)
    if left_handed:
        axes = axes * np.array([1.0, -1.0, 1.0])
    half = (np.asarray(size) - 1) / 2 * np.asarray(spacing)
    origin = np.asarray(center) - axes @ half
    return Grid(size, spacing, tuple(origin), tuple(axes.ravel()))


def points_of(grid: Grid) -> np.ndarray:
    """Returns the voxel centres as SimpleITK computes them, [x, y, z, 3] LPS mm."""
    return np.moveaxis(
        sitk.GetArrayFromImage(
            sitk.PhysicalPointSource(
                sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
            )
        ),
        (0, 1, 2),
        (2, 1, 0),
    )


def blobs(grid: Grid, center: np.ndarray | None = None, background: float = 0.0) -> sitk.Image:
    """Returns three overlapping ellipsoids without any symmetry, float32.

    Args:
        grid: Where to draw.
        center: Where to draw around, LPS mm; None is the grid's centre.
        background: Value outside them.
    """
    local = points_of(grid) - (grid.center if center is None else np.asarray(center))
    values = np.full(grid.size, background, np.float32)
    for middle, radii, value in (
        ((0, 0, 0), (17, 21, 19), 60.0),
        ((-6, 5, 3), (7, 6, 9), 100.0),
        ((5, -9, -6), (5, 7, 4), 30.0),
    ):
        values[(((local - middle) / radii) ** 2).sum(axis=-1) < 1] = background + value
    return array_to_image(values, grid)


def rigid(
    center: np.ndarray, degrees: tuple[float, float, float], shift: np.ndarray
) -> sitk.Euler3DTransform:
    """Returns the transform that turns about a point and shifts, LPS mm."""
    transform = sitk.Euler3DTransform()
    transform.SetCenter(tuple(map(float, center)))
    transform.SetRotation(*np.radians(degrees))
    transform.SetTranslation(tuple(map(float, shift)))
    return transform


def random_rigid(
    rng: np.random.Generator, center: np.ndarray, angle: float, shift: float
) -> sitk.VersorRigid3DTransform:
    """Returns a random pose: half to all of `angle` degrees and of `shift` mm, about and along any axis."""
    axis, way = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    transform = sitk.VersorRigid3DTransform()
    transform.SetCenter(tuple(map(float, center)))
    transform.SetRotation(tuple(map(float, axis)), float(np.radians(rng.uniform(angle / 2, angle))))
    transform.SetTranslation(tuple(way * rng.uniform(shift / 2, shift)))
    return transform


def displaced_copy(
    image: sitk.Image, truth: sitk.Transform, rng: np.random.Generator, kind: str
) -> sitk.Image:
    """Returns a copy of a scan, moved by a rigid transform that takes the scan's points to the copy's.

    Args:
        image: The scan.
        truth: The transform.
        rng: Source of the copy's grid, noise and contrast.
        kind: "header" moves the voxels as they are; "oblique" samples them on a turned grid of unequal
            spacings, off its centre; "noisy" does so and adds noise and another contrast.
    """
    grid = Grid.from_image(image)
    origin = np.asarray(truth.TransformPoint(grid.origin))
    axes = np.stack(
        [np.asarray(truth.TransformVector(tuple(axis), grid.origin)) for axis in grid.axes.T], axis=1
    )
    moved = sitk.Image(image)
    moved.SetOrigin(tuple(origin))
    moved.SetDirection(tuple(axes.ravel()))
    if kind == "header":
        return moved
    spacing = rng.permutation((0.9, 1.3, 2.5))
    turned = rotation(*rng.uniform(-15, 15, 3))
    whole = Grid.from_image(moved)
    corners = whole.corners() @ turned
    low = corners.min(axis=0) - rng.uniform(0, 25, 3)
    size = np.ceil((corners.max(axis=0) - low) / spacing).astype(int)
    target = Grid(
        tuple(map(int, size)), tuple(map(float, spacing)), tuple(turned @ low), tuple(turned.ravel())
    )
    copy = resample(moved, target)
    if kind == "noisy":
        values = sitk.GetArrayFromImage(copy)
        top = np.percentile(values, 99.5)
        values = top * (np.clip(values, 0, None) / top) ** 0.6
        noise = rng.normal(scale=0.04 * top, size=(2, *values.shape))
        copy = sitk.GetImageFromArray(np.hypot(values + noise[0], noise[1]).astype(np.float32))
        copy.SetOrigin(target.origin)
        copy.SetSpacing(target.spacing)
        copy.SetDirection(target.direction)
    return copy


def mean_error(found: sitk.Transform, truth: sitk.Transform, mask: sitk.Image, every: int = 8) -> float:
    """Returns the mean distance of two transforms over a mask, mm, at every n-th voxel along each axis."""
    coarse = mask[::every, ::every, ::every]
    indices = np.argwhere(sitk.GetArrayViewFromImage(coarse).transpose(2, 1, 0) != 0)
    points = [coarse.TransformIndexToPhysicalPoint(index.tolist()) for index in indices]
    distances = [np.subtract(found.TransformPoint(point), truth.TransformPoint(point)) for point in points]
    return float(np.linalg.norm(distances, axis=1).mean())
