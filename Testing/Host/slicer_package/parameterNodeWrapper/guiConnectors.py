"""Widgets for parameters: who reads, writes and watches which widget."""

import abc
import dataclasses
import enum
import pathlib

from .types import FloatRange
from .util import findFirstAnnotation, isNodeOrUnionOfNodes, splitAnnotations, unannotatedType
from .validators import Choice, Maximum, Minimum, RangeBounds, WithinRange

SlicerPackParameterNamePropertyName = "SlicerPackParameterName"


@dataclasses.dataclass(frozen=True)
class Decimals:
    """How many decimals the widget shows."""

    value: int


@dataclasses.dataclass(frozen=True)
class SingleStep:
    """How far one step of the widget goes."""

    value: float


class GuiConnector(abc.ABC):
    """One widget that shows one parameter."""

    def __init__(self):
        self._callback = None

    @staticmethod
    @abc.abstractmethod
    def canRepresent(widget, datatype) -> bool:
        """Whether this class is for the widget and the type."""

    @staticmethod
    @abc.abstractmethod
    def create(widget, datatype):
        """Makes the connector."""

    def onChanged(self, callback):
        """Calls the function when the user changed the widget; None stops that."""
        if self._callback is not None:
            self._disconnect()
        self._callback = callback
        if callback is not None:
            self._connect()

    def changed(self):
        """Tells of a change."""
        if self._callback is not None:
            self._callback()

    @abc.abstractmethod
    def _connect(self):
        """Connects the widget's signal."""

    @abc.abstractmethod
    def _disconnect(self):
        """Disconnects the widget's signal."""

    @abc.abstractmethod
    def widget(self):
        """The widget."""

    @abc.abstractmethod
    def read(self):
        """The value the widget shows."""

    @abc.abstractmethod
    def write(self, value) -> None:
        """Shows a value."""


_connectors: list[type] = []


def parameterNodeGuiConnector(classtype=None):
    """Class decorator: the connector takes part."""
    if classtype is None:
        return parameterNodeGuiConnector
    _connectors.append(classtype)
    return classtype


class _Simple(GuiConnector):
    """A widget of one of some classes with a signal and a property that holds the value."""

    classes: tuple[str, ...] = ()
    types: tuple[type, ...] = ()
    signal = ""
    value_property = ""

    def __init__(self, widget, datatype):
        super().__init__()
        self._widget, self._datatype = widget, unannotatedType(datatype)

    @classmethod
    def canRepresent(cls, widget, datatype) -> bool:
        plain = unannotatedType(datatype)
        return any(widget.inherits(name) for name in cls.classes) and cls.fits(plain)

    @classmethod
    def fits(cls, plain) -> bool:
        return isinstance(plain, type) and plain in cls.types

    @classmethod
    def create(cls, widget, datatype):
        return cls(widget, datatype) if cls.canRepresent(widget, datatype) else None

    def _connect(self):
        self._widget.connect(self.signal, self.changed)

    def _disconnect(self):
        self._widget.disconnect(self.signal, self.changed)

    def widget(self):
        return self._widget

    def read(self):
        return self._datatype(getattr(self._widget, self.value_property))

    def write(self, value) -> None:
        setattr(self._widget, self.value_property, value)


@parameterNodeGuiConnector
class QCheckBoxToBoolConnector(_Simple):
    classes, types, signal, value_property = ("QCheckBox",), (bool,), "toggled(bool)", "checked"


@parameterNodeGuiConnector
class QCheckablePushButtonToBoolConnector(_Simple):
    classes, types, signal, value_property = ("QPushButton",), (bool,), "toggled(bool)", "checked"


class _Number(_Simple):
    """Takes limits, decimals and step from the annotations."""

    def __init__(self, widget, datatype):
        super().__init__(widget, datatype)
        _, annotations = splitAnnotations(datatype)
        limits = findFirstAnnotation(annotations, WithinRange)
        low, high = limits or findFirstAnnotation(annotations, Minimum), limits
        high = high or findFirstAnnotation(annotations, Maximum)
        decimals, step = (
            findFirstAnnotation(annotations, Decimals),
            findFirstAnnotation(annotations, SingleStep),
        )
        if decimals is not None:
            widget.decimals = decimals.value
        if low is not None:
            widget.minimum = low.minimum
        if high is not None:
            widget.maximum = high.maximum
        if step is not None:
            widget.singleStep = step.value


@parameterNodeGuiConnector
class QSliderOrSpinBoxToIntConnector(_Number):
    classes, types, signal, value_property = ("QSlider", "QSpinBox"), (int,), "valueChanged(int)", "value"


