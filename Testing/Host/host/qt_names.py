"""Everything the module qt offers, found in PySide6 by name."""

import importlib
from typing import Any

from PySide6 import QtCore, QtGui, QtWidgets

from host.pythonqt import static_dialogs
from host.pythonqt.proxy import Method, proxy_class, wrap

PARTS = (QtWidgets, QtGui, QtCore)
# Loaded when first asked for.
MORE_PARTS = ("QtNetwork", "QtTest", "QtSvg", "QtUiTools", "QtPrintSupport")


def find_qt(name: str) -> Any:
    """The class, namespace or function of Qt with this name.

    Raises:
        AttributeError: Qt has none.
    """
    if name.startswith("_"):
        raise AttributeError(name)
    found = next((getattr(part, name) for part in PARTS if hasattr(part, name)), None)
    if found is None:
        parts = (importlib.import_module(f"PySide6.{part}") for part in MORE_PARTS)
        found = next((getattr(part, name) for part in parts if hasattr(part, name)), None)
    if found is None:
        raise AttributeError(f"Qt has no {name}")
    if name in static_dialogs.CLASSES:
        return static_dialogs.CLASSES[name]
    if isinstance(found, type):
        return proxy_class(found)
    return Method(found, name) if callable(found) else wrap(found)
