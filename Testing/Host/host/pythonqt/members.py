"""How a stand-in says which of its members Python sees: facts that a test compares with Slicer's.

A stand-in is a PySide6 widget with StandIn as its first base. Python code sees its host_property, host_signal
and slot members only, and whatever its Qt base offers.
"""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

from host.pythonqt.enums import EnumValue
from host.pythonqt.slot_errors import guarded


class Facts(NamedTuple):
    """What one stand-in class (without its bases) shows."""

    properties: dict[str, "host_property"]
    signals: dict[str, "host_signal"]
    methods: dict[str, tuple[str, ...]]
    enums: dict[str, dict[str, int]]


def converted(kind: type, value: Any, name: str) -> Any:
    """The value as the property's type, with the few conversions that lose nothing."""
    if kind is object:
        return value
    if kind is bool and isinstance(value, int):
        return bool(value)
    if kind is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    if kind is int and isinstance(value, int) and not isinstance(value, bool):
        return value if isinstance(value, EnumValue) else int(value)
    if kind is tuple and isinstance(value, list | tuple) and all(isinstance(item, str) for item in value):
        return tuple(value)
    if kind is str and isinstance(value, str):
        return value
    hint = "; Qt does not take pathlib paths, use str(path)" if isinstance(value, pathlib.PurePath) else ""
    raise TypeError(f"{name} takes {kind.__name__}, not {value!r}{hint}")


class host_property:
    """A Qt property of a stand-in: read and set without parentheses; without a setter it is read-only."""

    def __init__(self, kind: type) -> None:
        self.kind = kind
        self.getter: Callable | None = None
        self.set_value: Callable | None = None
        self.name = ""

    def __call__(self, getter: Callable) -> "host_property":
        self.getter = getter
        return self

    def setter(self, function: Callable) -> "host_property":
        """Decorates the function that sets the property."""
        self.set_value = function
        return self

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else self.getter(instance)

    def __set__(self, instance: Any, value: Any) -> None:
        if self.set_value is None:
            raise AttributeError(f"property '{self.name}' is read-only")
        self.set_value(instance, converted(self.kind, value, self.name))


class BoundSignal:
    """The signal of one object."""

    def __init__(self, owner: Any, signatures: tuple[str, ...]) -> None:
        self.owner = owner
        self.signatures = signatures

    def _receivers(self, signature: str | None) -> list:
        signature = signature or self.signatures[0]
        if signature not in self.signatures:
            raise ValueError(f"there is no signal {signature}, only {', '.join(self.signatures)}")
        return self.owner.__dict__.setdefault("_host_receivers", {}).setdefault(signature, [])

    def connect(self, function: Callable, signature: str | None = None) -> None:
        """Calls the function whenever the signal is emitted; it keeps a reference to the function."""
        self._receivers(signature).append((function, guarded(function)))

    def disconnect(self, function: Callable, signature: str | None = None) -> bool:
        """Forgets the function; returns whether it was connected."""
        receivers = self._receivers(signature)
        kept = [entry for entry in receivers if entry[0] != function]
        removed = len(kept) < len(receivers)
        receivers[:] = kept
        return removed

    def disconnect_all(self) -> None:
        """Forgets all connected functions."""
        for signature in self.signatures:
            self._receivers(signature).clear()

    def emit(self, *arguments: Any, signature: str | None = None) -> None:
        """Calls all connected functions, unless the object's signals are blocked."""
        if self.owner.signalsBlocked():
            return
        for _, call in list(self._receivers(signature)):
            call(*arguments)


class host_signal:
    """A signal of a stand-in with its normalised signatures; the first is what emit() emits."""

    def __init__(self, *signatures: str) -> None:
        self.signatures = signatures

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        return self if instance is None else BoundSignal(instance, self.signatures)


def slot(*signatures: str) -> Callable:
    """Marks a method as callable from Python: a slot, an invokable method or a decorator of PythonQt."""

    def mark(function: Callable) -> Callable:
        function.host_signatures = signatures
        return function

    return mark


def facts_of(cls: type) -> Facts:
    """What this very class shows, its bases left out."""
    own = vars(cls)
    return Facts(
        properties={name: value for name, value in own.items() if isinstance(value, host_property)},
        signals={name: value for name, value in own.items() if isinstance(value, host_signal)},
        methods={
            name: value.host_signatures for name, value in own.items() if hasattr(value, "host_signatures")
        },
        enums=own.get("host_enums", {}),
    )


class StandIn:
    """First base of every stand-in class.

    Attributes:
        python_module: "ctk" or "slicer": where Python finds the class.
        creatable: Whether Python may call the class.
        host_enums: Enum name to its keys and values, which become attributes of the class.
        host_facts: Collected facts of this class alone.
    """

    python_module = "slicer"
    creatable = True
    host_facts: Facts

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.host_facts = facts_of(cls)
        for keys in cls.host_facts.enums.values():
            for key, value in keys.items():
                setattr(cls, key, value)
