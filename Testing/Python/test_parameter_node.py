"""The test host's parameterNodeWrapper keeps typed values in Slicer's real parameter node."""

import enum
import pathlib
from typing import Annotated

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: run.py setup installs it")
pytest.importorskip("PySide6", reason="PySide6 is not installed: run.py setup installs it")


class Device(enum.Enum):
    AUTO = "auto"
    CPU = "cpu"

    def label(self):
        return f"the {self.value}"


@pytest.fixture
def wrapper_class(host):
    from slicer.parameterNodeWrapper import (
        Choice,
        Decimals,
        Default,
        FloatRange,
        RangeBounds,
        SingleStep,
        WithinRange,
        parameterNodeWrapper,
    )

    @parameterNodeWrapper
    class Parameters:
        fixed: slicer.vtkMRMLScalarVolumeNode
        mask: slicer.vtkMRMLSegmentationNode | slicer.vtkMRMLLabelMapVolumeNode | None
        clusters: Annotated[int, WithinRange(2, 16)] = 7
        spacing: Annotated[float, WithinRange(0, 50), Decimals(2), SingleStep(0.5)] = 1.5
        refine: bool = True
        preset: Annotated[str, Choice(["ixi", "lpba"])] = "lpba"
        weights: pathlib.Path
        note: str
        device: Device = Device.CPU
        names: list[str]
        window: Annotated[FloatRange, RangeBounds(-10, 10), Default(FloatRange(-1, 2))]

    return Parameters


@pytest.fixture
def node(host):
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "parameters")


def volume(name="volume"):
    return slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name)


def test_defaults_are_written_once(wrapper_class, node):
    first = wrapper_class(node)
    assert (first.clusters, first.spacing, first.refine, first.preset) == (7, 1.5, True, "lpba")
    assert (first.weights, first.note, first.device) == (pathlib.Path(), "", Device.CPU)
    assert first.fixed is None and first.names == [] and first.window.maximum == 2.0
    assert (node.GetParameter("clusters"), node.GetParameter("refine")) == ("7", "True")
    assert node.GetParameter("device") == "CPU"
    first.clusters = 3
    assert wrapper_class(node).clusters == 3
    assert first.default("clusters").value == 7 and not first.isCached("clusters")


def test_values_come_back_with_their_types(wrapper_class, node):
    from slicer.parameterNodeWrapper import FloatRange

    parameters = wrapper_class(node)
    changes = {
        "spacing": 2.25,
        "refine": False,
        "weights": pathlib.Path("/a b/ü.pt"),
        "device": Device.AUTO,
        "names": ["one", "", "three"],
        "window": FloatRange(0, 1),
        "fixed": volume(),
    }
    for name, value in changes.items():
        setattr(parameters, name, value)
        found = getattr(wrapper_class(node), name)
        assert found == value and type(found) is type(value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("clusters", 17),
        ("clusters", 2.5),
        ("clusters", None),
        ("preset", "other"),
        ("refine", 1),
        ("device", "CPU"),
        ("note", 3),
        ("spacing", -1),
    ],
)
def test_wrong_values_raise_and_change_nothing(wrapper_class, node, name, value):
    parameters = wrapper_class(node)
    before = getattr(parameters, name)
    with pytest.raises((ValueError, TypeError)):
        setattr(parameters, name, value)
    assert getattr(parameters, name) == before


def test_a_node_of_another_class_raises(wrapper_class, node):
    parameters = wrapper_class(node)
    with pytest.raises(ValueError, match="is no"):
        parameters.fixed = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    with pytest.raises(ValueError, match="in no scene"):
        parameters.fixed = slicer.vtkMRMLScalarVolumeNode()
    parameters.mask = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    parameters.mask = None
    assert parameters.mask is None


def test_a_deleted_node_is_none(wrapper_class, node):
    parameters = wrapper_class(node)
    parameters.fixed = volume()
    slicer.mrmlScene.RemoveNode(parameters.fixed)
    assert parameters.fixed is None


