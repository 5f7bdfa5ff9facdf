"""Displacement fields and initial transforms in real MRML transform nodes."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from field_fixtures import make_case, smooth_image
from mrml_fixtures import (
    add_linear,
    by_slicer,
    distance,
    mapped,
    matrix,
    physical,
    resampled_by_slicer,
    saved_and_loaded,
    slicer,
    some_indices,
    vtk,
    world_points,
)
from oblique import rotation

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.displacement import as_transform, compose_displacement, map_points
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.mrml.transforms import (
    displacement_to_grid_transform,
    grid_transform_to_displacement,
    transform_node_to_sitk,
)
from SACBRegistrationLib.mrml.volumes import image_to_volume, volume_to_image


@pytest.fixture(scope="module")
def case():
    return make_case()


@pytest.fixture(scope="module")
def rough(case):
    """A field whose neighbouring nodes differ: a transposed or shifted grid cannot pass."""
    noise = torch.randn(case.phi().shape, generator=torch.Generator().manual_seed(2)) * 0.3
    return compose_displacement(case.phi() + noise, case.network_grid, case.alignment, case.fixed_grid, 4.0)


@pytest.fixture(scope="module")
def smooth(case):
    return compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid)


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def add_grid(scene, field=None, name="result"):
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", name)
    if field is not None:
        displacement_to_grid_transform(field, node)
    return node


def inner_nodes(field):
    """Places of field nodes off the border, where ITK and Slicer leave no room for interpretation."""
    return physical(field, some_indices(np.subtract(field.GetSize(), 2), 200) + 1)


def test_node_maps_fixed_points_to_moving_points_as_simpleitk_does(scene, rough):
    node = add_grid(scene, rough)
    transform = node.GetTransformFromParent()
    assert transform.IsA("vtkOrientedGridTransform") and not transform.GetInverseFlag()
    points = inner_nodes(rough)
    expected = mapped(as_transform(rough), points)
    assert np.linalg.norm(expected - points, axis=1).min() > 20
    assert distance(by_slicer(transform, points), expected) < 1e-4


@pytest.mark.parametrize("pixel", [sitk.sitkVectorFloat32, sitk.sitkVectorFloat64])
def test_round_trip_keeps_every_bit(scene, rough, pixel):
    field = sitk.Cast(rough, pixel)
    back = grid_transform_to_displacement(add_grid(scene, field))
    assert back.GetPixelID() == pixel
    assert np.array_equal(sitk.GetArrayFromImage(back), sitk.GetArrayFromImage(field))
    for get in ("GetSize", "GetOrigin", "GetSpacing", "GetDirection"):
        assert np.abs(np.subtract(getattr(back, get)(), getattr(field, get)())).max() < 1e-6


def test_neither_side_can_change_the_other(scene, rough):
    field = sitk.Image(rough)
    node = add_grid(scene, field)
    point = inner_nodes(field)[-1:]
    before = by_slicer(node.GetTransformFromParent(), point)
    copy = grid_transform_to_displacement(node)
    for image in (field, copy):
        image[tuple(image.TransformPhysicalPointToIndex(point[0].tolist()))] = (500.0, 500.0, 500.0)
    node.GetTransformFromParent().Modified()
    assert distance(by_slicer(node.GetTransformFromParent(), point), before) == 0


@pytest.mark.parametrize("extension", ["nrrd", "h5"])
def test_simpleitk_reads_what_the_node_saved(scene, rough, extension, tmp_path):
    node = add_grid(scene, rough)
    storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    path = tmp_path / f"transform.{extension}"
    storage.SetFileName(str(path))
    assert storage.WriteData(node) == 1
    if extension == "h5":
        transform = sitk.ReadTransform(str(path))
    else:
        transform = as_transform(sitk.ReadImage(str(path)))
    points = inner_nodes(rough)
    assert distance(mapped(transform, points), by_slicer(node.GetTransformFromParent(), points)) < 0.01
    assert distance(mapped(transform, points), mapped(as_transform(rough), points)) < 0.01


def test_a_field_that_slicer_read_comes_out_as_it_was_written(scene, rough, tmp_path):
    path = tmp_path / "transform.h5"
    sitk.WriteTransform(as_transform(rough), str(path))
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    storage = scene.AddNewNodeByClass("vtkMRMLTransformStorageNode")
    storage.SetFileName(str(path))
    assert storage.ReadData(node) == 1
    back = grid_transform_to_displacement(node)
    assert np.abs(np.subtract(back.GetOrigin(), rough.GetOrigin())).max() < 1e-6
    assert np.abs(sitk.GetArrayFromImage(back) - sitk.GetArrayFromImage(rough)).max() < 1e-6


def test_moving_volume_under_the_node_lands_on_the_fixed_one(scene, case, smooth):
    moving = smooth_image(case.moving_grid)
    warped = sitk.GetArrayFromImage(warp_volume(moving, smooth, case.fixed_grid))
    moving_node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "moving")
    fixed_node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "fixed")
    image_to_volume(moving, moving_node)
    image_to_volume(case.fixed_grid.resample(moving), fixed_node)
    moving_node.SetAndObserveTransformNodeID(add_grid(scene, smooth).GetID())
    from_fixed = vtk.vtkGeneralTransform()
    slicer.vtkMRMLTransformNode.GetTransformBetweenNodes(
        None, moving_node.GetParentTransformNode(), from_fixed
    )
    resampled = resampled_by_slicer(moving_node, fixed_node, from_fixed)

    index = np.stack(np.meshgrid(*(np.arange(n) for n in case.fixed_grid.size), indexing="ij"), -1)
    place = case.moving_grid.to_index(map_points(smooth, case.fixed_grid.to_lps(index)))
    inside = ((place > 0.1) & (place < np.asarray(case.moving_grid.size) - 1.1)).all(axis=-1)
    inside = inside.transpose(2, 1, 0)
    assert inside.mean() > 0.3 and np.ptp(warped[inside]) > 300
    assert np.abs(resampled - warped)[inside].max() < 0.5
    # Without the transform, or through it the wrong way, the two have little in common.
    for wrong in (vtk.vtkTransform(), from_fixed.GetInverse()):
        assert np.abs(resampled_by_slicer(moving_node, fixed_node, wrong) - warped)[inside].max() > 100


def test_hardened_volume_is_the_warped_volume(scene, case, smooth):
    """Slicer's own Harden warps a volume on its own grid, which it enlarges to hold everything."""
    moving = smooth_image(case.moving_grid)
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "moving")
    image_to_volume(moving, node)
    node.SetAndObserveTransformNodeID(add_grid(scene, smooth).GetID())
    assert node.HardenTransform() and node.GetParentTransformNode() is None
    hardened = volume_to_image(node)
    generator = np.random.default_rng(3)
    points = case.fixed_grid.to_lps(generator.uniform(8, np.asarray(case.fixed_grid.size) - 9, (300, 3)))
    place = case.moving_grid.to_index(map_points(smooth, points))
    points = points[((place > 2) & (place < np.asarray(case.moving_grid.size) - 3)).all(axis=1)]
    assert len(points) > 50
    ours = [value_at(moving, point) for point in mapped(as_transform(smooth), points)]
    slicers = [value_at(hardened, point) for point in points]
    # Twice interpolated, so blunter by a few of about 1000 grey values.
    assert np.ptp(ours) > 300 and np.abs(np.subtract(ours, slicers)).max() < 25


