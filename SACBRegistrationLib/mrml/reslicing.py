"""Sampling voxels through any MRML transform, as Slicer itself does it."""

import numpy as np
import vtk

from SACBRegistrationLib.mrml.vtk_images import array_to_matrix, image_data_to_array

# Beside the outermost points whose place is known: the boundary bulges between them.
_MARGIN_VOXELS = 2
# At most this many points along an edge of a box tell where the box goes.
_POINTS_PER_EDGE = 40


def reslice(
    data: vtk.vtkImageData,
    to_ras: np.ndarray,
    from_world: vtk.vtkAbstractTransform,
    target_to_world: np.ndarray,
    size: tuple[int, int, int],
    nearest: bool,
    background: float,
) -> vtk.vtkImageData:
    """Returns the voxels result(i) = data(from_world(target_to_world i)).

    Args:
        data: Voxels; their own spacing, origin and direction do not count, their extent does.
        to_ras: [4, 4] takes indices of `data` to RAS mm.
        from_world: Takes world points to those RAS points.
        target_to_world: [4, 4] takes indices of the result to the world, RAS mm.
        size: Voxels of the result along each index axis.
        nearest: Whether to take the nearest voxel instead of interpolating linearly.
        background: Value outside the voxels of `data`.

    Returns:
        Voxels of the same number type, with unit spacing, the origin at zero and the first index (0, 0, 0).
    """
    plain = vtk.vtkImageData()
    plain.SetExtent(data.GetExtent())
    plain.GetPointData().SetScalars(data.GetPointData().GetScalars())
    chain = vtk.vtkGeneralTransform()
    chain.PostMultiply()
    chain.Concatenate(array_to_matrix(target_to_world))
    chain.Concatenate(from_world)
    chain.Concatenate(array_to_matrix(np.linalg.inv(to_ras)))
    filter_ = vtk.vtkImageReslice()
    filter_.SetInputData(plain)
    filter_.SetResliceTransform(chain)
    if nearest:
        filter_.SetInterpolationModeToNearestNeighbor()
    else:
        filter_.SetInterpolationModeToLinear()
    filter_.SetBackgroundColor([background] * 4)
    filter_.SetOutputOrigin(0, 0, 0)
    filter_.SetOutputSpacing(1, 1, 1)
    filter_.SetOutputExtent([value for n in size for value in (0, int(n) - 1)])
    filter_.Update()
    return filter_.GetOutput()


def content_box(data: vtk.vtkImageData) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the first and last index (i, j, k; both inclusive) of what is not 0, or None."""
    inside = image_data_to_array(data) != 0
    low, high = [], []
    for axis in (2, 1, 0):
        found = np.flatnonzero(inside.any(axis=tuple({0, 1, 2} - {axis})))
        if not len(found):
            return None
        low.append(found[0])
        high.append(found[-1])
    first = np.asarray(data.GetExtent()[::2])
    return first + low, first + high


def reached_box(
    box: tuple[np.ndarray, np.ndarray],
    to_ras: np.ndarray,
    to_world: vtk.vtkAbstractTransform,
    lattice_to_world: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns which indices of a lattice the voxels of a box reach through a transform.

    A continuous transform takes the inside of a box to the inside of where it takes the box's faces.

    Args:
        box: First and last index, both inclusive.
        to_ras: [4, 4] takes indices to RAS mm.
        to_world: Takes those RAS points to the world.
        lattice_to_world: [4, 4] takes indices of the lattice to the world, RAS mm.

    Returns:
        First and last index on the lattice, both inclusive; may be negative.
    """
    low, high = box[0] - 0.5, box[1] + 0.5
    steps = [
        np.linspace(a, b, int(min(_POINTS_PER_EDGE, max(2, np.ceil(b - a)))))
        for a, b in zip(low, high, strict=True)
    ]
    index = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, 3)
    index = index[((index == low) | (index == high)).any(axis=1)]
    source, moved = vtk.vtkPoints(), vtk.vtkPoints()
    for points in (source, moved):
        points.SetDataTypeToDouble()
    for point in index @ to_ras[:3, :3].T + to_ras[:3, 3]:
        source.InsertNextPoint(point)
    to_world.TransformPoints(source, moved)
    world = np.array([moved.GetPoint(number) for number in range(moved.GetNumberOfPoints())])
    inverse = np.linalg.inv(lattice_to_world)
    reached = world @ inverse[:3, :3].T + inverse[:3, 3]
    first = np.floor(reached.min(axis=0)).astype(int) - _MARGIN_VOXELS
    last = np.ceil(reached.max(axis=0)).astype(int) + _MARGIN_VOXELS
    return first, last
