"""Proxies of PySide6 objects with PythonQt's attribute rules."""

import weakref
from collections.abc import Callable
from typing import Any

import shiboken6
from PySide6 import QtCore

from host.pythonqt import lookup
from host.pythonqt.calls import call_native
from host.pythonqt.conversion import to_native, to_python
from host.pythonqt.enums import is_native_enum
from host.pythonqt.proxy_base import ProxyBase
from host.pythonqt.shells import shell_class
from host.pythonqt.signals import SignalOfProxy, connect, disconnect


class Method:
    """A Qt function seen from Python; two of the same object and name are equal, as disconnect needs."""

    def __init__(self, function: Callable, name: str, owner: Any = None) -> None:
        self.function = function
        self.__name__ = name
        self.owner = owner

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        return wrap(call_native(self.function, arguments, keywords, self.__name__))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Method) and (self.owner is other.owner) and self.__name__ == other.__name__

    def __hash__(self) -> int:
        return hash((id(self.owner), self.__name__))

    def __repr__(self) -> str:
        return f"<Qt function {self.__name__}>"


class ProxyType(type):
    """Class of the proxy classes: enums and static functions are attributes of the class."""

    def __getattr__(cls, name: str) -> Any:
        native = next(
            (vars(base)["_native_class"] for base in cls.__mro__ if vars(base).get("_native_class")), None
        )
        if native is None or name.startswith("_"):
            raise AttributeError(f"{cls.__name__} has no attribute {name}")
        if lookup.qt5.is_newer(lookup.qt_base(native) if lookup.stand_in_classes(native) else native, name):
            raise AttributeError(f"{cls.__name__}.{name} came with Qt 6, and Slicer's users run Qt 5.15")
        member = getattr(native, lookup.RENAMED.get(name, name), None)
        if member is None or isinstance(member, QtCore.Signal | lookup.host_property):
            raise AttributeError(f"{cls.__name__} has no attribute {name}")
        if is_native_enum(member) or isinstance(member, int | str):
            return to_python(member, wrap)
        return (
            proxy_class(member)
            if isinstance(member, type) and _is_wrapped(member)
            else Method(member, name, cls)
        )


class Proxy(ProxyBase, metaclass=ProxyType):
    """Base of all proxies of native objects."""

    _native_class: type | None = None

    def __init__(self, *arguments: Any, **keywords: Any) -> None:
        cls = type(self)
        native_class = shell_class(cls) if _is_python_class(cls) else cls._native_class
        if not getattr(native_class, "creatable", True):
            raise TypeError(f"{cls.__name__} cannot be made in Python")
        native = call_native(native_class, arguments, keywords, cls.__name__)
        _attach(self, native, lasting=_is_python_class(cls))

    def native_object(self) -> Any:
        """The PySide6 object, which must be alive."""
        native = vars(self).get("_native")
        if native is None:
            raise ValueError(f"{type(self).__name__}.__init__ was not called")
        if not shiboken6.isValid(native):
            raise ValueError(f"this {type(self).__name__} was deleted by Qt")
        return native

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        native = self.native_object()
        found = lookup.find_member(native, name)
        if found is not None:
            return _shown(native, name, found)
        if isinstance(native, QtCore.QObject):
            if name == "name":
                return native.objectName()
            if name.encode() in [bytes(item.data()) for item in native.dynamicPropertyNames()]:
                return wrap(native.property(name))
            for child in native.children():
                if child.objectName() == name:
                    return wrap(child)
        raise AttributeError(f"{type(native).__name__} has no attribute '{name}' that Python can reach")

    def __setattr__(self, name: str, value: Any) -> None:
        native = vars(self).get("_native")
        if native is not None:
            found = lookup.find_member(self.native_object(), name)
            if found is not None and found.kind == "property":
                lookup.write_property(native, found.value, to_native(value))
                return
            if name == "name" and isinstance(native, QtCore.QObject):
                native.setObjectName(value)
                return
        if not _is_python_class(type(self)):
            raise AttributeError(f"{type(self).__name__} has no attribute '{name}' that Python can set")
        object.__setattr__(self, name, value)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ProxyBase):
            return False
        mine, others = vars(self)["_native"], vars(other)["_native"]
        return mine is others or (not isinstance(mine, QtCore.QObject) and mine == others)

    def __hash__(self) -> int:
        return hash(vars(self)["_native"])

    def __bool__(self) -> bool:
        native = vars(self).get("_native")
        return native is not None and shiboken6.isValid(native)

    def __repr__(self) -> str:
        native = vars(self).get("_native")
        alive = native is not None and shiboken6.isValid(native)
        label = f" '{native.objectName()}'" if alive and isinstance(native, QtCore.QObject) else ""
        return f"<{type(self).__name__}{label}{'' if alive else ' (deleted)'}>"

    def __bytes__(self) -> bytes:
        return bytes(self.native_object())

    def className(self) -> str:
        """The Qt class, as PythonQt adds it."""
        native = self.native_object()
        bases = [*lookup.stand_in_classes(type(native)), lookup.qt_base(type(native))]
        return bases[0].__name__

    def inherits(self, class_name: str) -> bool:
        """Whether the object is of the Qt class with this name, as PythonQt adds it."""
        return any(base.__name__ == class_name for base in type(self.native_object()).__mro__)

    def delete(self) -> None:
        """Deletes the C++ object at once, as PythonQt adds it."""
        shiboken6.delete(self.native_object())

    def connect(self, signal: str, *receiver: Any) -> bool:
        """Connects a signal, given by its signature, with a function (or a receiver and a slot's signature).

        Raises:
            ValueError: There is no such signal; PythonQt prints a line and returns False.
        """
        return connect(self.native_object(), signal, *receiver)

    def disconnect(self, signal: str, *receiver: Any) -> bool:
        """Undoes connect.

        Raises:
            ValueError: There is no such signal.
        """
        return disconnect(self.native_object(), signal, *receiver)

    def findChildren(self, kind: Any = None, name: str = "") -> tuple:
        """All children, and theirs, of a class (or class name), with a name when one is given."""
        native = self.native_object()
        wanted = kind if isinstance(kind, str) else (kind.__name__ if kind is not None else "QObject")
        found = native.findChildren(QtCore.QObject, name) if name else native.findChildren(QtCore.QObject)
        return tuple(
            wrap(child) for child in found if any(base.__name__ == wanted for base in type(child).__mro__)
        )

    def findChild(self, kind: Any = None, name: str = "") -> Any:
        """The first of findChildren, or None."""
        return next(iter(self.findChildren(kind, name)), None)


