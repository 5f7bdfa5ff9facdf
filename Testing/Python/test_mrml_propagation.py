"""Hardened copies of real MRML nodes: what lies at a moving place must come to the fixed place."""

import numpy as np
import pytest
import SimpleITK as sitk
from carried_nodes import (
    POSE,
    add_points,
    add_transform,
    add_volume,
    array_of,
    as_points,
    pair,
    positions,
    put_under,
)
from field_fixtures import smooth_image
from mrml_fixtures import (
    RAS,
    add_linear,
    by_slicer,
    distance,
    numpy_support,
    slicer,
    voxel_in_world,
    vtk,
)
from mrml_structures import sphere

from SACBRegistrationLib.imaging.displacement import as_transform
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.mrml.propagation import apply_transform
from SACBRegistrationLib.mrml.volumes import volume_to_image

MARKUPS = ("Fiducial", "Line", "Angle", "Curve", "ClosedCurve")


@pytest.fixture(scope="module")
def case():
    return pair()[0]


@pytest.fixture(scope="module")
def field():
    return pair()[1]


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


@pytest.fixture
def transform(scene):
    return add_transform(scene)


@pytest.mark.parametrize("posed", [False, True])
@pytest.mark.parametrize("kind", MARKUPS)
def test_a_moving_landmark_lands_on_its_fixed_place(scene, transform, case, kind, posed):
    fixed = case.points(3, margin=-2)[: 2 if kind == "Line" else 3]
    node = add_points(scene, case.mapped(fixed), kind)
    if posed:
        put_under(scene, node)
    (copy,) = apply_transform(transform, [node])
    assert copy.GetClassName() == node.GetClassName() and copy.GetParentTransformNode() is None
    assert [copy.GetNthControlPointLabel(n) for n in range(2)] == ["P0", "P1"]
    # The field's own error between its nodes.
    assert distance(positions(copy), fixed) < 0.05
    assert distance(positions(node), case.mapped(fixed)) < 1e-6
    # Where Slicer shows the points under the transform.
    node.SetAndObserveTransformNodeID(None)
    node.SetControlPointPositionsWorld(as_points(case.mapped(fixed)))
    node.SetAndObserveTransformNodeID(transform.GetID())
    assert distance(positions(copy), positions(node)) < 1e-3


@pytest.mark.parametrize("kind", ["Plane", "ROI"])
def test_centres_of_planes_and_boxes_are_carried(scene, transform, case, kind):
    fixed = case.points(1, margin=-4)
    node = scene.AddNewNodeByClass(f"vtkMRMLMarkups{kind}Node", kind)
    node.SetCenter(*(case.mapped(fixed)[0] * RAS))
    (copy,) = apply_transform(transform, [node])
    center = np.array(copy.GetCenter()) * RAS
    assert distance(center, fixed[0]) < 0.05


def test_undefined_points_stay_undefined(scene, transform, case):
    node = add_points(scene, case.mapped(case.points(3, margin=-2)))
    node.UnsetNthControlPointPosition(1)
    (copy,) = apply_transform(transform, [node])
    assert [copy.GetNthControlPointPositionStatus(n) for n in range(3)] == [
        node.PositionDefined,
        node.PositionUndefined,
        node.PositionDefined,
    ]


@pytest.mark.parametrize("posed", [False, True])
def test_a_models_surface_comes_from_its_moving_place(scene, transform, field, case, posed):
    center = case.mapped(case.fixed_grid.center[None])[0]
    node = scene.AddNewNodeByClass("vtkMRMLModelNode", "tumour")
    node.SetAndObserveMesh(sphere(center, 9.0))
    if posed:
        put_under(scene, node)
    (copy,) = apply_transform(transform, [node])
    points = numpy_support.vtk_to_numpy(copy.GetMesh().GetPoints().GetData()) * RAS
    back = np.array([as_transform(field).TransformPoint(point) for point in points.tolist()])
    radii = np.linalg.norm(back - center, axis=1)
    assert abs(radii - 9.0).max() < 0.05
    assert np.linalg.norm(points.mean(axis=0) - center) > 20
    assert copy.GetMesh() is not node.GetMesh()


@pytest.mark.parametrize("pixel", [sitk.sitkFloat32, sitk.sitkInt16])
def test_a_volume_on_the_fixed_voxels_is_the_backends_warped_volume(scene, transform, field, case, pixel):
    moving = smooth_image(case.moving_grid, pixel=pixel) - 1024
    fixed = add_volume(scene, smooth_image(case.fixed_grid), "fixed")
    node = add_volume(scene, moving)
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevel(321, 45)
    (copy,) = apply_transform(transform, [node], reference=fixed)
    result = volume_to_image(copy)
    darkest = float(array_of(node).min())
    expected = warp_volume(moving, field, case.fixed_grid, default=darkest)
    assert Grid.from_image(result).size == case.fixed_grid.size and result.GetPixelID() == pixel
    assert distance(result.GetOrigin(), case.fixed_grid.origin) < 1e-4
    assert distance(result.GetDirection(), case.fixed_grid.direction) < 1e-6
    off = abs(sitk.GetArrayFromImage(result).astype(float) - sitk.GetArrayFromImage(expected))
    # A voxel on the moving volume's very edge may fall to either side of it.
    assert np.mean(off > (1 if pixel == sitk.sitkInt16 else 0.1)) < 1e-3
    outside = sitk.GetArrayFromImage(
        warp_volume(sitk.Cast(moving * 0 + 1, sitk.sitkUInt8), field, case.fixed_grid)
    )
    assert 0 < (outside == 0).mean() < 0.9
    assert (sitk.GetArrayFromImage(result)[outside == 0] == darkest).mean() > 0.999
    display = copy.GetDisplayNode()
    assert display is not node.GetDisplayNode()
    assert (display.GetWindow(), display.GetLevel()) == (321, 45)


