"""Stand-ins for Slicer's table and colour views, filled from the real nodes."""

from typing import Any

import vtk
from PySide6 import QtCore, QtGui, QtWidgets

from host.pythonqt.members import StandIn, host_property, host_signal, slot
from host.scene_watch import Observers


class qMRMLTableView(StandIn, QtWidgets.QTableView):
    """A view of a table node."""

    mrmlSceneChanged = host_signal("mrmlSceneChanged(vtkMRMLScene*)")

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._scene: Any = None
        self._table: Any = None
        self._flags = {"transposed": False, "row": False, "column": False}
        self._observers = Observers(self)
        self.setModel(QtGui.QStandardItemModel(self))

    @slot("setMRMLScene(vtkMRMLScene*)")
    def setMRMLScene(self, scene: Any) -> None:
        if scene is not self._scene:
            self._scene = scene
            self.mrmlSceneChanged.emit(scene)

    @slot("mrmlScene()")
    def mrmlScene(self) -> Any:
        return self._scene

    @slot("setMRMLTableNode(vtkMRMLTableNode*)", "setMRMLTableNode(vtkMRMLNode*)")
    def setMRMLTableNode(self, node: Any) -> None:
        self._observers.clear()
        self._table = node
        if node is not None:
            self._observers.watch(node, vtk.vtkCommand.ModifiedEvent, self._fill)
        self._fill()

    @slot("mrmlTableNode()")
    def mrmlTableNode(self) -> Any:
        return self._table

    @host_property(bool)
    def transposed(self) -> bool:
        return self._flags["transposed"]

    @transposed.setter
    def transposed(self, value: bool) -> None:
        self._flags["transposed"] = value
        self._fill()

    @slot("setTransposed(bool)")
    def setTransposed(self, value: bool) -> None:
        self.transposed = value

    @host_property(bool)
    def firstRowLocked(self) -> bool:
        return self._flags["row"]

    @firstRowLocked.setter
    def firstRowLocked(self, value: bool) -> None:
        self._flags["row"] = value
        self._fill()

    @slot("setFirstRowLocked(bool)")
    def setFirstRowLocked(self, value: bool) -> None:
        self.firstRowLocked = value

    @host_property(bool)
    def firstColumnLocked(self) -> bool:
        return self._flags["column"]

    @firstColumnLocked.setter
    def firstColumnLocked(self, value: bool) -> None:
        self._flags["column"] = value
        self._fill()

    @slot("setFirstColumnLocked(bool)")
    def setFirstColumnLocked(self, value: bool) -> None:
        self.firstColumnLocked = value

    def _fill(self) -> None:
        model = self.model()
        model.clear()
        table = self._table.GetTable() if self._table is not None else None
        if table is None:
            return
        columns, rows = table.GetNumberOfColumns(), table.GetNumberOfRows()
        names = [table.GetColumnName(column) or "" for column in range(columns)]
        cells = [[table.GetValue(row, column).ToString() for column in range(columns)] for row in range(rows)]
        if not self._flags["row"]:
            model.setHorizontalHeaderLabels(names)
        else:
            cells.insert(0, names)
        for row in (
            cells if not self._flags["transposed"] else [list(line) for line in zip(*cells, strict=True)]
        ):
            model.appendRow([QtGui.QStandardItem(text) for text in row])
        if self._flags["column"] and not self._flags["transposed"]:
            self._column_as_header(cells)
        self.resizeColumnsToContents()

    def _column_as_header(self, cells: list[list[str]]) -> None:
        for row, line in enumerate(cells):
            self.model().setVerticalHeaderItem(row, QtGui.QStandardItem(line[0]))
        self.setColumnHidden(0, True)


class qMRMLColorTableView(StandIn, QtWidgets.QTableView):
    """A view of a colour node."""

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._colors: Any = None
        self._only_named = True
        self._observers = Observers(self)
        self.setModel(QtGui.QStandardItemModel(self))

    @slot("setMRMLColorNode(vtkMRMLColorNode*)", "setMRMLColorNode(vtkMRMLNode*)")
    def setMRMLColorNode(self, node: Any) -> None:
        self._observers.clear()
        self._colors = node
        if node is not None:
            self._observers.watch(node, vtk.vtkCommand.ModifiedEvent, self._fill)
        self._fill()

    @slot("mrmlColorNode()")
    def mrmlColorNode(self) -> Any:
        return self._colors

    @host_property(bool)
    def showOnlyNamedColors(self) -> bool:
        return self._only_named

    @showOnlyNamedColors.setter
    def showOnlyNamedColors(self, value: bool) -> None:
        self._only_named = value
        self._fill()

    @slot("setShowOnlyNamedColors(bool)")
    def setShowOnlyNamedColors(self, value: bool) -> None:
        self.showOnlyNamedColors = value

    def _fill(self) -> None:
        self.model().clear()
        self.model().setHorizontalHeaderLabels(["", "Label", "Color"])
        for index in range(self._colors.GetNumberOfColors() if self._colors is not None else 0):
            name = self._colors.GetColorName(index)
            if self._only_named and (not name or name == "(none)"):
                continue
            color = [0.0] * 4
            self._colors.GetColor(index, color)
            swatch = QtGui.QStandardItem()
            swatch.setData(QtGui.QColor.fromRgbF(*color), QtCore.Qt.ItemDataRole.BackgroundRole)
            self.model().appendRow([swatch, QtGui.QStandardItem(str(index)), QtGui.QStandardItem(name)])
        self.resizeColumnsToContents()
