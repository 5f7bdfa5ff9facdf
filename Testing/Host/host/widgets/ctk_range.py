"""Stand-in for CTK's range widget."""

from PySide6 import QtCore, QtGui, QtWidgets

from host.pythonqt.members import StandIn, host_property, host_signal, slot


class _RangeBar(QtWidgets.QWidget):
    """Paints the chosen part of a range."""

    def __init__(self, parent: "ctkRangeWidget") -> None:
        super().__init__(parent)
        self.setMinimumSize(60, 18)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)

    def paintEvent(self, event) -> None:
        owner = self.parent()
        painter = QtGui.QPainter(self)
        groove = self.rect().adjusted(4, self.height() // 2 - 2, -4, -(self.height() // 2 - 2))
        painter.fillRect(groove, self.palette().color(QtGui.QPalette.ColorRole.Mid))
        span = max(owner.maximum - owner.minimum, 1e-12)
        ends = [
            groove.left() + round((value - owner.minimum) / span * groove.width())
            for value in (owner.minimumValue, owner.maximumValue)
        ]
        chosen = QtCore.QRect(ends[0], groove.top(), max(ends[1] - ends[0], 1), groove.height())
        painter.fillRect(chosen, self.palette().color(QtGui.QPalette.ColorRole.Highlight))
        painter.setBrush(self.palette().color(QtGui.QPalette.ColorRole.Button))
        painter.setPen(self.palette().color(QtGui.QPalette.ColorRole.Dark))
        for end in ends:
            painter.drawRoundedRect(QtCore.QRect(end - 4, 2, 8, self.height() - 4), 2, 2)


class ctkRangeWidget(StandIn, QtWidgets.QWidget):
    """Two spin boxes and a bar for a range of numbers."""

    python_module = "ctk"
    minimumValueChanged = host_signal("minimumValueChanged(double)")
    maximumValueChanged = host_signal("maximumValueChanged(double)")
    valuesChanged = host_signal("valuesChanged(double,double)")
    rangeChanged = host_signal("rangeChanged(double,double)")

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._low, self._high = QtWidgets.QDoubleSpinBox(self), QtWidgets.QDoubleSpinBox(self)
        self._bar = _RangeBar(self)
        self._range = (0.0, 99.0)
        self._values = (0.0, 99.0)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._low)
        layout.addWidget(self._bar, 1)
        layout.addWidget(self._high)
        self._show()
        self._low.valueChanged.connect(lambda value: self.setValues(value, max(value, self._values[1])))
        self._high.valueChanged.connect(lambda value: self.setValues(min(value, self._values[0]), value))

    def _show(self) -> None:
        for box, value in zip((self._low, self._high), self._values, strict=True):
            box.blockSignals(True)
            box.setRange(*self._range)
            box.setValue(value)
            box.blockSignals(False)
        self._bar.update()

    @slot("setValues(double,double)")
    def setValues(self, low: float, high: float) -> None:
        low, high = sorted(min(max(float(value), self._range[0]), self._range[1]) for value in (low, high))
        before, self._values = self._values, (low, high)
        self._show()
        if before[0] != low:
            self.minimumValueChanged.emit(low)
        if before[1] != high:
            self.maximumValueChanged.emit(high)
        if before != self._values:
            self.valuesChanged.emit(low, high)

    @slot("setRange(double,double)")
    def setRange(self, low: float, high: float) -> None:
        self._range = (float(low), float(max(low, high)))
        self.rangeChanged.emit(*self._range)
        self.setValues(*self._values)

    @host_property(float)
    def minimum(self) -> float:
        return self._range[0]

    @minimum.setter
    def minimum(self, value: float) -> None:
        self.setRange(value, max(value, self._range[1]))

    @host_property(float)
    def maximum(self) -> float:
        return self._range[1]

    @maximum.setter
    def maximum(self, value: float) -> None:
        self.setRange(min(value, self._range[0]), value)

    @host_property(float)
    def minimumValue(self) -> float:
        return self._values[0]

    @minimumValue.setter
    def minimumValue(self, value: float) -> None:
        self.setMinimumValue(value)

    @host_property(float)
    def maximumValue(self) -> float:
        return self._values[1]

    @maximumValue.setter
    def maximumValue(self, value: float) -> None:
        self.setMaximumValue(value)

    @slot("setMinimumValue(double)")
    def setMinimumValue(self, value: float) -> None:
        self.setValues(value, max(value, self._values[1]))

    @slot("setMaximumValue(double)")
    def setMaximumValue(self, value: float) -> None:
        self.setValues(min(value, self._values[0]), value)

    @host_property(int)
    def decimals(self) -> int:
        return self._low.decimals()

    @decimals.setter
    def decimals(self, value: int) -> None:
        self.setDecimals(value)

    @slot("setDecimals(int)")
    def setDecimals(self, value: int) -> None:
        for box in (self._low, self._high):
            box.setDecimals(value)

    @host_property(float)
    def singleStep(self) -> float:
        return self._low.singleStep()

    @singleStep.setter
    def singleStep(self, value: float) -> None:
        for box in (self._low, self._high):
            box.setSingleStep(value)

    @host_property(str)
    def suffix(self) -> str:
        return self._low.suffix()

    @suffix.setter
    def suffix(self, value: str) -> None:
        for box in (self._low, self._high):
            box.setSuffix(value)

    @slot("reset()")
    def reset(self) -> None:
        self.setValues(*self._range)
