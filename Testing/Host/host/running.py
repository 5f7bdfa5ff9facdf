"""The running host: application, main window, modules, events, pictures."""

import atexit
import functools
import importlib.util
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from host import namespace
from host.application import qSlicerApplication
from host.dialogs import Dialogs, dialogs
from host.module_loader import ModuleLoader
from host.pythonqt.proxy import wrap
from host.pythonqt.proxy_base import ProxyBase
from host.pythonqt.slot_errors import slot_errors
from host.stall_meter import StallMeter
from host.widgets.mrml_widgets import qSlicerMainWindow


class Host:
    """Slicer's application, as far as modules and their tests see it.

    Attributes:
        app: The native application.
        window: The native main window.
        dialogs: What was shown and asked, and the answers to come.
    """

    def __init__(self) -> None:
        home = tempfile.mkdtemp(prefix="slicer-test-host-")
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        QtWidgets.QApplication.setStyle("Fusion")
        self.app = qSlicerApplication(home)
        self.app.setFont(QtGui.QFont("DejaVu Sans", 9))
        self.app.setPalette(_light())
        self.dialogs: Dialogs = dialogs
        namespace.fill(self.app)
        self.window = qSlicerMainWindow()
        self._loader = ModuleLoader(self.app, self.window)
        self.window.show()

    def load_module(self, path: str | Path) -> Any:
        """Loads a scripted module by its file, as Slicer does, selects it and returns its Python widget."""
        name = self._loader.load(Path(path))
        self.app.startupCompleted.emit()
        self.app.startupCompleted.disconnect_all()
        self.select_module(name)
        self.process_events()
        return self.widget(name)

    def unload_module(self, name: str) -> None:
        """Ends a module as closing the application does: cleanup(), then the panel is deleted."""
        self._loader.unload(name)
        self.process_events()

    def reload_module(self, name: str) -> Any:
        """Presses the module's Reload button; returns the new Python widget."""
        self.widget(name).onReload()
        self.process_events()
        return self.widget(name)

    def widget(self, name: str) -> Any:
        """The Python widget of a loaded module."""
        return self._loader.module(name).widgetRepresentation().python_widget

    def select_module(self, name: str) -> None:
        """Shows a module's panel: exit() of the one left, enter() of this one. An empty name leaves all."""
        self.window.moduleSelector().selectModule(name)

    def run_self_test(self, name: str) -> None:
        """Runs <name>Test().runTest() with the application in testing mode, as Slicer's test driver does.

        Raises:
            AssertionError: The test failed, or a function called by Qt raised meanwhile.
        """
        self.app.testing = True
        try:
            getattr(sys.modules[name], f"{name}Test")().runTest()
        finally:
            self.app.testing = False
        self.process_events()

    def process_events(self, until: Callable[[], bool] | None = None, timeout_s: float = 10.0) -> None:
        """Lets Qt work: once, or until something is true.

        Raises:
            TimeoutError: It did not become true in time.
            SlotError: A function called by Qt raised.
        """
        self.app.processEvents()
        self.app.sendPostedEvents(None, QtCore.QEvent.Type.DeferredDelete.value)
        if until is not None:
            self._wait(until, time.monotonic() + timeout_s)
        slot_errors.raise_any()

    def _wait(self, until: Callable[[], bool], end: float) -> None:
        # The timer wakes the loop, so that a condition that no event announces is seen.
        waker = QtCore.QTimer()
        waker.start(10)
        flags = QtCore.QEventLoop.ProcessEventsFlag
        while not until():
            slot_errors.raise_any()
            if time.monotonic() > end:
                raise TimeoutError("what the test waited for did not happen in time")
            self.app.eventDispatcher().processEvents(flags.AllEvents | flags.WaitForMoreEvents)

    def stall_meter(self, look_after_ms: float | None = None) -> StallMeter:
        """A context manager that measures how long the event loop was away at most; see StallMeter."""
        return StallMeter(look_after_ms)

    def grab(self, widget: Any, path: str | Path, width: int | None = None) -> None:
        """Saves a picture of a widget; with a width, at that width and the height its contents need."""
        native = widget.native_object() if isinstance(widget, ProxyBase) else widget
        self.process_events()
        if width is None:
            native.grab().save(str(path))
            return
        area = self.window.panel_area if native is self.window.panel_area.widget() else None
        if area is not None:
            area.takeWidget()
            native.show()
        before = native.size()
        for _ in range(2):
            # Labels that wrap their text know their height once they have their width.
            native.resize(width, max(native.sizeHint().height(), native.heightForWidth(width)))
            self.process_events()
        native.grab().save(str(path))
        native.resize(before)
        if area is not None:
            area.setWidget(native)
            native.show()

    def wrap(self, native: Any) -> Any:
        """What module code sees of a native object."""
        return wrap(native)

    def install_fake_module(self, name: str, **members: Any) -> Callable[[], None]:
        """Puts a module with these members into sys.modules; the result takes it out."""
        before = sys.modules.get(name)
        sys.modules[name] = fake = ModuleType(name)
        vars(fake).update(members)

        def remove() -> None:
            if before is None:
                sys.modules.pop(name, None)
            else:
                sys.modules[name] = before

        return remove

    def clean(self) -> None:
        """Ends all modules, empties the scene and forgets dialogs; raises what nobody has seen.

        Raises:
            AssertionError: A function called by Qt raised, an error was shown that no test took, or a
                prepared answer was not used.
        """
        self._loader.unload_all()
        self.app.mrml.clear()
        self.app.processEvents()
        errors = [item.text for item in dialogs.shown if item.kind == "errorDisplay"]
        unused = dialogs.unused_answers
        dialogs.clear()
        slot_errors.raise_any()
        assert not errors, f"an error was shown that the test did not take: {errors}"
        assert not unused, f"answers that no question used: {unused}"


def _light() -> QtGui.QPalette:
    palette = QtGui.QPalette(QtGui.QColor("#efefef"))
    palette.setColor(QtGui.QPalette.ColorRole.Highlight, QtGui.QColor("#308cc6"))
    return palette


@functools.cache
def host() -> Host:
    """The host of this process."""
    if importlib.util.find_spec("slicer") is None:
        raise RuntimeError("slicer-core is not installed")
    return Host()
