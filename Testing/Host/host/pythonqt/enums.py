"""Enum values as PythonQt has them: whole numbers that still know their Qt enum."""

import enum
from typing import Any


class EnumValue(int):
    """A Qt enum value or combination of flags; `native` is PySide6's own value."""

    native: enum.Enum

    def __new__(cls, native: enum.Enum) -> "EnumValue":
        value = super().__new__(cls, native.value)
        value.native = native
        return value

    def _combined(self, other: Any, operation: str) -> int:
        if isinstance(other, EnumValue) and isinstance(self.native, enum.Flag):
            other = other.native
            if type(other) is type(self.native):
                return EnumValue(getattr(self.native, operation)(other))
        return getattr(int(self), operation)(int(other))

    def __or__(self, other: Any) -> int:
        return self._combined(other, "__or__")

    def __and__(self, other: Any) -> int:
        return self._combined(other, "__and__")

    def __xor__(self, other: Any) -> int:
        return self._combined(other, "__xor__")

    def __repr__(self) -> str:
        return f"{self.native.name} ({int(self)})"

    __str__ = __repr__
    __ror__, __rand__, __rxor__ = __or__, __and__, __xor__


def is_native_enum(value: Any) -> bool:
    """Whether the value belongs to an enum of PySide6 (and not to one of a module's own)."""
    return isinstance(value, enum.Enum) and type(value).__module__.startswith("PySide6.")
