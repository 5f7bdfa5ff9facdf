"""The logic without a panel: from volume nodes to result nodes on real MRML, through the real worker."""

import time

import numpy as np
import pytest
import SimpleITK as sitk
from mrml_fixtures import (
    RAS,
    add_linear,
    distance,
    mapped,
    resampled_by_slicer,
    saved_and_loaded,
    slicer,
    world_points,
)
from oblique import rotation
from scene_state import scene_state
from small_pairs import make_small_pair, write_preset, write_weights

from SACBRegistrationLib.errors import CancelledError, UserError
from SACBRegistrationLib.mrml import Outputs, SACBRegistrationLogic
from SACBRegistrationLib.mrml.outputs import result_of
from SACBRegistrationLib.mrml.transforms import grid_transform_to_displacement
from SACBRegistrationLib.mrml.volumes import image_to_volume, volume_to_image
from SACBRegistrationLib.registration import register

UNALIGNED = {"device": "cpu", "alignment": "none"}
pytestmark = pytest.mark.usefixtures("private_temporary_folder")


@pytest.fixture
def private_temporary_folder(tmp_path, monkeypatch):
    """A temporary folder with a space and letters that are not ASCII, empty again after every test."""
    folder = tmp_path / "tmp für Läufe 中"
    folder.mkdir()
    monkeypatch.setenv("TMPDIR", str(folder))
    monkeypatch.setattr("tempfile.tempdir", None)
    yield folder
    assert list(folder.iterdir()) == []


@pytest.fixture(scope="module")
def pair():
    return make_small_pair()


@pytest.fixture(scope="module")
def choices(tmp_path_factory) -> dict:
    folder = tmp_path_factory.mktemp("choices")
    # The alignment's search takes longer than all the rest.
    return {"preset": write_preset(folder), "weights": write_weights(folder), **UNALIGNED}


def nodes_of(pair, scene=None):
    scene = scene if scene is not None else slicer.vtkMRMLScene()
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    nodes = []
    for name in ("fixed", "moving"):
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        image_to_volume(getattr(pair, name), node)
        nodes.append(node)
    return scene, *nodes


def landmarks(scene, points, name):
    node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
    for number, point in enumerate(np.asarray(points) * RAS):
        node.AddControlPoint(*point, f"point {number}")
    return node


def label_map(scene, image, name):
    node = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name)
    image_to_volume(image, node)
    return node


@pytest.fixture(scope="module")
def registered(pair, choices):
    """The pair registered once with everything, and by the backend alone."""
    scene, fixed, moving = nodes_of(pair)
    fixed_points = pair.phantom.landmarks[:6]
    moving_points = pair.phantom.truth.to_moving(fixed_points)
    aligned = {**choices, "alignment": "affine"}
    result = SACBRegistrationLogic().register(
        fixed,
        moving,
        **aligned,
        clusters=4,
        refine=5,
        fixedSegmentationNode=label_map(scene, pair.fixed_labels, "fixed labels"),
        movingSegmentationNode=label_map(scene, pair.moving_labels, "moving labels"),
        fixedPointsNode=landmarks(scene, fixed_points, "fixed points"),
        movingPointsNode=landmarks(scene, moving_points, "moving points"),
        outputs=Outputs(inverse=True),
    )
    # Nodes do not keep their scene alive.
    yield result, register(pair.fixed, pair.moving, **aligned, clusters=4, refine=5)
    scene.Clear()


def test_the_nodes_hold_what_the_backend_finds(registered):
    result, backend = registered
    field = grid_transform_to_displacement(result.transform)
    np.testing.assert_allclose(
        sitk.GetArrayViewFromImage(field),
        sitk.GetArrayViewFromImage(backend.displacement_field),
        rtol=0,
        atol=2e-3,
    )
    assert np.allclose(field.GetOrigin(), backend.displacement_field.GetOrigin())
    assert np.allclose(field.GetDirection(), backend.displacement_field.GetDirection())
    warped = volume_to_image(result.warped)
    np.testing.assert_allclose(
        sitk.GetArrayViewFromImage(warped), sitk.GetArrayViewFromImage(backend.warped), atol=0.2
    )
    assert set(result.clusterMaps) == set(backend.cluster_maps)
    for key, node in result.clusterMaps.items():
        image = volume_to_image(node)
        expected = sitk.GetArrayViewFromImage(backend.cluster_maps[key])
        assert np.array_equal(sitk.GetArrayViewFromImage(image), expected), key
        assert expected.max() == 4


