"""The panel's widgets and the parameter set behind them, with a hand-written logic."""

import pytest
from panel_host import add_volume, open_panel, process_events, slicer

from SACBRegistrationLib.presets import list_presets, load_preset
from SACBRegistrationLib.ui.choices import Alignment, Comparison, Device, Similarity
from SACBRegistrationLib.ui.requests import clusters_after, register_arguments


@pytest.fixture
def panel():
    with open_panel() as panel:
        yield panel


@pytest.fixture
def pair(panel):
    return add_volume("fixed"), add_volume("moving")


def choose(panel, fixed, moving):
    panel.ui.fixedVolumeSelector.setCurrentNode(fixed)
    panel.ui.movingVolumeSelector.setCurrentNode(moving)


def test_apply_says_what_is_missing(panel, pair):
    fixed, moving = pair
    button = panel.ui.applyButton
    assert not button.enabled and button.toolTip == "Choose a fixed volume."
    panel.ui.fixedVolumeSelector.setCurrentNode(fixed)
    assert not button.enabled and button.toolTip == "Choose a moving volume."
    panel.ui.movingVolumeSelector.setCurrentNode(fixed)
    assert not button.enabled and "are the same" in button.toolTip
    panel.ui.movingVolumeSelector.setCurrentNode(moving)
    assert button.enabled and button.toolTip.startswith("Register")


@pytest.mark.parametrize(
    ("selector", "class_name", "words"),
    [
        ("fixedSegmentationSelector", "vtkMRMLSegmentationNode", "moving structures"),
        ("movingSegmentationSelector", "vtkMRMLLabelMapVolumeNode", "fixed structures"),
        ("fixedPointsSelector", "vtkMRMLMarkupsFiducialNode", "moving landmarks"),
        ("movingPointsSelector", "vtkMRMLMarkupsFiducialNode", "fixed landmarks"),
    ],
)
def test_half_a_pair_for_quality_is_refused(panel, pair, selector, class_name, words):
    choose(panel, *pair)
    node = slicer.mrmlScene.AddNewNodeByClass(class_name, "half")
    getattr(panel.ui, selector).setCurrentNode(node)
    assert not panel.ui.applyButton.enabled and words in panel.ui.applyButton.toolTip
    getattr(panel.ui, selector).setCurrentNode(None)
    assert panel.ui.applyButton.enabled


def test_output_over_input_is_refused(panel, pair):
    choose(panel, *pair)
    panel.ui.outputVolumeSelector.setCurrentNode(pair[1])
    assert not panel.ui.applyButton.enabled and "replace the moving volume" in panel.ui.applyButton.toolTip
    panel.ui.makeWarpedCheckBox.checked = False
    assert panel.ui.applyButton.enabled and not panel.ui.outputVolumeSelector.enabled


def test_missing_weights_file_is_refused(panel, pair, tmp_path):
    choose(panel, *pair)
    panel.ui.weightsPath.currentPath = str(tmp_path / "none.pt")
    assert not panel.ui.applyButton.enabled and "no weights file" in panel.ui.applyButton.toolTip
    (tmp_path / "none.pt").touch()
    panel.ui.weightsPath.currentPath = ""
    panel.ui.weightsPath.currentPath = str(tmp_path / "none.pt")
    assert panel.ui.applyButton.enabled


def test_volume_without_voxels_is_refused(panel, pair):
    empty = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "empty")
    choose(panel, pair[0], empty)
    assert "has no voxels" in panel.ui.applyButton.toolTip


def test_defaults(panel, pair):
    choose(panel, *pair)
    arguments = register_arguments(panel.parameters)
    assert arguments.pop("fixedVolumeNode") is pair[0] and arguments.pop("movingVolumeNode") is pair[1]
    outputs = arguments.pop("outputs")
    assert outputs.keys == {"warped", "magnitude", "jacobian", "clusters"}
    assert {name: value for name, value in arguments.items() if value is not None} == {
        "preset": "ixi",
        "clusters": 7,
        "refine": load_preset("ixi").refine_steps,
        "smoothness": 1.0,
        "similarity": "auto",
        "device": "auto",
        "seed": 0,
    }


