"""A finished result written into a scene: nodes made, reused, removed, taken back."""

import numpy as np
import pytest
import SimpleITK as sitk
from mrml_fixtures import by_slicer, matrix, saved_and_loaded, slicer
from oblique import oblique_grid
from scene_state import scene_state

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.mrml import writing
from SACBRegistrationLib.mrml.loading import LoadedArray
from SACBRegistrationLib.mrml.outputs import PAIR, companions, result_of
from SACBRegistrationLib.mrml.volumes import image_to_volume, volume_view
from SACBRegistrationLib.mrml.vtk_images import RAS_AXES, array_to_image_data
from SACBRegistrationLib.mrml.writing import Targets, write_result

FIELD_GRID = oblique_grid((9, 7, 6), (3.1, 4.2, 5.3))
SHIFT = np.array([4.0, -2.5, 1.5])
"""What the displacement of these tests is everywhere, LPS mm."""

REPORT = {
    "settings": {"clusters": {"5": 3, "4": 3, "3": 5, "2": 5}},
    "notes": ["Something to know."],
    "local_ncc": {"before": 0.1, "aligned": 0.4, "after": 0.8},
    "jacobian": {"folding_percent": 0.0, "minimum": 0.5, "maximum": 1.7},
    "displacement_mm": {"mean": 4.9, "maximum": 4.95},
}
RANGES = {"magnitude": (0.0, 5.0)}


def array(values, grid: Grid = FIELD_GRID) -> LoadedArray:
    return LoadedArray(array_to_image_data(np.ascontiguousarray(values)), grid)


def some_result(levels=(5, 2), inverse=False, shift=SHIFT) -> dict[str, LoadedArray]:
    shape = FIELD_GRID.size[::-1]
    made = {
        "displacement_field": array(np.full((*shape, 3), shift * RAS_AXES, np.float32)),
        "warped": array(np.arange(np.prod(shape), dtype=np.float32).reshape(shape)),
        "magnitude": array(np.full(shape, np.linalg.norm(shift), np.float32)),
        "jacobian": array(np.ones(shape, np.float32)),
    }
    for level in levels:
        for role in ("fixed", "moving"):
            made[f"clusters_{level}_{role}"] = array(np.full(shape, level % 3 + 1, np.uint8))
    if inverse:
        made["inverse_field"] = array(np.full((*shape, 3), -shift * RAS_AXES, np.float32))
    return made


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


@pytest.fixture
def targets(scene) -> Targets:
    nodes = []
    for name in ("fixed", "moving"):
        node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)
        grid = oblique_grid((8, 9, 10), (2.0, 3.0, 4.0))
        image_to_volume(grid.resample(_ramp()), node)
        nodes.append(node)
    return Targets(*nodes)


def _ramp() -> sitk.Image:
    return sitk.GetImageFromArray(np.arange(60, dtype=np.float32).reshape(3, 4, 5))


def write(targets, loaded):
    return write_result(targets, loaded, REPORT, {}, RANGES)


def test_everything_lies_in_one_folder_named_after_the_pair(scene, targets):
    made = write(targets, some_result(inverse=True))
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert hierarchy.GetItemName(made.folderItem) == "moving to fixed"
    nodes = [made.transform, made.table, made.warped, made.magnitude, made.jacobian, made.inverse]
    nodes += [*made.clusterMaps.values(), *made.clusterColors.values()]
    assert len({node.GetID() for node in nodes}) == 6 + 4 + 2
    for node in nodes:
        assert hierarchy.GetItemParent(hierarchy.GetItemByDataNode(node)) == made.folderItem
    assert hierarchy.GetNumberOfItemChildren(made.folderItem) == len(nodes)


def test_the_transform_takes_fixed_to_moving_points(targets):
    made = write(targets, some_result(inverse=True))
    points = FIELD_GRID.to_lps(np.array([[2.0, 3.0, 1.0], [4.5, 2.5, 3.5]]))
    there = by_slicer(made.transform.GetTransformFromParent(), points)
    np.testing.assert_allclose(there, points + SHIFT, atol=1e-4)
    back = by_slicer(made.inverse.GetTransformFromParent(), points)
    np.testing.assert_allclose(back, points - SHIFT, atol=1e-4)


def test_volumes_hold_what_the_worker_made(targets):
    made = write(targets, some_result())
    values, grid = volume_view(made.warped)
    assert np.array_equal(values.ravel(), np.arange(values.size))
    np.testing.assert_allclose(grid.matrix, FIELD_GRID.matrix, atol=1e-9)
    assert list(made.clusterMaps) == [(5, "fixed"), (5, "moving"), (2, "fixed"), (2, "moving")]
    coarse, fine = made.clusterMaps[5, "fixed"], made.clusterMaps[2, "fixed"]
    assert coarse.GetDisplayNode().GetColorNode() is made.clusterColors[3]
    assert fine.GetDisplayNode().GetColorNode() is made.clusterColors[5]
    assert made.clusterColors[5].GetNumberOfColors() == 6
    assert made.notes == ("Something to know.",)


def test_only_a_transform(scene, targets):
    before = scene.GetNumberOfNodes()
    made = write(targets, {"displacement_field": some_result()["displacement_field"]})
    assert made.warped is made.magnitude is made.jacobian is made.inverse is None
    assert not made.clusterMaps
    # The transform, its table, and the subject hierarchy that a bare scene lacks.
    assert scene.GetNumberOfNodes() - before <= 3


