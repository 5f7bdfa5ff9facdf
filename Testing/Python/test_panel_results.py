"""What the slice views show for each choice of the results, on real MRML."""

import json

import pytest
from panel_host import add_volume, open_panel, process_events, process_until, slicer

from SACBRegistrationLib.mrml.outputs import REPORT, result_of
from SACBRegistrationLib.ui.choices import ClusterLevel, ClusterRole, Comparison, FieldShown
from SACBRegistrationLib.ui.results_view import BLINK_MS


@pytest.fixture
def panel():
    with open_panel() as panel:
        panel.ui.fixedVolumeSelector.setCurrentNode(add_volume("fixed"))
        panel.ui.movingVolumeSelector.setCurrentNode(add_volume("moving"))
        panel.ui.applyButton.click()
        panel.logic.runs[-1].finish()
        process_until(lambda: not panel.controller.running)
        yield panel


def composites() -> list:
    scene = slicer.mrmlScene
    count = scene.GetNumberOfNodesByClass("vtkMRMLSliceCompositeNode")
    found = [scene.GetNthNodeByClass(n, "vtkMRMLSliceCompositeNode") for n in range(count)]
    assert len(found) >= 2
    return found


def layers() -> set[tuple]:
    return {
        (c.GetBackgroundVolumeID(), c.GetForegroundVolumeID(), c.GetLabelVolumeID()) for c in composites()
    }


def choose(selector, value):
    selector.currentIndex = list(type(value)).index(value)
    process_events()


def result(panel):
    return result_of(panel.parameters.resultTransform)


def test_a_finished_run_is_shown_as_an_overlay(panel):
    nodes = result(panel)
    assert layers() == {(panel.parameters.fixedVolume.GetID(), nodes.warped.GetID(), None)}
    assert {c.GetForegroundOpacity() for c in composites()} == {0.5}
    panel.ui.overlayOpacitySlider.value = 0.8
    assert {c.GetForegroundOpacity() for c in composites()} == {0.8}


@pytest.mark.parametrize(
    ("verdict", "shown"),
    [
        ("good", "\N{HEAVY CHECK MARK} Good: It rose."),
        ("look at this", "\N{WARNING SIGN} Look at this: It rose."),
        ("failed", "\N{HEAVY BALLOT X} Failed: It rose."),
    ],
)
def test_the_self_check_has_a_word_a_sign_and_its_reason(panel, verdict, shown):
    label, transform = panel.ui.selfCheckLabel, result(panel).transform
    assert label.visible and label.text == "\N{WARNING SIGN} Look at this: It folds. It bends."
    # As it comes back with a scene, whose report says otherwise.
    report = json.loads(transform.GetAttribute(REPORT))
    report["self_check"] = {"verdict": verdict, "reasons": ["It rose."]}
    transform.SetAttribute(REPORT, json.dumps(report))
    panel.use(panel.parameters.parameterNode)
    assert label.text == shown


def test_a_result_of_an_earlier_version_has_no_self_check(panel):
    transform = result(panel).transform
    report = json.loads(transform.GetAttribute(REPORT))
    del report["self_check"]
    transform.SetAttribute(REPORT, json.dumps(report))
    panel.use(panel.parameters.parameterNode)
    assert not panel.ui.selfCheckLabel.text and not panel.ui.selfCheckLabel.visible


def test_fixed_volume_alone(panel):
    choose(panel.ui.comparisonSelector, Comparison.FIXED)
    assert layers() == {(panel.parameters.fixedVolume.GetID(), None, None)}


def test_blinking(panel):
    choose(panel.ui.comparisonSelector, Comparison.BLINK)
    assert panel.results.blinking
    seen = set()

    def both() -> bool:
        seen.update(c.GetForegroundOpacity() for c in composites())
        return seen == {0.0, 1.0}

    process_until(both, seconds=5 * BLINK_MS / 1000)
    panel.leave()
    assert not panel.results.blinking
    panel.enter()
    assert panel.results.blinking
    choose(panel.ui.comparisonSelector, Comparison.OVERLAY)
    assert not panel.results.blinking
    assert {c.GetForegroundOpacity() for c in composites()} == {0.5}


def test_checkerboard_comes_and_goes(panel):
    before = slicer.mrmlScene.GetNumberOfNodes()
    choose(panel.ui.comparisonSelector, Comparison.CHECKERBOARD)
    ((background, foreground, _),) = layers()
    board = slicer.mrmlScene.GetNodeByID(background)
    assert board.GetImageData().GetScalarTypeAsString() == "unsigned char" and foreground is None
    assert not board.GetSaveWithScene()
    choose(panel.ui.comparisonSelector, Comparison.OVERLAY)
    assert slicer.mrmlScene.GetNumberOfNodes() == before


