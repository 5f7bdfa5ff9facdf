"""Segments, labels and points in real MRML, against SimpleITK and Slicer's own positions."""

import numpy as np
import pytest
import SimpleITK as sitk
from mrml_fixtures import RAS, add_linear, distance, slicer
from mrml_structures import add_segmentation, add_surface_segmentation, sphere
from oblique import oblique_grid, rotation
from structure_fixtures import ball, box

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml import structures
from SACBRegistrationLib.mrml.structures import mask_of, structures_of
from SACBRegistrationLib.mrml.transforms import displacement_to_grid_transform
from SACBRegistrationLib.mrml.volumes import image_to_volume

GRID = oblique_grid()
CENTER = np.add(GRID.center, (3, 4, -5))
POSE = np.eye(4)
POSE[:3, :3] = rotation(20, -30, 40)
POSE[:3, 3] = (5, -60, 33)


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def masks():
    return {
        "liver": ball(GRID, CENTER, 11.0),
        "spleen": box(GRID, (3, 4, 5), (9, 13, 12)),
        "inside the liver": ball(GRID, CENTER, 5.0),
    }


def world_points(structure):
    """[n, 3] LPS centres of the structure's voxels."""
    inside = structure.array != 0 if structure.value is None else structure.array == structure.value
    return structure.grid.to_lps(np.argwhere(inside)[:, ::-1])


def expected_points(mask):
    indices = np.argwhere(sitk.GetArrayViewFromImage(mask))[:, ::-1].tolist()
    return np.array([mask.TransformIndexToPhysicalPoint(index) for index in indices])


def same_points(found, expected, tolerance=1e-4):
    """Whether two sets of voxel centres in any order are the same."""
    if found.shape != expected.shape:
        return False
    order = [np.lexsort(np.round(points, 3).T) for points in (found, expected)]
    return distance(found[order[0]], expected[order[1]]) < tolerance


def posed(points):
    """LPS points under POSE, which is in RAS."""
    return ((points * RAS) @ POSE[:3, :3].T + POSE[:3, 3]) * RAS


def test_segments_lie_where_their_voxels_are(scene):
    found = structures_of(add_segmentation(scene, masks()))
    assert [structure.name for structure in found] == list(masks())
    for structure, mask in zip(found, masks().values(), strict=True):
        assert same_points(world_points(structure), expected_points(mask))


def test_segments_that_share_a_layer_share_their_voxels(scene):
    node = add_segmentation(scene, masks())
    node.GetSegmentation().CollapseBinaryLabelmaps(False)
    assert node.GetSegmentation().GetNumberOfLayers() == 2
    found = {structure.name: structure for structure in structures_of(node)}
    assert found["liver"].array is found["spleen"].array
    assert found["liver"].value != found["spleen"].value
    for name, mask in masks().items():
        assert same_points(world_points(found[name]), expected_points(mask))


def test_voxels_are_the_nodes_own(scene):
    node = add_segmentation(scene, masks())
    layer = node.GetSegmentation().GetNthSegment(1).GetRepresentation("Binary labelmap")
    structure = structures_of(node)[1]
    layer.GetPointData().GetScalars().SetValue(0, 77)
    assert structure.array[0, 0, 0] == 77
    assert not node.GetScene().GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeNode")


def test_linear_transforms_above_count(scene):
    node = add_segmentation(scene, masks())
    node.SetAndObserveTransformNodeID(add_linear(scene, POSE).GetID())
    for structure, mask in zip(structures_of(node), masks().values(), strict=True):
        assert same_points(world_points(structure), posed(expected_points(mask)))
    # As Slicer sees it.
    center = np.array(node.GetSegmentCenterRAS(node.GetSegmentation().GetNthSegmentID(1)))
    local = points_center(expected_points(masks()["spleen"]))
    assert distance(center * RAS, posed(local)) < 1.5


def points_center(points):
    return (points.min(axis=0) + points.max(axis=0)) / 2


@pytest.mark.parametrize("make", ["segmentation", "labels"])
def test_warping_and_shearing_transforms_are_refused(scene, make):
    node = add_segmentation(scene, masks()) if make == "segmentation" else add_labels(scene)
    field = sitk.Image((6, 6, 6), sitk.sitkVectorFloat32, 3)
    field.SetSpacing((20.0, 20.0, 20.0))
    grid = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "warp")
    displacement_to_grid_transform(field, grid)
    node.SetAndObserveTransformNodeID(grid.GetID())
    for read in (structures_of, mask_of):
        with pytest.raises(UserError, match='warping transform "warp"'):
            read(node)
    shear = np.eye(4)
    shear[0, 1] = 0.3
    node.SetAndObserveTransformNodeID(add_linear(scene, shear).GetID())
    for read in (structures_of, mask_of):
        with pytest.raises(UserError, match="sheared"):
            read(node)


def test_a_segment_without_voxels_is_there_and_empty(scene):
    node = add_segmentation(scene, masks())
    node.GetSegmentation().AddEmptySegment("", "nothing")
    structure = structures_of(node)[-1]
    assert structure.name == "nothing" and not (structure.array == structure.value).any()
    assert same_points(world_points(mask_of(node)), world_points(mask_of(add_segmentation(scene, masks()))))


def test_names_must_differ(scene):
    node = add_segmentation(scene, masks())
    node.GetSegmentation().GetNthSegment(2).SetName("liver")
    with pytest.raises(UserError, match='"segmentation" has more than one of its segments named "liver"'):
        structures_of(node)
    mask_of(node)


