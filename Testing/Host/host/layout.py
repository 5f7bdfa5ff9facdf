"""Stand-ins for the layout manager and the slice views, as far as modules reach through them to MRML."""

from typing import Any

import slicer
from PySide6 import QtCore, QtWidgets

from host.mrml import SlicerMrml
from host.pythonqt.members import StandIn, host_property, host_signal, slot


class qMRMLSliceView(StandIn, QtWidgets.QWidget):
    """The place of a slice's picture; the host draws none."""

    creatable = False

    def __init__(self, logic: Any) -> None:
        super().__init__()
        self._logic = logic

    @slot("mrmlSliceNode()")
    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    @slot("scheduleRender()")
    def scheduleRender(self) -> None:
        """Nothing to draw."""

    @slot("forceRender()")
    def forceRender(self) -> None:
        """Nothing to draw."""


class qMRMLSliceWidget(StandIn, QtWidgets.QWidget):
    """A slice view with its controller."""

    creatable = False

    def __init__(self, logic: Any) -> None:
        super().__init__()
        self._logic = logic
        self._view = qMRMLSliceView(logic)
        self._view.setParent(self)

    @slot("mrmlSliceNode()")
    def mrmlSliceNode(self) -> Any:
        return self._logic.GetSliceNode()

    @slot("mrmlSliceCompositeNode()")
    def mrmlSliceCompositeNode(self) -> Any:
        return self._logic.GetSliceCompositeNode()

    @slot("sliceLogic()")
    def sliceLogic(self) -> Any:
        return self._logic

    @slot("sliceView()")
    def sliceView(self) -> qMRMLSliceView:
        return self._view

    @slot("fitSliceToBackground()")
    def fitSliceToBackground(self) -> None:
        self._logic.FitSliceToBackground()


class qMRMLLayoutManager(StandIn, QtCore.QObject):
    """Layouts and views over the real layout node and slice logics."""

    creatable = False
    layoutChanged = host_signal("layoutChanged(int)")

    def __init__(self, mrml: SlicerMrml, parent: QtCore.QObject) -> None:
        super().__init__(parent)
        self._mrml = mrml
        logics = [mrml.slice_logics.GetItemAsObject(n) for n in range(mrml.slice_logics.GetNumberOfItems())]
        self._slices = {logic.GetSliceNode().GetLayoutName(): qMRMLSliceWidget(logic) for logic in logics}

    @host_property(int)
    def layout(self) -> int:
        return self._mrml.layout_logic.GetLayoutNode().GetViewArrangement()

    @layout.setter
    def layout(self, value: int) -> None:
        self.setLayout(value)

    @slot("setLayout(int)")
    def setLayout(self, value: int) -> None:
        node = self._mrml.layout_logic.GetLayoutNode()
        if value != node.GetViewArrangement():
            node.SetViewArrangement(value)
            self.layoutChanged.emit(value)

    @host_property(int)
    def threeDViewCount(self) -> int:
        return 0

    @host_property(int)
    def tableViewCount(self) -> int:
        return 0

    @host_property(int)
    def plotViewCount(self) -> int:
        return 0

    @slot("mrmlScene()")
    def mrmlScene(self) -> Any:
        return self._mrml.scene

    @slot("sliceViewNames()")
    def sliceViewNames(self) -> list[str]:
        return list(self._slices)

    @slot("sliceWidget(QString)")
    def sliceWidget(self, name: str) -> Any:
        return self._slices.get(name)

    @slot("mrmlSliceLogics()")
    def mrmlSliceLogics(self) -> Any:
        return self._mrml.slice_logics

    @slot("layoutLogic()")
    def layoutLogic(self) -> Any:
        return self._mrml.layout_logic

    @slot("resetSliceViews()")
    def resetSliceViews(self) -> None:
        for widget in self._slices.values():
            widget.fitSliceToBackground()

    @slot("resetThreeDViews()")
    def resetThreeDViews(self) -> None:
        """The host has no 3D view."""

    @slot("activeMRMLThreeDViewNode()")
    def activeMRMLThreeDViewNode(self) -> Any:
        return slicer.util.getFirstNodeByName("View1", "vtkMRMLViewNode")


class qSlicerLayoutManager(qMRMLLayoutManager):
    """Slicer's own layout manager."""

    creatable = False
