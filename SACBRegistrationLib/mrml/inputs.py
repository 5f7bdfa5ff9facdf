"""What a run takes from a scene: voxels, structures, landmarks and the transform to start from."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import slicer

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.mrml.points import points_of
from SACBRegistrationLib.mrml.run import RunInputs
from SACBRegistrationLib.mrml.structures import NodeStructure, mask_of, structures_of
from SACBRegistrationLib.mrml.transforms import transform_node_to_sitk
from SACBRegistrationLib.mrml.volumes import volume_view
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.job import Structure

ROLES = ("fixed", "moving")


@dataclass(frozen=True)
class RunNodes:
    """The nodes that a run reads.

    Attributes:
        fixed: The fixed volume.
        moving: The moving volume.
        initial_transform: Brings the moving volume near the fixed one when that is put under it, or None.
        masks: Role to a label map or segmentation, or None.
        structures: Role to a segmentation or label map, or None.
        points: Role to a markups node, or None.
    """

    fixed: slicer.vtkMRMLScalarVolumeNode
    moving: slicer.vtkMRMLScalarVolumeNode
    initial_transform: slicer.vtkMRMLTransformNode | None
    masks: Mapping[str, slicer.vtkMRMLNode | None]
    structures: Mapping[str, slicer.vtkMRMLNode | None]
    points: Mapping[str, slicer.vtkMRMLMarkupsNode | None]


def gather_inputs(
    nodes: RunNodes, settings: RegistrationSettings, outputs: frozenset[str]
) -> tuple[RunInputs, tuple[str, ...]]:
    """Returns what the worker needs, without copying voxels, and notes for the report.

    Args:
        nodes: What to read.
        settings: The choices.
        outputs: The worker's names of what to make.

    Raises:
        UserError: When a node is missing or cannot be used.
    """
    _check_pair(nodes)
    _check_both("segmentation", nodes.structures)
    _check_both("landmark list", nodes.points)
    images = {role: volume_view(node) for role, node in (("fixed", nodes.fixed), ("moving", nodes.moving))}
    for role in ROLES:
        if nodes.masks[role] is not None:
            mask = mask_of(nodes.masks[role])
            images[f"{role}_mask"] = (mask.array, mask.grid)
    affine, displacement = _initial(nodes.initial_transform)
    if displacement is not None:
        images["initial_displacement"] = displacement
    structures: dict[str, tuple[Structure, ...]] = {}
    for role in ROLES:
        if nodes.structures[role] is not None:
            found = structures_of(nodes.structures[role])
            structures[role] = _add_structures(found, images)
    points = {role: points_of(nodes.points[role]) for role in ROLES if nodes.points[role] is not None}
    if structures:
        _check_common("structure", {role: {s.name for s in found} for role, found in structures.items()})
    if points:
        _check_common("landmark", {role: set(found) for role, found in points.items()})
    inputs = RunInputs(settings, images, affine, structures, points, outputs)
    return inputs, _notes(nodes)


def _check_pair(nodes: RunNodes) -> None:
    for role, node in (("fixed", nodes.fixed), ("moving", nodes.moving)):
        if node is None:
            raise UserError(f"There is no {role} volume; choose one.")
        if not node.IsA("vtkMRMLScalarVolumeNode"):
            raise UserError(f'The {role} node "{node.GetName()}" is no scalar volume; choose one that is.')
        if node.GetScene() is None:
            raise UserError(f'The {role} volume "{node.GetName()}" is in no scene; add it to one first.')
    if nodes.fixed is nodes.moving:
        raise UserError("The fixed and the moving volume are the same; choose two different ones.")
    if nodes.fixed.GetScene() is not nodes.moving.GetScene():
        raise UserError("The fixed and the moving volume are in different scenes; load both into one.")


def _check_both(what: str, nodes: Mapping[str, slicer.vtkMRMLNode | None]) -> None:
    given = [role for role in ROLES if nodes[role] is not None]
    if len(given) == 1:
        missing = "moving" if given == ["fixed"] else "fixed"
        raise UserError(
            f"Only a {given[0]} {what} is given; choose the {missing} one as well, or neither: "
            "the quality is measured on both."
        )


def _check_common(what: str, names: Mapping[str, set[str]]) -> None:
    if not names["fixed"] & names["moving"]:
        raise UserError(
            f"The fixed and the moving side have no {what} of the same name; "
            f"give each {what} the same name on both sides."
        )


def _initial(
    node: slicer.vtkMRMLTransformNode | None,
) -> tuple[tuple[tuple[float, ...], tuple[float, ...]] | None, tuple[np.ndarray, Grid] | None]:
    """Returns the transform to start from as an affine or as a displacement field, LPS mm."""
    if node is None:
        return None, None
    transform = transform_node_to_sitk(node)
    if isinstance(transform, sitk.AffineTransform):
        return (transform.GetMatrix(), transform.GetTranslation()), None
    field = sitk.DisplacementFieldTransform(transform).GetDisplacementField()
    return None, (sitk.GetArrayFromImage(field), Grid.from_image(field))


def _add_structures(
    found: tuple[NodeStructure, ...], images: dict[str, tuple[np.ndarray, Grid]]
) -> tuple[Structure, ...]:
    """Adds the label maps that structures lie in, each once, and returns the structures for the worker."""
    keys: dict[int, str] = {}
    structures = []
    for structure in found:
        address = structure.array.__array_interface__["data"][0]
        if address not in keys:
            keys[address] = f"structure_{sum(key.startswith('structure_') for key in images)}"
            images[keys[address]] = (structure.array, structure.grid)
        structures.append(Structure(structure.name, keys[address], structure.value))
    return tuple(structures)


def _notes(nodes: RunNodes) -> tuple[str, ...]:
    parent = nodes.moving.GetParentTransformNode()
    if parent is None:
        return ()
    return (
        f'The moving volume "{nodes.moving.GetName()}" lies under the transform "{parent.GetName()}": '
        "harden that one on it before putting the volume under the new transform.",
    )