def value_at(image: sitk.Image, point) -> float:
    return image.EvaluateAtPhysicalPoint(tuple(map(float, point)), sitk.sitkLinear)


def test_landmarks_go_the_right_way(scene, case, smooth):
    fixed_points = case.points(20, margin=-8)
    moving_points = mapped(as_transform(smooth), fixed_points)
    # Slicer inverts the field step by step.
    assert distance(world_points(scene, moving_points, add_grid(scene, smooth)), fixed_points) < 0.05
    assert np.linalg.norm(fixed_points - moving_points, axis=1).min() > 20


def test_scene_saved_and_loaded_again_maps_the_same(scene, case, rough, tmp_path):
    image = smooth_image(case.moving_grid)
    volume = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "moving")
    image_to_volume(image, volume)
    node = add_grid(scene, rough)
    volume.SetAndObserveTransformNodeID(node.GetID())
    loaded = saved_and_loaded(scene, tmp_path / "scene")
    again = loaded.GetFirstNodeByName("result")
    assert loaded.GetFirstNodeByName("moving").GetParentTransformNode() is again
    # Between the nodes too, where the way of interpolating shows.
    points = np.concatenate([inner_nodes(rough), case.points(300)])
    before = by_slicer(node.GetTransformFromParent(), points)
    assert distance(by_slicer(again.GetTransformFromParent(), points), before) < 1e-4
    back = grid_transform_to_displacement(again)
    assert Grid.from_image(back).size == Grid.from_image(rough).size
    assert np.abs(sitk.GetArrayFromImage(back) - sitk.GetArrayFromImage(rough)).max() < 1e-5


