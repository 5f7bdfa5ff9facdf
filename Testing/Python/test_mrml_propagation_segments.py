"""Segments carried from the moving to the fixed volume in real MRML."""

import numpy as np
import pytest
import SimpleITK as sitk
from carried_nodes import POSE, add_transform, pair, put_under, segments
from mrml_fixtures import (
    RAS,
    add_linear,
    distance,
    numpy_support,
    slicer,
    vtk,
)
from mrml_structures import add_segmentation, add_surface_segmentation, sphere

from SACBRegistrationLib.imaging.displacement import as_transform
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.mrml.propagation import apply_transform
from SACBRegistrationLib.mrml.segmentation_rules import ensure_conversion_rules
from SACBRegistrationLib.mrml.structures import structures_of


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


@pytest.mark.parametrize("layers", ["own", "shared"])
@pytest.mark.parametrize("posed", [False, True])
def test_segments_come_from_their_moving_places_and_none_is_cut(scene, transform, field, case, posed, layers):
    _, masks = segments(case)
    node = add_segmentation(scene, masks)
    if layers == "shared":
        node.GetSegmentation().CollapseBinaryLabelmaps(False)
    if posed:
        put_under(scene, node)
    before = [array.array.copy() for array in structures_of(node)]
    (copy,) = apply_transform(transform, [node])
    segmentation = copy.GetSegmentation()
    assert segmentation.GetNumberOfLayers() == (1 if layers == "shared" else 2)
    found = structures_of(copy)
    assert [structure.name for structure in found] == list(masks)
    for structure, mask in zip(found, masks.values(), strict=True):
        # On its own lattice, continued as far as the whole field reaches.
        whole = structure.grid.covering(case.fixed_grid.corners(0))
        inside = structure.array == structure.value
        voxel = np.prod(structure.grid.spacing)
        expected = warp_volume(mask, field, structure.grid, sitk.sitkNearestNeighbor)
        off = inside != (sitk.GetArrayFromImage(expected) == 1)
        assert off.sum() < 0.01 * inside.sum()
        everything = warp_volume(mask, field, whole, sitk.sitkNearestNeighbor)
        everything = sitk.GetArrayFromImage(everything) * in_field(field, whole)
        assert inside.sum() * voxel == pytest.approx(everything.sum() * voxel, rel=0.01)
    for structure, array in zip(structures_of(node), before, strict=True):
        np.testing.assert_array_equal(structure.array, array)


def in_field(field, grid):
    ones = sitk.Cast(sitk.VectorMagnitude(field) * 0 + 1, sitk.sitkUInt8)
    return sitk.GetArrayFromImage(grid.resample(ones, interpolator=sitk.sitkNearestNeighbor))


def test_surfaces_of_segments_follow(scene, transform, field, case):
    ensure_conversion_rules()
    places, masks = segments(case)
    voxels = add_segmentation(scene, masks)
    voxels.CreateClosedSurfaceRepresentation()
    surfaces = add_surface_segmentation(scene, {name: sphere(*place) for name, place in places.items()})
    for copy, tolerance in zip(apply_transform(transform, [voxels, surfaces]), (2.0, 0.05), strict=True):
        for name, (center, radius) in places.items():
            surface = vtk.vtkPolyData()
            segment = copy.GetSegmentation().GetSegmentIdBySegmentName(name)
            assert copy.GetClosedSurfaceRepresentation(segment, surface)
            points = numpy_support.vtk_to_numpy(surface.GetPoints().GetData()) * RAS
            back = np.array([as_transform(field).TransformPoint(point) for point in points.tolist()])
            assert abs(np.linalg.norm(back - center, axis=1) - radius).max() < tolerance


def test_a_turned_segmentation_keeps_its_voxels(scene, case):
    _, masks = segments(case)
    node = add_segmentation(scene, masks)
    (copy,) = apply_transform(add_linear(scene, POSE), [node])
    for first, second in zip(structures_of(node), structures_of(copy), strict=True):
        np.testing.assert_array_equal(first.array, second.array)
        moved = (first.grid.corners() * RAS) @ POSE[:3, :3].T + POSE[:3, 3]
        assert distance(second.grid.corners(), moved * RAS) < 1e-4


def test_a_sheared_segmentation_gets_right_angled_voxels(scene, case):
    shear = np.eye(4)
    shear[0, 1], shear[2, 0] = 0.4, -0.2
    places, masks = segments(case)
    (copy,) = apply_transform(add_linear(scene, shear), [add_segmentation(scene, masks)])
    for structure, (center, radius) in zip(structures_of(copy), places.values(), strict=True):
        inside = np.argwhere(structure.array == structure.value)[:, ::-1]
        points = (structure.grid.to_lps(inside) * RAS) @ np.linalg.inv(shear[:3, :3]).T * RAS
        assert np.linalg.norm(points - center, axis=1).max() < radius + 2
        assert len(inside) * np.prod(structure.grid.spacing) == pytest.approx(
            4 / 3 * np.pi * radius**3 * np.linalg.det(shear[:3, :3]), rel=0.1
        )


@pytest.mark.parametrize("layers", ["own", "shared"])
def test_a_segmentation_under_a_warping_transform_is_carried_from_where_it_is_seen(
    scene, transform, field, case, layers
):
    _, masks = segments(case)
    node = add_segmentation(scene, masks)
    if layers == "shared":
        node.GetSegmentation().CollapseBinaryLabelmaps(False)
    node.SetAndObserveTransformNodeID(transform.GetID())
    (copy,) = apply_transform(add_linear(scene, POSE), [node])
    back = sitk.AffineTransform(3)
    back.SetMatrix(np.ravel(RAS[:, None] * POSE[:3, :3] * RAS))
    back.SetTranslation(POSE[:3, 3] * RAS)
    # SimpleITK applies the last one first.
    both = sitk.CompositeTransform([as_transform(field), back.GetInverse()])
    for structure, mask in zip(structures_of(copy), masks.values(), strict=True):
        expected = warp_volume(mask, both, structure.grid, sitk.sitkNearestNeighbor)
        inside = structure.array == structure.value
        assert inside.sum() > 100
        assert (inside != (sitk.GetArrayFromImage(expected) == 1)).sum() < 0.01 * inside.sum()
