"""Named points in real MRML, where Slicer shows them."""

import numpy as np
import pytest
import SimpleITK as sitk
from mrml_fixtures import RAS, add_linear, distance, slicer
from oblique import rotation

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.displacement import as_transform
from SACBRegistrationLib.mrml.points import points_of
from SACBRegistrationLib.mrml.transforms import displacement_to_grid_transform

POSE = np.eye(4)
POSE[:3, :3] = rotation(20, -30, 40)
POSE[:3, 3] = (5, -60, 33)


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def posed(points):
    """LPS points under POSE, which is in RAS."""
    return ((points * RAS) @ POSE[:3, :3].T + POSE[:3, 3]) * RAS


def test_points_are_found_by_their_labels_in_the_world(scene):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    places = np.random.default_rng(1).uniform(-50, 50, (4, 3))
    for number, place in enumerate(places * RAS):
        node.AddControlPoint(*place, f"P{number}")
    node.SetNthControlPointPositionMissing(1)
    node.UnsetNthControlPointPosition(2)
    found = points_of(node)
    assert list(found) == ["P0", "P3"]
    assert distance(list(found.values()), places[[0, 3]]) < 1e-9
    node.SetAndObserveTransformNodeID(add_linear(scene, POSE).GetID())
    assert distance(list(points_of(node).values()), posed(places[[0, 3]])) < 1e-9


def test_points_under_a_warping_transform_count_where_they_are_seen(scene):
    values = np.random.default_rng(2).uniform(2, 9, (6, 6, 6, 3)).astype(np.float32)
    field = sitk.GetImageFromArray(
        np.ascontiguousarray(values.mean(axis=0, keepdims=True).repeat(6, 0)), True
    )
    field.SetSpacing((20.0, 20.0, 20.0))
    warp = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "warp")
    displacement_to_grid_transform(field, warp)
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    world = np.array((40.0, 60.0, 40.0))
    node.AddControlPoint(*(np.array(as_transform(field).TransformPoint(world)) * RAS), "A")
    node.SetAndObserveTransformNodeID(warp.GetID())
    assert distance(points_of(node)["A"], world) < 0.01


def test_points_need_names_of_their_own_and_a_markups_node(scene):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", "points")
    for x in (1, 2):
        node.AddControlPoint(x, 0, 0, "A")
    with pytest.raises(UserError, match='"points" has two points named "A"'):
        points_of(node)
    with pytest.raises(UserError, match='"scan" holds no points'):
        points_of(scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan"))
