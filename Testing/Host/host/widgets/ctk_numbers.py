"""Stand-ins for CTK's sliders and spin boxes."""

from typing import ClassVar

from PySide6 import QtCore, QtWidgets

from host.pythonqt.members import StandIn, host_property, host_signal, slot


def delegated(kind: type, target: str, name: str, after: str | None = None) -> host_property:
    """A property that a part of the widget holds: read by target.name(), set by target.setName(value)."""
    found = host_property(kind)
    found.getter = lambda self: getattr(getattr(self, target), name)()

    def store(self, value) -> None:
        getattr(getattr(self, target), f"set{name[0].upper()}{name[1:]}")(value)
        if after:
            getattr(self, after)()

    found.set_value = store
    return found


class ctkSliderWidget(StandIn, QtWidgets.QWidget):
    """A slider and a spin box for one number."""

    python_module = "ctk"
    valueChanged = host_signal("valueChanged(double)")
    valueIsChanging = host_signal("valueIsChanging(double)")
    decimalsChanged = host_signal("decimalsChanged(int)")
    STEPS = 10000

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._slider = QtWidgets.QSlider(QtCore.Qt.Orientation.Horizontal, self)
        self._box = QtWidgets.QDoubleSpinBox(self)
        self._page_step = 10.0
        self._tracking = True
        self._dragged: float | None = None
        self._box.setRange(0.0, 99.0)
        self._slider.setRange(0, self.STEPS)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._slider, 1)
        layout.addWidget(self._box)
        self.setFocusProxy(self._slider)
        self._box.valueChanged.connect(self._box_moved)
        self._slider.valueChanged.connect(self._slider_moved)
        self._slider.sliderReleased.connect(self._slider_released)
        self._show_value()

    decimals = delegated(int, "_box", "decimals", after="_decimals_set")
    singleStep = delegated(float, "_box", "singleStep", after="_show_value")
    minimum = delegated(float, "_box", "minimum", after="_show_value")
    maximum = delegated(float, "_box", "maximum", after="_show_value")
    value = delegated(float, "_box", "value")
    prefix = delegated(str, "_box", "prefix")
    suffix = delegated(str, "_box", "suffix")

    @host_property(float)
    def pageStep(self) -> float:
        return self._page_step

    @pageStep.setter
    def pageStep(self, value: float) -> None:
        self._page_step = value
        self._show_value()

    @host_property(bool)
    def tracking(self) -> bool:
        return self._tracking

    @tracking.setter
    def tracking(self, value: bool) -> None:
        self._tracking = value

    @host_property(bool)
    def spinBoxVisible(self) -> bool:
        return self._box.isVisibleTo(self)

    @spinBoxVisible.setter
    def spinBoxVisible(self, value: bool) -> None:
        self._box.setVisible(value)

    @slot("setValue(double)")
    def setValue(self, value: float) -> None:
        self.value = value

    @slot("setSpinBoxVisible(bool)")
    def setSpinBoxVisible(self, value: bool) -> None:
        self.spinBoxVisible = value

    @slot("setDecimals(int)")
    def setDecimals(self, value: int) -> None:
        self.decimals = value

    @slot("reset()")
    def reset(self) -> None:
        self.value = max(0.0, self.minimum)

    def _decimals_set(self) -> None:
        self.decimalsChanged.emit(self._box.decimals())

    def _span(self) -> float:
        return max(self.maximum - self.minimum, 1e-12)

    def _show_value(self) -> None:
        self._slider.blockSignals(True)
        step = max(self._box.singleStep(), 1e-12)
        self._slider.setSingleStep(max(1, round(step / self._span() * self.STEPS)))
        self._slider.setPageStep(max(1, round(self._page_step / self._span() * self.STEPS)))
        self._slider.setValue(round((self._box.value() - self.minimum) / self._span() * self.STEPS))
        self._slider.blockSignals(False)

    def _box_moved(self, value: float) -> None:
        self._show_value()
        self.valueIsChanging.emit(value)
        self.valueChanged.emit(value)

    def _slider_moved(self, position: int) -> None:
        steps = round(position / self.STEPS * self._span() / self.singleStep)
        value = self.minimum + steps * self.singleStep
        if self._slider.isSliderDown() and not self._tracking:
            self._dragged = value
            self.valueIsChanging.emit(value)
        else:
            self.value = value

    def _slider_released(self) -> None:
        if self._dragged is not None:
            self.value, self._dragged = self._dragged, None


class ctkDoubleSpinBox(StandIn, QtWidgets.QWidget):
    """A spin box for one number."""

    python_module = "ctk"
    valueChanged = host_signal("valueChanged(double)", "valueChanged(QString)")
    editingFinished = host_signal("editingFinished()")
    decimalsChanged = host_signal("decimalsChanged(int)")
    host_enums: ClassVar = {
        "SetMode": {"SetAlways": 0, "SetIfDifferent": 1},
        "SizeHintPolicy": {"SizeHintByMinMax": 0, "SizeHintByValue": 1},
    }

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._box = QtWidgets.QDoubleSpinBox(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self.setFocusProxy(self._box)
        self._box.editingFinished.connect(self.editingFinished.emit)
        self._box.valueChanged.connect(self._changed)

    decimals = delegated(int, "_box", "decimals", after="_decimals_set")
    singleStep = delegated(float, "_box", "singleStep")
    minimum = delegated(float, "_box", "minimum")
    maximum = delegated(float, "_box", "maximum")
    value = delegated(float, "_box", "value")
    prefix = delegated(str, "_box", "prefix")
    suffix = delegated(str, "_box", "suffix")

    @host_property(str)
    def cleanText(self) -> str:
        return self._box.cleanText()

    @host_property(bool)
    def readOnly(self) -> bool:
        return self._box.isReadOnly()

    @readOnly.setter
    def readOnly(self, value: bool) -> None:
        self._box.setReadOnly(value)

    @slot("setValue(double)")
    def setValue(self, value: float) -> None:
        self.value = value

    @slot("setDecimals(int)")
    def setDecimals(self, value: int) -> None:
        self.decimals = value

    @slot("setReadOnly(bool)")
    def setReadOnly(self, value: bool) -> None:
        self.readOnly = value

    @slot("stepUp()")
    def stepUp(self) -> None:
        self._box.stepUp()

    @slot("stepDown()")
    def stepDown(self) -> None:
        self._box.stepDown()

    def _decimals_set(self) -> None:
        self.decimalsChanged.emit(self._box.decimals())

    def _changed(self, value: float) -> None:
        self.valueChanged.emit(value)
        self.valueChanged.emit(self._box.text(), signature="valueChanged(QString)")
