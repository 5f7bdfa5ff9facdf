"""Qt's static functions that show a dialog and wait: a test answers instead of a person."""

from typing import Any

from PySide6 import QtWidgets

from host.dialogs import dialogs
from host.pythonqt.proxy import proxy_class


def _asked(kind: str, class_name: str) -> Any:
    def ask(parent: Any = None, title: str = "", text: str = "", *more: Any) -> Any:
        return dialogs.ask(f"{class_name}.{kind}", title or text, text)

    return staticmethod(ask)


_message_box = proxy_class(QtWidgets.QMessageBox)
for _kind in ("question", "information", "warning", "critical", "about"):
    setattr(_message_box, _kind, _asked(_kind, "QMessageBox"))
_file_dialog = proxy_class(QtWidgets.QFileDialog)
for _kind in ("getOpenFileName", "getOpenFileNames", "getSaveFileName", "getExistingDirectory"):
    setattr(_file_dialog, _kind, _asked(_kind, "QFileDialog"))
_input_dialog = proxy_class(QtWidgets.QInputDialog)
for _kind in ("getText", "getInt", "getDouble", "getItem", "getMultiLineText"):
    setattr(_input_dialog, _kind, _asked(_kind, "QInputDialog"))

CLASSES = {"QMessageBox": _message_box, "QFileDialog": _file_dialog, "QInputDialog": _input_dialog}
