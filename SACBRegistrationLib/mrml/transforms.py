"""Displacement fields and initial transforms between SimpleITK (LPS) and MRML transform nodes (RAS).

A transform T takes fixed points to moving points. MRML names the direction by what it does to nodes: the
transform FROM parent takes world points to points of the nodes below. T is therefore set as the transform
from parent: a moving volume put under the node appears on the fixed one.
"""

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.mrml.vtk_images import (
    RAS_AXES,
    array_to_image,
    array_to_image_data,
    array_to_matrix,
    image_data_to_array,
    matrix_to_array,
    ras_to_grid,
)


def displacement_to_grid_transform(
    displacement_field: sitk.Image, node: slicer.vtkMRMLGridTransformNode
) -> None:
    """Sets T(x) = x + u(x) as a grid transform node's transform from parent.

    The node itself is taken out of any transform above it, since u is given in world coordinates.

    Args:
        displacement_field: Vector image u with three components, LPS mm, fixed to moving points.
        node: Grid transform node; what it held is replaced.

    Raises:
        ValueError: When the field is not a 3D image of three real components.
    """
    if displacement_field.GetDimension() != 3 or displacement_field.GetPixelID() not in (
        sitk.sitkVectorFloat32,
        sitk.sitkVectorFloat64,
    ):
        raise ValueError(
            "a displacement field is a 3D image of real vectors, "
            f"not {displacement_field.GetDimension()}D {displacement_field.GetPixelIDTypeAsString()}"
        )
    if displacement_field.GetNumberOfComponentsPerPixel() != 3:
        raise ValueError(
            f"a displacement has 3 components, not {displacement_field.GetNumberOfComponentsPerPixel()}"
        )
    vectors = sitk.GetArrayViewFromImage(displacement_field)
    data = array_to_image_data(vectors * RAS_AXES.astype(vectors.dtype))
    set_grid_transform(node, data, Grid.from_image(displacement_field))


def set_grid_transform(node: slicer.vtkMRMLGridTransformNode, data: vtk.vtkImageData, grid: Grid) -> None:
    """Gives a grid transform node a displacement field, which it shares, as its transform from parent.

    Args:
        node: Grid transform node; what it held is replaced, and it leaves any transform above it.
        data: Displacements with three components, RAS mm; its origin and spacing are set here.
        grid: Where its points lie, LPS mm.
    """
    data.SetOrigin(tuple(RAS_AXES * np.asarray(grid.origin)))
    data.SetSpacing(grid.spacing)
    transform = slicer.vtkOrientedGridTransform()
    transform.SetGridDirectionMatrix(array_to_matrix(RAS_AXES[:, None] * grid.axes))
    transform.SetDisplacementGridData(data)
    # As the node's storage sets it on reading: a saved scene must not interpolate otherwise than this one.
    transform.SetInterpolationModeToCubic()
    modifying = node.StartModify()
    node.SetAndObserveTransformNodeID(None)
    node.SetAndObserveTransformFromParent(transform)
    node.EndModify(modifying)


def grid_transform_to_displacement(node: slicer.vtkMRMLTransformNode) -> sitk.Image:
    """Returns the displacement field u of a grid transform node, T(x) = x + u(x) its transform from parent.

    Args:
        node: Transform node outside any other transform that holds one displacement field.

    Returns:
        Vector image, LPS mm, in the node's own number type, on the node's own grid.

    Raises:
        UserError: When the node holds no displacement field, holds it for the other direction, or lies under
            another transform.
    """
    subject = f'The transform "{node.GetName()}"'
    if node.GetParentTransformNode() is not None:
        raise UserError(f"{subject} lies under another transform; harden that one on it first.")
    transform = node.GetTransformFromParentAs("vtkOrientedGridTransform", False)
    if transform is not None:
        # A direction that MRML derives from the other one knows of its grid only then.
        transform.Update()
    data = None if transform is None else transform.GetDisplacementGrid()
    # MRML gives a new node a grid of one point.
    if data is None or data.GetNumberOfPoints() < 2:
        raise UserError(f"{subject} holds no displacement field; convert it to a grid transform first.")
    if transform.GetInverseFlag():
        raise UserError(
            f"{subject} holds the displacement of the inverse direction; "
            "convert it to a displacement field in the Transforms module first."
        )
    direction = vtk.vtkMatrix4x4()
    if transform.GetGridDirectionMatrix() is not None:
        direction.DeepCopy(transform.GetGridDirectionMatrix())
    # VTK's origin is the point of index (0, 0, 0) before the direction turns the rest about it.
    to_ras = matrix_to_array(direction)
    to_ras[:3, :3] = to_ras[:3, :3] * data.GetSpacing()
    to_ras[:3, 3] = data.GetOrigin()
    to_ras[:, 3] = to_ras @ np.array([*data.GetExtent()[::2], 1.0])
    vectors = image_data_to_array(data)
    scale, shift = transform.GetDisplacementScale(), transform.GetDisplacementShift()
    if (scale, shift) != (1.0, 0.0):
        vectors = vectors * scale + shift
    if vectors.dtype not in (np.float32, np.float64):
        vectors = vectors.astype(np.float64)
    try:
        grid = ras_to_grid(to_ras, data.GetDimensions())
    except ValueError as error:
        raise UserError(f"{subject} has a sheared grid; convert it to a right-angled one first.") from error
    return array_to_image(vectors * RAS_AXES.astype(vectors.dtype), grid)


def transform_node_to_sitk(node: slicer.vtkMRMLTransformNode) -> sitk.Transform:
    """Returns the transform of a node that puts the moving volume near the fixed one, for starting from it.

    Args:
        node: Linear transform node, under linear ones or none, or a grid transform node under none.

    Returns:
        T, takes fixed points to moving points, LPS mm: affine, or a displacement field.

    Raises:
        UserError: When the node holds anything else, or cannot be inverted.
    """
    if not node.IsTransformToWorldLinear():
        displacement = grid_transform_to_displacement(node)
        return sitk.DisplacementFieldTransform(sitk.Cast(displacement, sitk.sitkVectorFloat64))
    matrix = vtk.vtkMatrix4x4()
    node.GetMatrixTransformToWorld(matrix)
    to_world = matrix_to_array(matrix)
    if not np.isfinite(to_world).all() or abs(np.linalg.det(to_world[:3, :3])) < 1e-12:
        raise UserError(f'The transform "{node.GetName()}" cannot be inverted; choose another one.')
    from_world = np.linalg.inv(to_world)
    transform = sitk.AffineTransform(3)
    transform.SetMatrix(tuple((RAS_AXES[:, None] * from_world[:3, :3] * RAS_AXES).ravel()))
    transform.SetTranslation(tuple(RAS_AXES * from_world[:3, 3]))
    return transform
