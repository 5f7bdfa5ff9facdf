"""Filling a copy of a node with the node's data as they are seen in the world under a transform."""

import numpy as np
import slicer
import vtk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.reslicing import content_box, reached_box, reslice
from SACBRegistrationLib.mrml.segmentation_rules import ensure_conversion_rules
from SACBRegistrationLib.mrml.volumes import matrix_to_world
from SACBRegistrationLib.mrml.vtk_images import array_to_matrix, matrix_to_array, ras_to_grid

Lattice = tuple[np.ndarray, tuple[int, int, int]]
"""[4, 4] matrix from indices that start at 0 to the world (RAS mm), and the numbers of voxels."""


class WayToWorld:
    """Where a node's own RAS points lie in the world when the node as it lies is put under a transform.

    Args:
        node: The node; transforms above it come first.
        transform: Transform node that comes on top.
    """

    def __init__(self, node: slicer.vtkMRMLTransformableNode, transform: slicer.vtkMRMLTransformNode) -> None:
        parent = node.GetParentTransformNode()
        ups = [above for above in (parent, transform) if above is not None]
        self.to_world, self.from_world = vtk.vtkGeneralTransform(), vtk.vtkGeneralTransform()
        for chain in (self.to_world, self.from_world):
            chain.PostMultiply()
        for above, below in zip(ups, reversed(ups), strict=True):
            up, down = vtk.vtkGeneralTransform(), vtk.vtkGeneralTransform()
            above.GetTransformToWorld(up)
            below.GetTransformFromWorld(down)
            self.to_world.Concatenate(up)
            self.from_world.Concatenate(down)
        self.own: np.ndarray | None = None
        self.matrix: np.ndarray | None = None
        if parent is None or parent.IsTransformToWorldLinear():
            self.own = matrix_to_world(node, "")
            if transform.IsTransformToWorldLinear():
                whole = vtk.vtkMatrix4x4()
                transform.GetMatrixTransformToWorld(whole)
                self.matrix = matrix_to_array(whole) @ self.own


def lattice_of(volume: slicer.vtkMRMLScalarVolumeNode) -> Lattice:
    """Returns a volume's voxels' places in the world.

    Raises:
        UserError: When the volume has no voxels or lies under a warping transform.
    """
    subject = f'The volume "{volume.GetName()}"'
    data = volume.GetImageData()
    if data is None or data.GetNumberOfPoints() == 0:
        raise UserError(f"{subject} has no voxels to sample others on; choose another volume.")
    return _first_at_zero(matrix_to_world(volume, subject) @ _ijk_to_ras(volume), data), data.GetDimensions()


def carry_volume(
    node: slicer.vtkMRMLScalarVolumeNode,
    copy: slicer.vtkMRMLScalarVolumeNode,
    way: WayToWorld,
    target: Lattice | None,
) -> None:
    """Samples a volume or label map on a target's voxels, or where its own lie before the transform.

    A linear transform without a target moves the voxels instead, exactly.
    """
    data, to_ras = node.GetImageData(), _ijk_to_ras(node)
    if target is None and way.matrix is not None:
        copy.CopyContent(node, True)
        copy.SetIJKToRASMatrix(array_to_matrix(way.matrix @ to_ras))
        return
    if target is None:
        own = to_ras if way.own is None else way.own @ to_ras
        target = (_first_at_zero(own, data), data.GetDimensions())
    labels = node.IsA("vtkMRMLLabelMapVolumeNode")
    scalars = data.GetPointData().GetScalars()
    darkest = min(scalars.GetFiniteRange(part)[0] for part in range(scalars.GetNumberOfComponents()))
    result = reslice(
        data, to_ras, way.from_world, *target, nearest=labels, background=0 if labels else darkest
    )
    copy.CopyContent(node, False)
    copy.SetIJKToRASMatrix(array_to_matrix(target[0]))
    copy.SetAndObserveImageData(result)


def carry_segmentation(
    node: slicer.vtkMRMLSegmentationNode,
    copy: slicer.vtkMRMLSegmentationNode,
    way: WayToWorld,
    target: Lattice | None,
) -> None:
    """Moves surfaces, and samples label maps in their own resolution, in a box that follows the segments.

    Slicer's hardening of a warping transform keeps a box near the old one, which cuts off what moves far.
    """
    ensure_conversion_rules()
    copy.CopyContent(node, True)
    segmentation = copy.GetSegmentation()
    source = segmentation.GetSourceRepresentationName()
    voxels = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
    derived = [name for name in _representations(segmentation) if name != source]
    if source == voxels:
        layers = {
            segmentation.GetNthSegment(number).GetRepresentation(voxels)
            for number in range(segmentation.GetNumberOfSegments())
        }
        for layer in layers:
            _carry_layer(layer, way)
    else:
        copy.ApplyTransform(way.to_world)
    for name in derived:
        segmentation.RemoveRepresentation(name)
        segmentation.CreateRepresentation(name)


def carry_data(
    node: slicer.vtkMRMLTransformableNode,
    copy: slicer.vtkMRMLTransformableNode,
    way: WayToWorld,
    target: Lattice | None,
) -> None:
    """Moves the points of a model or of markups."""
    copy.CopyContent(node, True)
    copy.ApplyTransform(way.to_world)


def _carry_layer(layer: slicer.vtkOrientedImageData, way: WayToWorld) -> None:
    box = None if layer.IsEmpty() else content_box(layer)
    if box is None:
        return
    image_to_ras = vtk.vtkMatrix4x4()
    layer.GetImageToWorldMatrix(image_to_ras)
    to_ras = matrix_to_array(image_to_ras)
    if way.matrix is not None and _is_right_angled(way.matrix @ to_ras):
        layer.SetGeometryFromImageToWorldMatrix(array_to_matrix(way.matrix @ to_ras))
        return
    lattice = to_ras
    if way.own is not None and _is_right_angled(way.own @ to_ras):
        lattice = way.own @ to_ras
    first, last = reached_box(box, to_ras, way.to_world, lattice)
    lattice = lattice.copy()
    lattice[:, 3] = lattice @ np.array([*first, 1.0])
    result = reslice(
        layer, to_ras, way.from_world, lattice, tuple(last - first + 1), nearest=True, background=0
    )
    layer.SetExtent(result.GetExtent())
    layer.GetPointData().SetScalars(result.GetPointData().GetScalars())
    layer.SetGeometryFromImageToWorldMatrix(array_to_matrix(lattice))


def _is_right_angled(matrix: np.ndarray) -> bool:
    try:
        ras_to_grid(matrix, (1, 1, 1))
    except ValueError:
        return False
    return True


def _representations(segmentation: slicer.vtkSegmentation) -> list[str]:
    names: list[str] = []
    segmentation.GetContainedRepresentationNames(names)
    return names


def _ijk_to_ras(volume: slicer.vtkMRMLVolumeNode) -> np.ndarray:
    matrix = vtk.vtkMatrix4x4()
    volume.GetIJKToRASMatrix(matrix)
    return matrix_to_array(matrix)


def _first_at_zero(matrix: np.ndarray, data: vtk.vtkImageData) -> np.ndarray:
    """Returns the matrix for indices that count from the first voxel of the data's extent."""
    shifted = matrix.copy()
    shifted[:, 3] = matrix @ np.array([*data.GetExtent()[::2], 1.0])
    return shifted
