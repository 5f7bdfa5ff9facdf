"""Widgets for parameters: who reads, writes and watches which widget."""

import enum
import pathlib

from .guiConnectorBases import (
    Decimals,
    GuiConnector,
    SimpleConnector,
    SingleStep,
    connectors,
    parameterNodeGuiConnector,
)
from .types import FloatRange
from .util import findFirstAnnotation, isNodeOrUnionOfNodes, splitAnnotations, unannotatedType
from .validators import Choice, Maximum, Minimum, RangeBounds, WithinRange

SlicerPackParameterNamePropertyName = "SlicerPackParameterName"


@parameterNodeGuiConnector
class QCheckBoxToBoolConnector(SimpleConnector):
    classes, types, signal, value_property = ("QCheckBox",), (bool,), "toggled(bool)", "checked"


@parameterNodeGuiConnector
class QCheckablePushButtonToBoolConnector(SimpleConnector):
    classes, types, signal, value_property = ("QPushButton",), (bool,), "toggled(bool)", "checked"


class _Number(SimpleConnector):
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
class QComboBoxToEnumConnector(SimpleConnector):
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
class QComboBoxToStringableConnector(SimpleConnector):
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
class QLineEditToStrConnector(SimpleConnector):
    classes, types, signal, value_property = ("QLineEdit",), (str,), "textChanged(QString)", "text"


@parameterNodeGuiConnector
class QLabelToStrConnector(SimpleConnector):
    classes, types, signal, value_property = ("QLabel",), (str,), "", "text"

    def _connect(self):
        """A label has nothing to tell."""

    _disconnect = _connect


@parameterNodeGuiConnector
class QTextEditPlainTextToStrConnector(SimpleConnector):
    classes, types, signal, value_property = ("QTextEdit",), (str,), "textChanged()", "plainText"


@parameterNodeGuiConnector
class ctkPathLineEditToPathConnector(SimpleConnector):
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
class ctkRangeWidgetToRangeConnector(SimpleConnector):
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
class qMRMLNodeComboBoxToNodeConnector(SimpleConnector):
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
    for candidate in reversed(connectors):
        if candidate.canRepresent(widget, datatype):
            return candidate.create(widget, datatype)
    raise RuntimeError(f"no connector for a {widget.className()} and the type {datatype}")
