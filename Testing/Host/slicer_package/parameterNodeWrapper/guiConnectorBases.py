"""The bases of all connectors, and the list of those that take part."""

import abc
import dataclasses

from .util import unannotatedType


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


connectors: list[type] = []


def parameterNodeGuiConnector(classtype=None):
    """Class decorator: the connector takes part."""
    if classtype is None:
        return parameterNodeGuiConnector
    connectors.append(classtype)
    return classtype


class SimpleConnector(GuiConnector):
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
