"""A finished registration into the scene: nodes made or reused, in one folder, all or nothing."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import slicer
import vtk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.mrml.cluster_maps import fill_cluster_colors, show_clusters
from SACBRegistrationLib.mrml.displays import show_jacobian, show_like, show_magnitude
from SACBRegistrationLib.mrml.loading import LoadedArray
from SACBRegistrationLib.mrml.outputs import (
    FIXED,
    MOVING,
    PAIR,
    REPORT,
    RegistrationNodes,
    companion_role,
    companions,
    folder_of,
    result_of,
)
from SACBRegistrationLib.mrml.quality import fill_quality_table
from SACBRegistrationLib.mrml.transforms import set_grid_transform
from SACBRegistrationLib.mrml.undo import all_or_nothing
from SACBRegistrationLib.mrml.volumes import set_volume_data

_TITLES = {
    "warped": "registered",
    "magnitude": "displacement magnitude",
    "jacobian": "Jacobian determinant",
    "inverse": "inverse transform",
    "table": "quality",
    "transform": "transform",
}
_SCALAR = "vtkMRMLScalarVolumeNode"
_GRID = "vtkMRMLGridTransformNode"


@dataclass(frozen=True)
class Targets:
    """Where a run's result goes.

    Attributes:
        fixed: The fixed volume.
        moving: The moving volume.
        transform: Grid transform node to reuse with what its last run made; None makes new nodes.
        warped: Volume node to reuse for the warped volume.
    """

    fixed: slicer.vtkMRMLScalarVolumeNode
    moving: slicer.vtkMRMLScalarVolumeNode
    transform: slicer.vtkMRMLGridTransformNode | None = None
    warped: slicer.vtkMRMLScalarVolumeNode | None = None

    @property
    def scene(self) -> slicer.vtkMRMLScene:
        """The scene of the inputs."""
        return self.fixed.GetScene()

    def check(self) -> None:
        """Checks that the nodes to reuse can be written into.

        Raises:
            UserError: When one cannot; the sentence says which.
        """
        if self.transform is not None and not self.transform.IsA(_GRID):
            raise UserError(
                f'The output transform "{self.transform.GetName()}" is no grid transform; '
                "choose one that is, or make a new one."
            )
        if self.warped is not None and self.warped in (self.fixed, self.moving):
            raise UserError(
                f'The output volume "{self.warped.GetName()}" is one of the two to register; choose another.'
            )
        for node in (self.transform, self.warped):
            if node is not None and node.GetScene() is not self.scene:
                raise UserError(f'"{node.GetName()}" is in another scene than the volumes; choose another.')

    @property
    def pair(self) -> str:
        """Name of the pair, for the folder and the nodes."""
        return f"{self.moving.GetName()} to {self.fixed.GetName()}"


def write_result(
    targets: Targets,
    loaded: Mapping[str, LoadedArray],
    report: Mapping[str, object],
    quality: Mapping[str, object],
    ranges: Mapping[str, tuple[float, float]],
) -> RegistrationNodes:
    """Puts a result into the scene of its inputs.

    What an earlier run made for the same transform node is reused; what this run did not make is removed,
    since it would not fit the new transform.

    Args:
        targets: Where it goes.
        loaded: The worker's arrays by its keys; "displacement_field" must be there.
        report: What report.json holds.
        quality: The worker's quality figures.
        ranges: Least and largest value by key.

    Returns:
        The nodes.

    Raises:
        UserError: When an input left the scene meanwhile; the scene is as it was.
    """
    _check_inputs(targets)
    old = {} if targets.transform is None else companions(targets.transform)
    given = [node for node in (targets.transform, targets.warped) if node is not None]
    with all_or_nothing(targets.scene, {*given, *old.values()}):
        writer = _Writer(targets, old)
        transform = writer.node("transform", _GRID, targets.transform)
        field = loaded["displacement_field"]
        set_grid_transform(transform, field.data, field.grid)
        made = {"table": writer.node("table", "vtkMRMLTableNode")}
        # The table is kept apart from what it held, which must come back should something fail.
        made["table"].SetAndObserveTable(vtk.vtkTable())
        fill_quality_table(made["table"], report, quality)
        made |= writer.volumes(loaded, ranges)
        if "inverse_field" in loaded:
            made["inverse"] = writer.node("inverse", _GRID)
            inverse = loaded["inverse_field"]
            set_grid_transform(made["inverse"], inverse.data, inverse.grid)
        made |= writer.clusters(loaded, report)
        transform.SetAttribute(REPORT, json.dumps(report))
        transform.SetAttribute(PAIR, targets.pair)
        transform.SetNodeReferenceID(FIXED, targets.fixed.GetID())
        transform.SetNodeReferenceID(MOVING, targets.moving.GetID())
        for key, node in made.items():
            transform.SetNodeReferenceID(companion_role(key), node.GetID())
        writer.put_into_folder(transform, made)
    for key in set(old) - set(made):
        transform.SetNodeReferenceID(companion_role(key), None)
        _remove(old[key])
    return result_of(transform)


def _check_inputs(targets: Targets) -> None:
    for role, node in (("fixed", targets.fixed), ("moving", targets.moving)):
        if targets.scene is None or not targets.scene.IsNodePresent(node):
            raise UserError(
                f"The {role} volume was removed from the scene during the registration; "
                "nothing was added, load it again and start anew."
            )


def _remove(node: slicer.vtkMRMLNode) -> None:
    scene = node.GetScene()
    for role in ("display", "storage"):
        attached = node.GetNodeReference(role)
        if attached is not None:
            scene.RemoveNode(attached)
    scene.RemoveNode(node)


class _Writer:
    """Makes nodes or takes those of the last run, and names them after the pair."""

    def __init__(self, targets: Targets, old: Mapping[str, slicer.vtkMRMLNode]) -> None:
        self._targets, self._old = targets, old
        former = None if targets.transform is None else targets.transform.GetAttribute(PAIR)
        self._former_pair = former

    def node(self, key: str, kind: str, given: slicer.vtkMRMLNode | None = None) -> slicer.vtkMRMLNode:
        node = given if given is not None else self._old.get(key)
        name = self._name(self._targets.pair, key)
        if node is None or not node.IsA(kind):
            return self._targets.scene.AddNewNodeByClass(kind, self._targets.scene.GenerateUniqueName(name))
        # A name that the user gave stays.
        if self._former_pair and node.GetName() == self._name(self._former_pair, key):
            node.SetName(name)
        return node

    def volumes(
        self, loaded: Mapping[str, LoadedArray], ranges: Mapping[str, tuple[float, float]]
    ) -> dict[str, slicer.vtkMRMLNode]:
        displays: dict[str, Callable[[slicer.vtkMRMLScalarVolumeNode], None]] = {
            "warped": lambda node: show_like(node, self._targets.moving),
            "magnitude": lambda node: show_magnitude(node, ranges["magnitude"][1]),
            "jacobian": show_jacobian,
        }
        made = {}
        for key, show in displays.items():
            if key in loaded:
                made[key] = self.node(key, _SCALAR, self._targets.warped if key == "warped" else None)
                set_volume_data(made[key], loaded[key].data, loaded[key].grid)
                show(made[key])
        return made

    def clusters(
        self, loaded: Mapping[str, LoadedArray], report: Mapping[str, object]
    ) -> dict[str, slicer.vtkMRMLNode]:
        made = {}
        for key, array in loaded.items():
            if not key.startswith("clusters_"):
                continue
            _, level, role = key.split("_")
            number = int(report["settings"]["clusters"][level])
            colors = made.get(f"colors.{number}")
            if colors is None:
                colors = made[f"colors.{number}"] = self.node(f"colors.{number}", "vtkMRMLColorTableNode")
                fill_cluster_colors(number, colors)
            node = self.node(f"clusters.{level}.{role}", "vtkMRMLLabelMapVolumeNode")
            set_volume_data(node, array.data, array.grid)
            show_clusters(node, colors)
            made[f"clusters.{level}.{role}"] = node
        return made

    def put_into_folder(
        self, transform: slicer.vtkMRMLTransformNode, made: Mapping[str, slicer.vtkMRMLNode]
    ) -> None:
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(self._targets.scene)
        folder, pair = folder_of(transform), self._targets.pair
        if not folder:
            name = hierarchy.GenerateUniqueItemName(pair)
            folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), name)
        elif self._former_pair and hierarchy.GetItemName(folder) == self._former_pair:
            hierarchy.SetItemName(folder, pair)
        hierarchy.SetItemAttribute(folder, PAIR, pair)
        for node in (transform, *made.values()):
            item = hierarchy.GetItemByDataNode(node)
            if item:
                hierarchy.SetItemParent(item, folder)
            else:
                hierarchy.CreateItem(folder, node)

    @staticmethod
    def _name(pair: str, key: str) -> str:
        if key.startswith("clusters."):
            _, level, role = key.split(".")
            return f"{pair} clusters of level {level}, {role}"
        if key.startswith("colors."):
            return f"{pair} {key.split('.')[1]} clusters"
        return f"{pair} {_TITLES[key]}"