def test_a_second_run_reuses_the_nodes(scene, targets):
    first = write(targets, some_result())
    first.jacobian.SetName("my name for it")
    state = scene_state(scene)
    again = Targets(targets.fixed, targets.moving, first.transform)
    second = write(again, some_result(shift=2 * SHIFT))
    assert second.transform is first.transform and second.warped is first.warped
    assert second.jacobian.GetName() == "my name for it"
    assert set(scene_state(scene)["nodes"]) == set(state["nodes"])
    assert scene_state(scene)["items"] == state["items"]
    points = FIELD_GRID.to_lps(np.array([[2.0, 3.0, 1.0]]))
    there = by_slicer(second.transform.GetTransformFromParent(), points)
    np.testing.assert_allclose(there, points + 2 * SHIFT, atol=1e-4)


def test_what_would_not_fit_the_new_transform_goes(scene, targets):
    first = write(targets, some_result())
    stale = first.clusterMaps[5, "moving"].GetID(), first.clusterMaps[5, "moving"].GetDisplayNodeID()
    kept = some_result(levels=())
    del kept["jacobian"]
    second = write(Targets(targets.fixed, targets.moving, first.transform), kept)
    assert not second.clusterMaps and not second.clusterColors and second.jacobian is None
    assert [scene.GetNodeByID(node) for node in stale] == [None, None]
    assert set(companions(second.transform)) == {"table", "warped", "magnitude"}


def test_another_pair_renames_what_was_named_after_the_first(targets, scene):
    first = write(targets, some_result())
    targets.moving.SetName("other")
    second = write(Targets(targets.fixed, targets.moving, first.transform), some_result())
    assert second.transform.GetName() == "other to fixed transform"
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    assert hierarchy.GetItemName(second.folderItem) == "other to fixed"


def test_no_name_of_a_patient_is_carried_over(scene, targets):
    inputs = {targets.fixed.GetID(), targets.moving.GetID()}
    for node in (targets.fixed, targets.moving):
        node.SetAttribute("DICOM.PatientName", "Mustermann^Erika")
        node.SetDescription("Mustermann^Erika")
    write(targets, some_result())
    assert "Mustermann" in targets.fixed.GetAttribute("DICOM.PatientName")
    made = [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]
    texts = [
        (
            node.GetName(),
            node.GetDescription(),
            [node.GetAttribute(name) for name in node.GetAttributeNames()],
        )
        for node in made
        if node.GetID() not in inputs
    ]
    assert len(texts) > 5 and "Mustermann" not in str(texts)


def test_a_volume_given_for_the_warped_one_is_used(scene, targets):
    given = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "given")
    made = write(Targets(targets.fixed, targets.moving, None, given), some_result())
    assert made.warped is given and given.GetName() == "given"


def test_the_warped_volume_is_shown_as_the_moving_one(scene, targets):
    display = scene.AddNewNodeByClass("vtkMRMLScalarVolumeDisplayNode")
    targets.moving.SetAndObserveDisplayNodeID(display.GetID())
    display.SetAutoWindowLevel(False)
    display.SetWindowLevel(350.0, 40.0)
    shown = write(targets, some_result()).warped.GetScalarVolumeDisplayNode()
    assert (shown.GetWindow(), shown.GetLevel(), shown.GetAutoWindowLevel()) == (350.0, 40.0, 0)


@pytest.mark.parametrize("reuse", [False, True])
def test_a_failure_leaves_the_scene_as_it_was(scene, targets, monkeypatch, reuse):
    if reuse:
        targets = Targets(targets.fixed, targets.moving, write(targets, some_result()).transform)
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    before = scene_state(scene)

    def fail(*_):
        raise OSError("no room")

    monkeypatch.setattr(writing._Writer, "put_into_folder", fail)
    with pytest.raises(OSError, match="no room"):
        write(targets, some_result(shift=3 * SHIFT, levels=(4, 2)))
    assert scene_state(scene) == before


@pytest.mark.parametrize("role", ["fixed", "moving"])
def test_an_input_that_left_the_scene(scene, targets, role):
    scene.RemoveNode(getattr(targets, role))
    before = scene_state(scene)
    with pytest.raises(UserError, match=f"The {role} volume was removed"):
        write(targets, some_result())
    assert scene_state(scene) == before


def test_a_result_is_found_again_in_a_saved_scene(tmp_path, scene, targets):
    made = write(targets, some_result())
    loaded = saved_and_loaded(scene, tmp_path / "saved scene")
    transform = loaded.GetFirstNodeByName(made.transform.GetName())
    found = result_of(transform)
    assert found.report == REPORT
    assert found.transform.GetAttribute(PAIR) == "moving to fixed"
    assert list(found.clusterMaps) == list(made.clusterMaps)
    assert found.warped.GetName() == made.warped.GetName()
    assert found.table.GetNumberOfRows() == made.table.GetNumberOfRows() > 3
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(loaded)
    assert hierarchy.GetItemName(found.folderItem) == "moving to fixed"
    points = FIELD_GRID.to_lps(np.array([[2.0, 3.0, 1.0], [4.5, 2.5, 3.5]]))
    np.testing.assert_allclose(
        by_slicer(transform.GetTransformFromParent(), points), points + SHIFT, atol=1e-3
    )


def test_a_transform_of_other_origin_is_no_result(scene):
    node = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode")
    node.SetMatrixTransformToParent(matrix(np.eye(4)))
    assert result_of(node) is None
