"""A window with everything that a run wrote."""

import qt


class LogDialog:
    """Shows the log of a run beside Slicer's window; made when it is first asked for."""

    def __init__(self, parent) -> None:
        self._parent = parent
        self._dialog: qt.QDialog | None = None
        self._text: qt.QPlainTextEdit | None = None

    @property
    def text(self) -> str:
        """What it shows."""
        return "" if self._text is None else self._text.plainText

    def show(self, log: str) -> None:
        """Opens it, or brings it to the front, with this text."""
        if self._dialog is None:
            self._make()
        self._text.plainText = log
        self._dialog.show()
        self._dialog.activateWindow()

    def close(self) -> None:
        """Closes it and forgets it."""
        if self._dialog is not None:
            self._dialog.close()
            self._dialog.deleteLater()
            self._dialog = self._text = None

    def _make(self) -> None:
        dialog = qt.QDialog(self._parent)
        dialog.windowTitle = "Log of the registration"
        dialog.resize(760, 480)
        text = qt.QPlainTextEdit(dialog)
        text.readOnly = True
        text.lineWrapMode = qt.QPlainTextEdit.NoWrap
        text.toolTip = "What the registration wrote; select all of it to copy it into a report."
        close = qt.QPushButton("Close", dialog)
        close.toolTip = "Close this window."
        close.connect("clicked()", dialog.close)
        layout = qt.QVBoxLayout(dialog)
        layout.addWidget(text)
        layout.addWidget(close)
        self._dialog, self._text = dialog, text
