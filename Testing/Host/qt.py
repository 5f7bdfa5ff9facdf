"""Slicer's module qt: the classes of Qt by name, with PythonQt's rules."""

from typing import Any

from host.qt_names import find_qt


def __getattr__(name: str) -> Any:
    return find_qt(name)
