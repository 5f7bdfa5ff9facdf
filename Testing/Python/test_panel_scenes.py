"""What happens to the panel's choices when scenes, nodes and parameter sets come and go."""

import gc
from pathlib import Path

import pytest
import SimpleITK as sitk
from panel_host import add_volume, open_panel, process_events, process_until, slicer

from SACBRegistrationLib.mrml.outputs import result_of
from SACBRegistrationLib.mrml.volumes import image_to_volume
from SACBRegistrationLib.ui.choices import Alignment, ClusterLevel, Comparison, Device, FieldShown, Similarity
from SACBRegistrationLib.ui.parameter_sets import parameter_nodes
from SACBRegistrationLib.ui.parameters import SACBRegistrationParameterNode


@pytest.fixture
def panel():
    with open_panel() as panel:
        panel.ui.fixedVolumeSelector.setCurrentNode(add_volume("fixed"))
        panel.ui.movingVolumeSelector.setCurrentNode(add_volume("moving"))
        yield panel


def change_everything(parameters) -> dict[str, object]:
    """Gives every choice another value than its default and returns the values."""
    scene = slicer.mrmlScene
    classes = {
        "outputTransform": "vtkMRMLGridTransformNode",
        "resultTransform": "vtkMRMLGridTransformNode",
        "initialTransform": "vtkMRMLLinearTransformNode",
        "fixedMask": "vtkMRMLSegmentationNode",
        "movingMask": "vtkMRMLLabelMapVolumeNode",
        "fixedSegmentation": "vtkMRMLLabelMapVolumeNode",
        "movingSegmentation": "vtkMRMLSegmentationNode",
        "fixedPoints": "vtkMRMLMarkupsFiducialNode",
        "movingPoints": "vtkMRMLMarkupsFiducialNode",
    }
    values = {name: scene.AddNewNodeByClass(class_name, name) for name, class_name in classes.items()}
    for node in values.values():
        if node.IsA("vtkMRMLLabelMapVolumeNode"):
            # A file of no voxels could not be read again.
            image_to_volume(sitk.Image([4, 3, 5], sitk.sitkUInt8), node)
    values |= {
        "fixedVolume": add_volume("other fixed"),
        "movingVolume": add_volume("other moving"),
        "outputVolume": add_volume("other warped"),
        "preset": "abdomen-ct",
        "clusters": 12,
        "refine": False,
        "smoothness": 2.5,
        "similarity": Similarity.MIND,
        "makeWarped": False,
        "makeMagnitude": False,
        "makeJacobian": False,
        "makeClusterMaps": False,
        "makeInverse": True,
        "alignment": Alignment.AFFINE,
        "weights": "a folder/weights é.pt",
        "device": Device.CUDA,
        "seed": 2**31 - 1,
        "fieldSpacing": 3.25,
        "comparison": Comparison.CHECKERBOARD,
        "fieldView": FieldShown.GLYPHS,
        "overlayOpacity": 0.35,
        "clusterLevel": ClusterLevel.LEVEL_4,
        "clusterRole": type(parameters.clusterRole).MOVING,
        "clusterOpacity": 0.85,
    }
    assert set(values) == set(parameters.allParameters)
    for name, value in values.items():
        assert getattr(parameters, name) != value, name
        setattr(parameters, name, value)
    return values


def plain(value):
    return value.GetName() if isinstance(value, slicer.vtkMRMLNode) else value


def save_close_and_load(folder: Path) -> None:
    folder.mkdir()
    path = str(folder / "scene.mrb")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    process_events()
    slicer.util.loadScene(path)
    process_events()


def test_every_choice_survives_saving_and_loading(panel, tmp_path):
    values = {name: plain(value) for name, value in change_everything(panel.parameters).items()}
    save_close_and_load(tmp_path / "a folder é")
    (node,) = parameter_nodes(slicer.mrmlScene)
    again = SACBRegistrationParameterNode(node)
    assert {name: plain(getattr(again, name)) for name in values} == values
    assert panel.parameters.parameterNode is node
    assert panel.ui.weightsPath.currentPath == values["weights"]


