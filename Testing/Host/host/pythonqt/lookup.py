"""Which members of a PySide6 object PythonQt would show, and what they are."""

from typing import Any, NamedTuple

from PySide6 import QtCore

from host.pythonqt import qt5
from host.pythonqt.enums import is_native_enum
from host.pythonqt.members import BoundSignal, StandIn, host_property

RENAMED = {"exec_": "exec", "print_": "print", "raise_": "raise_"}


class Found(NamedTuple):
    """A member: kind is "property", "signal", "method" or "value"; value is the native thing."""

    kind: str
    value: Any


def is_qt_class(cls: type) -> bool:
    """Whether the class is one of PySide6's own."""
    return cls.__module__.startswith("PySide6.")


def stand_in_classes(cls: type) -> list[type]:
    """The stand-in classes of an object's class, nearest first."""
    return [base for base in cls.__mro__ if issubclass(base, StandIn) and base is not StandIn]


def qt_base(cls: type) -> type:
    """The nearest class that is PySide6's own."""
    return next(base for base in cls.__mro__ if is_qt_class(base))


def stand_in_member(native: Any, name: str) -> Found | None:
    """A member that a stand-in class declares."""
    for cls in stand_in_classes(type(native)):
        facts = cls.host_facts
        if name in facts.properties:
            return Found("property", facts.properties[name])
        if name in facts.signals:
            return Found("signal", facts.signals[name].__get__(native))
        if name in facts.methods:
            return Found("method", getattr(native, name))
        if any(name in keys for keys in facts.enums.values()):
            return Found("value", getattr(cls, name))
    return None


def qt_member(native: Any, name: str) -> Found | None:
    """A member of the object's Qt class: a property hides the method of its name."""
    base = qt_base(type(native))
    if qt5.is_newer(base, name):
        raise AttributeError(f"{base.__name__}.{name} came with Qt 6, and Slicer's users run Qt 5.15")
    if isinstance(native, QtCore.QObject):
        meta = base.staticMetaObject
        index = meta.indexOfProperty(name)
        if index >= 0:
            return Found("property", meta.property(index))
    name = RENAMED.get(name, name)
    member = getattr(base, name, None)
    if member is None:
        return None
    if isinstance(member, QtCore.Signal):
        return Found("signal", getattr(native, name))
    if is_native_enum(member) or isinstance(member, type):
        return Found("value", member)
    return Found("method", getattr(native, name)) if callable(member) else Found("value", member)


def find_member(native: Any, name: str) -> Found | None:
    """What the object shows under a name; None: neither its class nor its bases have it."""
    if name.startswith("_"):
        return None
    return stand_in_member(native, name) or qt_member(native, name)


def read_property(native: Any, found: Any) -> Any:
    """The native value of a found property."""
    if isinstance(found, host_property):
        return found.__get__(native)
    return native.property(found.name())


def write_property(native: Any, found: Any, value: Any) -> None:
    """Sets a found property from a native value.

    Raises:
        AttributeError: The property is read-only.
        TypeError: The value has not the property's type.
    """
    if isinstance(found, host_property):
        found.__set__(native, value)
        return
    name = found.name()
    if not found.isWritable():
        raise AttributeError(f"property '{name}' of {type(native).__name__} is read-only")
    setter = getattr(qt_base(type(native)), f"set{name[0].upper()}{name[1:]}", None)
    if setter is not None and not isinstance(value, int | float):
        # A stand-in may override the setter (setVisible); its Qt base's own one is not to be bypassed.
        getattr(native, setter.__name__)(value)
    elif (
        isinstance(value, str) != (found.typeName() == "QString") and found.typeName() in PLAIN
    ) or not native.setProperty(name, value):
        raise TypeError(f"{name} takes {found.typeName()}, not {value!r}")


PLAIN = {"QString", "bool", "int", "double", "float"}


def signatures_of_signal(native: Any, name: str) -> tuple[str, ...]:
    """All signatures of a native signal, the fullest first."""
    # The wrapper that metaObject() returns dies with the object, and takes the class's own one with it.
    meta = qt_base(type(native)).staticMetaObject
    methods = [meta.method(index) for index in range(meta.methodCount())]
    signal = QtCore.QMetaMethod.MethodType.Signal
    found = [
        bytes(method.methodSignature().data()).decode() for method in methods if method.methodType() == signal
    ]
    found = [signature for signature in found if signature.split("(")[0] == name]
    return tuple(sorted(found, key=len, reverse=True))


def bound_stand_in_signal(native: Any, signature: str) -> BoundSignal | None:
    """The stand-in signal with a normalised signature."""
    for cls in stand_in_classes(type(native)):
        for found in cls.host_facts.signals.values():
            if signature in found.signatures:
                return found.__get__(native)
    return None
