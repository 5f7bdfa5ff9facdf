"""What a registration leaves in a scene, and how its nodes find each other."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import slicer

PREFIX = "SACBRegistration."
REPORT = PREFIX + "report"
PAIR = PREFIX + "pair"
FIXED, MOVING = PREFIX + "input.fixed", PREFIX + "input.moving"
"""Node reference roles under which a transform node knows the volumes that it belongs to."""
_CLUSTERS = PREFIX + "clusters."
_COLORS = PREFIX + "colors."


@dataclass(frozen=True)
class Outputs:
    """What to make besides the grid transform.

    Attributes:
        warped: The moving volume on the fixed grid.
        magnitude: Length of the displacement in mm, on the displacement field's grid.
        jacobian: Jacobian determinant of the whole transform, on the displacement field's grid.
        clusterMaps: One label map per pyramid level and role.
        inverse: A grid transform node with the inverse, computed over the moving volume.
    """

    warped: bool = True
    magnitude: bool = True
    jacobian: bool = True
    clusterMaps: bool = True
    inverse: bool = False

    @property
    def keys(self) -> frozenset[str]:
        """The worker's names of what to make."""
        chosen = {
            "warped": self.warped,
            "magnitude": self.magnitude,
            "jacobian": self.jacobian,
            "clusters": self.clusterMaps,
            "inverse": self.inverse,
        }
        return frozenset(key for key, wanted in chosen.items() if wanted)


@dataclass(frozen=True)
class RegistrationNodes:
    """The nodes of one registered pair; None or missing is what was not asked for.

    Attributes:
        transform: Grid transform whose transform from parent takes fixed to moving points (RAS mm): what is
            put under it moves from the moving onto the fixed volume.
        warped: The moving volume on the fixed grid.
        magnitude: Length of the displacement, mm.
        jacobian: Jacobian determinant.
        inverse: Grid transform that takes moving to fixed points.
        clusterMaps: (level, "fixed" or "moving") to its label map.
        clusterColors: Number of clusters to the colour table that names them.
        table: The quality figures.
        folderItem: Subject hierarchy item of the folder that they lie in.
        report: What report.json holds.
    """

    transform: slicer.vtkMRMLGridTransformNode
    table: slicer.vtkMRMLTableNode | None = None
    warped: slicer.vtkMRMLScalarVolumeNode | None = None
    magnitude: slicer.vtkMRMLScalarVolumeNode | None = None
    jacobian: slicer.vtkMRMLScalarVolumeNode | None = None
    inverse: slicer.vtkMRMLGridTransformNode | None = None
    clusterMaps: Mapping[tuple[int, str], slicer.vtkMRMLLabelMapVolumeNode] = field(
        default_factory=lambda: MappingProxyType({})
    )
    clusterColors: Mapping[int, slicer.vtkMRMLColorTableNode] = field(
        default_factory=lambda: MappingProxyType({})
    )
    folderItem: int = 0
    report: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def notes(self) -> tuple[str, ...]:
        """What a user should know of the run, a sentence each."""
        return tuple(self.report.get("notes", ()))


def companion_role(key: str) -> str:
    """Returns the node reference role under which a transform node knows another output of its run.

    Args:
        key: "warped", "magnitude", "jacobian", "inverse", "table", "clusters.<level>.<role>" or "colors.<N>".
    """
    return PREFIX + key


def companions(transform: slicer.vtkMRMLTransformNode) -> dict[str, slicer.vtkMRMLNode]:
    """Returns the other outputs of the run that made a transform node, by their keys."""
    found: list[str] = []
    transform.GetNodeReferenceRoles(found)
    roles = set(found) - {FIXED, MOVING}
    nodes = {
        role[len(PREFIX) :]: transform.GetNodeReference(role) for role in roles if role.startswith(PREFIX)
    }
    return {key: node for key, node in nodes.items() if node is not None}


def result_of(transform: slicer.vtkMRMLTransformNode) -> RegistrationNodes | None:
    """Finds again what a run left in the scene, also after the scene was saved and loaded.

    Args:
        transform: A transform node.

    Returns:
        Its run's nodes as far as they are still there, or None when no registration made this node.
    """
    if transform is None or transform.GetAttribute(REPORT) is None:
        return None
    found = companions(transform)
    maps, colors = {}, {}
    for key, node in found.items():
        role = PREFIX + key
        if role.startswith(_CLUSTERS):
            level, whose = role[len(_CLUSTERS) :].split(".")
            maps[int(level), whose] = node
        elif role.startswith(_COLORS):
            colors[int(role[len(_COLORS) :])] = node
    single = {key: found.get(key) for key in ("table", "warped", "magnitude", "jacobian", "inverse")}
    return RegistrationNodes(
        transform=transform,
        clusterMaps=MappingProxyType(dict(sorted(maps.items(), key=lambda item: (-item[0][0], item[0][1])))),
        clusterColors=MappingProxyType(colors),
        folderItem=folder_of(transform),
        report=json.loads(transform.GetAttribute(REPORT)),
        **single,
    )


def folder_of(transform: slicer.vtkMRMLTransformNode) -> int:
    """Returns the subject hierarchy folder that a run made for a transform node's pair, or 0."""
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(transform.GetScene())
    item = hierarchy.GetItemByDataNode(transform)
    folder = hierarchy.GetItemParent(item) if item else 0
    return folder if folder and hierarchy.GetItemAttribute(folder, PAIR) else 0
