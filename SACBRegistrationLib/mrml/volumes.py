"""Volume nodes to SimpleITK images and back, without touching disk."""

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.mrml.vtk_images import (
    array_to_image,
    array_to_image_data,
    array_to_matrix,
    grid_to_ras,
    image_data_to_array,
    matrix_to_array,
    ras_to_grid,
)

_INTEGERS = {
    sitk.sitkInt8, sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt16,
    sitk.sitkInt32, sitk.sitkUInt32, sitk.sitkInt64, sitk.sitkUInt64,
}  # fmt: skip
_NUMBERS = _INTEGERS | {sitk.sitkFloat32, sitk.sitkFloat64}


def volume_to_image(node: slicer.vtkMRMLScalarVolumeNode) -> sitk.Image:
    """Returns a copy of a volume as it lies in the scene's world.

    Args:
        node: Scalar volume or label map node. Linear transforms above it are folded into the geometry.

    Returns:
        Scalar image in the node's number type; origin and direction in LPS mm.

    Raises:
        UserError: As `volume_view`.
    """
    return array_to_image(*volume_view(node))


def volume_view(node: slicer.vtkMRMLScalarVolumeNode) -> tuple[np.ndarray, Grid]:
    """Returns a volume's voxels without copying them, and where they lie in the scene's world.

    Args:
        node: Scalar volume or label map node. Linear transforms above it are folded into the geometry.

    Returns:
        View of the voxels [z, y, x] in the node's number type, and their grid, LPS mm.

    Raises:
        UserError: When the node has no voxels or more than one value per voxel, when it lies under a warping
            or shearing transform, or when its own axes are not at right angles.
    """
    subject = f'The volume "{node.GetName()}"'
    data = node.GetImageData()
    if data is None or data.GetNumberOfPoints() == 0 or data.GetPointData().GetScalars() is None:
        raise UserError(f"{subject} has no voxels; load it again or choose another volume.")
    if data.GetNumberOfScalarComponents() != 1:
        raise UserError(
            f"{subject} has {data.GetNumberOfScalarComponents()} values per voxel; "
            "choose a volume with one value per voxel."
        )
    to_ras = vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(to_ras)
    to_world = matrix_to_world(node, subject) @ matrix_to_array(to_ras)
    # The first voxel in memory is the one at the low corner of the extent, which need not be (0, 0, 0).
    first = np.array([*data.GetExtent()[::2], 1.0])
    to_world[:, 3] = to_world @ first
    try:
        grid = ras_to_grid(to_world, data.GetDimensions())
    except ValueError as error:
        whose = "its own axes" if node.GetParentTransformNode() is None else "the transform above it"
        raise UserError(
            f"{subject} is sheared by {whose}; resample it to a right-angled grid first."
        ) from error
    return image_data_to_array(data), grid


def image_to_volume(image: sitk.Image, node: slicer.vtkMRMLScalarVolumeNode) -> None:
    """Writes a copy of an image's voxels and geometry into a volume node.

    The image's geometry is the world's, so a transform above the node is taken away. Name, display and
    storage of the node stay.

    Args:
        image: 3D scalar image of whole or floating-point numbers. Slicer writes 64-bit integers as NIfTI, but
            not as NRRD.
        node: Scalar volume or label map node.

    Raises:
        ValueError: When the image is not 3D and scalar, or a label map would hold fractions.
    """
    if image.GetDimension() != 3 or image.GetPixelID() not in _NUMBERS:
        raise ValueError(
            f"a volume needs a 3D scalar image, not {image.GetDimension()}D {image.GetPixelIDTypeAsString()}"
        )
    if node.IsA("vtkMRMLLabelMapVolumeNode") and image.GetPixelID() not in _INTEGERS:
        raise ValueError(f"a label map holds whole numbers, not {image.GetPixelIDTypeAsString()}")
    set_volume_data(node, array_to_image_data(sitk.GetArrayViewFromImage(image)), Grid.from_image(image))


def set_volume_data(node: slicer.vtkMRMLScalarVolumeNode, data: vtk.vtkImageData, grid: Grid) -> None:
    """Gives a volume node voxels, which it shares, and their place in the world.

    Args:
        node: Scalar volume or label map node; a transform above it is taken away.
        data: Voxels with unit spacing and the origin at zero.
        grid: Their grid, LPS mm.
    """
    modifying = node.StartModify()
    node.SetAndObserveTransformNodeID(None)
    node.SetIJKToRASMatrix(array_to_matrix(grid_to_ras(grid)))
    node.SetAndObserveImageData(data)
    node.EndModify(modifying)


def matrix_to_world(node: slicer.vtkMRMLTransformableNode, subject: str) -> np.ndarray:
    """Returns the [4, 4] matrix from a node's own RAS coordinates to the world's.

    Args:
        node: Any node that can lie under a transform.
        subject: What the error message calls the node.

    Raises:
        UserError: When the node lies under a warping transform.
    """
    parent = node.GetParentTransformNode()
    if parent is None:
        return np.eye(4)
    matrix = vtk.vtkMatrix4x4()
    if not parent.IsTransformToWorldLinear():
        raise UserError(
            f'{subject} lies under the warping transform "{parent.GetName()}"; '
            "harden that transform on it first, or take it out of the transform."
        )
    parent.GetMatrixTransformToWorld(matrix)
    return matrix_to_array(matrix)
