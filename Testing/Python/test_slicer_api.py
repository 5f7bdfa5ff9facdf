"""The panel and the code use nothing of Slicer's that Slicer does not have."""

import ast
import xml.etree.ElementTree as ElementTree

import pytest
from shared_data import REPOSITORY, require_shared
from slicer_api import SlicerApi, UiFile
from slicer_usage import complaints_about

UI_PATH = REPOSITORY / "Resources" / "UI" / "SACBRegistration.ui"
FOLDERS = ("SACBRegistration", "SACBRegistrationLib/ui", "SACBRegistrationLib/mrml")
SOURCES = sorted(path for folder in FOLDERS for path in (REPOSITORY / folder).rglob("*.py"))
LAYOUTS = {"QVBoxLayout", "QHBoxLayout", "QFormLayout", "QGridLayout"}

BAD = """
import slicer
from slicer.util import pipInstallation
def setup(self):
    self.ui.clustersSlider.setMinimum(2)
    self.ui.clustersSlider.value()
    self.ui.clustersSlider.valeu = 3
    self.ui.applyButon.enabled = True
    self.ui.fixedVolumeSelector.connect("currentNodeChanged(vtkMRMLScalarVolumeNode*)", f)
    self.ui.applyButton.connect("clickedd()", f)
    self.ui.qualityTableView.selectedMRMLTableColumnIndices()
    slicer.util.setSliceLayers(background=None)
    slicer.util.setSliceViewerLayers(back=None)
    slicer.app.connect("startupComplete()", f)
    slicer.app.layoutManager().setLayoutt(3)
    combo = slicer.qMRMLNodeComboBox()
    combo.setNoneEnabled(True)
    slicer.qMRMLNodeCombo()
"""
GOOD = """
import slicer
from slicer.util import VTKObservationMixin
def setup(self):
    self.ui.clustersSlider.value = 3
    self.ui.clustersSlider.setValue(3)
    self.ui.fixedVolumeSelector.connect("currentNodeChanged(vtkMRMLNode*)", f)
    self.ui.applyButton.connect("clicked()", f)
    self.ui.applyButton.text = "x"
    slicer.util.setSliceViewerLayers(background=None, fit=True)
    slicer.app.connect("startupCompleted()", f)
    slicer.app.layoutManager().setLayout(3)
    combo = slicer.qMRMLNodeComboBox()
    combo.noneEnabled = True
"""


@pytest.fixture(scope="module")
def api() -> SlicerApi:
    return SlicerApi(require_shared("slicer-api"))


@pytest.fixture(scope="module")
def ui() -> UiFile:
    return UiFile(UI_PATH)


@pytest.fixture(scope="module")
def qt_has():
    """Asks Qt itself what its classes have; PySide6 is the Qt that the tests come with."""
    widgets = pytest.importorskip("PySide6.QtWidgets", reason="needs PySide6, which run.py setup installs")
    from PySide6 import QtCore

    def has(cls: str, member: str) -> bool:
        found = getattr(widgets, cls, None) or getattr(QtCore, cls, None)
        if found is None:
            return False
        meta = found.staticMetaObject
        if "(" in member:
            return meta.indexOfSignal(member) >= 0
        return hasattr(found, member) or meta.indexOfProperty(member) >= 0

    return has


def ui_complaints(ui: UiFile, api: SlicerApi, qt_has) -> list[str]:
    found = []
    for name, cls in ui.classes.items():
        if cls not in api.classes and not qt_has(cls, "objectName"):
            found.append(f"{name}: there is no class {cls}")
            continue
        known = api.properties(cls) if cls in api.classes else {}
        base = api.ends_in_qt(cls) if cls in api.classes else cls
        for prop in ui.properties(name):
            if not known.get(prop, False) and not qt_has(base, prop):
                found.append(f"{name}: {cls} has no property {prop}")
    for sender, signal, receiver, slot in ui.connections:
        for name, text, kinds in ((sender, signal, ("signals",)), (receiver, slot, ("slots",))):
            if name not in ui.classes:
                found.append(f"connection: there is no object {name}")
            elif text not in api.signatures(ui.classes[name], *kinds):
                found.append(f"connection: {ui.classes[name]} has no {text}")
    extended = {entry.findtext("class") for entry in ui.root.findall("customwidgets/customwidget")}
    used = {cls for cls in ui.classes.values() if cls in api.classes}
    found += [f"{cls} is not declared as a custom widget" for cls in sorted(used - extended)]
    return found