def test_slicer_resamples_the_moving_volume_to_the_warped_one(registered, pair):
    result, _ = registered
    scene = result.transform.GetScene()
    fixed, moving = scene.GetFirstNodeByName("fixed"), scene.GetFirstNodeByName("moving")
    there = resampled_by_slicer(moving, fixed, result.transform.GetTransformFromParent())
    warped = sitk.GetArrayFromImage(volume_to_image(result.warped))
    span = float(np.ptp(sitk.GetArrayViewFromImage(pair.moving)))
    # Where the sample lies outside the moving volume the two fill in different backgrounds.
    inside = there != 0
    assert inside.mean() > 0.25
    assert abs(there - warped)[inside].max() < 1e-3 * span


@pytest.mark.parametrize("extension", ["nrrd", "h5"])
def test_the_saved_transform_maps_alike_in_simpleitk(registered, pair, tmp_path, extension):
    result, backend = registered
    path = tmp_path / f"transform.{extension}"
    storage = slicer.vtkMRMLTransformStorageNode()
    storage.SetFileName(str(path))
    assert storage.WriteData(result.transform) == 1
    if extension == "h5":
        read = sitk.ReadTransform(str(path))
    else:
        read = sitk.DisplacementFieldTransform(sitk.ReadImage(str(path), sitk.sitkVectorFloat64))
    points = pair.phantom.landmarks[:100]
    assert distance(mapped(read, points), mapped(backend.transform, points)) < 0.01


def voxel_centers(image: sitk.Image, points: np.ndarray) -> np.ndarray:
    """The voxel centres nearest to points: there Slicer and ITK read a field alike, however rough it is."""
    indices = [image.TransformPhysicalPointToIndex(point) for point in points.tolist()]
    return np.array([image.TransformIndexToPhysicalPoint(index) for index in indices])


def test_a_moving_landmark_lands_on_the_fixed_one(registered, pair):
    result, backend = registered
    scene = result.transform.GetScene()
    fixed = voxel_centers(pair.fixed, pair.phantom.landmarks[:20])
    moving = mapped(backend.transform, fixed)
    shown = world_points(scene, moving, result.transform)
    assert distance(shown, fixed) < 0.05


def test_the_quality_is_measured(registered):
    result, _ = registered
    table = result.table
    columns = [table.GetColumnName(number) for number in range(table.GetNumberOfColumns())]
    rows = [table.GetCellText(number, 0) for number in range(table.GetNumberOfRows())]
    assert len(columns) >= 3
    text = "\n".join(rows)
    for wanted in ("NCC", "olding", "Jacobian", "Dice", "HD95", "ASSD", "point 3"):
        assert wanted in text, f"{wanted} is not in {rows}"


def test_the_saved_scene_holds_the_result(registered, pair, tmp_path):
    result, backend = registered
    loaded = saved_and_loaded(result.transform.GetScene(), tmp_path / "scene")
    found = result_of(loaded.GetFirstNodeByName(result.transform.GetName()))
    field = grid_transform_to_displacement(found.transform)
    np.testing.assert_allclose(
        sitk.GetArrayViewFromImage(field),
        sitk.GetArrayViewFromImage(backend.displacement_field),
        rtol=0,
        atol=2e-3,
    )
    assert set(found.clusterMaps) == set(result.clusterMaps)
    points = voxel_centers(pair.fixed, pair.phantom.landmarks[:20])
    shown = world_points(loaded, mapped(backend.transform, points), found.transform)
    assert distance(shown, points) < 0.05


QUICK = {"weights": "none", "refine": 0}


