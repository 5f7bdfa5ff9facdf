"""All stand-in classes, by the module and name that Python finds them under."""

from typing import Any

from host.pythonqt.members import StandIn
from host.pythonqt.proxy import proxy_class
from host.widgets import (
    ctk_buttons,
    ctk_inputs,
    ctk_numbers,
    ctk_range,
    mrml_checkable,
    mrml_combobox,
    mrml_numbers,
    mrml_tables,
    mrml_widgets,
)

PARTS = (
    ctk_buttons,
    ctk_inputs,
    ctk_numbers,
    ctk_range,
    mrml_checkable,
    mrml_combobox,
    mrml_numbers,
    mrml_tables,
    mrml_widgets,
)


def all_stand_ins() -> dict[str, type]:
    """Name to class of every widget that stands in for one of CTK or Slicer."""
    return {
        name: value
        for part in PARTS
        for name, value in vars(part).items()
        if isinstance(value, type) and issubclass(value, StandIn) and value is not StandIn
    }


def stand_in(module: str, name: str) -> Any:
    """What Python gets for a name of the module ctk or slicer.

    Raises:
        AttributeError: The host has no stand-in; Slicer may have the class.
    """
    found = all_stand_ins().get(name)
    if found is None or found.python_module != module:
        raise AttributeError(f"the test host has no stand-in for {module}.{name}")
    return proxy_class(found)
