"""Volumes and cluster maps between SimpleITK and real MRML nodes."""

import numpy as np
import pytest
import SimpleITK as sitk
from mrml_fixtures import (
    RAS,
    add_linear,
    numpy_support,
    physical,
    saved_and_loaded,
    slicer,
    some_indices,
    value_in_node,
    voxel_in_world,
    vtk,
)
from oblique import oblique_grid, rotation

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.mrml.cluster_maps import cluster_map_to_volume, cluster_name, fill_cluster_colors
from SACBRegistrationLib.mrml.volumes import image_to_volume, volume_to_image

NUMBERS = (
    np.int8,
    np.uint8,
    np.int16,
    np.uint16,
    np.int32,
    np.uint32,
    np.int64,
    np.uint64,
    np.float32,
    np.float64,
)
GRIDS = {
    "oblique": oblique_grid((7, 5, 4)),
    "left-handed": oblique_grid((5, 8, 3), left_handed=True),
    "turned": oblique_grid((4, 3, 9), (2.9, 0.7, 1.3), degrees=(97.0, 33.0, -141.0)),
}


def random_image(grid: Grid, number=np.int16, seed=1) -> sitk.Image:
    generator = np.random.default_rng(seed)
    if np.issubdtype(number, np.integer):
        limits = np.iinfo(number)
        values = generator.integers(limits.min, limits.max, grid.size[::-1], dtype=number, endpoint=True)
    else:
        values = (generator.normal(size=grid.size[::-1]) * 1e3).astype(number)
    image = sitk.GetImageFromArray(values)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    return image


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def add_volume(scene, image=None, kind="vtkMRMLScalarVolumeNode", name="head"):
    node = scene.AddNewNodeByClass(kind, name)
    if image is not None:
        image_to_volume(image, node)
    return node


def assert_same(image: sitk.Image, other: sitk.Image, tolerance=1e-6) -> None:
    assert image.GetPixelID() == other.GetPixelID()
    assert np.array_equal(sitk.GetArrayFromImage(image), sitk.GetArrayFromImage(other))
    for get in ("GetOrigin", "GetSpacing", "GetDirection"):
        assert np.abs(np.subtract(getattr(image, get)(), getattr(other, get)())).max() < tolerance


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.__name__)
def test_round_trip_keeps_every_bit_of_every_number_type(scene, number):
    image = random_image(GRIDS["oblique"], number)
    assert_same(volume_to_image(add_volume(scene, image)), image)


@pytest.mark.parametrize("grid", GRIDS.values(), ids=GRIDS)
@pytest.mark.parametrize("kind", ["vtkMRMLScalarVolumeNode", "vtkMRMLLabelMapVolumeNode"])
def test_every_voxel_lies_where_simpleitk_sees_it(scene, grid, kind):
    image = random_image(grid)
    node = add_volume(scene, image, kind)
    indices = some_indices(grid.size)
    world = np.array([voxel_in_world(node, index) for index in indices])
    assert np.abs(world - physical(image, indices) * RAS).max() < 1e-6
    assert [value_in_node(node, index) for index in indices] == [image[index] for index in indices.tolist()]
    assert_same(volume_to_image(node), image)


@pytest.mark.parametrize("number", NUMBERS, ids=lambda number: number.__name__)
def test_what_slicer_saves_is_what_simpleitk_reads(scene, number, tmp_path):
    image = random_image(GRIDS["turned"], number)
    node = add_volume(scene, image)
    # Slicer's NRRD writer knows no 64-bit integers; NIfTI keeps geometry in float32.
    wide = np.issubdtype(number, np.integer) and np.dtype(number).itemsize == 8
    path = tmp_path / ("volume.nii" if wide else "volume.nrrd")
    storage = scene.AddNewNodeByClass(
        "vtkMRMLVolumeArchetypeStorageNode" if wide else "vtkMRMLNRRDStorageNode"
    )
    storage.SetFileName(str(path))
    assert storage.WriteData(node) == 1
    assert_same(sitk.ReadImage(str(path)), image, 1e-5 if wide else 1e-6)


