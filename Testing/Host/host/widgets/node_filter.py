"""Which nodes of a scene a selector offers."""

import re
from typing import Any


class NodeFilter:
    """What a selector's properties say about nodes.

    Attributes:
        types: Class names of offered nodes.
        children: Whether nodes of derived classes are offered too.
        hidden_types: Derived classes that are not.
        hidden: Whether nodes hidden from editors are offered.
        labels: Class name to the words that users read for it.
        attributes: (class name, attribute) to the value a node of the class must have; None: any.
    """

    def __init__(self) -> None:
        self.types: tuple[str, ...] = ()
        self.children = True
        self.hidden_types: tuple[str, ...] = ()
        self.hidden = False
        self.labels: dict[str, str] = {}
        self.attributes: dict[tuple[str, str], Any] = {}

    def label(self, kind: str) -> str:
        """The words for a class of nodes."""
        return self.labels.get(kind) or re.sub(
            r"(?<=[a-z])(?=[A-Z])", " ", kind[len("vtkMRML") : -len("Node")]
        )

    def accepts(self, node: Any) -> bool:
        """Whether the node is offered."""
        if node.GetHideFromEditors() and not self.hidden:
            return False
        if any(node.IsA(kind) for kind in self.hidden_types):
            return False
        fits = [
            kind for kind in self.types if (node.IsA(kind) if self.children else node.GetClassName() == kind)
        ]
        return any(self._has_attributes(node, kind) for kind in fits)

    def _has_attributes(self, node: Any, kind: str) -> bool:
        wanted = {name: value for (owner, name), value in self.attributes.items() if owner == kind}
        found = {name: node.GetAttribute(name) for name in wanted}
        return all(
            found[name] is not None and (value is None or found[name] == str(value))
            for name, value in wanted.items()
        )

    def nodes(self, scene: Any) -> list:
        """The offered nodes in the scene's order."""
        if scene is None:
            return []
        # Every selector asks at every node that comes or goes: the scene looks through itself much faster.
        found = [node for nodes in (_of_class(scene, kind) for kind in set(self.types)) for node in nodes]
        accepted = {node.GetID() for node in found if self.accepts(node)}
        if len(accepted) < 2 or len(self.types) == 1:
            return [node for node in dict.fromkeys(found) if node.GetID() in accepted]
        everything = (scene.GetNthNode(index) for index in range(scene.GetNumberOfNodes()))
        return [node for node in everything if node.GetID() in accepted]


def _of_class(scene: Any, kind: str) -> list:
    nodes = scene.GetNodesByClass(kind)
    return [nodes.GetItemAsObject(index) for index in range(nodes.GetNumberOfItems())]
