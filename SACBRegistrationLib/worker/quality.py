"""How well structures and points fit before and after a registration."""

import logging
from collections.abc import Mapping
from pathlib import Path

import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.worker.job import Job, Structure
from SACBRegistrationLib.worker.volumes import read_image

logger = logging.getLogger(__name__)


def measure_quality(
    job: Job, folder: Path, displacement_field: sitk.Image, progress: Progress
) -> tuple[dict, list[str]]:
    """Returns the figures of the structures and points that both images have, and notes about the others.

    A figure that cannot be had is left out, with a note: it is no reason to lose the registration.

    Args:
        job: Names the structures and points.
        folder: Holds the label images.
        displacement_field: Vector image u, LPS mm.
        progress: Reported to.

    Returns:
        (quality as in WorkerResult, sentences for the user).
    """
    notes: list[str] = []
    structures = _structures(job, folder, displacement_field, progress, notes)
    points = _points(job.points.get("fixed", {}), job.points.get("moving", {}), displacement_field, notes)
    return {"structures": structures, "points": points}, notes


def _structures(
    job: Job, folder: Path, field: sitk.Image, progress: Progress, notes: list[str]
) -> dict[str, dict]:
    fixed, moving = (
        {item.name: item for item in job.structures.get(role, ())} for role in ("fixed", "moving")
    )
    common = [name for name in fixed if name in moving]
    if not common:
        if fixed and moving:
            notes.append(
                "No structure was compared: the fixed and the moving segmentation have no name in common."
            )
        return {}
    from SACBRegistrationLib.evaluation.structure_quality import structure_quality

    masks = _Masks(job, folder)
    result = {}
    for number, name in enumerate(common):
        progress.report(number / len(common))
        try:
            found = structure_quality(masks.of(fixed[name]), masks.of(moving[name]), field)
        except UserError as error:
            notes.append(f'The structure "{name}" was not compared: {error}')
            continue
        result[name] = {"dice": found.dice, "hd95": found.hd95, "assd": found.assd}
    return result


def _points(fixed: Mapping, moving: Mapping, field: sitk.Image, notes: list[str]) -> dict[str, tuple]:
    if not set(fixed) & set(moving):
        if fixed and moving:
            notes.append("No point was compared: the fixed and the moving points have no name in common.")
        return {}
    from SACBRegistrationLib.evaluation.landmarks import target_registration_errors

    try:
        return dict(target_registration_errors(fixed, moving, field))
    except UserError as error:
        notes.append(f"The points were not compared: {error}")
        return {}


class _Masks:
    """Reads every label image once, and cuts the structures out of them."""

    def __init__(self, job: Job, folder: Path) -> None:
        self._job = job
        self._folder = folder
        self._images: dict[str, sitk.Image] = {}

    def of(self, structure: Structure) -> sitk.Image:
        """Returns a uint8 image, 1 inside the structure."""
        if structure.image not in self._images:
            self._images[structure.image] = read_image(self._job.images[structure.image], self._folder)
        return sitk.Equal(self._images[structure.image], structure.value)
