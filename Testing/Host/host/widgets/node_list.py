"""The list of a node selector as users see it."""

from collections.abc import Callable
from typing import Any, NamedTuple

import vtk
from PySide6 import QtCore, QtWidgets

from host.scene_watch import Observers

ACTION_ROLE = QtCore.Qt.ItemDataRole.UserRole + 1


class Entries(NamedTuple):
    """What the list offers: an entry for no node (or None), nodes, actions by name; and what is chosen."""

    empty: str | None
    nodes: list
    actions: dict[str, str]
    current: Any


class NodeList(QtWidgets.QComboBox):
    """Lists nodes by their names and follows these; filled when Qt next finds time.

    A panel has a dozen selectors and each of them hears of every node: filling all at once would stall it.
    """

    def __init__(self, parent: QtWidgets.QWidget) -> None:
        super().__init__(parent)
        self.setSizePolicy(QtWidgets.QSizePolicy.Policy.Expanding, QtWidgets.QSizePolicy.Policy.Fixed)
        self._observers = Observers(self)
        self._entries: Callable[[], Entries] | None = None
        self._later = QtCore.QTimer(self, singleShot=True, interval=0)
        self._later.timeout.connect(self._fill)

    def show_later(self, entries: Callable[[], Entries]) -> None:
        """Fills the list soon from what the function says then."""
        self._entries = entries
        self._later.start()

    def show_current(self, node: Any) -> None:
        """Shows a node, or none, as the chosen one."""
        if not self._later.isActive():
            self.setCurrentIndex(self.findData(node.GetID()) if node is not None else 0)

    def action(self, row: int) -> str | None:
        """The action of a row; None: the row is a node or none."""
        return self.itemData(row, ACTION_ROLE)

    def _fill(self) -> None:
        entries = self._entries()
        self._observers.clear()
        self.clear()
        if entries.empty is not None:
            self.addItem(entries.empty, None)
        for node in entries.nodes:
            self.addItem(node.GetName() or "", node.GetID())
            self._observers.watch(node, vtk.vtkCommand.ModifiedEvent, self._renamer(node))
        if entries.actions:
            self.insertSeparator(self.count())
        for name, text in entries.actions.items():
            self.addItem(text)
            self.setItemData(self.count() - 1, name, ACTION_ROLE)
        self.show_current(entries.current)

    def _renamer(self, node: Any) -> Callable[[], None]:
        def rename() -> None:
            name, row = node.GetName() or "", self.findData(node.GetID())
            if row >= 0 and name != self.itemText(row):
                self.setItemText(row, name)

        return rename
