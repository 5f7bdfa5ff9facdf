"""Segments of a segmentation and labels of a label map, as label values in voxels that are not copied."""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import slicer
import vtk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.mrml.segmentation_rules import ensure_conversion_rules
from SACBRegistrationLib.mrml.volumes import matrix_to_world, volume_view
from SACBRegistrationLib.mrml.vtk_images import (
    array_to_image,
    image_data_to_array,
    matrix_to_array,
    ras_to_grid,
)

# Voxels that lie less than this part of a voxel beside each other are the same.
_SAME_LATTICE = 0.01


@dataclass(frozen=True)
class NodeStructure:
    """Where one structure lies.

    Attributes:
        name: What people call it.
        grid: Grid of the voxels in the scene's world, LPS mm.
        array: [z, y, x] view of the node's voxels, which structures can share.
        value: Voxels of this value belong to the structure; None: all that are not 0.
    """

    name: str
    grid: Grid
    array: np.ndarray
    value: int | None


def structures_of(node: slicer.vtkMRMLNode) -> tuple[NodeStructure, ...]:
    """Returns the segments of a segmentation, or the labels of a label map, in order.

    A segment's voxels are its layer's, which several segments share; nothing is merged or copied. A segment
    that is a surface only is turned into voxels in a copy; the node stays as it is. A label is called as
    its colour table calls it, or "Label 3" where that has no name for it.

    Args:
        node: Segmentation or label map node. Linear transforms above it are folded into the grids.

    Raises:
        UserError: When the node is of another kind, has no structures or two of the same name, has no voxels
            and cannot get them, or lies under a warping or shearing transform.
    """
    if _kind(node) == "segmentation":
        found = _segments(node)
    else:
        array, grid = volume_view(node)
        found = [
            NodeStructure(_label_name(node, value), grid, array, value) for value in _labels(array, node)
        ]
    what = "segments" if _kind(node) == "segmentation" else "labels"
    if not found:
        raise UserError(f'"{node.GetName()}" has no {what}; choose another node or leave it out.')
    names = [structure.name for structure in found]
    for name in names:
        if names.count(name) > 1:
            raise UserError(
                f'"{node.GetName()}" has more than one of its {what} named "{name}"; '
                "give each its own name, since structures are compared by their names."
            )
    return tuple(found)


def mask_of(node: slicer.vtkMRMLNode) -> NodeStructure:
    """Returns everything that a segmentation or a label map covers as one structure.

    Args:
        node: Segmentation or label map node. Linear transforms above it are folded into the grid.

    Returns:
        The node's own voxels (value None: any but 0 counts); only where segments lie in several layers,
        their union in new voxels, on the finest layer's lattice.

    Raises:
        UserError: As `structures_of`, but names do not matter.
    """
    if _kind(node) == "label map":
        array, grid = volume_view(node)
        return NodeStructure(node.GetName(), grid, array, None)
    every = {id(segment.array): segment for segment in _segments(node)}.values()
    layers = [layer for layer in every if layer.array.any()]
    if not layers:
        raise UserError(f'"{node.GetName()}" covers nothing; choose another mask or leave it out.')
    if len(layers) == 1:
        return NodeStructure(node.GetName(), layers[0].grid, layers[0].array, None)
    finest = min((layer.grid for layer in layers), key=lambda grid: np.prod(grid.spacing))
    whole = finest.covering(np.concatenate([layer.grid.corners(0) for layer in layers]))
    union = np.zeros(whole.size[::-1], bool)
    for layer in layers:
        _add_layer(union, whole, layer)
    return NodeStructure(node.GetName(), whole, union.view(np.uint8), None)


def _add_layer(union: np.ndarray, whole: Grid, layer: NodeStructure) -> None:
    """Sets in `union`, which lies on the grid `whole`, what is not 0 in a layer."""
    part, inside = layer.grid, layer.array != 0
    first = whole.to_index(np.asarray(part.origin))
    turned = abs(np.linalg.inv(whole.matrix) @ part.matrix - np.eye(3)) * np.asarray(part.size)
    if abs(first - np.rint(first)).max() > _SAME_LATTICE or turned.max() > _SAME_LATTICE:
        image = array_to_image(inside.astype(np.uint8), part)
        part = whole.covering(part.corners(0))
        inside = sitk.GetArrayFromImage(part.resample(image, interpolator=sitk.sitkNearestNeighbor)) != 0
        first = whole.to_index(np.asarray(part.origin))
    start = np.rint(first).astype(int)
    region = tuple(slice(a, a + n) for a, n in zip(start, part.size, strict=True))
    union[region[::-1]] |= inside


