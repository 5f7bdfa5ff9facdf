"""Classes of a module derived from a Qt class: a PySide6 subclass calls their virtual functions."""

import functools
from collections.abc import Callable
from typing import Any

from host.pythonqt.conversion import to_native
from host.pythonqt.proxy_base import ProxyBase, native_class_of
from host.pythonqt.slot_errors import slot_errors


def _forward(name: str, base_function: Callable) -> Callable:
    def virtual(native: Any, *arguments: Any) -> Any:
        from host.pythonqt.proxy import wrap

        known = native.__dict__.get("_host_proxy")
        if known is None:
            return base_function(native, *arguments)
        try:
            return to_native(getattr(known(), name)(*(wrap(argument) for argument in arguments)))
        except Exception:
            slot_errors.record()
            return base_function(native, *arguments)

    return virtual


@functools.cache
def shell_class(cls: type) -> type:
    """The PySide6 class whose virtual functions call those of a module's class."""
    bases = [base for base in cls.__mro__ if issubclass(base, ProxyBase) and native_class_of(base)]
    native_base = native_class_of(bases[0])
    written = {name for base in cls.__mro__[: cls.__mro__.index(bases[0])] for name in vars(base)}
    overrides = {
        name: _forward(name, getattr(native_base, name))
        for name in written
        if not name.startswith("_") and callable(getattr(native_base, name, None))
    }
    return type(cls.__name__, (native_base,), overrides)
