"""Connections by signature and by signal object."""

import re
from collections.abc import Callable
from typing import Any

from PySide6 import QtCore

from host.pythonqt import qt5
from host.pythonqt.lookup import bound_stand_in_signal, qt_base, signatures_of_signal
from host.pythonqt.members import BoundSignal
from host.pythonqt.slot_errors import guarded


def normalized(signature: str) -> str:
    """Qt's normal form of a signature."""
    return bytes(QtCore.QMetaObject.normalizedSignature(signature).data()).decode()


def _native_signature(native: Any, signature: str) -> str:
    base = qt_base(type(native))
    alias = qt5.signal_alias(base, signature)
    if alias:
        return alias
    name = signature.split("(")[0]
    if base.staticMetaObject.indexOfSignal(signature) < 0 or qt5.is_newer(base, name):
        known = ", ".join(signatures_of_signal(native, name)) or "none of this name"
        raise ValueError(f"{type(native).__name__} has no signal {signature}; it has: {known}")
    return signature


def _slot_function(receiver: tuple) -> Callable:
    if len(receiver) == 1:
        return receiver[0]
    target, signature = receiver
    return getattr(target, re.split(r"\(", signature)[0])


def connect(native: Any, signal: str, *receiver: Any) -> bool:
    """Connects a native or stand-in signal with a function."""
    function, signature = _slot_function(receiver), normalized(signal)
    own = bound_stand_in_signal(native, signature)
    if own is not None:
        own.connect(function, signature)
        return True
    from host.pythonqt.proxy import wrap

    signature = _native_signature(native, signature)
    inner = signature[signature.index("(") + 1 : -1]
    call = guarded(function, most=inner.count(",") + 1 if inner else 0)

    def dispatch(*arguments: Any) -> None:
        call(*(wrap(argument) for argument in arguments))

    QtCore.QObject.connect(native, QtCore.SIGNAL(signature), dispatch)
    native.__dict__.setdefault("_host_connections", []).append((signature, function, dispatch))
    return True


def disconnect(native: Any, signal: str, *receiver: Any) -> bool:
    """Undoes connect; returns whether anything was connected."""
    function, signature = _slot_function(receiver), normalized(signal)
    own = bound_stand_in_signal(native, signature)
    if own is not None:
        return own.disconnect(function, signature)
    signature = _native_signature(native, signature)
    connections = native.__dict__.get("_host_connections", [])
    gone = [entry for entry in connections if entry[0] == signature and entry[1] == function]
    for entry in gone:
        QtCore.QObject.disconnect(native, QtCore.SIGNAL(signature), entry[2])
        connections.remove(entry)
    return bool(gone)


class SignalOfProxy:
    """The signal of an object, as an attribute; calling it emits it."""

    def __init__(self, native: Any, name: str, signal: Any) -> None:
        self._native = native
        self._signal = signal
        own = isinstance(signal, BoundSignal)
        self._signature = (signal.signatures if own else signatures_of_signal(native, name))[0]

    def connect(self, function: Callable) -> bool:
        """Calls the function when the signal is emitted."""
        return connect(self._native, self._signature, function)

    def disconnect(self, function: Callable) -> bool:
        """Undoes connect."""
        return disconnect(self._native, self._signature, function)

    def __call__(self, *arguments: Any) -> None:
        from host.pythonqt.conversion import to_native

        self._signal.emit(*(to_native(argument) for argument in arguments))

    emit = __call__