def test_a_mask_is_all_segments_together(scene):
    # Layers of their own: extents differ.
    node = add_segmentation(scene, masks())
    union = sitk.Or(masks()["liver"], masks()["spleen"])
    mask = mask_of(node)
    assert mask.value is None
    assert same_points(world_points(mask), expected_points(union))
    node.GetSegmentation().RemoveSegment(node.GetSegmentation().GetNthSegmentID(2))
    node.GetSegmentation().CollapseBinaryLabelmaps(False)
    shared = mask_of(node)
    assert same_points(world_points(shared), expected_points(union))
    assert shared.array is not mask.array and structures_of(node)[0].array.shape == shared.array.shape


def test_layers_of_different_lattices_unite_on_the_finer_one(scene):
    coarse = oblique_grid((19, 15, 12), (3.0, 3.3, 3.6), degrees=(5, 9, 2))
    node = add_segmentation(
        scene, {"a": masks()["spleen"], "b": ball(coarse, np.add(GRID.center, (4, 9, 0)), 12.0)}
    )
    mask = mask_of(node)
    assert mask.grid.spacing == pytest.approx(GRID.spacing)
    volume = np.prod(GRID.spacing) * (mask.array != 0).sum()
    alone = np.prod(GRID.spacing) * sitk.GetArrayFromImage(masks()["spleen"]).sum()
    assert volume == pytest.approx(alone + 4 / 3 * np.pi * 12**3, rel=0.05)


def test_surfaces_become_voxels_in_a_copy(scene):
    center = GRID.center
    node = add_surface_segmentation(scene, {"ball": sphere(center, 14.0)})
    (structure,) = structures_of(node)
    segmentation = node.GetSegmentation()
    assert structure.name == "ball"
    assert not segmentation.ContainsRepresentation("Binary labelmap")
    assert segmentation.GetSourceRepresentationName() == "Closed surface"
    points = world_points(structure)
    assert distance(points.mean(axis=0), center) < 0.1
    assert len(points) * np.prod(structure.grid.spacing) == pytest.approx(4 / 3 * np.pi * 14**3, rel=0.02)


def test_surfaces_that_cannot_become_voxels_are_refused(scene, monkeypatch):
    node = add_surface_segmentation(scene, {"ball": sphere(GRID.center, 14.0)})
    slicer.vtkSegmentationConverterFactory.GetInstance().DisableRepresentation("Binary labelmap")
    monkeypatch.setattr(structures, "ensure_conversion_rules", lambda: None)
    with pytest.raises(UserError, match="create that representation"):
        structures_of(node)
    monkeypatch.undo()
    assert len(structures_of(node)) == 1


def add_labels(scene, values=None, colors=None):
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    if values is None:
        values = np.zeros(GRID.size[::-1], np.int16)
        values[4:9, 5:11, 3:8], values[12:15, 5:11, 3:8], values[15:18, 2:4, 9:20] = 3, 7, 300
    image = sitk.GetImageFromArray(values)
    image.SetOrigin(GRID.origin)
    image.SetSpacing(GRID.spacing)
    image.SetDirection(GRID.direction)
    image_to_volume(image, node)
    if colors:
        table = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "colors")
        table.SetTypeToUser()
        table.SetNumberOfColors(10)
        for value, name in colors.items():
            table.SetColor(value, name, 1, 0, 0, 1)
        node.CreateDefaultDisplayNodes()
        node.GetDisplayNode().SetAndObserveColorNodeID(table.GetID())
    return node


def test_labels_are_called_as_their_colours_are(scene):
    node = add_labels(scene, colors={0: "background", 3: "liver", 5: "not there"})
    found = structures_of(node)
    assert [(s.name, s.value) for s in found] == [("liver", 3), ("Label 7", 7), ("Label 300", 300)]
    assert all(s.array is found[0].array for s in found)
    corner = found[0].grid.to_lps(np.array([3, 5, 4]))
    assert distance(world_points(found[0])[0], corner) < 1e-6
    assert [s.name for s in structures_of(add_labels(scene))] == ["Label 3", "Label 7", "Label 300"]


def test_labels_of_the_same_name_are_refused(scene):
    with pytest.raises(UserError, match='more than one of its labels named "vessel"'):
        structures_of(add_labels(scene, colors={3: "vessel", 7: "vessel"}))


@pytest.mark.parametrize("number", [np.int8, np.uint8, np.uint16, np.int32])
def test_labels_of_any_whole_number_type_are_found(scene, number):
    values = np.zeros(GRID.size[::-1], number)
    extreme = [np.iinfo(number).max, max(np.iinfo(number).min, -(2**31) + 1)]
    values[3], values[4], values[5] = *extreme, 1
    found = [structure.value for structure in structures_of(add_labels(scene, values))]
    assert found == sorted({*extreme, 1} - {0})


def test_a_label_map_is_a_mask(scene):
    node = add_labels(scene)
    mask = mask_of(node)
    assert mask.value is None and (mask.array != 0).sum() == sum(
        (mask.array == value).sum() for value in (3, 7, 300)
    )


def test_what_holds_nothing_is_refused(scene):
    empty = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "none")
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "scan")
    zeros = add_labels(scene, np.zeros(GRID.size[::-1], np.uint8))
    for read in (structures_of, mask_of):
        with pytest.raises(UserError, match='"none"'):
            read(empty)
        with pytest.raises(UserError, match='"scan" is neither'):
            read(volume)
    with pytest.raises(UserError, match='"labels" has no labels'):
        structures_of(zeros)
    hollow = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "hollow")
    with pytest.raises(UserError, match="no voxels"):
        structures_of(hollow)
