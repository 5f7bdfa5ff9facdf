"""The test host's stand-ins for CTK's and Slicer's widgets work on the real scene."""

import pytest

slicer = pytest.importorskip("slicer", reason="slicer-core is not installed: run.py setup installs it")
pytest.importorskip("PySide6", reason="PySide6 is not installed: run.py setup installs it")

VOLUME = "vtkMRMLScalarVolumeNode"


@pytest.fixture
def selector(host):
    import slicer

    selector = slicer.qMRMLNodeComboBox()
    selector.nodeTypes = [VOLUME]
    selector.noneEnabled = True
    selector.setMRMLScene(slicer.mrmlScene)
    return selector


def add(name="volume", kind=VOLUME):
    return slicer.mrmlScene.AddNewNodeByClass(kind, name)


def test_a_selector_follows_the_scene(selector):
    seen = []
    selector.connect("currentNodeChanged(vtkMRMLNode*)", seen.append)
    selector.connect("currentNodeChanged(bool)", seen.append)
    first = add()
    assert selector.currentNode() is None and selector.nodeCount() == 1
    selector.setCurrentNode(first)
    assert (selector.currentNode(), selector.currentNodeID) == (first, first.GetID())
    assert seen == [first, True]
    slicer.mrmlScene.RemoveNode(first)
    assert selector.currentNode() is None and seen[2:] == [None, False]


def test_a_selector_without_none_has_a_node_when_there_is_one(selector):
    selector.noneEnabled = False
    first = add()
    assert selector.currentNode() is first
    second = add()
    assert selector.currentNode() is first
    slicer.mrmlScene.RemoveNode(first)
    assert selector.currentNode() is second


def test_a_selector_keeps_to_its_classes_and_attributes(selector):
    label = add("label", "vtkMRMLLabelMapVolumeNode")
    add("text", "vtkMRMLTextNode")
    assert selector.nodeCount() == 1
    selector.showChildNodeTypes = False
    assert selector.nodeCount() == 0
    selector.setCurrentNode(label)
    assert selector.currentNode() is None
    selector.addAttribute(VOLUME, "kind", "fixed")
    volume = add()
    assert selector.nodeCount() == 0
    volume.SetAttribute("kind", "fixed")
    assert selector.nodeFromIndex(0) is volume


def test_a_selector_makes_renames_and_shows_nodes(host, selector):
    import qt

    selector.baseName = "Warped"
    node = selector.addNode()
    assert selector.currentNode() is node and node.GetName() == "Warped"
    box = selector.findChild(qt.QComboBox)
    host.process_events()
    assert box.currentText == "Warped"
    node.SetName("other")
    assert box.currentText == "other"
    host.dialogs.answer("third")
    selector.renameCurrentNode()
    assert node.GetName() == "third"


def test_a_selector_waits_for_the_end_of_a_batch(selector):
    slicer.mrmlScene.StartState(slicer.vtkMRMLScene.BatchProcessState)
    add()
    slicer.mrmlScene.EndState(slicer.vtkMRMLScene.BatchProcessState)
    assert selector.nodeCount() == 1
    slicer.mrmlScene.Clear(0)
    assert selector.nodeCount() == 0


def test_a_slider_keeps_its_parts_together(host):
    import ctk

    seen = []
    slider = ctk.ctkSliderWidget()
    slider.minimum, slider.maximum, slider.decimals, slider.singleStep = 2, 16, 0, 1
    slider.connect("valueChanged(double)", seen.append)
    slider.value = 40
    assert slider.value == 16.0 and seen == [16.0]
    slider.setValue(3)
    assert seen == [16.0, 3.0]
    with pytest.raises(AttributeError):
        slider.setMinimum(0)
    with pytest.raises(TypeError):
        slider.value()
    with pytest.raises(TypeError):
        slider.value = "3"


def test_blocked_signals_stay_silent(host):
    import ctk

    seen = []
    slider = ctk.ctkSliderWidget()
    slider.connect("valueChanged(double)", seen.append)
    was = slider.blockSignals(True)
    slider.value = 4
    slider.blockSignals(was)
    assert not seen


def test_a_collapsed_section_hides_its_contents_and_keeps_what_was_hidden(host):
    import ctk
    import qt

    section = ctk.ctkCollapsibleButton()
    section.text = "Advanced"
    layout = qt.QVBoxLayout(section)
    shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden")
    layout.addWidget(shown)
    layout.addWidget(hidden)
    hidden.visible = False
    section.show()
    section.collapsed = True
    assert not shown.visible
    late = qt.QLabel("late")
    layout.addWidget(late)
    section.collapsed = False
    assert shown.visible and late.visible and not hidden.visible
    section.hide()


def test_a_range_keeps_its_order(host):
    import ctk

    seen = []
    widget = ctk.ctkRangeWidget()
    widget.minimum, widget.maximum = -5, 5
    widget.connect("valuesChanged(double,double)", lambda low, high: seen.append((low, high)))
    widget.setValues(3, -2)
    widget.minimumValue = 4
    assert seen == [(-2.0, 3.0), (4.0, 4.0)]


def test_a_path_field_says_whether_it_holds_a_file(host, tmp_path):
    import ctk

    seen = []
    field = ctk.ctkPathLineEdit()
    field.filters = ctk.ctkPathLineEdit.Files
    field.connect("currentPathChanged(QString)", seen.append)
    field.connect("validInputChanged(bool)", seen.append)
    path = tmp_path / "weights.pt"
    path.touch()
    field.currentPath = str(path)
    assert seen == [str(path), True]
    with pytest.raises(TypeError, match="pathlib"):
        field.currentPath = path


def test_a_table_shows_its_node(host):
    import vtk

    node = add("table", "vtkMRMLTableNode")
    view = slicer.qMRMLTableView()
    view.setMRMLTableNode(node)
    column = vtk.vtkStringArray()
    column.SetName("measure")
    column.InsertNextValue("Dice")
    node.AddColumn(column)
    model = view.model()
    assert (model.rowCount(), model.columnCount()) == (1, 1)
    assert model.index(0, 0).data() == "Dice"