def _kind(node: slicer.vtkMRMLNode) -> str:
    if node.IsA("vtkMRMLSegmentationNode"):
        return "segmentation"
    if node.IsA("vtkMRMLLabelMapVolumeNode"):
        return "label map"
    raise UserError(f'"{node.GetName()}" is neither a segmentation nor a label map; choose one that is.')


def _segments(node: slicer.vtkMRMLSegmentationNode) -> list[NodeStructure]:
    subject = f'The segmentation "{node.GetName()}"'
    to_world = matrix_to_world(node, subject)
    segmentation = _with_voxels(node.GetSegmentation(), subject)
    representation = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
    layers: dict[slicer.vtkOrientedImageData, tuple[np.ndarray, Grid]] = {}
    found = []
    for number in range(segmentation.GetNumberOfSegments()):
        segment = segmentation.GetNthSegment(number)
        layer = segment.GetRepresentation(representation)
        if layer not in layers:
            layers[layer] = _layer(layer, to_world, subject)
        array, grid = layers[layer]
        name = segment.GetName() or segmentation.GetNthSegmentID(number)
        found.append(NodeStructure(name, grid, array, int(segment.GetLabelValue())))
    return found


def _with_voxels(segmentation: slicer.vtkSegmentation, subject: str) -> slicer.vtkSegmentation:
    """Returns the segmentation, or a copy whose surfaces became voxels."""
    representation = slicer.vtkSegmentationConverter.GetBinaryLabelmapRepresentationName()
    if not segmentation.GetNumberOfSegments() or segmentation.ContainsRepresentation(representation):
        return segmentation
    ensure_conversion_rules()
    copy = slicer.vtkSegmentation()
    copy.DeepCopy(segmentation)
    copy.CreateRepresentation(representation)
    if not copy.ContainsRepresentation(representation):
        raise UserError(
            f"{subject} has no binary label map and none can be made from its surfaces; "
            "create that representation in the Segmentations module first."
        )
    return copy


def _layer(layer: slicer.vtkOrientedImageData, to_world: np.ndarray, subject: str) -> tuple[np.ndarray, Grid]:
    to_ras = vtk.vtkMatrix4x4()
    layer.GetImageToWorldMatrix(to_ras)
    matrix = to_world @ matrix_to_array(to_ras)
    empty = layer.IsEmpty()
    if not empty:
        # The first voxel in memory is the one at the low corner of the layer's extent.
        matrix[:, 3] = matrix @ np.array([*layer.GetExtent()[::2], 1.0])
    array = np.zeros((1, 1, 1), np.uint8) if empty else image_data_to_array(layer)
    try:
        return array, ras_to_grid(matrix, array.shape[::-1])
    except ValueError as error:
        raise UserError(
            f"{subject} is sheared by the transform above it; harden that transform on it first."
        ) from error


def _labels(array: np.ndarray, node: slicer.vtkMRMLLabelMapVolumeNode) -> list[int]:
    """Returns the values other than 0, ascending."""
    if not np.issubdtype(array.dtype, np.integer):
        raise UserError(
            f'The label map "{node.GetName()}" holds fractions; convert it to whole numbers first.'
        )
    # Neighbours mostly have the same value: only where it changes is there something to sort.
    flat = array.reshape(-1)
    starts = np.concatenate(([True], flat[1:] != flat[:-1]))
    return [int(value) for value in np.unique(flat[starts]) if value != 0]


def _label_name(node: slicer.vtkMRMLLabelMapVolumeNode, value: int) -> str:
    display = node.GetDisplayNode()
    colors = None if display is None else display.GetColorNode()
    named = colors is not None and 0 <= value < colors.GetNumberOfColors()
    return (colors.GetColorName(value) if named else "") or f"Label {value}"
