"""The test host shows Qt as PythonQt does, and raises where PythonQt prints."""

import pathlib

import pytest

pytest.importorskip("PySide6", reason="PySide6 is not installed: run.py setup installs it")


@pytest.fixture
def qt(host):
    import qt

    return qt


def test_a_property_is_an_attribute_and_hides_its_method(qt):
    button = qt.QPushButton("Apply")
    button.text, button.enabled = "Cancel", False
    assert (button.text, button.enabled) == ("Cancel", False)
    with pytest.raises(TypeError, match="'str' object is not callable"):
        button.text()
    with pytest.raises(TypeError, match="'bool' object is not callable"):
        button.enabled()


def test_slots_are_called(qt):
    button = qt.QPushButton()
    button.setText("Apply")
    button.setEnabled(False)
    assert (button.text, button.enabled) == ("Apply", False)


def test_what_does_not_exist_is_not_set_silently(qt):
    label = qt.QLabel()
    with pytest.raises(AttributeError, match="tooltip"):
        label.tooltip = "misspelt"
    with pytest.raises(AttributeError):
        label.hello  # noqa: B018
    with pytest.raises(TypeError):
        label.text = 3
    with pytest.raises(TypeError):
        label.setText(text="by name")
    with pytest.raises(AttributeError, match="read-only"):
        label.width = 3
    with pytest.raises(TypeError, match="pathlib"):
        qt.QLabel(pathlib.Path("x"))


def test_members_of_qt_6_are_refused(qt):
    with pytest.raises(AttributeError, match="Qt 6"):
        qt.QCheckBox().checkStateChanged  # noqa: B018
    with pytest.raises(ValueError, match="no signal"):
        qt.QCheckBox().connect("checkStateChanged(Qt::CheckState)", print)


def test_enums_are_numbers(qt):
    both = qt.QMessageBox.Ok | qt.QMessageBox.Cancel
    assert both == 0x400 | 0x400000 and both & qt.QMessageBox.Ok == qt.QMessageBox.Ok
    slider = qt.QSlider(qt.Qt.Horizontal)
    slider.tickPosition = qt.QSlider.TicksBelow
    assert slider.tickPosition == 2 and slider.orientation == qt.Qt.Horizontal
    slider.setTickPosition(1)
    assert slider.tickPosition == qt.QSlider.TicksAbove
    box = qt.QComboBox()
    box.addItem("a")
    box.setItemData(0, "tip", qt.Qt.ToolTipRole)
    assert box.itemData(0, qt.Qt.ToolTipRole) == "tip"


def test_functions_get_as_many_arguments_as_they_take(qt):
    seen = []
    button = qt.QPushButton()
    button.checkable = True
    button.connect("clicked(bool)", lambda: seen.append("none"))
    button.connect("clicked(bool)", lambda on: seen.append(on))
    button.connect("clicked(bool)", lambda on=None, more=5: seen.append((on, more)))
    button.connect("clicked()", lambda *everything: seen.append(everything))
    button.clicked.connect(lambda on: seen.append(on))
    button.click()
    assert seen == ["none", True, (True, 5), (), True]


def test_disconnect(qt):
    seen = []
    button = qt.QPushButton()
    button.connect("clicked()", seen.clear)
    assert button.disconnect("clicked()", seen.clear)
    assert not button.disconnect("clicked()", seen.clear)
    seen.append(1)
    button.click()
    assert seen == [1]


def test_an_unknown_signal_raises(qt):
    button = qt.QPushButton()
    for wrong in ("clickd(bool)", "clicked(int)", "clicked"):
        with pytest.raises(ValueError, match="no signal"):
            button.connect(wrong, print)
    assert button.connect("clicked( bool )", print)


def test_signals_that_qt_5_has_work(qt):
    seen = []
    box = qt.QComboBox()
    box.addItems(["a", "b"])
    box.connect("currentIndexChanged(QString)", seen.append)
    box.connect("currentIndexChanged(int)", seen.append)
    box.currentIndex = 1
    assert set(seen) == {"b", 1}


def test_an_error_in_a_slot_fails_the_test(host, qt, capsys):
    from host.pythonqt.slot_errors import SlotError

    button = qt.QPushButton()
    button.connect("clicked()", lambda: 1 / 0)
    button.click()
    assert "ZeroDivisionError" in capsys.readouterr().err
    with pytest.raises(SlotError, match="ZeroDivisionError"):
        host.process_events()
    host.process_events()


def test_an_error_in_a_vtk_observer_fails_the_test(host, qt):
    import slicer
    from host.pythonqt.slot_errors import SlotError

    def fail(caller, event):
        raise RuntimeError("observer")

    tag = slicer.mrmlScene.AddObserver(slicer.vtkMRMLScene.NodeAddedEvent, fail)
    slicer.mrmlScene.AddNewNodeByClass("vtkMRMLTextNode")
    slicer.mrmlScene.RemoveObserver(tag)
    with pytest.raises(SlotError, match="observer"):
        host.process_events()


def test_objects_keep_their_identity_and_find_each_other(qt):
    parent = qt.QWidget()
    layout = qt.QVBoxLayout(parent)
    child = qt.QPushButton("x")
    child.objectName = "applyButton"
    layout.addWidget(child)
    assert parent.applyButton is child and child.parent() == parent and child.name == "applyButton"
    assert parent.findChild(qt.QPushButton, "applyButton") is child
    assert parent.findChildren("QAbstractButton") == (child,)
    assert isinstance(parent.children(), tuple) and child in parent.children()
    assert parent.layout() == layout and layout.itemAt(0).widget() == child
    assert (child.className(), child.inherits("QWidget")) == ("QPushButton", True)
    assert isinstance(child, qt.QAbstractButton) and not isinstance(child, qt.QLabel)


def test_a_deleted_object_is_falsy_and_cannot_be_used(qt):
    parent = qt.QWidget()
    child = qt.QLabel("x", parent)
    parent.delete()
    assert not parent and not child
    with pytest.raises(ValueError, match="deleted"):
        child.text  # noqa: B018


def test_dynamic_properties(qt):
    label = qt.QLabel()
    label.setProperty("SlicerParameterName", "seed")
    assert label.property("SlicerParameterName") == "seed" and label.property("other") is None


def test_classes_of_a_module_override_virtual_functions(qt):
    class Filter(qt.QObject):
        def __init__(self):
            super().__init__()
            self.seen = []

        def eventFilter(self, watched, event):  # noqa: N802
            self.seen.append((watched, event.type()))
            return False

    button, watcher = qt.QPushButton(), Filter()
    button.installEventFilter(watcher)
    button.enabled = False
    assert (button, qt.QEvent.EnabledChange) in watcher.seen


def test_timers_and_processes(host, qt):
    seen = []
    timer = qt.QTimer()
    timer.singleShot, timer.interval = True, 1
    timer.connect("timeout()", lambda: seen.append("timer"))
    timer.start()
    qt.QTimer.singleShot(0, lambda: seen.append("once"))
    process = qt.QProcess()
    process.connect("finished(int,QProcess::ExitStatus)", lambda code, status: seen.append((code, status)))
    process.start("echo", ["hello"])
    host.process_events(until=lambda: len(seen) == 3, timeout_s=20)
    assert (0, qt.QProcess.NormalExit) in seen and {"timer", "once"} < set(seen)
    assert process.readAllStandardOutput().data() == b"hello\n"


def test_waiting_ends(host):
    with pytest.raises(TimeoutError):
        host.process_events(until=lambda: False, timeout_s=0.05)
