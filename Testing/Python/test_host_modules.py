"""The test host loads, enters, reloads, tests and unloads a scripted module, and answers its questions."""

import sys

import pytest

pytest.importorskip("PySide6", reason="PySide6 is not installed: run.py setup installs it")
slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: run.py setup installs it")

MODULE = """
import qt, slicer
from slicer.i18n import tr as _
from slicer.ScriptedLoadableModule import *
from slicer.util import VTKObservationMixin

class Probe(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        parent.title = _("The probe")
        parent.categories = ["Registration"]

class ProbeWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.events = []

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        self.logic = ProbeLogic()
        self.button = qt.QPushButton("Go")
        self.layout.addWidget(self.button)
        self.addObserver(slicer.mrmlScene, slicer.mrmlScene.NodeAddedEvent, self.onAdded)

    def onAdded(self, caller, event):
        self.events.append("added")

    def enter(self):
        self.events.append("enter")

    def exit(self):
        self.events.append("exit")

    def cleanup(self):
        self.removeObservers()
        self.events.append("cleanup")

class ProbeLogic(ScriptedLoadableModuleLogic):
    pass

class ProbeTest(ScriptedLoadableModuleTest):
    def setUp(self):
        slicer.mrmlScene.Clear(0)

    def test_one(self):
        self.delayDisplay("one")
        self.assertTrue(slicer.app.testingEnabled())
        slicer.util.infoDisplay("seen")
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
        ANSWER
"""


@pytest.fixture
def probe(host, tmp_path):
    path = tmp_path / "Probe.py"

    def load(answer="pass"):
        path.write_text(MODULE.replace("ANSWER", answer), encoding="utf-8")
        return host.load_module(path)

    return load


def test_a_module_is_loaded_and_found(host, probe):
    widget = probe()
    assert slicer.modules.probe.title == "The probe" and slicer.modules.probe.categories == ("Registration",)
    assert slicer.modules.probe.path.endswith("Probe.py")
    assert (
        slicer.util.getModuleWidget("Probe") is widget is slicer.modules.probe.widgetRepresentation().self()
    )
    assert slicer.util.getModuleLogic("Probe") is widget.logic
    assert slicer.util.selectedModule() == "Probe" and "Probe" in slicer.util.moduleNames()
    assert widget.events == ["enter"] and widget.button.visible
    host.select_module("")
    assert widget.events == ["enter", "exit"]


def test_a_module_is_unloaded(host, probe):
    widget = probe()
    host.unload_module("Probe")
    assert widget.events == ["enter", "exit", "cleanup"] and not widget.button
    assert not hasattr(slicer.modules, "probe") and "Probe" not in sys.modules


def test_reload_makes_a_new_panel(host, probe):
    old = probe()
    new = host.reload_module("Probe")
    assert new is not old and old.events[-1] == "cleanup" and new.button.visible
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    assert new.events[-1] == "added" and old.events[-1] == "cleanup"


def test_the_self_test_runs_and_can_fail(host, probe):
    probe()
    host.run_self_test("Probe")
    assert [item.kind for item in host.dialogs.take()] == ["infoDisplay"]
    host.unload_module("Probe")
    probe("self.assertTrue(False)")
    with pytest.raises(AssertionError):
        host.run_self_test("Probe")
    host.dialogs.take()


def test_the_parameter_node_is_one_and_real(host, probe):
    logic = probe().logic
    node = logic.getParameterNode()
    assert isinstance(node, slicer.vtkMRMLScriptedModuleNode) and node is logic.getParameterNode()
    assert logic.getAllParameterNodes() == [node] and node.GetModuleName() == "Probe"
    slicer.mrmlScene.Clear(0)
    assert logic.getParameterNode() in slicer.util.getNodesByClass("vtkMRMLScriptedModuleNode")


def test_questions_need_answers(host):
    from host.dialogs import UnansweredQuestionError

    with pytest.raises(UnansweredQuestionError, match="Install"):
        slicer.util.confirmOkCancelDisplay("Install?")
    host.dialogs.answer(True, False, True)
    assert slicer.util.confirmOkCancelDisplay("Install?") and not slicer.util.confirmYesNoDisplay("Sure?")
    assert slicer.util.confirmRetryCloseDisplay("Again?")
    kinds = [item.kind for item in host.dialogs.take()]
    assert kinds[1:] == ["confirmOkCancelDisplay", "confirmYesNoDisplay", "confirmRetryCloseDisplay"]


def test_messages_are_recorded_and_errors_are_to_be_looked_at(host):
    slicer.util.warningDisplay("careful")
    slicer.util.errorDisplay("broken")
    with pytest.raises(AssertionError, match="broken"):
        host.clean()
    with pytest.raises(RuntimeError), slicer.util.tryWithErrorDisplay("It failed."):
        raise RuntimeError("because")
    assert [item.text for item in host.dialogs.take("errorDisplay")] == ["It failed.\n\nbecause"]


def test_file_dialogs_are_answered(host):
    import qt

    host.dialogs.answer("/some/file")
    assert qt.QFileDialog.getOpenFileName(None, "Open", "") == "/some/file"
    assert host.dialogs.take()[0].kind == "QFileDialog.getOpenFileName"


@pytest.mark.parametrize("ending", ["mrb", "mrml"])
def test_scenes_are_saved_and_loaded(host, tmp_path, ending):
    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode", "kept")
    node.SetAttribute("kind", "this one")
    path = str(tmp_path / f"scene.{ending}")
    assert slicer.util.saveScene(path)
    slicer.mrmlScene.Clear(0)
    slicer.util.loadScene(path)
    assert slicer.util.getNode("kept").GetAttribute("kind") == "this one"


def test_nothing_is_installed(host):
    with pytest.raises(AssertionError, match="torch"):
        slicer.util.pip_install("torch")


def test_a_fake_module_comes_and_goes(host):
    remove = host.install_fake_module("PyTorchUtils", PyTorchUtilsLogic=object)
    import PyTorchUtils

    assert PyTorchUtils.PyTorchUtilsLogic is object
    remove()
    assert "PyTorchUtils" not in sys.modules


def test_slice_views_are_slicers(host):
    import vtk

    node = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "volume")
    image = vtk.vtkImageData()
    image.SetDimensions(10, 12, 14)
    image.AllocateScalars(vtk.VTK_FLOAT, 1)
    node.SetAndObserveImageData(image)
    slicer.util.setSliceViewerLayers(background=node, fit=True)
    manager = slicer.app.layoutManager()
    assert set(manager.sliceViewNames()) >= {"Red", "Green", "Yellow"}
    red = manager.sliceWidget("Red")
    assert red.mrmlSliceCompositeNode().GetBackgroundVolumeID() == node.GetID()
    assert red.mrmlSliceNode().GetFieldOfView()[1] >= 12
    manager.setLayout(slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView)
    assert manager.layout == slicer.vtkMRMLLayoutNode.SlicerLayoutOneUpRedSliceView


def test_the_stall_meter_sees_a_stall_and_where_it_was(host):
    import time

    import qt

    def stall_of_the_test():
        time.sleep(0.2)

    with host.stall_meter() as meter:
        host.process_events(until=iter([False] * 10 + [True]).__next__)
    quiet = meter.longest_ms
    with host.stall_meter(look_after_ms=50) as meter:
        qt.QTimer.singleShot(20, stall_of_the_test)
        end = time.monotonic() + 0.4
        host.process_events(until=lambda: time.monotonic() > end)
    assert meter.longest_ms >= 200 > quiet
    assert meter.longest_cpu_ms < 150 and "stall_of_the_test" in meter.where
