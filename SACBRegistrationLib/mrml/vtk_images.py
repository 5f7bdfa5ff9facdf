"""Voxels and axes between SimpleITK (LPS) and VTK (RAS); every image that leaves here owns its voxels."""

import numpy as np
import SimpleITK as sitk
import vtk
from vtk.util import numpy_support

from SACBRegistrationLib.imaging.grid import Grid

RAS_AXES = np.array([-1.0, -1.0, 1.0])
"""What LPS components are multiplied with to become RAS components, and the other way round."""

# A direction matrix may be that far from orthonormal; the check of registration inputs allows the same.
_ORTHONORMAL_TOLERANCE = 1e-3


def matrix_to_array(matrix: vtk.vtkMatrix4x4) -> np.ndarray:
    """Returns a VTK matrix as [4, 4] float64."""
    return np.array([[matrix.GetElement(row, column) for column in range(4)] for row in range(4)])


def array_to_matrix(array: np.ndarray) -> vtk.vtkMatrix4x4:
    """Returns a [4, 4] or [3, 3] array as a VTK matrix."""
    matrix = vtk.vtkMatrix4x4()
    for (row, column), value in np.ndenumerate(array):
        matrix.SetElement(row, column, float(value))
    return matrix


def grid_to_ras(grid: Grid) -> np.ndarray:
    """Returns the [4, 4] matrix that takes a grid's indices (i, j, k) to RAS mm."""
    matrix = np.eye(4)
    matrix[:3, :3] = RAS_AXES[:, None] * grid.matrix
    matrix[:3, 3] = RAS_AXES * np.asarray(grid.origin)
    return matrix


def ras_to_grid(matrix: np.ndarray, size: tuple[int, int, int]) -> Grid:
    """Returns the grid of a [4, 4] matrix that takes indices (i, j, k) to RAS mm.

    Raises:
        ValueError: When the index axes are not at right angles, or one has no length.
    """
    columns = RAS_AXES[:, None] * matrix[:3, :3]
    spacing = np.linalg.norm(columns, axis=0)
    if not np.isfinite(matrix).all() or spacing.min() <= 0:
        raise ValueError("an index axis has no length")
    axes = columns / spacing
    if abs(axes.T @ axes - np.eye(3)).max() > _ORTHONORMAL_TOLERANCE:
        raise ValueError("the index axes are not at right angles")
    return Grid(
        tuple(int(n) for n in size),
        tuple(float(s) for s in spacing),
        tuple(float(v) for v in RAS_AXES * matrix[:3, 3]),
        tuple(float(v) for v in axes.ravel()),
    )


def array_to_image_data(array: np.ndarray) -> vtk.vtkImageData:
    """Returns a copy of voxels as VTK data with unit spacing and its origin at zero.

    Args:
        array: [z, y, x] or [z, y, x, component], of any of the number types that SimpleITK and VTK share.
    """
    components = array.shape[3] if array.ndim == 4 else 1
    scalars = numpy_support.numpy_to_vtk(
        np.ascontiguousarray(array).reshape(-1, components), deep=True, array_type=_vtk_type(array.dtype)
    )
    data = vtk.vtkImageData()
    data.SetDimensions(array.shape[2::-1])
    data.GetPointData().SetScalars(scalars)
    return data


def empty_image_data(shape: tuple[int, ...], number: np.dtype) -> vtk.vtkImageData:
    """Returns VTK data for [z, y, x] or [z, y, x, component] voxels that are yet to be written."""
    scalars = vtk.vtkDataArray.CreateDataArray(_vtk_type(number))
    scalars.SetNumberOfComponents(shape[3] if len(shape) == 4 else 1)
    scalars.SetNumberOfTuples(int(np.prod(shape[:3])))
    data = vtk.vtkImageData()
    data.SetDimensions(shape[2::-1])
    data.GetPointData().SetScalars(scalars)
    return data


def image_data_to_array(data: vtk.vtkImageData) -> np.ndarray:
    """Returns a view of VTK data as [z, y, x], or [z, y, x, component] for more than one component."""
    scalars = data.GetPointData().GetScalars()
    shape = data.GetDimensions()[::-1]
    if scalars.GetNumberOfComponents() > 1:
        shape = (*shape, scalars.GetNumberOfComponents())
    return numpy_support.vtk_to_numpy(scalars).reshape(shape)


def array_to_image(array: np.ndarray, grid: Grid) -> sitk.Image:
    """Returns a copy of voxels [z, y, x] or of vectors [z, y, x, component] as an image on a grid."""
    image = sitk.GetImageFromArray(array, isVector=array.ndim == 4)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    return image


def _vtk_type(number: np.dtype) -> int:
    """Returns the VTK type that Slicer's own readers give a number type, and its writers accept."""
    if number == np.int8:
        return vtk.VTK_CHAR
    # "long" has 64 bits everywhere but on Windows.
    if number in (np.int64, np.uint64) and vtk.vtkLongArray().GetDataTypeSize() == 8:
        return vtk.VTK_LONG if number == np.int64 else vtk.VTK_UNSIGNED_LONG
    return numpy_support.get_vtk_array_type(number)
