"""Binds the panel's widgets to a parameter node, where Slicer's own connectors do not fit."""

import qt
from slicer.parameterNodeWrapper import GuiConnector, SlicerParameterNamePropertyName

from SACBRegistrationLib.presets import list_presets


class _Connector(GuiConnector):
    """A widget with one value and one signal for its changes."""

    signal = ""

    def __init__(self, widget) -> None:
        super().__init__()
        self._widget = widget
        # One object for both: a bound method is made anew every time it is named.
        self._slot = self._report

    @staticmethod
    def canRepresent(widget, datatype) -> bool:
        """Returns False: these are given to Slicer, which is not to choose them."""
        return False

    @staticmethod
    def create(widget, datatype) -> None:
        """Returns None, as `canRepresent` says."""

    def _connect(self) -> None:
        self._widget.connect(self.signal, self._slot)

    def _disconnect(self) -> None:
        self._widget.disconnect(self.signal, self._slot)

    def _report(self, *_arguments) -> None:
        self.changed()

    def widget(self):
        """Returns the widget."""
        return self._widget


class PresetConnector(_Connector):
    """A list of presets, by their titles; a scene's preset that is not installed is kept and shown."""

    signal = "currentIndexChanged(int)"

    def __init__(self, widget) -> None:
        super().__init__(widget)
        presets = list_presets()
        self._names = [preset.name for preset in presets]
        widget.clear()
        for number, preset in enumerate(presets):
            widget.addItem(preset.title)
            widget.setItemData(number, preset.description, qt.Qt.ToolTipRole)

    def read(self) -> str:
        """Returns the name of the chosen preset."""
        return self._names[self._widget.currentIndex]

    def write(self, value: str) -> None:
        """Chooses a preset by its name."""
        if value not in self._names:
            self._names.append(value)
            self._widget.addItem(f"{value} (not installed)")
        self._widget.currentIndex = self._names.index(value)


class PathConnector(_Connector):
    """A path as text: Slicer's own connector turns no path into the current folder."""

    signal = "currentPathChanged(QString)"

    def read(self) -> str:
        """Returns the path, or nothing."""
        return self._widget.currentPath

    def write(self, value: str) -> None:
        """Shows a path."""
        self._widget.currentPath = value


class NodeConnector(_Connector):
    """A node of one of several classes: Slicer's own connector offers all nodes of their common base."""

    signal = "currentNodeChanged(vtkMRMLNode*)"

    def read(self):
        """Returns the chosen node, or None."""
        return self._widget.currentNode()

    def write(self, value) -> None:
        """Chooses a node, or none."""
        self._widget.setCurrentNode(value)


_SPECIAL = {
    "preset": PresetConnector,
    "weights": PathConnector,
    "initialTransform": NodeConnector,
    "fixedMask": NodeConnector,
    "movingMask": NodeConnector,
    "fixedSegmentation": NodeConnector,
    "movingSegmentation": NodeConnector,
}


def connect_widgets(parameters, widget) -> int:
    """Binds all widgets that name a parameter in the .ui file.

    `connectGui` of some Slicer versions returns no tag, and what it bound cannot be undone then: with two
    parameter sets every change would go to both.

    Args:
        parameters: The parameter node's wrapper.
        widget: The panel.

    Returns:
        Tag for `disconnectGui`.
    """
    mapping = {}
    for child in widget.findChildren(qt.QWidget):
        name = child.property(SlicerParameterNamePropertyName)
        if name:
            mapping[name] = _SPECIAL[name](child) if name in _SPECIAL else child
    return parameters.connectParametersToGui(mapping)