def test_reused_node_holds_the_new_field_in_the_world(scene, rough, smooth):
    node = add_grid(scene, rough)
    shift = np.eye(4)
    shift[:3, 3] = (10, 20, 30)
    node.SetAndObserveTransformNodeID(add_linear(scene, shift).GetID())
    displacement_to_grid_transform(smooth, node)
    assert node.GetParentTransformNode() is None
    points = inner_nodes(smooth)
    assert (
        distance(by_slicer(node.GetTransformFromParent(), points), mapped(as_transform(smooth), points))
        < 1e-4
    )
    assert scene.GetNumberOfNodesByClass("vtkMRMLGridTransformNode") == 1


def test_scaled_short_fields_are_read_in_mm(scene):
    vectors = np.random.default_rng(1).integers(-90, 90, (4, 5, 6, 3)).astype(np.int16)
    data = vtk.vtkImageData()
    data.SetDimensions(6, 5, 4)
    data.SetOrigin(3, -8, 11)
    data.SetSpacing(2.5, 1.5, 3.5)
    data.AllocateScalars(vtk.VTK_SHORT, 3)
    for z, y, x, component in np.ndindex(vectors.shape):
        data.SetScalarComponentFromDouble(x, y, z, component, vectors[z, y, x, component])
    data.SetExtent(2, 7, -1, 3, 4, 7)
    transform = slicer.vtkOrientedGridTransform()
    axes = np.eye(4)
    axes[:3, :3] = rotation(20, -30, 40)
    transform.SetGridDirectionMatrix(matrix(axes))
    transform.SetDisplacementGridData(data)
    transform.SetDisplacementScale(0.1)
    transform.SetDisplacementShift(0.7)
    node = add_grid(scene)
    node.SetAndObserveTransformFromParent(transform)
    field = grid_transform_to_displacement(node)
    points = inner_nodes(field)
    assert distance(mapped(as_transform(field), points), by_slicer(transform, points)) < 1e-4


def test_linear_initial_transform_goes_from_fixed_to_moving(scene):
    inner, outer = np.eye(4), np.eye(4)
    inner[:3, :3], inner[:3, 3] = rotation(31, -12, 54) @ np.diag((1.1, 0.9, 1.2)), (9, -8, 7)
    outer[:3, 3] = (-70, 2, 30)
    child = add_linear(scene, inner)
    child.SetAndObserveTransformNodeID(add_linear(scene, outer).GetID())
    transform = transform_node_to_sitk(child)
    moving_points = np.random.default_rng(4).normal(size=(10, 3)) * 60
    world = world_points(scene, moving_points, child)
    assert distance(world, moving_points) > 50
    assert distance(mapped(transform, world), moving_points) < 1e-9


def test_grid_initial_transform(scene, rough):
    transform = transform_node_to_sitk(add_grid(scene, rough))
    points = inner_nodes(rough)
    assert distance(mapped(transform, points), mapped(as_transform(rough), points)) < 1e-5


def test_transforms_that_cannot_be_used_are_refused(scene, rough):
    bent = scene.AddNewNodeByClass("vtkMRMLBSplineTransformNode", "bent")
    with pytest.raises(UserError, match=r'"bent" holds no displacement field; convert'):
        grid_transform_to_displacement(bent)
    with pytest.raises(UserError, match=r'"empty" holds no displacement field; convert'):
        grid_transform_to_displacement(add_grid(scene, name="empty"))
    below = add_grid(scene, rough, "below")
    below.SetAndObserveTransformNodeID(add_linear(scene, np.eye(4)).GetID())
    with pytest.raises(UserError, match=r'"below" lies under another transform; harden'):
        grid_transform_to_displacement(below)
    other_way = add_grid(scene, rough, "other way")
    other_way.Inverse()
    with pytest.raises(UserError, match=r'"other way" holds the displacement of the inverse direction'):
        grid_transform_to_displacement(other_way)
    flat = np.diag((1.0, 1.0, 0.0, 1.0))
    with pytest.raises(UserError, match=r'"flat" cannot be inverted'):
        transform_node_to_sitk(add_linear(scene, flat, "flat"))


def test_images_that_are_no_displacement_field_are_refused(scene):
    node = add_grid(scene)
    for image in (sitk.Image([4, 4, 4], sitk.sitkFloat32), sitk.Image([4, 4], sitk.sitkVectorFloat32, 2)):
        with pytest.raises(ValueError, match="3D image of real vectors"):
            displacement_to_grid_transform(image, node)
    with pytest.raises(ValueError, match="3 components, not 2"):
        displacement_to_grid_transform(sitk.Image([4, 4, 4], sitk.sitkVectorFloat32, 2), node)