def test_choices_survive_a_saved_scene(wrapper_class, node, tmp_path):
    parameters = wrapper_class(node)
    parameters.fixed, parameters.clusters, parameters.note = (
        volume("kept"),
        11,
        "a 'quoted' \"text\"; ü, 50 %",
    )
    path = str(tmp_path / "scene.mrml")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    # Nodes of the loaded scene get other ids than they had: the reference must follow.
    volume("first")
    slicer.mrmlScene.SetURL(path)
    slicer.mrmlScene.Import()
    loaded = wrapper_class(slicer.util.getNode("parameters"))
    assert (loaded.clusters, loaded.note) == (11, parameters.note or "a 'quoted' \"text\"; ü, 50 %")
    assert loaded.fixed.GetName() == "kept"


@pytest.fixture
def widgets(host):
    import ctk
    import qt

    form = qt.QWidget()
    layout = qt.QVBoxLayout(form)
    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes, selector.noneEnabled = ["vtkMRMLScalarVolumeNode"], True
    selector.setMRMLScene(slicer.mrmlScene)
    made = {
        "fixed": selector,
        "clusters": ctk.ctkSliderWidget(),
        "spacing": qt.QDoubleSpinBox(),
        "refine": qt.QCheckBox(),
        "preset": qt.QComboBox(),
        "weights": ctk.ctkPathLineEdit(),
        "note": qt.QLineEdit(),
        "device": qt.QComboBox(),
        "window": ctk.ctkRangeWidget(),
    }
    for name, widget in made.items():
        widget.objectName = f"{name}Widget"
        widget.setProperty("SlicerParameterName", name)
        layout.addWidget(widget)
    return form, made


@pytest.mark.parametrize("by_name", [False, True])
def test_widgets_follow_the_node_and_the_node_the_widgets(wrapper_class, node, widgets, by_name):
    form, made = widgets
    parameters = wrapper_class(node)
    gui = slicer.util.childWidgetVariables(form) if by_name else form
    tag = parameters.connectGui(gui)
    assert made["clusters"].value == 7 and made["clusters"].maximum == 16 and made["clusters"].decimals == 0
    assert (made["spacing"].singleStep, made["spacing"].decimals) == (0.5, 2)
    assert (made["preset"].currentText, made["device"].currentText) == ("lpba", "the cpu")
    parameters.clusters, parameters.device, parameters.fixed = 9, Device.AUTO, volume()
    assert (made["clusters"].value, made["device"].currentText) == (9, "the auto")
    assert made["fixed"].currentNode() is parameters.fixed
    made["clusters"].value, made["refine"].checked, made["note"].text = 4, False, "text"
    made["weights"].currentPath, made["preset"].currentIndex = "/a/b", 0
    made["window"].setValues(-3, 3)
    assert (parameters.clusters, parameters.refine, parameters.note) == (4, False, "text")
    assert (parameters.weights, parameters.preset) == (pathlib.Path("/a/b"), "ixi")
    assert parameters.window.minimum == -3
    slicer.mrmlScene.RemoveNode(parameters.fixed)
    assert made["fixed"].currentNode() is None and parameters.fixed is None
    parameters.disconnectGui(tag)
    made["clusters"].value = 12
    assert parameters.clusters == 4


def test_two_nodes_share_the_widgets_one_after_the_other(wrapper_class, node, widgets):
    form, made = widgets
    first = wrapper_class(node)
    second = wrapper_class(slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScriptedModuleNode", "second"))
    first.clusters = 3
    first.disconnectGui(first.connectGui(form))
    second.connectGui(form)
    assert made["clusters"].value == 7
    made["clusters"].value = 5
    assert (first.clusters, second.clusters) == (3, 5)


def test_a_widget_for_no_parameter_raises(wrapper_class, node, widgets):
    form, made = widgets
    made["note"].setProperty("SlicerParameterName", "noet")
    with pytest.raises(ValueError, match="noet"):
        wrapper_class(node).connectGui(form)


def test_a_change_is_told_once(wrapper_class, node, widgets):
    import vtk

    form, made = widgets
    parameters = wrapper_class(node)
    parameters.connectGui(form)
    seen = []
    parameters.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: seen.append(1))
    made["clusters"].value = 5
    assert len(seen) == 1
    made["clusters"].value = 5
    assert len(seen) == 1
