"""VTK observers that end with the widget they serve."""

from collections.abc import Callable
from typing import Any

import shiboken6
import vtk

from host.pythonqt.slot_errors import slot_errors


class Observers:
    """The VTK observers of one widget.

    Args:
        widget: The widget; once Qt has deleted it its observers do nothing any more and go.
    """

    def __init__(self, widget: Any) -> None:
        self._widget = widget
        self._tags: list[tuple[Any, int]] = []

    def watch(self, source: Any, event: int, function: Callable[[], None], with_object: bool = False) -> None:
        """Calls the function on a VTK event, with the event's object when asked; its errors are collected."""

        def called(*arguments: Any) -> None:
            if not shiboken6.isValid(self._widget):
                self.clear()
                return
            try:
                function(*arguments[2:])
            except Exception:
                slot_errors.record()

        if with_object:
            called.CallDataType = vtk.VTK_OBJECT
        self._tags.append((source, source.AddObserver(event, called)))

    def clear(self) -> None:
        """Removes all observers."""
        tags, self._tags = self._tags, []
        for source, tag in tags:
            source.RemoveObserver(tag)