@parameterNodeGuiConnector
class QDoubleSpinBoxCtkSliderWidgetToFloatIntConnector(_Number):
    classes = ("QDoubleSpinBox", "ctkSliderWidget", "ctkDoubleSpinBox")
    types, signal, value_property = (float, int), "valueChanged(double)", "value"

    def __init__(self, widget, datatype):
        if unannotatedType(datatype) is int:
            widget.decimals = 0
        super().__init__(widget, datatype)


@parameterNodeGuiConnector
class QComboBoxToEnumConnector(_Simple):
    """Shows an enum's members by their label() or, without one, their names."""

    classes, signal = ("QComboBox",), "currentIndexChanged(int)"

    def __init__(self, widget, datatype):
        super().__init__(widget, datatype)
        self._members = list(self._datatype)
        widget.clear()
        widget.addItems(
            [member.label() if hasattr(member, "label") else member.name for member in self._members]
        )

    @classmethod
    def fits(cls, plain) -> bool:
        return isinstance(plain, type) and issubclass(plain, enum.Enum)

    def read(self):
        return self._members[self._widget.currentIndex]

    def write(self, value) -> None:
        self._widget.currentIndex = self._members.index(value)


@parameterNodeGuiConnector
class QComboBoxToStringableConnector(_Simple):
    """Shows the values of a Choice as text."""

    classes, types, signal = ("QComboBox",), (str, int, float, bool), "currentIndexChanged(int)"

    def __init__(self, widget, datatype):
        super().__init__(widget, datatype)
        self._choices = list(findFirstAnnotation(splitAnnotations(datatype)[1], Choice).choices)
        widget.clear()
        widget.addItems([str(choice) for choice in self._choices])

    @classmethod
    def canRepresent(cls, widget, datatype) -> bool:
        return super().canRepresent(widget, datatype) and bool(
            findFirstAnnotation(splitAnnotations(datatype)[1], Choice)
        )

    def read(self):
        return self._choices[self._widget.currentIndex]

    def write(self, value) -> None:
        self._widget.currentIndex = self._choices.index(value)


@parameterNodeGuiConnector
class QLineEditToStrConnector(_Simple):
    classes, types, signal, value_property = ("QLineEdit",), (str,), "textChanged(QString)", "text"


@parameterNodeGuiConnector
class QLabelToStrConnector(_Simple):
    classes, types, signal, value_property = ("QLabel",), (str,), "", "text"

    def _connect(self):
        """A label has nothing to tell."""

    _disconnect = _connect


@parameterNodeGuiConnector
class QTextEditPlainTextToStrConnector(_Simple):
    classes, types, signal, value_property = ("QTextEdit",), (str,), "textChanged()", "plainText"


@parameterNodeGuiConnector
class ctkPathLineEditToPathConnector(_Simple):
    classes, signal, value_property = ("ctkPathLineEdit",), "currentPathChanged(QString)", "currentPath"

    @classmethod
    def fits(cls, plain) -> bool:
        return isinstance(plain, type) and issubclass(plain, pathlib.PurePath)

    def write(self, value) -> None:
        super().write(str(value))


@parameterNodeGuiConnector
class ctkDirectoryButtonToPathConnector(ctkPathLineEditToPathConnector):
    classes, signal, value_property = ("ctkDirectoryButton",), "directoryChanged(QString)", "directory"


@parameterNodeGuiConnector
class ctkRangeWidgetToRangeConnector(_Simple):
    classes, types, signal = ("ctkRangeWidget",), (FloatRange,), "valuesChanged(double,double)"

    def __init__(self, widget, datatype):
        super().__init__(widget, datatype)
        bounds = findFirstAnnotation(splitAnnotations(datatype)[1], RangeBounds)
        if bounds is not None:
            widget.setRange(bounds.minimum, bounds.maximum)

    def read(self):
        return FloatRange(self._widget.minimumValue, self._widget.maximumValue)

    def write(self, value) -> None:
        self._widget.setValues(value.minimum, value.maximum)


@parameterNodeGuiConnector
class qMRMLNodeComboBoxToNodeConnector(_Simple):
    classes, signal = ("qMRMLNodeComboBox",), "currentNodeChanged(vtkMRMLNode*)"

    @classmethod
    def fits(cls, plain) -> bool:
        return isNodeOrUnionOfNodes(plain)

    def read(self):
        return self._widget.currentNode()

    def write(self, value) -> None:
        self._widget.setCurrentNode(value)


def createGuiConnector(widget, datatype) -> GuiConnector:
    """Returns the connector for a widget and a type.

    Raises:
        RuntimeError: No connector is for them.
    """
    for candidate in reversed(_connectors):
        if candidate.canRepresent(widget, datatype):
            return candidate.create(widget, datatype)
    raise RuntimeError(f"no connector for a {widget.className()} and the type {datatype}")