def test_where_the_volumes_lie_in_the_world_counts(pair, choices):
    scene, fixed, moving = nodes_of(pair)
    shift = np.eye(4)
    shift[:3, :3], shift[:3, 3] = rotation(4.0, -6.0, 3.0), (6.0, -4.0, 9.0)
    parent = add_linear(scene, shift)
    for node in (fixed, moving):
        node.SetAndObserveTransformNodeID(parent.GetID())
    options = {**choices, **QUICK, "alignment": "rigid"}
    result = SACBRegistrationLogic().register(fixed, moving, **options, outputs=Outputs(False, False, False))
    assert result.warped is None and not result.clusterMaps
    there = volume_to_image(fixed), volume_to_image(moving)
    backend = register(*there, **options)
    field = grid_transform_to_displacement(result.transform)
    np.testing.assert_allclose(
        sitk.GetArrayViewFromImage(field),
        sitk.GetArrayViewFromImage(backend.displacement_field),
        rtol=0,
        atol=2e-3,
    )
    assert any("linear" in note for note in result.notes)


def test_no_waiting_and_the_same_nodes_again(pair, choices):
    scene, fixed, moving = nodes_of(pair)
    options = {**choices, **QUICK}
    first = SACBRegistrationLogic().register(fixed, moving, **options)
    nodes = set(scene_state(scene)["nodes"])
    run = SACBRegistrationLogic().register(
        fixed, moving, **options, outputTransformNode=first.transform, waitForCompletion=False
    )
    seen = []
    while not run.step():
        seen.append(run.status.fraction)
        time.sleep(0.01)
    assert run.status.state == "done" and run.status.fraction == 1.0
    assert seen == sorted(seen)
    assert run.nodes.transform is first.transform
    assert set(scene_state(scene)["nodes"]) == nodes


def test_cancelling_leaves_nothing(pair, choices):
    scene, fixed, moving = nodes_of(pair)
    before = scene_state(scene)
    run = SACBRegistrationLogic().register(fixed, moving, **choices, refine=5000, waitForCompletion=False)
    while run.status.fraction < 0.1:
        assert not run.step(), run.status.error
        time.sleep(0.01)
    run.cancel()
    began = time.monotonic()
    with pytest.raises(CancelledError):
        run.wait()
    assert time.monotonic() - began < 4
    assert run.status.state == "cancelled"
    assert scene_state(scene) == before


def test_what_the_backend_refuses_is_said(pair, choices):
    scene, fixed, moving = nodes_of(pair)
    empty = sitk.Image(pair.moving.GetSize(), sitk.sitkFloat32)
    empty.CopyInformation(pair.moving)
    image_to_volume(empty, moving)
    before = scene_state(scene)
    with pytest.raises(UserError, match="moving"):
        SACBRegistrationLogic().register(fixed, moving, **choices)
    assert scene_state(scene) == before


def test_an_input_removed_during_the_run(pair, choices):
    scene, fixed, moving = nodes_of(pair)
    run = SACBRegistrationLogic().register(fixed, moving, **{**choices, **QUICK}, waitForCompletion=False)
    run.step()
    scene.RemoveNode(moving)
    before = scene_state(scene)
    with pytest.raises(UserError, match="moving volume was removed"):
        run.wait()
    assert scene_state(scene) == before


REFUSED = {
    "no fixed volume": (lambda f, m: {"fixedVolumeNode": None}, "There is no fixed volume"),
    "the same volume": (lambda f, m: {"fixedVolumeNode": m}, "are the same"),
    "output is an input": (lambda f, m: {"outputVolumeNode": m}, "one of the two"),
    "unknown preset": (lambda f, m: {"preset": "nonsense"}, "nonsense"),
    "one landmark list": (
        lambda f, m: {"fixedPointsNode": landmarks(f.GetScene(), [(0, 0, 0)], "p")},
        "Only a fixed landmark list",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_used_is_refused(pair, choices, name):
    scene, fixed, moving = nodes_of(pair)
    change, sentence = REFUSED[name]
    arguments = {"fixedVolumeNode": fixed, "movingVolumeNode": moving, **choices, **change(fixed, moving)}
    before = scene_state(scene)
    with pytest.raises(UserError, match=sentence):
        SACBRegistrationLogic().register(**arguments)
    assert scene_state(scene) == before
