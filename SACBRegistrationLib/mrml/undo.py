"""Changes to a scene that happen as a whole or not at all."""

import logging
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import slicer
import vtk

logger = logging.getLogger(__name__)


@contextmanager
def all_or_nothing(scene: slicer.vtkMRMLScene, changed: Iterable[slicer.vtkMRMLNode] = ()) -> Iterator[None]:
    """Takes back what the block did to a scene when it raises.

    Nodes and subject hierarchy items that the block added are removed. The data of the nodes that it may
    change come back; they are held, not copied, so this costs nothing.

    Args:
        scene: The scene.
        changed: Volume, grid transform and table nodes of the scene that the block may give other data; what
            it does inside the data they hold now stays.
    """
    nodes, items = _node_ids(scene), _items(scene)
    restore = [_restorer(node) for node in changed]
    try:
        yield
    except BaseException:
        logger.info("Taking back what was added to the scene")
        for action in restore:
            action()
        for added in _node_ids(scene) - nodes:
            node = scene.GetNodeByID(added)
            if node is not None:
                scene.RemoveNode(node)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
        for item in _items(scene) - items:
            hierarchy.RemoveItem(item, False, False)
        raise


def _node_ids(scene: slicer.vtkMRMLScene) -> set[str]:
    return {scene.GetNthNode(number).GetID() for number in range(scene.GetNumberOfNodes())}


def _items(scene: slicer.vtkMRMLScene) -> set[int]:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    found = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
    return {found.GetId(number) for number in range(found.GetNumberOfIds())}


def _restorer(node: slicer.vtkMRMLNode) -> Callable[[], None]:
    parts = [_references(node)]
    if node.IsA("vtkMRMLVolumeNode"):
        parts.append(_volume(node))
    elif node.IsA("vtkMRMLGridTransformNode"):
        parts.append(_transform(node))
    elif node.IsA("vtkMRMLTableNode"):
        parts.append(_table(node))

    def restore() -> None:
        for part in parts:
            part()

    return restore


def _references(node: slicer.vtkMRMLNode) -> Callable[[], None]:
    roles: list[str] = []
    node.GetNodeReferenceRoles(roles)
    references = {role: node.GetNodeReferenceID(role) for role in roles}
    attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
    name = node.GetName()

    def restore() -> None:
        now: list[str] = []
        node.GetNodeReferenceRoles(now)
        for role in {*now, *references}:
            node.SetNodeReferenceID(role, references.get(role))
        for attribute in {*node.GetAttributeNames(), *attributes}:
            node.SetAttribute(attribute, attributes.get(attribute))
        node.SetName(name)

    return restore


def _volume(node: slicer.vtkMRMLVolumeNode) -> Callable[[], None]:
    data, matrix = node.GetImageData(), vtk.vtkMatrix4x4()
    node.GetIJKToRASMatrix(matrix)

    def restore() -> None:
        node.SetIJKToRASMatrix(matrix)
        node.SetAndObserveImageData(data)

    return restore


def _transform(node: slicer.vtkMRMLGridTransformNode) -> Callable[[], None]:
    # A node is given one direction; MRML derives the other and marks it as an inverse.
    held = node.GetTransformFromParent()
    if held.GetInverseFlag():
        derived, held = True, node.GetTransformToParent()
    else:
        derived = False

    def restore() -> None:
        if derived:
            node.SetAndObserveTransformToParent(held)
        else:
            node.SetAndObserveTransformFromParent(held)

    return restore


def _table(node: slicer.vtkMRMLTableNode) -> Callable[[], None]:
    held = node.GetTable()

    def restore() -> None:
        node.SetAndObserveTable(held)

    return restore