def test_labels_take_the_nearest_voxel_and_nothing_outside(scene, transform, field, case):
    labels = sitk.Cast(smooth_image(case.moving_grid, 3), sitk.sitkInt16) / 200 + 1
    labels = sitk.Cast(labels, sitk.sitkInt16)
    fixed = add_volume(scene, smooth_image(case.fixed_grid), "fixed")
    node = add_volume(scene, labels, labels=True)
    (copy,) = apply_transform(transform, [node], reference=fixed)
    expected = warp_volume(labels, field, case.fixed_grid, sitk.sitkNearestNeighbor)
    found, wanted = array_of(copy), sitk.GetArrayFromImage(expected)
    assert set(np.unique(found)) == set(np.unique(wanted)) and len(np.unique(wanted)) > 3
    assert (found != wanted).mean() < 1e-3


@pytest.mark.parametrize("labels", [False, True])
def test_where_volume_and_reference_lie_in_the_world_counts(scene, transform, case, labels):
    fixed, moving = smooth_image(case.fixed_grid), smooth_image(case.moving_grid)
    moving = sitk.Cast(moving / 100, sitk.sitkUInt8)
    nodes = [add_volume(scene, fixed, "fixed"), add_volume(scene, moving, labels=labels)]
    (expected,) = apply_transform(transform, nodes[1:], reference=nodes[0])
    for node in nodes:
        put_under(scene, node)
    (copy,) = apply_transform(transform, nodes[1:], reference=nodes[0])
    assert copy.GetParentTransformNode() is None
    for index in ((0, 0, 0), (40, 3, 20)):
        assert distance(voxel_in_world(copy, index), voxel_in_world(expected, index)) < 1e-4
    assert np.mean(array_of(copy) != array_of(expected)) < 1e-3


def test_without_a_reference_the_voxels_keep_their_places(scene, transform, field, case):
    node = add_volume(scene, smooth_image(case.moving_grid))
    (copy,) = apply_transform(transform, [node])
    result = volume_to_image(copy)
    assert Grid.from_image(result).size == case.moving_grid.size
    assert distance(result.GetOrigin(), case.moving_grid.origin) < 1e-4
    # Only where the field is defined: elsewhere SimpleITK does not move.
    inside = case.moving_grid.resample(
        sitk.Cast(sitk.VectorMagnitude(field) * 0 + 1, sitk.sitkUInt8), interpolator=sitk.sitkNearestNeighbor
    )
    expected = sitk.GetArrayFromImage(warp_volume(volume_to_image(node), field, case.moving_grid))
    off = abs(sitk.GetArrayFromImage(result) - expected)[sitk.GetArrayFromImage(inside) == 1]
    assert off.size > 1000 and np.mean(off > 5) < 5e-3


def test_a_linear_transform_moves_the_voxels_exactly(scene, case):
    turn = add_linear(scene, POSE)
    node = add_volume(scene, smooth_image(case.moving_grid))
    (copy,) = apply_transform(turn, [node])
    np.testing.assert_array_equal(array_of(copy), array_of(node))
    expected = voxel_in_world(node, (4, 5, 6)) @ POSE[:3, :3].T + POSE[:3, 3]
    assert distance(voxel_in_world(copy, (4, 5, 6)), expected) < 1e-6
    assert copy.GetImageData() is not node.GetImageData()


def test_the_transforms_own_parent_counts(scene, transform, case):
    fixed = case.points(3, margin=-2)
    node = add_points(scene, case.mapped(fixed))
    transform.SetAndObserveTransformNodeID(add_linear(scene, POSE).GetID())
    (copy,) = apply_transform(transform, [node])
    world = (fixed * RAS) @ POSE[:3, :3].T + POSE[:3, 3]
    assert distance(positions(copy), world * RAS) < 0.05
    general = vtk.vtkGeneralTransform()
    transform.GetTransformToWorld(general)
    assert distance(positions(copy), by_slicer(general, case.mapped(fixed))) < 1e-6


def test_what_lies_under_a_warping_transform_is_carried_from_where_it_is_seen(scene, transform, case):
    fixed = case.points(3, margin=-2)
    points = add_points(scene, case.mapped(fixed))
    volume = add_volume(scene, smooth_image(case.moving_grid))
    reference = add_volume(scene, smooth_image(case.fixed_grid), "fixed")
    (expected,) = apply_transform(transform, [volume], reference=reference)
    for node in (points, volume):
        node.SetAndObserveTransformNodeID(transform.GetID())
    turn = add_linear(scene, POSE)
    reference.SetAndObserveTransformNodeID(turn.GetID())
    copies = apply_transform(turn, [points, volume], reference=reference)
    world = (fixed * RAS) @ POSE[:3, :3].T + POSE[:3, 3]
    assert distance(positions(copies[0]), world * RAS) < 0.05
    assert np.mean(abs(array_of(copies[1]) - array_of(expected)) > 0.1) < 1e-3