def test_what_slicer_reads_is_what_simpleitk_reads(scene, tmp_path):
    path = tmp_path / "volume.nrrd"
    image = random_image(GRIDS["left-handed"], np.float32)
    sitk.WriteImage(image, str(path))
    node = add_volume(scene)
    storage = scene.AddNewNodeByClass("vtkMRMLNRRDStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    assert_same(volume_to_image(node), image)


def test_neither_side_can_change_the_other(scene):
    image = random_image(GRIDS["oblique"])
    node = add_volume(scene, image)
    before = volume_to_image(node)
    scalars = numpy_support.vtk_to_numpy(node.GetImageData().GetPointData().GetScalars())
    expected = int(image[3, 2, 1])
    image[3, 2, 1] = expected ^ 1
    assert value_in_node(node, (3, 2, 1)) == expected
    scalars[:] = 0
    assert before[3, 2, 1] == expected and volume_to_image(node)[3, 2, 1] == 0
    before[3, 2, 1] = 5
    assert value_in_node(node, (3, 2, 1)) == 0


def test_volume_whose_voxels_do_not_start_at_zero(scene):
    image = random_image(GRIDS["oblique"])
    node = add_volume(scene, image)
    node.GetImageData().SetExtent(2, 8, -1, 3, 4, 7)
    cropped = volume_to_image(node)
    for index in ((0, 0, 0), (6, 4, 3)):
        place = voxel_in_world(node, np.add(index, (2, -1, 4)))
        assert np.abs(cropped.TransformIndexToPhysicalPoint(index) * RAS - place).max() < 1e-6
        assert cropped[index] == image[index]


def test_rigid_and_mirroring_parents_count(scene):
    image = random_image(GRIDS["oblique"])
    node = add_volume(scene, image)
    inner, outer = np.eye(4), np.eye(4)
    inner[:3, :3], inner[:3, 3] = rotation(31, -12, 54), (9, -8, 7)
    outer[:3, :3], outer[:3, 3] = np.diag((-1, 1, 1)), (-70, 2, 30)
    child, parent = add_linear(scene, inner), add_linear(scene, outer)
    child.SetAndObserveTransformNodeID(parent.GetID())
    node.SetAndObserveTransformNodeID(child.GetID())
    moved = volume_to_image(node)
    indices = some_indices(GRIDS["oblique"].size)
    world = np.array([voxel_in_world(node, index) for index in indices])
    assert np.linalg.norm(world - physical(image, indices) * RAS, axis=1).min() > 1
    assert np.abs(world - physical(moved, indices) * RAS).max() < 1e-6
    node.HardenTransform()
    assert_same(volume_to_image(node), moved)


def test_parent_that_scales_along_the_axes_changes_the_spacing(scene):
    grid = GRIDS["oblique"]
    node = add_volume(scene, random_image(grid))
    axes = RAS[:, None] * grid.axes
    scale = np.eye(4)
    scale[:3, :3] = axes @ np.diag((2, 3, 0.5)) @ axes.T
    node.SetAndObserveTransformNodeID(add_linear(scene, scale).GetID())
    assert np.allclose(volume_to_image(node).GetSpacing(), np.multiply(grid.spacing, (2, 3, 0.5)), atol=1e-6)


def test_shearing_and_warping_parents_are_refused(scene):
    node = add_volume(scene, random_image(GRIDS["oblique"]))
    shear = np.eye(4)
    shear[0, 1] = 0.3
    node.SetAndObserveTransformNodeID(add_linear(scene, shear).GetID())
    with pytest.raises(UserError, match=r'"head" is sheared by the transform above it; resample'):
        volume_to_image(node)
    # Hardening keeps the shear, so the sentence may not recommend it.
    node.HardenTransform()
    with pytest.raises(UserError, match=r'"head" is sheared by its own axes; resample'):
        volume_to_image(node)
    warp = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "bent")
    node = add_volume(scene, random_image(GRIDS["oblique"]))
    node.SetAndObserveTransformNodeID(warp.GetID())
    with pytest.raises(UserError, match=r'"head" lies under the warping transform "bent"; harden'):
        volume_to_image(node)


