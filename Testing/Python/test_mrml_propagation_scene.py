"""What carrying nodes leaves in a real MRML scene, and what it refuses."""

import numpy as np
import pytest
from carried_nodes import add_points, add_transform, add_volume, array_of, pair, segments, state
from field_fixtures import smooth_image
from mrml_fixtures import (
    distance,
    saved_and_loaded,
    slicer,
)
from mrml_structures import add_segmentation

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml import propagation
from SACBRegistrationLib.mrml.propagation import apply_transform
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


def test_copies_are_shown_alike_named_and_without_files(scene, transform, case, tmp_path):
    node = add_points(scene, case.mapped(case.points(3, margin=-2)))
    node.GetDisplayNode().SetSelectedColor(0.1, 0.7, 0.3)
    storage = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialStorageNode")
    storage.SetFileName(str(tmp_path / "points.fcsv"))
    node.SetAndObserveStorageNodeID(storage.GetID())
    first, second = (apply_transform(transform, [node])[0] for _ in range(2))
    assert first.GetName() == "Fiducial (registered)" and second.GetName() != first.GetName()
    assert first.GetDisplayNode().GetSelectedColor() == (0.1, 0.7, 0.3)
    assert first.GetNumberOfDisplayNodes() == 1
    assert first.GetStorageNode() is None or not first.GetStorageNode().GetFileName()


def test_copies_are_saved_with_the_scene(scene, transform, case, tmp_path):
    _, masks = segments(case)
    nodes = [add_segmentation(scene, masks), add_volume(scene, smooth_image(case.moving_grid))]
    copies = apply_transform(transform, nodes)
    loaded = saved_and_loaded(scene, tmp_path / "scene")
    again = [loaded.GetFirstNodeByName(copy.GetName()) for copy in copies]
    for first, second in zip(structures_of(copies[0]), structures_of(again[0]), strict=True):
        a, b = (s.grid.to_lps(np.argwhere(s.array == s.value)[:, ::-1].mean(axis=0)) for s in (first, second))
        assert first.name == second.name and distance(a, b) < 1e-3
    np.testing.assert_array_equal(array_of(copies[1]), array_of(again[1]))


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("vtkMRMLLinearTransformNode", '"odd" cannot be transformed'),
        ("vtkMRMLTableNode", '"odd" cannot be transformed'),
        ("vtkMRMLDiffusionWeightedVolumeNode", '"odd" holds diffusion data'),
        ("vtkMRMLScalarVolumeNode", '"odd" is empty'),
        ("vtkMRMLSegmentationNode", '"odd" is empty'),
        ("vtkMRMLModelNode", '"odd" is empty'),
        ("vtkMRMLMarkupsFiducialNode", '"odd" is empty'),
    ],
)
def test_what_cannot_be_carried_is_refused_and_leaves_nothing(scene, transform, case, kind, message):
    good = add_points(scene, case.mapped(case.points(3, margin=-2)))
    odd = scene.AddNewNodeByClass(kind, "odd")
    before = state(scene)
    with pytest.raises(UserError, match=message):
        apply_transform(transform, [good, odd])
    assert state(scene) == before


def test_a_missing_transform_or_node_is_refused(scene, transform, case):
    node = add_points(scene, case.points(3))
    for wrong in (None, node):
        with pytest.raises(UserError, match="choose a transform node"):
            apply_transform(wrong, [node])
    with pytest.raises(UserError, match="missing"):
        apply_transform(transform, [None])


def test_a_reference_that_cannot_be_sampled_on_is_refused(scene, transform, case):
    node = add_volume(scene, smooth_image(case.moving_grid))
    empty = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    warped = add_volume(scene, smooth_image(case.fixed_grid), "warped")
    warped.SetAndObserveTransformNodeID(transform.GetID())
    for reference, message in ((empty, '"empty" has no voxels'), (warped, 'warping transform "T"')):
        with pytest.raises(UserError, match=message):
            apply_transform(transform, [node], reference=reference)


def test_a_failure_in_between_leaves_nothing_behind(scene, transform, case, monkeypatch):
    _, masks = segments(case)
    nodes = [
        add_points(scene, case.mapped(case.points(3, margin=-2))),
        add_segmentation(scene, masks),
        add_volume(scene, smooth_image(case.moving_grid)),
    ]
    slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(scene)
    before = state(scene)

    def out_of_memory(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(propagation, "_show_like", out_of_memory)
    with pytest.raises(MemoryError):
        apply_transform(transform, nodes)
    assert state(scene) == before
