"""Calls of Qt functions with Python's values."""

import enum
import inspect
from collections.abc import Callable
from typing import Any

from shibokensupport.signature import get_signature

from host.pythonqt.conversion import to_native
from host.pythonqt.enums import EnumValue, is_native_enum


def as_numbers(arguments: tuple) -> tuple:
    """The arguments with enum values as plain numbers, for Qt functions that take an int."""
    return tuple(
        argument.value
        if is_native_enum(argument)
        else int(argument)
        if isinstance(argument, EnumValue)
        else argument
        for argument in arguments
    )


def with_enums(function: Callable, arguments: tuple) -> tuple | None:
    """The arguments with numbers as the enums that an overload takes; None: no overload takes any."""
    overloads = get_signature(function)
    for overload in overloads if isinstance(overloads, list) else [overloads]:
        if not isinstance(overload, inspect.Signature):
            continue
        kinds = [item.annotation for item in overload.parameters.values() if item.name != "self"]
        if len(kinds) < len(arguments):
            continue
        changed = tuple(
            kind(argument)
            if type(argument) is int and isinstance(kind, type) and issubclass(kind, enum.Enum)
            else argument
            for kind, argument in zip(kinds, arguments, strict=False)
        )
        if changed != arguments or [*map(type, changed)] != [*map(type, arguments)]:
            return changed
    return None


def call_native(function: Callable, arguments: tuple, keywords: dict[str, Any], name: str) -> Any:
    """Calls a native function; numbers serve as enums and enums as numbers, as in PythonQt.

    Raises:
        TypeError: Keyword arguments, which no Qt function takes in PythonQt, or arguments that do not fit.
    """
    if keywords:
        raise TypeError(f"{name}() takes no keyword arguments in PythonQt")
    native = tuple(to_native(argument) for argument in arguments)
    attempts = [native, as_numbers(native), with_enums(function, native)]
    first_error = None
    for position, attempt in enumerate(attempts):
        if attempt is None or (
            position and attempt == native and [*map(type, attempt)] == [*map(type, native)]
        ):
            continue
        try:
            return function(*attempt)
        except TypeError as error:
            first_error = first_error or error
        except ValueError as error:
            # Shiboken answers an argument of a wrong type with a ValueError in places.
            first_error = first_error or error
    raise first_error
