"""What a scene holds, for tests that it comes back or stays."""

import numpy as np
from mrml_fixtures import numpy_support, slicer, vtk


def scene_state(scene) -> dict:
    """Everything of a scene that a user could notice, in values that compare with ==."""
    nodes = {}
    for number in range(scene.GetNumberOfNodes()):
        node = scene.GetNthNode(number)
        if not node.IsA("vtkMRMLSubjectHierarchyNode"):
            nodes[node.GetID()] = _node_state(node)
    return {"nodes": nodes, "items": _items(scene)}


def _node_state(node) -> tuple:
    roles: list[str] = []
    node.GetNodeReferenceRoles(roles)
    references = {role: node.GetNodeReferenceID(role) for role in roles if node.GetNodeReferenceID(role)}
    attributes = {name: node.GetAttribute(name) for name in node.GetAttributeNames()}
    return node.GetName(), references, attributes, _data_state(node)


def _data_state(node):
    if node.IsA("vtkMRMLVolumeNode") and node.GetImageData() is not None:
        matrix = vtk.vtkMatrix4x4()
        node.GetIJKToRASMatrix(matrix)
        scalars = numpy_support.vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
        return [matrix.GetElement(*index) for index in np.ndindex(4, 4)], float(scalars.sum())
    if node.IsA("vtkMRMLTransformNode"):
        point = [0.0, 0.0, 0.0]
        node.GetTransformFromParent().TransformPoint((3.0, -5.0, 7.0), point)
        return tuple(np.round(point, 6))
    if node.IsA("vtkMRMLTableNode"):
        return node.GetNumberOfRows(), node.GetNumberOfColumns()
    return None


def _items(scene) -> dict:
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    found = vtk.vtkIdList()
    hierarchy.GetItemChildren(hierarchy.GetSceneItemID(), found, True)
    items = [found.GetId(number) for number in range(found.GetNumberOfIds())]
    return {item: (hierarchy.GetItemName(item), hierarchy.GetItemParent(item)) for item in items}
