"""Stand-ins for modules and the module manager."""

from types import SimpleNamespace
from typing import Any

from PySide6 import QtCore, QtGui

from host.pythonqt.members import StandIn, host_property, host_signal, slot


class qSlicerScriptedLoadableModule(StandIn, QtCore.QObject):
    """What a scripted module's Python class gets as its parent."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.module_name, self.module_path = "", ""
        self.values: dict[str, Any] = {}
        self.python_module: Any = None
        self.widget: Any = None
        self.make_widget: Any = None
        self.module_logic: Any = None

    @host_property(str)
    def name(self) -> str:
        return self.module_name

    @host_property(str)
    def path(self) -> str:
        return self.module_path

    @slot("widgetRepresentation()")
    def widgetRepresentation(self) -> Any:
        if self.widget is None:
            self.widget = self.make_widget()
        return self.widget

    @slot("createNewWidgetRepresentation()")
    def createNewWidgetRepresentation(self) -> Any:
        return self.make_widget()

    @slot("logic()")
    def logic(self) -> Any:
        return self.module_logic


def _stored(kind: type, name: str, default: Any) -> host_property:
    found = host_property(kind)
    found.getter = lambda self: self.values.get(name, default)
    found.set_value = lambda self, value: self.values.__setitem__(name, value)
    found.name = name
    return found


for _name, _kind, _default in (
    ("title", str, ""),
    ("categories", tuple, ()),
    ("dependencies", tuple, ()),
    ("contributors", tuple, ()),
    ("associatedNodeTypes", tuple, ()),
    ("helpText", str, ""),
    ("acknowledgementText", str, ""),
    ("hidden", bool, False),
    ("index", int, -1),
    ("icon", object, QtGui.QIcon()),
):
    _property = _stored(_kind, _name, _default)
    setattr(qSlicerScriptedLoadableModule, _name, _property)
    qSlicerScriptedLoadableModule.host_facts.properties[_name] = _property


class qSlicerModuleFactoryManager(StandIn, QtCore.QObject):
    """Knows which modules are loaded."""

    creatable = False

    def __init__(self, manager: "qSlicerModuleManager") -> None:
        super().__init__(manager)
        self._manager = manager

    @slot("loadedModuleNames()")
    def loadedModuleNames(self) -> list[str]:
        return list(self._manager.modules)

    @slot("isLoaded(QString)")
    def isLoaded(self, name: str) -> bool:
        return name in self._manager.modules


class qSlicerModuleManager(StandIn, QtCore.QObject):
    """Finds modules by name.

    Attributes:
        modules: Module name to module, those that modules load from Python.
    """

    creatable = False
    moduleLoaded = host_signal("moduleLoaded(QString)")
    moduleAboutToBeUnloaded = host_signal("moduleAboutToBeUnloaded(QString)")

    def __init__(self, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self.modules: dict[str, qSlicerScriptedLoadableModule] = {}
        self._factory = qSlicerModuleFactoryManager(self)

    @slot("factoryManager()")
    def factoryManager(self) -> qSlicerModuleFactoryManager:
        return self._factory

    @slot("modulesNames()")
    def modulesNames(self) -> list[str]:
        return list(self.modules)

    @slot("module(QString)")
    def module(self, name: str) -> Any:
        return self.modules.get(name)


class Modules(SimpleNamespace):
    """The namespace slicer.modules: one attribute for each module, in lower case."""


class CppModule:
    """A module of Slicer itself, of which the host has the logic alone."""

    def __init__(self, name: str, logic: Any) -> None:
        self.name = name
        self._logic = logic

    def logic(self) -> Any:
        """The module's logic."""
        return self._logic

    def widgetRepresentation(self) -> Any:
        """The host has no panels of Slicer's own modules."""
        raise NotImplementedError(f"the test host has no panel of the module {self.name}")
