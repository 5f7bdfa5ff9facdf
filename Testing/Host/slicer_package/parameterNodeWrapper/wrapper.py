"""The class decorator that gives typed access to a parameter node."""

import dataclasses
import typing

import slicer
import vtk

from .default import Default, extractDefault
from .guiConnectors import GuiConnector, createGuiConnector
from .serializers import createSerializer
from .util import splitAnnotations

SlicerParameterNamePropertyName = "SlicerParameterName"


@dataclasses.dataclass(frozen=True)
class _Parameter:
    name: str
    serializer: object
    default: Default
    datatype: object


def findChildWidgetForParameter(widget, parameter):
    """Returns the child widget whose SlicerParameterName is the parameter.

    Raises:
        ValueError: There is none.
    """
    for child in _widgets(widget):
        if child.property(SlicerParameterNamePropertyName) == parameter:
            return child
    raise ValueError(f"no widget is for the parameter {parameter}")


def _widgets(gui):
    """All widgets below a widget, or those that childWidgetVariables found."""
    if hasattr(gui, "inherits"):
        return [gui, *slicer.util.findChildren(gui)]
    return [item for item in vars(gui).values() if hasattr(item, "property")]


def isParameterNodeWrapper(classOrObj):
    """Whether the decorator made this class, or the object's class."""
    cls = classOrObj if isinstance(classOrObj, type) else type(classOrObj)
    return getattr(cls, "_isParameterNodeWrapper", False)


def _parameters(cls) -> dict[str, _Parameter]:
    found = {}
    for name, annotated in typing.get_type_hints(cls, include_extras=True).items():
        plain, annotations = splitAnnotations(annotated)
        default, rest = extractDefault(annotations)
        if hasattr(cls, name):
            if default is not None:
                raise ValueError(f"{name} has two defaults")
            default = Default(getattr(cls, name))
        serializer, _ = createSerializer(plain, rest)
        default = default or Default(generator=serializer.default)
        if hasattr(serializer, "validate") and default.value is not None:
            serializer.validate(default.value)
        found[name] = _Parameter(name, serializer, default, annotated)
    return found


def _property(parameter: _Parameter) -> property:
    return property(
        lambda self: self.getValue(parameter.name), lambda self, value: self.setValue(parameter.name, value)
    )


class _Connections:
    """The widgets bound to a parameter node under one tag."""

    def __init__(self, owner, connectors):
        self.owner, self.connectors = owner, connectors
        self._updating = False
        for name, connector in connectors.items():
            connector.onChanged(lambda name=name: self._fromWidget(name))
        self.tag = owner.AddObserver(vtk.vtkCommand.ModifiedEvent, lambda *_: self.show())
        self.show()

    def show(self):
        if self._updating:
            return
        self._updating = True
        try:
            for name, connector in self.connectors.items():
                value = self.owner.getValue(name)
                if connector.read() != value:
                    connector.write(value)
        finally:
            self._updating = False

    def _fromWidget(self, name):
        if not self._updating:
            self.owner.setValue(name, self.connectors[name].read())

    def close(self):
        self.owner.RemoveObserver(self.tag)
        for connector in self.connectors.values():
            connector.onChanged(None)


class _WrapperMethods:
    """What every wrapper class can do."""

    _isParameterNodeWrapper = True

    def __init__(self, parameterNode, prefix=None):
        self.parameterNode = parameterNode
        self._prefix = f"{prefix}." if prefix else ""
        self._connections = {}
        for parameter in self.allParameters.values():
            if not parameter.serializer.isIn(parameterNode, self._prefix + parameter.name):
                self.setValue(parameter.name, parameter.default.value)

    def getValue(self, name):
        return self.allParameters[name].serializer.read(self.parameterNode, self._prefix + name)

    def setValue(self, name, value):
        self.allParameters[name].serializer.write(self.parameterNode, self._prefix + name, value)

    def default(self, name):
        return self.allParameters[name].default

    def dataType(self, name):
        return self.allParameters[name].datatype

    def isCached(self, name):
        if name not in self.allParameters:
            raise ValueError(f"there is no parameter {name}")
        return False

    def AddObserver(self, event, callback, priority=0.0):
        return self.parameterNode.AddObserver(event, callback, priority)

    def HasObserver(self, *arguments):
        return self.parameterNode.HasObserver(*arguments)

    def RemoveObserver(self, tag):
        self.parameterNode.RemoveObserver(tag)

    def StartModify(self):
        return self.parameterNode.StartModify()

    def EndModify(self, wasModifying):
        return self.parameterNode.EndModify(wasModifying)

    def Modified(self):
        self.parameterNode.Modified()

    def connectGui(self, gui):
        named = {child.property(SlicerParameterNamePropertyName): child for child in _widgets(gui)}
        found = {name: child for name, child in named.items() if name}
        unknown = set(found) - set(self.allParameters)
        if unknown:
            raise ValueError(f"widgets name parameters that do not exist: {', '.join(sorted(unknown))}")
        return self.connectParametersToGui(found)

    def connectParametersToGui(self, mapping):
        connectors = {
            name: item if isinstance(item, GuiConnector) else createGuiConnector(item, self.dataType(name))
            for name, item in mapping.items()
        }
        connections = _Connections(self, connectors)
        tag = max(self._connections, default=0) + 1
        self._connections[tag] = connections
        return tag

    def disconnectGui(self, tag):
        self._connections.pop(tag).close()


def parameterNodeWrapper(classtype=None):
    """Class decorator: annotated attributes become typed properties over a vtkMRMLScriptedModuleNode."""
    if classtype is None:
        return parameterNodeWrapper
    parameters = _parameters(classtype)
    for name, value in vars(_WrapperMethods).items():
        if name == "__init__" or not name.startswith("__"):
            setattr(classtype, name, value)
    classtype.allParameters = parameters
    for parameter in parameters.values():
        setattr(classtype, parameter.name, _property(parameter))
    return classtype