def test_side_by_side_gives_the_layout_back(panel):
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    layout.SetViewArrangement(layout.SlicerLayoutConventionalView)
    choose(panel.ui.comparisonSelector, Comparison.SIDE_BY_SIDE)
    assert layout.GetViewArrangement() == layout.SlicerLayoutSideBySideView
    shown = {c.GetLayoutName(): c.GetBackgroundVolumeID() for c in composites()}
    assert shown["Red"] == panel.parameters.fixedVolume.GetID()
    assert shown["Yellow"] == result(panel).warped.GetID()
    nodes = slicer.mrmlScene.GetNodesByClass("vtkMRMLSliceNode")
    orientation = {
        nodes.GetItemAsObject(n).GetLayoutName(): nodes.GetItemAsObject(n).GetOrientation()
        for n in range(nodes.GetNumberOfItems())
    }
    assert orientation["Red"] == orientation["Yellow"]
    choose(panel.ui.comparisonSelector, Comparison.OVERLAY)
    assert layout.GetViewArrangement() == layout.SlicerLayoutConventionalView
    assert not any(c.GetLinkedControl() for c in composites())


@pytest.mark.parametrize(
    ("shown", "mode"),
    [(FieldShown.GRID, "GRID"), (FieldShown.GLYPHS, "GLYPH"), (FieldShown.CONTOURS, "CONTOUR")],
)
def test_field_is_drawn_by_its_display_node(panel, shown, mode):
    choose(panel.ui.fieldViewSelector, shown)
    display = result(panel).transform.GetDisplayNode()
    assert display.GetVisibility() and display.GetVisibility2D()
    assert display.GetVisualizationMode() == getattr(display, f"VIS_MODE_{mode}")
    choose(panel.ui.fieldViewSelector, FieldShown.OFF)
    assert not display.GetVisibility()


def test_deformation_in_colours_and_comparison_take_turns(panel):
    nodes = result(panel)
    choose(panel.ui.fieldViewSelector, FieldShown.MAGNITUDE)
    assert panel.parameters.comparison is Comparison.FIXED
    assert {foreground for _, foreground, _ in layers()} == {nodes.magnitude.GetID()}
    choose(panel.ui.fieldViewSelector, FieldShown.JACOBIAN)
    assert {foreground for _, foreground, _ in layers()} == {nodes.jacobian.GetID()}
    choose(panel.ui.comparisonSelector, Comparison.OVERLAY)
    assert panel.parameters.fieldView is FieldShown.OFF
    assert panel.ui.fieldViewSelector.currentText == "Off"
    assert {foreground for _, foreground, _ in layers()} == {nodes.warped.GetID()}


def test_cluster_maps(panel):
    maps = result(panel).clusterMaps
    choose(panel.ui.clusterLevelSelector, ClusterLevel.LEVEL_4)
    assert {label for *_, label in layers()} == {maps[4, "fixed"].GetID()}
    choose(panel.ui.clusterRoleSelector, ClusterRole.MOVING)
    assert {label for *_, label in layers()} == {maps[4, "moving"].GetID()}
    panel.ui.clusterOpacitySlider.value = 0.25
    assert {c.GetLabelOpacity() for c in composites()} == {0.25}
    choose(panel.ui.clusterLevelSelector, ClusterLevel.OFF)
    assert {label for *_, label in layers()} == {None}


def test_what_was_not_made_is_said(panel):
    slicer.mrmlScene.RemoveNode(result(panel).magnitude)
    choose(panel.ui.fieldViewSelector, FieldShown.MAGNITUDE)
    assert "was not made" in panel.ui.statusLabel.text
    choose(panel.ui.fieldViewSelector, FieldShown.OFF)
    assert "was not made" not in panel.ui.statusLabel.text


def test_another_choice_of_inputs_leaves_the_results_alone(panel):
    before = layers()
    panel.ui.fixedVolumeSelector.setCurrentNode(add_volume("third"))
    process_events()
    assert layers() == before


def test_closing_the_panel_gives_the_views_back(panel):
    layout = slicer.mrmlScene.GetFirstNodeByClass("vtkMRMLLayoutNode")
    arrangement = layout.GetViewArrangement()
    before = slicer.mrmlScene.GetNumberOfNodes()
    choose(panel.ui.comparisonSelector, Comparison.CHECKERBOARD)
    choose(panel.ui.comparisonSelector, Comparison.SIDE_BY_SIDE)
    panel.close()
    assert layout.GetViewArrangement() == arrangement
    assert slicer.mrmlScene.GetNumberOfNodes() == before
