"""Volumes of a run between raw files and SimpleITK, and those derived from the displacement field."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.jacobian import jacobian_determinant
from SACBRegistrationLib.worker.arrays import ArrayFile, read_steps, write_steps


def read_image(file: ArrayFile, folder: Path) -> sitk.Image:
    """Returns the image in a raw file; vectors become a vector image.

    Raises:
        ValueError: When the file is not as described, or has no grid.
        UserError: When it cannot be read.
    """
    if file.grid is None:
        raise ValueError(f"the volume {file.name} has no grid")
    array = np.empty(file.shape, file.dtype)
    for _ in read_steps(file.path_in(folder), array):
        pass
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    image.SetOrigin(file.grid.origin)
    image.SetSpacing(file.grid.spacing)
    image.SetDirection(file.grid.direction)
    return image


def write_image(image: sitk.Image, name: str, folder: Path) -> ArrayFile:
    """Writes an image's values to a raw file and returns what it holds."""
    array = sitk.GetArrayViewFromImage(image)
    file = ArrayFile.of(array, name, Grid.from_image(image))
    for _ in write_steps(array, folder / name):
        pass
    return file


def storable(image: sitk.Image) -> sitk.Image:
    """Returns a scalar image in a number type that Slicer displays and saves everywhere.

    VTK's readers and writers trip over 8-bit signed and 64-bit integers: these become the smallest of int16,
    int32, uint32 and float64 that holds every value (float64 rounds beyond 2^53).
    """
    if image.GetPixelID() not in (sitk.sitkInt8, sitk.sitkInt64, sitk.sitkUInt64):
        return image
    values = sitk.GetArrayViewFromImage(image)
    low, high = int(values.min()), int(values.max())
    for pixel, first, last in (
        (sitk.sitkInt16, -(2**15), 2**15 - 1),
        (sitk.sitkInt32, -(2**31), 2**31 - 1),
        (sitk.sitkUInt32, 0, 2**32 - 1),
    ):
        if first <= low and high <= last:
            return sitk.Cast(image, pixel)
    return sitk.Cast(image, sitk.sitkFloat64)


def value_range(image: sitk.Image) -> tuple[float, float]:
    """Returns the lowest and the highest value of a scalar image."""
    values = sitk.GetArrayViewFromImage(image)
    return float(values.min()), float(values.max())


def displacement_magnitude(displacement_field: sitk.Image, grid: Grid) -> sitk.Image:
    """Returns |u(x)|, mm, float32, at the voxel centres of a grid inside the displacement field.

    Where the grid's voxels are nodes of the field these are its own vectors; elsewhere u is interpolated
    linearly, as ITK applies it.

    Args:
        displacement_field: Vector image u, LPS mm.
        grid: The fixed image's grid.
    """
    return sitk.Cast(sitk.VectorMagnitude(grid.resample(displacement_field)), sitk.sitkFloat32)


def jacobian_volume(displacement_field: sitk.Image, grid: Grid) -> sitk.Image:
    """Returns det(dT/dx) of T(x) = x + u(x), float32, at the voxel centres of a grid inside the field.

    The determinant is computed at the field's nodes, see `jacobian_determinant`, and interpolated linearly.
    """
    return grid.resample(jacobian_determinant(displacement_field), default=1.0)