def test_ui_file_uses_what_exists(ui, api, qt_has):
    assert len(ui.classes) > 60
    assert not ui_complaints(ui, api, qt_has)


def test_wrong_ui_file_is_noticed(ui, api, qt_has, tmp_path):
    text = UI_PATH.read_text(encoding="utf-8")
    wrong = {
        'class="ctkSliderWidget"': 'class="ctkSliderWidgets"',
        '<property name="noneDisplay">': '<property name="noneText">',
        "<slot>setMRMLScene(vtkMRMLScene*)</slot>": "<slot>setMRMLScene(vtkScene*)</slot>",
        "<receiver>fixedVolumeSelector</receiver>": "<receiver>fixedVolumeCombo</receiver>",
    }
    for right, mistake in wrong.items():
        assert right in text
        (tmp_path / "wrong.ui").write_text(text.replace(right, mistake, 1), encoding="utf-8")
        assert ui_complaints(UiFile(tmp_path / "wrong.ui"), api, qt_has), mistake


def test_every_interactive_widget_says_what_it_is_for(ui):
    silent = {"QLabel", "qMRMLWidget", *LAYOUTS}
    for name, cls in ui.classes.items():
        if cls not in silent:
            tip = ui.properties(name).get("toolTip")
            assert tip is not None and len(tip.findtext("string")) > 15, name


def test_every_parameter_has_one_widget(ui):
    bound = [ui.parameter(name) for name in ui.widgets if ui.parameter(name)]
    assert len(bound) == len(set(bound))
    tree = ast.parse((REPOSITORY / "SACBRegistrationLib/ui/parameters.py").read_text(encoding="utf-8"))
    cls = next(node for node in tree.body if isinstance(node, ast.ClassDef))
    declared = {node.target.id for node in cls.body if isinstance(node, ast.AnnAssign)}
    assert declared - set(bound) == {"resultTransform"}
    assert not set(bound) - declared


def test_ui_file_is_designers_format(ui):
    assert ui.root.tag == "ui" and ui.root.get("version") == "4.0"
    assert ui.root.find("widget").get("class") == "qMRMLWidget"
    assert ui.root.find("widget").get("name") == ui.root.findtext("class") == "SACBRegistration"
    names = [element.get("name") for element in ui.root.iter() if element.tag in ("widget", "layout")]
    assert len(names) == len(set(names)), "object names must be unique"
    assert isinstance(ui.root, ElementTree.Element)


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(REPOSITORY).as_posix())
def test_code_uses_what_exists(path, api, ui, qt_has):
    usage = complaints_about(path.read_text(encoding="utf-8"), api, ui.classes, qt_has)
    assert not usage.complaints


def test_code_is_recognised(api, ui, qt_has):
    seen = set()
    for path in SOURCES:
        seen |= complaints_about(path.read_text(encoding="utf-8"), api, ui.classes, qt_has).seen
    assert {
        "ui.applyButton",
        "QPushButton: clicked()",
        "qMRMLTableView.setMRMLTableNode",
        "slicer.util.loadUI",
        "slicer.parameterNodeWrapper.parameterNodeWrapper",
        "qSlicerApplication: startupCompleted()",
    } <= seen


def test_wrong_code_is_noticed(api, ui, qt_has):
    found = complaints_about(BAD, api, ui.classes, qt_has).complaints
    lines = {int(text.split(":")[0].removeprefix("line ")) for text in found}
    statements = set(range(3, len(BAD.splitlines()) + 1)) - {4, 16}
    assert lines == statements, found


def test_right_code_is_not_blamed(api, ui, qt_has):
    assert not complaints_about(GOOD, api, ui.classes, qt_has).complaints