def _is_python_class(cls: type) -> bool:
    return "_native_class" not in vars(cls)


def _is_wrapped(cls: type) -> bool:
    return issubclass(cls, shiboken6.Shiboken.Object) or lookup.is_qt_class(cls)


def _shown(native: Any, name: str, found: lookup.Found) -> Any:
    if found.kind == "property":
        return wrap(lookup.read_property(native, found.value))
    if found.kind == "signal":
        return SignalOfProxy(native, name, found.value)
    if found.kind == "method":
        return Method(found.value, name, native)
    return wrap(found.value)


def _attach(proxy: Proxy, native: Any, lasting: bool) -> None:
    object.__setattr__(proxy, "_native", native)
    if isinstance(native, QtCore.QObject):
        # A proxy of a module's own class lives as long as its Qt object: it has the module's attributes.
        native._host_proxy = (lambda: proxy) if lasting else weakref.ref(proxy)


_classes: dict[type, ProxyType] = {}


def proxy_class(native_class: type) -> ProxyType:
    """The proxy class of a PySide6 or stand-in class."""
    if native_class not in _classes:
        parents = [
            base
            for base in native_class.__bases__
            if _is_wrapped(base) and base is not shiboken6.Shiboken.Object
        ]
        bases = tuple(proxy_class(base) for base in parents) or (Proxy,)
        name, place = native_class.__name__, native_class.__module__
        _classes[native_class] = ProxyType(name, bases, {"_native_class": native_class, "__module__": place})
    return _classes[native_class]


def wrap(value: Any) -> Any:
    """What Python code sees of a native value."""
    if isinstance(value, type):
        return proxy_class(value) if _is_wrapped(value) else value
    return to_python(value, _wrap_object)


def _wrap_object(native: Any) -> Proxy:
    known = native.__dict__.get("_host_proxy") if isinstance(native, QtCore.QObject) else None
    proxy = known() if known else None
    if proxy is None:
        shown = next(
            base for base in type(native).__mro__ if lookup.is_qt_class(base) or base in _stand_ins(native)
        )
        proxy = proxy_class(shown).__new__(proxy_class(shown))
        _attach(proxy, native, lasting=False)
    return proxy


def _stand_ins(native: Any) -> list[type]:
    return lookup.stand_in_classes(type(native))