def test_panel_goes_on_with_a_loaded_scene(panel, tmp_path):
    panel.parameters.clusters = 5
    panel.ui.applyButton.click()
    panel.logic.runs[-1].finish()
    process_until(lambda: not panel.controller.running)
    save_close_and_load(tmp_path / "scene")
    assert panel.ui.clustersSlider.value == 5
    assert panel.ui.fixedVolumeSelector.currentNode().GetName() == "fixed"
    result = result_of(panel.parameters.resultTransform)
    assert len(result.clusterMaps) == 8
    assert panel.ui.qualityTableView.mrmlTableNode() is result.table
    panel.ui.clustersSlider.value = 6
    assert panel.parameters.clusters == 6


def test_closing_the_scene(panel):
    panel.parameters.clusters = 5
    slicer.mrmlScene.Clear(0)
    process_events()
    assert panel.parameters.fixedVolume is None and panel.parameters.clusters == 7
    assert panel.ui.fixedVolumeSelector.currentNode() is None and panel.ui.clustersSlider.value == 7


def test_closing_the_scene_during_a_run_ends_it(panel):
    panel.ui.applyButton.click()
    run = panel.logic.runs[-1]
    slicer.mrmlScene.Clear()
    process_events()
    assert run.closed and not panel.controller.running
    assert panel.parameters is not None and panel.parameters.fixedVolume is None
    assert panel.ui.applyButton.text == "Apply" and not panel.ui.applyButton.enabled


def test_deleting_an_input_empties_its_selector(panel):
    slicer.mrmlScene.RemoveNode(panel.parameters.fixedVolume)
    process_events()
    assert panel.parameters.fixedVolume is None
    assert panel.ui.fixedVolumeSelector.currentNode() is None
    assert panel.ui.applyButton.toolTip == "Choose a fixed volume."


def test_deleting_a_result(panel):
    panel.ui.applyButton.click()
    panel.logic.runs[-1].finish()
    process_until(lambda: not panel.controller.running)
    result = result_of(panel.parameters.resultTransform)
    slicer.mrmlScene.RemoveNode(result.table)
    slicer.mrmlScene.RemoveNode(result.warped)
    process_events()
    assert panel.ui.qualityTableView.mrmlTableNode() is None
    slicer.mrmlScene.RemoveNode(result.transform)
    process_events()
    assert panel.parameters.resultTransform is None and panel.parameters.outputTransform is None


def test_two_parameter_sets(panel):
    first = panel.parameters.parameterNode
    panel.ui.clustersSlider.value = 4
    second = panel.ui.parameterSetSelector.addNode()
    process_events()
    assert panel.parameters.parameterNode is second
    assert panel.ui.clustersSlider.value == 7 and panel.ui.fixedVolumeSelector.currentNode() is None
    panel.ui.clustersSlider.value = 9
    panel.ui.parameterSetSelector.setCurrentNode(first)
    assert panel.ui.clustersSlider.value == 4
    assert panel.ui.fixedVolumeSelector.currentNode().GetName() == "fixed"
    panel.ui.clustersSlider.value = 3
    assert SACBRegistrationParameterNode(second).clusters == 9
    slicer.mrmlScene.RemoveNode(first)
    process_events()
    assert panel.parameters.parameterNode is second and panel.ui.clustersSlider.value == 9
    slicer.mrmlScene.RemoveNode(second)
    process_events()
    assert len(parameter_nodes(slicer.mrmlScene)) == 1 and panel.ui.clustersSlider.value == 7


def test_last_set_is_shown_again(panel):
    second = panel.ui.parameterSetSelector.addNode()
    process_events()
    panel.close()
    with open_panel(fresh=False) as again:
        assert again.parameters.parameterNode is second


def test_foreign_parameter_nodes_are_not_offered(panel):
    other = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "Other")
    other.SetAttribute("ModuleName", "Other")
    process_events()
    selector = panel.ui.parameterSetSelector
    assert [selector.nodeFromIndex(n).GetName() for n in range(selector.nodeCount())] == ["SACBRegistration"]


def test_opening_and_closing_leaves_nothing_behind(panel):
    scene = slicer.mrmlScene
    panel.close()
    for _ in range(3):
        with open_panel(fresh=False):
            process_events()
    gc.collect()
    assert len(parameter_nodes(scene)) == 1
    events = (scene.StartCloseEvent, scene.EndCloseEvent, scene.NodeRemovedEvent, scene.EndImportEvent)
    before = [scene.HasObserver(event) for event in events]
    with open_panel(fresh=False):
        pass
    assert [scene.HasObserver(event) for event in events] == before
