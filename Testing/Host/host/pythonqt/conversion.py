"""Values on their way between Python code and PySide6."""

import functools
import pathlib
import types
from collections.abc import Callable
from typing import Any

from shiboken6 import Shiboken

from host.pythonqt.enums import EnumValue, is_native_enum
from host.pythonqt.proxy_base import ProxyBase, native_class_of
from host.pythonqt.slot_errors import guarded

PYTHON_CALLABLES = (types.FunctionType, types.MethodType, functools.partial)


def to_python(value: Any, wrap_object: Callable[[Any], Any]) -> Any:
    """What Python code gets for a native value: enums as numbers, wrapped objects, tuples for lists."""
    if is_native_enum(value):
        return EnumValue(value)
    if isinstance(value, Shiboken.Object):
        return wrap_object(value)
    if isinstance(value, list | tuple):
        return tuple(to_python(item, wrap_object) for item in value)
    if isinstance(value, dict):
        return {key: to_python(item, wrap_object) for key, item in value.items()}
    return value


def to_native(value: Any) -> Any:
    """What PySide6 gets for a value of Python code.

    Raises:
        TypeError: A pathlib path: PySide6 would take it where PythonQt does not.
    """
    if isinstance(value, EnumValue):
        return value.native
    if isinstance(value, ProxyBase):
        return value.native_object()
    if isinstance(value, type):
        return native_class_of(value) or value
    if isinstance(value, list | tuple):
        return type(value)(to_native(item) for item in value) if type(value) in (list, tuple) else value
    if isinstance(value, dict):
        return {key: to_native(item) for key, item in value.items()}
    if isinstance(value, pathlib.PurePath):
        raise TypeError(f"Qt does not take pathlib paths in PythonQt: use str({value!r})")
    if isinstance(value, PYTHON_CALLABLES):
        return guarded(value)
    return value