def test_every_widget_reaches_the_logic(panel, pair, tmp_path):
    choose(panel, *pair)
    scene, ui = slicer.mrmlScene, panel.ui
    (tmp_path / "my weights é.pt").touch()
    label = scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    segments = scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segments")
    points = [scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name) for name in "pq"]
    linear = scene.AddNewNodeByClass("vtkMRMLLinearTransformNode", "near")
    target = scene.AddNewNodeByClass("vtkMRMLGridTransformNode", "out")
    volume = add_volume("warped")
    names = [preset.name for preset in list_presets()]
    ui.presetSelector.currentIndex = names.index("abdomen-ct")
    ui.clustersSlider.value = 5
    ui.refineCheckBox.checked = False
    ui.smoothnessSlider.value = 2.5
    ui.similaritySelector.currentIndex = list(Similarity).index(Similarity.MIND)
    ui.outputTransformSelector.setCurrentNode(target)
    ui.outputVolumeSelector.setCurrentNode(volume)
    for box in (ui.makeMagnitudeCheckBox, ui.makeJacobianCheckBox, ui.makeClusterMapsCheckBox):
        box.checked = False
    ui.makeInverseCheckBox.checked = True
    ui.alignmentSelector.currentIndex = list(Alignment).index(Alignment.RIGID)
    ui.deviceSelector.currentIndex = list(Device).index(Device.CPU)
    ui.initialTransformSelector.setCurrentNode(linear)
    ui.fixedMaskSelector.setCurrentNode(segments)
    ui.movingMaskSelector.setCurrentNode(label)
    ui.weightsPath.currentPath = str(tmp_path / "my weights é.pt")
    ui.seedSpinBox.value = 42
    ui.fieldSpacingSpinBox.value = 2.5
    ui.fixedSegmentationSelector.setCurrentNode(label)
    ui.movingSegmentationSelector.setCurrentNode(segments)
    ui.fixedPointsSelector.setCurrentNode(points[0])
    ui.movingPointsSelector.setCurrentNode(points[1])
    ui.applyButton.click()
    arguments = dict(panel.logic.runs[-1].arguments)
    assert arguments.pop("outputs").keys == {"warped", "inverse"}
    assert arguments == {
        "fixedVolumeNode": pair[0],
        "movingVolumeNode": pair[1],
        "preset": "abdomen-ct",
        "clusters": 5,
        "alignment": "rigid",
        "refine": 0,
        "smoothness": 2.5,
        "similarity": "mind",
        "weights": str(tmp_path / "my weights é.pt"),
        "device": "cpu",
        "seed": 42,
        "fieldSpacing": 2.5,
        "initialTransformNode": linear,
        "fixedMaskNode": segments,
        "movingMaskNode": label,
        "fixedSegmentationNode": label,
        "movingSegmentationNode": segments,
        "fixedPointsNode": points[0],
        "movingPointsNode": points[1],
        "outputTransformNode": target,
        "outputVolumeNode": volume,
    }


def test_presets_have_titles_for_people(panel):
    combo = panel.ui.presetSelector
    assert [combo.itemText(n) for n in range(combo.count)] == [preset.title for preset in list_presets()]


def test_clusters_follow_the_preset_until_chosen(monkeypatch):
    defaults = {"a": 7, "b": 9}
    monkeypatch.setattr(
        "SACBRegistrationLib.ui.requests.load_preset",
        lambda name: type("Preset", (), {"clusters": defaults[name]}),
    )
    assert clusters_after("a", "b", 7) == 9
    assert clusters_after("a", "b", 5) == 5


def test_unknown_preset_of_a_scene_is_kept_and_refused(panel, pair):
    choose(panel, *pair)
    panel.parameters.preset = "knee"
    assert panel.ui.presetSelector.currentText == "knee (not installed)"
    panel.ui.applyButton.click()
    assert "knee" in panel.ui.statusLabel.text and not panel.logic.runs
    assert panel.parameters.preset == "knee"


def test_selectors_offer_what_fits(panel, pair):
    scene = slicer.mrmlScene
    scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", "labels")
    scene.AddNewNodeByClass("vtkMRMLSegmentationNode", "segments")
    scene.AddNewNodeByClass("vtkMRMLModelNode", "model")
    process_events()
    assert panel.ui.fixedVolumeSelector.nodeCount() == 2
    assert panel.ui.fixedMaskSelector.nodeCount() == 2
    assert panel.ui.movingSegmentationSelector.nodeCount() == 2


def test_parameters_show_in_the_widgets(panel):
    panel.parameters.clusters = 11
    panel.parameters.comparison = Comparison.BLINK
    panel.parameters.fieldSpacing = 0.0
    assert panel.ui.clustersSlider.value == 11
    assert panel.ui.comparisonSelector.currentText == "Blink"
    assert panel.ui.fieldSpacingSpinBox.text == "Automatic"


def test_advanced_and_results_start_collapsed(panel):
    assert panel.ui.advancedButton.collapsed and panel.ui.resultsButton.collapsed
    assert not panel.ui.inputsButton.collapsed and not panel.ui.outputsButton.collapsed
