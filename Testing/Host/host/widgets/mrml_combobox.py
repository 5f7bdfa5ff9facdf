"""Stand-in for Slicer's node selector, filled from the real scene."""

from typing import Any

import slicer
from PySide6 import QtWidgets

from host.dialogs import dialogs
from host.pythonqt.members import StandIn, host_property, host_signal, slot
from host.scene_watch import Observers
from host.widgets.node_filter import NodeFilter
from host.widgets.node_list import Entries, NodeList

SCENE_EVENTS = (
    "NodeAddedEvent",
    "NodeRemovedEvent",
    "EndBatchProcessEvent",
    "EndImportEvent",
    "EndCloseEvent",
)


def flag(name: str) -> host_property:
    """A property that changes what the selector offers."""
    found = host_property(bool)
    found.getter = lambda self: self._flags[name]

    def store(self, value: bool) -> None:
        self._flags[name] = value
        self._refill()

    found.set_value = store
    return found


class qMRMLNodeComboBox(StandIn, QtWidgets.QWidget):
    """A combo box of the scene's nodes of some classes."""

    currentNodeChanged = host_signal("currentNodeChanged(vtkMRMLNode*)", "currentNodeChanged(bool)")
    currentNodeIDChanged = host_signal("currentNodeIDChanged(QString)")
    nodeActivated = host_signal("nodeActivated(vtkMRMLNode*)")
    nodeAdded = host_signal("nodeAdded(vtkMRMLNode*)")
    nodeAddedByUser = host_signal("nodeAddedByUser(vtkMRMLNode*)")
    currentNodeRenamed = host_signal("currentNodeRenamed(QString)")

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self._flags = {
            "none": False,
            "add": True,
            "remove": True,
            "edit": False,
            "rename": False,
            "select": True,
        }
        self._filter = NodeFilter()
        self._base_name, self._none_display = "", "None"
        self._scene: Any = None
        self._current: Any = None
        self._observers = Observers(self)
        self._nodes: list = []
        self._box = NodeList(self)
        layout = QtWidgets.QHBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(self._box)
        self.setFocusProxy(self._box)
        self._box.activated.connect(self._chosen)
        self._refill()

    noneEnabled = flag("none")
    addEnabled = flag("add")
    removeEnabled = flag("remove")
    editEnabled = flag("edit")
    renameEnabled = flag("rename")
    selectNodeUponCreation = flag("select")

    @host_property(tuple)
    def nodeTypes(self) -> tuple:
        return self._filter.types

    @nodeTypes.setter
    def nodeTypes(self, value: tuple) -> None:
        self._filter.types = value
        self._refill()

    @host_property(bool)
    def showChildNodeTypes(self) -> bool:
        return self._filter.children

    @showChildNodeTypes.setter
    def showChildNodeTypes(self, value: bool) -> None:
        self._filter.children = value
        self._refill()

    @host_property(tuple)
    def hideChildNodeTypes(self) -> tuple:
        return self._filter.hidden_types

    @hideChildNodeTypes.setter
    def hideChildNodeTypes(self, value: tuple) -> None:
        self._filter.hidden_types = value
        self._refill()

    @host_property(bool)
    def showHidden(self) -> bool:
        return self._filter.hidden

    @showHidden.setter
    def showHidden(self, value: bool) -> None:
        self._filter.hidden = value
        self._refill()

    @host_property(str)
    def baseName(self) -> str:
        return self._base_name

    @baseName.setter
    def baseName(self, value: str) -> None:
        self._base_name = value

    @host_property(str)
    def noneDisplay(self) -> str:
        return self._none_display

    @noneDisplay.setter
    def noneDisplay(self, value: str) -> None:
        self._none_display = value
        self._refill()

    @host_property(str)
    def currentNodeID(self) -> str:
        return self._current.GetID() or "" if self._current else ""

    @currentNodeID.setter
    def currentNodeID(self, value: str) -> None:
        self.setCurrentNodeID(value)

    @slot("setMRMLScene(vtkMRMLScene*)")
    def setMRMLScene(self, scene: Any) -> None:
        self._observers.clear()
        self._scene = scene
        if scene is not None:
            for name in SCENE_EVENTS:
                self._observers.watch(scene, getattr(slicer.vtkMRMLScene, name), self._refill)
            for name, function in (("NodeAddedEvent", self._added), ("NodeRemovedEvent", self._removed)):
                self._observers.watch(scene, getattr(slicer.vtkMRMLScene, name), function, with_object=True)
        self._refill()

    @slot("mrmlScene()")
    def mrmlScene(self) -> Any:
        return self._scene

    @slot("addAttribute(QString,QString,QVariant)", "addAttribute(QString,QString)")
    def addAttribute(self, node_type: str, name: str, value: Any = None) -> None:
        self._filter.attributes[(node_type, name)] = value
        self._refill()

    @slot("removeAttribute(QString,QString)")
    def removeAttribute(self, node_type: str, name: str) -> None:
        self._filter.attributes.pop((node_type, name), None)
        self._refill()

    @slot("setNodeTypeLabel(QString,QString)")
    def setNodeTypeLabel(self, label: str, node_type: str) -> None:
        self._filter.labels[node_type] = label
        self._refill()

    @slot("nodeTypeLabel(QString)")
    def nodeTypeLabel(self, node_type: str) -> str:
        return self._filter.label(node_type)

    @slot("nodeCount()")
    def nodeCount(self) -> int:
        return len(self._filter.nodes(self._scene))

    @slot("nodeFromIndex(int)")
    def nodeFromIndex(self, index: int) -> Any:
        nodes = self._filter.nodes(self._scene)
        return nodes[index] if 0 <= index < len(nodes) else None

    @slot("currentNode()")
    def currentNode(self) -> Any:
        return self._current

    @slot("setCurrentNode(vtkMRMLNode*)", "setCurrentNode(QString)")
    def setCurrentNode(self, node: Any) -> None:
        if isinstance(node, str):
            node = self._scene.GetNodeByID(node) if self._scene and node else None
        known = node is not None and any(node is other for other in self._filter.nodes(self._scene))
        self._make_current(node if known else None)

    @slot("setCurrentNodeID(QString)")
    def setCurrentNodeID(self, node_id: str) -> None:
        self.setCurrentNode(node_id)

    @slot("setCurrentNodeIndex(int)")
    def setCurrentNodeIndex(self, index: int) -> None:
        self._make_current(self.nodeFromIndex(index))

    @slot("addNode()", "addNode(QString)")
    def addNode(self, node_type: str = "") -> Any:
        node_type = node_type or self._filter.types[0]
        name = self._base_name or node_type.removeprefix("vtkMRML").removesuffix("Node")
        node = self._scene.AddNewNodeByClass(node_type, self._scene.GenerateUniqueName(name))
        for (kind, attribute), value in self._filter.attributes.items():
            if kind == node_type:
                node.SetAttribute(attribute, str(value if value is not None else 1))
        if self._flags["select"]:
            self._make_current(node)
        self.nodeAddedByUser.emit(node)
        return node

    @slot("removeCurrentNode()")
    def removeCurrentNode(self) -> None:
        if self._current is not None:
            self._scene.RemoveNode(self._current)

    @slot("renameCurrentNode()")
    def renameCurrentNode(self) -> None:
        name = dialogs.ask("qMRMLNodeComboBox.rename", "Rename", self._current.GetName())
        if name:
            self._current.SetName(name)
            self.currentNodeRenamed.emit(name)

    def _make_current(self, node: Any) -> None:
        changed, self._current = node is not self._current, node
        self._box.show_current(node)
        if changed:
            self.currentNodeChanged.emit(node)
            self.currentNodeChanged.emit(node is not None, signature="currentNodeChanged(bool)")
            self.currentNodeIDChanged.emit(self.currentNodeID)

    def _added(self, node: Any) -> None:
        if not self._scene.IsBatchProcessing() and self._filter.accepts(node):
            self._offer([*self._nodes, node])

    def _removed(self, node: Any) -> None:
        if any(node is other for other in self._nodes) and not self._scene.IsBatchProcessing():
            self._offer([other for other in self._nodes if other is not node])

    def _refill(self) -> None:
        if self._scene is None or not self._scene.IsBatchProcessing():
            self._offer(self._filter.nodes(self._scene))

    def _offer(self, nodes: list) -> None:
        self._nodes = nodes
        self._box.show_later(self._entries)
        # Like Slicer, a selector without "None" always has a node when there is one to have.
        if not any(self._current is node for node in nodes):
            self._make_current(None if self._flags["none"] or not nodes else nodes[0])

    def _entries(self) -> Entries:
        empty = self._none_display if self._flags["none"] else "Select a node" if not self._nodes else None
        kind = self._filter.label(self._filter.types[0]) if self._filter.types else "node"
        texts = {
            "add": f"Create new {kind}",
            "rename": "Rename current node…",
            "remove": "Delete current node",
        }
        allowed = {
            name: text for name, text in texts.items() if self._flags[name] and self._scene is not None
        }
        return Entries(empty, self._nodes, allowed, self._current)

    def _chosen(self, row: int) -> None:
        action = self._box.action(row)
        if action:
            self._box.show_current(self._current)
            actions = {
                "add": self.addNode,
                "rename": self.renameCurrentNode,
                "remove": self.removeCurrentNode,
            }
            actions[action]()
            return
        self.setCurrentNodeID(self._box.itemData(row) or "")
        self.nodeActivated.emit(self._current)
