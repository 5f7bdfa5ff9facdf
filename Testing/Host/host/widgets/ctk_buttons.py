"""Stand-ins for CTK's collapsible containers and buttons."""

from PySide6 import QtCore, QtGui, QtWidgets

from host.pythonqt.members import StandIn, host_property, host_signal

HEADER_HEIGHT = 24


class ctkCollapsibleButton(StandIn, QtWidgets.QAbstractButton):
    """A titled section that hides its contents."""

    python_module = "ctk"
    contentsCollapsed = host_signal("contentsCollapsed(bool)")

    def __init__(self, *arguments) -> None:
        text = arguments[0] if arguments and isinstance(arguments[0], str) else ""
        parent = arguments[-1] if arguments and not isinstance(arguments[-1], str) else None
        super().__init__(parent)
        self._collapsed = False
        self._collapsed_height = 10
        self._flat = False
        # What a module hid itself inside a collapsed section stays hidden when the section opens.
        self._hidden_here: list[QtWidgets.QWidget] = []
        self.setText(text)
        self.setCheckable(True)
        self.setChecked(True)
        self.setSizePolicy(
            QtWidgets.QSizePolicy.Policy.MinimumExpanding, QtWidgets.QSizePolicy.Policy.Preferred
        )
        self.setContentsMargins(0, HEADER_HEIGHT, 0, 0)
        self.toggled.connect(lambda checked: self._collapse(not checked))

    @host_property(bool)
    def collapsed(self) -> bool:
        return self._collapsed

    @collapsed.setter
    def collapsed(self, value: bool) -> None:
        self.setChecked(not value)

    @host_property(int)
    def collapsedHeight(self) -> int:
        return self._collapsed_height

    @collapsedHeight.setter
    def collapsedHeight(self, value: int) -> None:
        self._collapsed_height = value
        self.updateGeometry()

    @host_property(bool)
    def flat(self) -> bool:
        return self._flat

    @flat.setter
    def flat(self, value: bool) -> None:
        self._flat = value
        self.update()

    def _collapse(self, collapse: bool) -> None:
        if collapse == self._collapsed:
            return
        self._collapsed = collapse
        widgets = [
            child
            for child in self.children()
            if isinstance(child, QtWidgets.QWidget) and not child.isWindow()
        ]
        if collapse:
            self._hidden_here = [child for child in widgets if not child.isHidden()]
            for child in self._hidden_here:
                child.hide()
        else:
            for child in widgets:
                if child in self._hidden_here:
                    child.show()
            self._hidden_here = []
        self.updateGeometry()
        self.contentsCollapsed.emit(collapse)

    def childEvent(self, event) -> None:
        super().childEvent(event)
        child = event.child()
        if not (self._collapsed and event.added() and isinstance(child, QtWidgets.QWidget)):
            return
        # A new widget counts as hidden until its layout shows it; only hide() makes that a wish.
        wished = child.testAttribute(QtCore.Qt.WidgetAttribute.WA_WState_ExplicitShowHide)
        if not (child.isHidden() and wished):
            self._hidden_here.append(child)
            QtCore.QTimer.singleShot(0, self._hide_late)

    def _hide_late(self) -> None:
        # A child is hidden once its layout has shown it.
        for child in self._hidden_here if self._collapsed else ():
            child.hide()

    def sizeHint(self) -> QtCore.QSize:
        width = self.fontMetrics().horizontalAdvance(self.text()) + 40
        layout = self.layout()
        if layout is None or self._collapsed:
            return QtCore.QSize(width, HEADER_HEIGHT + (self._collapsed_height if self._collapsed else 0))
        return layout.totalSizeHint().expandedTo(QtCore.QSize(width, HEADER_HEIGHT))

    def minimumSizeHint(self) -> QtCore.QSize:
        layout = self.layout()
        if layout is None or self._collapsed:
            return self.sizeHint()
        return layout.totalMinimumSize().expandedTo(QtCore.QSize(40, HEADER_HEIGHT))

    def hitButton(self, position: QtCore.QPoint) -> bool:
        return position.y() < HEADER_HEIGHT

    def paintEvent(self, event) -> None:
        painter = QtWidgets.QStylePainter(self)
        header = QtCore.QRect(0, 0, self.width(), HEADER_HEIGHT)
        if not self._flat:
            frame = QtWidgets.QStyleOptionFrame()
            frame.initFrom(self)
            frame.rect = self.rect().adjusted(0, HEADER_HEIGHT // 2, 0, 0)
            frame.lineWidth = 1
            frame.state |= QtWidgets.QStyle.StateFlag.State_Sunken
            painter.drawPrimitive(QtWidgets.QStyle.PrimitiveElement.PE_FrameGroupBox, frame)
        button = QtWidgets.QStyleOptionButton()
        button.initFrom(self)
        button.rect = header
        button.state |= QtWidgets.QStyle.StateFlag.State_Raised
        painter.drawControl(QtWidgets.QStyle.ControlElement.CE_PushButtonBevel, button)
        arrow = QtWidgets.QStyleOption()
        arrow.initFrom(self)
        arrow.rect = QtCore.QRect(8, (HEADER_HEIGHT - 10) // 2, 10, 10)
        elements = QtWidgets.QStyle.PrimitiveElement
        shown = elements.PE_IndicatorArrowRight if self._collapsed else elements.PE_IndicatorArrowDown
        painter.drawPrimitive(shown, arrow)
        painter.setPen(self.palette().color(QtGui.QPalette.ColorRole.ButtonText))
        vertical = QtCore.Qt.AlignmentFlag.AlignVCenter | QtCore.Qt.AlignmentFlag.AlignLeft
        painter.drawText(
            header.adjusted(26, 0, -8, 0), vertical | QtCore.Qt.TextFlag.TextShowMnemonic, self.text()
        )


class ctkCollapsibleGroupBox(StandIn, QtWidgets.QGroupBox):
    """A group box whose title hides its contents."""

    python_module = "ctk"

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._collapsed_height = 14
        self._hidden_here: list[QtWidgets.QWidget] = []
        self.setCheckable(True)
        self.toggled.connect(self._open)

    @host_property(bool)
    def collapsed(self) -> bool:
        return not self.isChecked()

    @collapsed.setter
    def collapsed(self, value: bool) -> None:
        self.setChecked(not value)

    @host_property(int)
    def collapsedHeight(self) -> int:
        return self._collapsed_height

    @collapsedHeight.setter
    def collapsedHeight(self, value: int) -> None:
        self._collapsed_height = value

    def _open(self, opened: bool) -> None:
        widgets = [child for child in self.children() if isinstance(child, QtWidgets.QWidget)]
        if not opened:
            self._hidden_here = [child for child in widgets if not child.isHidden()]
        for child in self._hidden_here:
            child.setVisible(opened)
        self.setMaximumHeight(16777215 if opened else self.fontMetrics().height() + self._collapsed_height)


class ctkPushButton(StandIn, QtWidgets.QPushButton):
    """A push button with a freely aligned text."""

    python_module = "ctk"


class ctkCheckablePushButton(ctkPushButton):
    """A push button with a check box of its own."""

    python_module = "ctk"
    checkBoxToggled = host_signal("checkBoxToggled(bool)")

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._box_state = QtCore.Qt.CheckState.Unchecked

    @host_property(int)
    def checkState(self) -> QtCore.Qt.CheckState:
        return self._box_state

    @checkState.setter
    def checkState(self, value: int) -> None:
        state = QtCore.Qt.CheckState(int(value))
        if state != self._box_state:
            self._box_state = state
            self.checkBoxToggled.emit(state == QtCore.Qt.CheckState.Checked)


class ctkMenuButton(StandIn, QtWidgets.QPushButton):
    """A push button with a menu beside it."""

    python_module = "ctk"


class ctkExpandButton(StandIn, QtWidgets.QToolButton):
    """A small button that shows or hides details."""

    python_module = "ctk"


class ctkMessageBox(StandIn, QtWidgets.QMessageBox):
    """A message box with a "don't show again" check box."""

    python_module = "ctk"

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._settings_key = ""

    @host_property(str)
    def dontShowAgainSettingsKey(self) -> str:
        return self._settings_key

    @dontShowAgainSettingsKey.setter
    def dontShowAgainSettingsKey(self, value: str) -> None:
        self._settings_key = value
