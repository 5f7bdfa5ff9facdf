"""Nodes on the moving volume of an oblique pair, and the transform to the fixed one, in real MRML."""

from functools import cache

import numpy as np
import SimpleITK as sitk
from field_fixtures import Case, make_case
from mrml_fixtures import RAS, add_linear, matrix, vtk
from oblique import rotation
from structure_fixtures import ball

from SACBRegistrationLib.imaging.displacement import compose_displacement
from SACBRegistrationLib.mrml.transforms import displacement_to_grid_transform
from SACBRegistrationLib.mrml.volumes import image_to_volume, volume_to_image

POSE = np.eye(4)
POSE[:3, :3] = rotation(20, -30, 40)
POSE[:3, 3] = (5, -60, 33)


@cache
def pair() -> tuple[Case, sitk.Image]:
    """The pair's geometry and its displacement field, which is the analytic transform but for sampling."""
    case = make_case()
    return case, compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid)


def add_transform(scene):
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "T")
    displacement_to_grid_transform(pair()[1], node)
    return node


def add_volume(scene, image, name="moving", labels=False):
    kind = "LabelMap" if labels else "Scalar"
    node = scene.AddNewNodeByClass(f"vtkMRML{kind}VolumeNode", name)
    image_to_volume(image, node)
    node.CreateDefaultDisplayNodes()
    return node


def add_points(scene, points, kind="Fiducial"):
    node = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", kind)
    node.CreateDefaultDisplayNodes()
    for number, point in enumerate(points * RAS):
        node.AddControlPoint(*point, f"P{number}")
    return node


def positions(markups):
    """[n, 3] LPS in the world."""
    return (
        np.array(
            [markups.GetNthControlPointPositionWorld(n) for n in range(markups.GetNumberOfControlPoints())]
        )
        * RAS
    )


def put_under(scene, node, array=POSE):
    """Puts a node under a linear transform, and moves its own data so that it stays where it is."""
    parent = add_linear(scene, array, "pose")
    node.ApplyTransformMatrix(matrix(np.linalg.inv(array)))
    node.SetAndObserveTransformNodeID(parent.GetID())


def array_of(node):
    return sitk.GetArrayFromImage(volume_to_image(node))


def state(scene):
    """What is in a scene: IDs, names and the transforms above."""
    return sorted(
        (node.GetID(), node.GetName() or "", node.GetNodeReferenceID("transform") or "")
        for node in (scene.GetNthNode(number) for number in range(scene.GetNumberOfNodes()))
    )


def as_points(points):
    result = vtk.vtkPoints()
    for point in points * RAS:
        result.InsertNextPoint(point)
    return result


def segments(case):
    """Balls around moving points, apart from each other and inside the moving volume."""
    center = case.mapped(case.fixed_grid.center[None])[0]
    places = {"middle": (center, 12.0), "high": (np.add(center, (6, 17, 11)), 6.0)}
    return places, {name: ball(case.moving_grid, *place) for name, place in places.items()}
