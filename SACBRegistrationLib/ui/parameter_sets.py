"""Which of a scene's parameter sets the panel shows."""

from collections.abc import Callable

import qt
import slicer

from SACBRegistrationLib.ui.parameters import MODULE_NAME

_ATTRIBUTE = "ModuleName"
_CURRENT = "SACBRegistration.current"
_CLASS = "vtkMRMLScriptedModuleNode"
_INPUTS = ("fixedVolume", "movingVolume")


class ParameterSets:
    """The list of parameter nodes of this module.

    Args:
        selector: Node selector of the panel.
        scene: The scene.
        chosen: Called with the node that the panel is to show, or None.
    """

    def __init__(
        self,
        selector,
        scene: slicer.vtkMRMLScene,
        chosen: Callable[[slicer.vtkMRMLScriptedModuleNode | None], None],
    ) -> None:
        self._selector, self._scene, self._chosen = selector, scene, chosen
        self._node: slicer.vtkMRMLScriptedModuleNode | None = None
        self._closed = False
        selector.addAttribute(_CLASS, _ATTRIBUTE, MODULE_NAME)
        selector.setNodeTypeLabel("parameter set", _CLASS)
        selector.connect("nodeAddedByUser(vtkMRMLNode*)", self._on_added)
        selector.connect("currentNodeChanged(vtkMRMLNode*)", self._on_chosen)

    def choose_first(self) -> None:
        """Sees to it that a set of the scene is shown: the one shown last, else the first, else a new one."""
        if self._closed or self._scene.IsClosing():
            return
        found = parameter_nodes(self._scene)
        if self._node in found:
            return
        last = next((node for node in found if node.GetAttribute(_CURRENT)), None)
        self._show(last or (found[0] if found else add_parameter_node(self._scene)))

    def take_over_loaded(self) -> None:
        """After a scene was loaded: its set takes the place of one in which nothing was chosen yet."""
        mine = self._node
        others = [node for node in parameter_nodes(self._scene) if node is not mine]
        if mine is not None and others and not any(mine.GetNodeReference(role) for role in _INPUTS):
            self._node = None
            self._scene.RemoveNode(mine)
        self.choose_first()

    def close(self) -> None:
        """Lets go of the selector."""
        self._closed = True
        self._selector.disconnect("nodeAddedByUser(vtkMRMLNode*)", self._on_added)
        self._selector.disconnect("currentNodeChanged(vtkMRMLNode*)", self._on_chosen)

    def _on_added(self, node: slicer.vtkMRMLNode) -> None:
        node.SetAttribute(_ATTRIBUTE, MODULE_NAME)
        self._show(node)

    def _on_chosen(self, node: slicer.vtkMRMLNode | None) -> None:
        if self._scene.IsClosing():
            self._node = None
        elif node is None:
            self._node = None
            self._chosen(None)
            # The selector is still busy with the node that goes.
            qt.QTimer.singleShot(0, self.choose_first)
        elif node is not self._node:
            self._show(node)

    def _show(self, node: slicer.vtkMRMLScriptedModuleNode) -> None:
        self._node = node
        for other in parameter_nodes(self._scene):
            other.SetAttribute(_CURRENT, "1" if other is node else None)
        self._selector.setCurrentNode(node)
        self._chosen(node)


def parameter_nodes(scene: slicer.vtkMRMLScene) -> list[slicer.vtkMRMLScriptedModuleNode]:
    """Returns the parameter nodes of this module."""
    nodes = [scene.GetNthNodeByClass(n, _CLASS) for n in range(scene.GetNumberOfNodesByClass(_CLASS))]
    return [node for node in nodes if node.GetAttribute(_ATTRIBUTE) == MODULE_NAME]


def add_parameter_node(scene: slicer.vtkMRMLScene) -> slicer.vtkMRMLScriptedModuleNode:
    """Adds a parameter node with every choice at its default."""
    node = slicer.vtkMRMLScriptedModuleNode()
    node.SetAttribute(_ATTRIBUTE, MODULE_NAME)
    node.SetName(scene.GenerateUniqueName(MODULE_NAME))
    return scene.AddNode(node)
