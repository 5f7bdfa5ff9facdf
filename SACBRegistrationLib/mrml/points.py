"""Named points of markups nodes."""

import slicer

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.vtk_images import RAS_AXES


def points_of(node: slicer.vtkMRMLMarkupsNode) -> dict[str, tuple[float, float, float]]:
    """Returns the control points of a markups node by their labels.

    Points that were not placed, or are marked as missing, are left out.

    Args:
        node: Markups node of any kind. Every transform above it counts, warping ones too.

    Returns:
        Label to position in the scene's world, LPS mm, in the node's order.

    Raises:
        UserError: When the node is no markups node, or two of its points have the same label.
    """
    if not node.IsA("vtkMRMLMarkupsNode"):
        raise UserError(f'"{node.GetName()}" holds no points; choose a markups node.')
    points: dict[str, tuple[float, float, float]] = {}
    for number in range(node.GetNumberOfControlPoints()):
        if node.GetNthControlPointPositionStatus(number) != node.PositionDefined:
            continue
        label = node.GetNthControlPointLabel(number)
        if label in points:
            raise UserError(
                f'"{node.GetName()}" has two points named "{label}"; '
                "give each its own name, since points are compared by their names."
            )
        ras = [0.0, 0.0, 0.0]
        node.GetNthControlPointPositionWorld(number, ras)
        points[label] = tuple(float(axis * value) for axis, value in zip(RAS_AXES, ras, strict=True))
    return points
