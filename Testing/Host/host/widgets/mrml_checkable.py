"""Stand-in for Slicer's node selector with check boxes."""

from typing import Any

from PySide6 import QtCore

from host.pythonqt.members import host_signal, slot
from host.widgets.mrml_combobox import qMRMLNodeComboBox


class qMRMLCheckableNodeComboBox(qMRMLNodeComboBox):
    """A node selector whose nodes have check boxes."""

    checkedNodesChanged = host_signal("checkedNodesChanged()")

    def __init__(self, *arguments) -> None:
        self._checked: list[str] = []
        super().__init__(*arguments)

    @slot("check(vtkMRMLNode*)")
    def check(self, node: Any) -> None:
        self.setCheckState(node, QtCore.Qt.CheckState.Checked)

    @slot("uncheck(vtkMRMLNode*)")
    def uncheck(self, node: Any) -> None:
        self.setCheckState(node, QtCore.Qt.CheckState.Unchecked)

    @slot("setCheckState(vtkMRMLNode*,Qt::CheckState)")
    def setCheckState(self, node: Any, state: QtCore.Qt.CheckState) -> None:
        checked = QtCore.Qt.CheckState(state) == QtCore.Qt.CheckState.Checked
        if checked != (node.GetID() in self._checked):
            (self._checked.append if checked else self._checked.remove)(node.GetID())
            self.checkedNodesChanged.emit()

    @slot("checkState(vtkMRMLNode*)")
    def checkState(self, node: Any) -> QtCore.Qt.CheckState:
        states = QtCore.Qt.CheckState
        return states.Checked if node.GetID() in self._checked else states.Unchecked

    @slot("checkedNodes()")
    def checkedNodes(self) -> list:
        return [node for node in self._filter.nodes(self._scene) if node.GetID() in self._checked]

    @slot("uncheckedNodes()")
    def uncheckedNodes(self) -> list:
        return [node for node in self._filter.nodes(self._scene) if node.GetID() not in self._checked]
