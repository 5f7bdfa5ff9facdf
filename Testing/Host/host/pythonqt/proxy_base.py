"""What the parts of the proxy know each other by."""

from typing import Any


class ProxyBase:
    """Base of all proxies: Python objects that stand for a native PySide6 object."""

    def native_object(self) -> Any:
        """The PySide6 object."""
        raise NotImplementedError


def native_class_of(cls: type) -> type | None:
    """The PySide6 class that a proxy class stands for."""
    return vars(cls).get("_native_class") if issubclass(cls, ProxyBase) else None
