"""Loads scripted modules as Slicer's module factory does."""

import importlib.util
import sys
from pathlib import Path
from typing import Any

import shiboken6
import slicer
from PySide6 import QtWidgets

from host.module_manager import qSlicerScriptedLoadableModule
from host.pythonqt.proxy import wrap
from host.widgets.mrml_widgets import qSlicerMainWindow, qSlicerScriptedLoadableModuleWidget


class ModuleLoader:
    """The loaded modules and which of them is shown."""

    def __init__(self, app: Any, window: qSlicerMainWindow) -> None:
        self._manager = app.moduleManager()
        self._window = window
        self._current: qSlicerScriptedLoadableModuleWidget | None = None
        window.moduleSelector().moduleSelected.connect(self._select)

    def module(self, name: str) -> qSlicerScriptedLoadableModule:
        """The module with this name."""
        return self._manager.modules[name]

    def load(self, path: Path) -> str:
        """Imports the module's file, makes its Python class, and announces it; returns its name."""
        path = path.resolve()
        name = path.stem
        if str(path.parent) not in sys.path:
            sys.path.insert(0, str(path.parent))
        module = qSlicerScriptedLoadableModule(self._manager)
        module.module_name, module.module_path = name, str(path)
        module.make_widget = lambda: self._make_widget(module)
        setattr(slicer.modules, name.lower(), wrap(module))
        python_module = _import(name, path)
        module.python_module = getattr(python_module, name)(wrap(module))
        setattr(slicer.modules, f"{name}Instance", module.python_module)
        self._manager.modules[name] = module
        self._window.moduleSelector().box.addItem(module.title or name)
        self._manager.moduleLoaded.emit(name)
        return name

    def _make_widget(self, module: qSlicerScriptedLoadableModule) -> qSlicerScriptedLoadableModuleWidget:
        widget = qSlicerScriptedLoadableModuleWidget()
        widget.module_name = module.module_name
        QtWidgets.QVBoxLayout(widget)
        widget.make_python_widget = _make_python_widget
        _make_python_widget(widget)
        widget.setMRMLScene(slicer.mrmlScene)
        return widget

    def _select(self, name: str) -> None:
        if self._current is not None and shiboken6.isValid(self._current):
            self._current.exit()
            self._window.panel_area.takeWidget()
        self._current = None
        if name:
            self._current = self._manager.modules[name].widgetRepresentation()
            self._window.panel_area.setWidget(self._current)
            self._current.show()
            self._current.enter()
            title = self._manager.modules[name].title or name
            self._window.moduleSelector().box.setCurrentText(title)

    def unload(self, name: str) -> None:
        """Leaves the module, has it clean up, and deletes its panel."""
        module = self._manager.modules.pop(name)
        if self._current is module.widget:
            self._select("")
        self._manager.moduleAboutToBeUnloaded.emit(name)
        if module.widget is not None:
            module.widget.python_widget = None
            shiboken6.delete(module.widget)
        box = self._window.moduleSelector().box
        box.removeItem(box.findText(module.title or name))
        for attribute in (name.lower(), f"{name}Instance", f"{name}Widget"):
            vars(slicer.modules).pop(attribute, None)
        sys.modules.pop(name, None)

    def unload_all(self) -> None:
        """Unloads every module."""
        for name in list(self._manager.modules):
            self.unload(name)


def _import(name: str, path: Path) -> Any:
    spec = importlib.util.spec_from_file_location(name, path)
    python_module = importlib.util.module_from_spec(spec)
    sys.modules[name] = python_module
    spec.loader.exec_module(python_module)
    return python_module


def _make_python_widget(widget: qSlicerScriptedLoadableModuleWidget) -> None:
    name = f"{widget.module_name}Widget"
    widget.python_widget = getattr(sys.modules[widget.module_name], name)(wrap(widget))
    setattr(slicer.modules, name, widget.python_widget)
    widget.python_widget.setup()