def test_written_volume_lies_in_the_world_whatever_was_above_the_node(scene):
    node = add_volume(scene, random_image(GRIDS["turned"], seed=4))
    shift = np.eye(4)
    shift[:3, 3] = (10, 20, 30)
    node.SetAndObserveTransformNodeID(add_linear(scene, shift).GetID())
    image = random_image(GRIDS["oblique"])
    image_to_volume(image, node)
    assert np.abs(voxel_in_world(node, (6, 0, 3)) - physical(image, np.array([(6, 0, 3)])) * RAS).max() < 1e-6
    assert_same(volume_to_image(node), image)


def test_volumes_without_usable_voxels_are_refused(scene):
    with pytest.raises(UserError, match=r'"head" has no voxels'):
        volume_to_image(add_volume(scene))
    colored = add_volume(scene, kind="vtkMRMLVectorVolumeNode", name="photo")
    data = vtk.vtkImageData()
    data.SetDimensions(3, 4, 5)
    data.AllocateScalars(vtk.VTK_UNSIGNED_CHAR, 3)
    colored.SetAndObserveImageData(data)
    with pytest.raises(UserError, match=r'"photo" has 3 values per voxel'):
        volume_to_image(colored)


def test_images_that_no_volume_holds_are_refused(scene):
    node = add_volume(scene)
    for image in (sitk.Image(3, 4, sitk.sitkInt16), sitk.Image([3, 4, 5], sitk.sitkVectorFloat32, 3)):
        with pytest.raises(ValueError, match="3D scalar"):
            image_to_volume(image, node)
    with pytest.raises(ValueError, match="whole numbers"):
        image_to_volume(
            random_image(GRIDS["oblique"], np.float32), add_volume(scene, kind="vtkMRMLLabelMapVolumeNode")
        )
    assert node.GetImageData() is None


def test_cluster_map_shows_named_colours_and_survives_the_scene(scene, tmp_path):
    image = random_image(GRIDS["oblique"], np.uint8)
    image = sitk.Cast(sitk.Modulus(image, 7) + 1, sitk.sitkUInt8)
    colors = scene.AddNewNodeByClass("vtkMRMLColorTableNode", "colours")
    fill_cluster_colors(7, colors)
    node = add_volume(scene, kind="vtkMRMLLabelMapVolumeNode", name="level 1")
    cluster_map_to_volume(image, node, colors)
    cluster_map_to_volume(image, node, colors)
    assert scene.GetNumberOfNodesByClass("vtkMRMLLabelMapVolumeDisplayNode") == 1
    loaded = saved_and_loaded(scene, tmp_path / "scene")
    again = loaded.GetFirstNodeByName("level 1")
    for map_node in (node, again):
        assert_same(volume_to_image(map_node), image)
        table = map_node.GetDisplayNode().GetColorNode()
        names = [table.GetColorName(number) for number in range(table.GetNumberOfColors())]
        assert names[1:] == [cluster_name(number, 7) for number in range(1, 8)]
        assert names[0] == "Background"
        assert names[1] == "Cluster 1 (darkest)" and names[7] == "Cluster 7 (brightest)"
        color = [0.0] * 4
        table.GetColor(0, color)
        assert color[3] == 0
        brightness = []
        for number in (1, 7):
            table.GetColor(number, color)
            assert color[3] == 1
            brightness.append(sum(color[:3]))
        assert brightness[0] < brightness[1]


def test_colour_table_can_shrink_and_needs_two_clusters(scene):
    colors = scene.AddNewNodeByClass("vtkMRMLColorTableNode")
    fill_cluster_colors(16, colors)
    fill_cluster_colors(3, colors)
    assert colors.GetNumberOfColors() == 4
    assert colors.GetColorName(3) == "Cluster 3 (brightest)"
    with pytest.raises(ValueError, match="at least 2"):
        fill_cluster_colors(1, colors)
