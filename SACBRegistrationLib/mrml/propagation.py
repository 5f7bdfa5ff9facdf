"""Carrying nodes from the moving to the fixed volume: hardened copies."""

from collections.abc import Callable, Sequence

import slicer

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.carrying import (
    Lattice,
    WayToWorld,
    carry_data,
    carry_segmentation,
    carry_volume,
    lattice_of,
)
from SACBRegistrationLib.mrml.outputs import folder_of
from SACBRegistrationLib.mrml.undo import all_or_nothing

SUFFIX = " (registered)"

_Carrier = Callable[
    [slicer.vtkMRMLTransformableNode, slicer.vtkMRMLTransformableNode, WayToWorld, Lattice | None], None
]
# Their voxels are directions, which would have to turn with the anatomy.
_DIRECTIONS = ("vtkMRMLTensorVolumeNode", "vtkMRMLDiffusionWeightedVolumeNode")


def apply_transform(
    transform: slicer.vtkMRMLTransformNode,
    nodes: Sequence[slicer.vtkMRMLTransformableNode],
    scene: slicer.vtkMRMLScene | None = None,
    reference: slicer.vtkMRMLScalarVolumeNode | None = None,
) -> tuple[slicer.vtkMRMLTransformableNode, ...]:
    """Returns copies of nodes as they are seen under a transform node, with the transform in their data.

    A copy lies where its node would, put under the transform: points p of the moving volume go to x with
    T(x) = p. Where the node lies in the world counts, transforms above it included; the copy is under none.

    Volumes and label maps are sampled on the reference's voxels: linearly with the volume's darkest value
    outside, label maps with the nearest voxel and 0. Without a reference they keep the places of their own
    voxels, and what moves out of their box is cut off, as when Slicer hardens a warping transform. Segments
    keep their own resolution, in a box that follows them. Of curves the control points are moved, of planes
    and boxes the centre and the axes.

    Args:
        transform: Transform node; for a registration's result its transform from parent is T.
        nodes: Volumes, label maps, segmentations, models and markups of any kind; they stay as they are.
        scene: Where the copies go; None takes the transform's scene.
        reference: Volume whose voxels volumes and label maps are sampled on, or None.

    Returns:
        Nodes named "<name> (registered)", in the order of `nodes`, shown as theirs are, without file names,
        and beside the transform when that lies in its pair's subject hierarchy folder.

    Raises:
        UserError: When a node cannot be transformed or holds nothing, or the reference cannot be sampled on;
            the scene is as it was.
    """
    if transform is None or not transform.IsA("vtkMRMLTransformNode"):
        raise UserError("There is no transform to apply; choose a transform node.")
    carriers = [_carrier(node) for node in nodes]
    target = None if reference is None else lattice_of(reference)
    scene = transform.GetScene() if scene is None else scene
    copies = []
    with all_or_nothing(scene):
        for node, carry in zip(nodes, carriers, strict=True):
            name = scene.GetUniqueNameByString(f"{node.GetName()}{SUFFIX}")
            copy = scene.AddNewNodeByClass(node.GetClassName(), name)
            modifying = copy.StartModify()
            carry(node, copy, WayToWorld(node, transform), target)
            copy.EndModify(modifying)
            _show_like(node, copy)
            copies.append(copy)
        _put_beside(transform, copies)
    return tuple(copies)


def _carrier(node: slicer.vtkMRMLNode) -> _Carrier:
    """Returns what carries a node of this kind; raises UserError when nothing does, or it holds nothing."""
    if node is None:
        raise UserError("There is a node to transform missing; choose another one.")
    if any(node.IsA(name) for name in _DIRECTIONS):
        raise UserError(
            f'"{node.GetName()}" holds diffusion data, which cannot be transformed here; leave it out.'
        )
    if node.IsA("vtkMRMLScalarVolumeNode"):
        carry, full = (
            carry_volume,
            node.GetImageData() is not None and node.GetImageData().GetNumberOfPoints(),
        )
    elif node.IsA("vtkMRMLSegmentationNode"):
        carry, full = carry_segmentation, node.GetSegmentation().GetNumberOfSegments()
    elif node.IsA("vtkMRMLModelNode"):
        carry, full = carry_data, node.GetMesh() is not None and node.GetMesh().GetNumberOfPoints()
    elif node.IsA("vtkMRMLMarkupsNode"):
        # A box or a plane may be defined without points.
        shaped = node.IsA("vtkMRMLMarkupsROINode") or node.IsA("vtkMRMLMarkupsPlaneNode")
        carry, full = carry_data, shaped or node.GetNumberOfControlPoints()
    else:
        raise UserError(
            f'"{node.GetName()}" cannot be transformed; '
            "choose volumes, label maps, segmentations, models or markups."
        )
    if not full:
        raise UserError(f'"{node.GetName()}" is empty; leave it out.')
    return carry


def _show_like(node: slicer.vtkMRMLDisplayableNode, copy: slicer.vtkMRMLDisplayableNode) -> None:
    """Gives a copy displays like the node's, window and level included."""
    copy.RemoveAllDisplayNodeIDs()
    for number in range(node.GetNumberOfDisplayNodes()):
        model = node.GetNthDisplayNode(number)
        if model is None:
            continue
        display = copy.GetScene().AddNewNodeByClass(model.GetClassName())
        display.Copy(model)
        if display.IsA("vtkMRMLScalarVolumeDisplayNode"):
            display.SetAutoWindowLevel(False)
        copy.AddAndObserveDisplayNodeID(display.GetID())


def _put_beside(
    transform: slicer.vtkMRMLTransformNode, copies: Sequence[slicer.vtkMRMLTransformableNode]
) -> None:
    folder = folder_of(transform)
    if not folder:
        return
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(transform.GetScene())
    for copy in copies:
        item = hierarchy.GetItemByDataNode(copy)
        if item:
            hierarchy.SetItemParent(item, folder)
        else:
            hierarchy.CreateItem(folder, copy)
