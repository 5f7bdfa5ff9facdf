"""Slicer's module ctk: the stand-ins of CTK's widgets."""

from typing import Any

from host.catalogue import stand_in


def __getattr__(name: str) -> Any:
    return stand_in("ctk", name)
