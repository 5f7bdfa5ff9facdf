"""How well structures and points fit before and after a registration."""

import logging
from collections.abc import Iterator, Mapping
from pathlib import Path

import SimpleITK as sitk

from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.worker.job import ROLES, Job
from SACBRegistrationLib.worker.volumes import read_image

logger = logging.getLogger(__name__)


def measure_quality(
    job: Job, folder: Path, displacement_field: sitk.Image, progress: Progress
) -> tuple[dict, list[str]]:
    """Returns the figures of the structures and points that both images name, and notes about what is not.

    Figures that cannot be had are left out, with a note and the reason in the log: they are no reason to lose
    the registration.

    Args:
        job: Names the structures and points.
        folder: Holds the label images.
        displacement_field: Vector image u, LPS mm.
        progress: Reported to.

    Returns:
        (quality as in WorkerResult, sentences for the user).
    """
    notes: list[str] = []
    quality: dict = {"structures": {}, "points": {}}
    for what, measure in (("structures", _structures), ("points", _points)):
        given = getattr(job, what)
        names = [{item if what == "points" else item.name for item in given.get(role, ())} for role in ROLES]
        if not (names[0] and names[1]):
            continue
        if not names[0] & names[1]:
            notes.append(f"No {what} were compared: the fixed and the moving ones have no name in common.")
            continue
        try:
            quality[what] = measure(job, folder, displacement_field, progress)
        except Exception as error:
            logger.exception("the %s could not be compared", what)
            notes.append(
                f"The {what} could not be compared ({type(error).__name__}); the registration is not "
                "concerned, and the log says more."
            )
    return quality, notes


def _structures(job: Job, folder: Path, field: sitk.Image, progress: Progress) -> dict[str, dict]:
    from SACBRegistrationLib.evaluation.structure_quality import evaluate_structures

    images: dict[str, sitk.Image] = {}
    fixed, moving = (_Masks(job, role, folder, images, progress) for role in ROLES)
    found = evaluate_structures(fixed, moving, field)
    return {name: {"dice": q.dice, "hd95": q.hd95, "assd": q.assd} for name, q in found.items()}


def _points(job: Job, folder: Path, field: sitk.Image, progress: Progress) -> dict[str, tuple]:
    from SACBRegistrationLib.evaluation.landmarks import target_registration_errors

    return dict(target_registration_errors(job.points["fixed"], job.points["moving"], field))


class _Masks(Mapping[str, sitk.Image]):
    """The structures of one role as uint8 masks by name, made when asked for to keep memory low."""

    def __init__(
        self, job: Job, role: str, folder: Path, images: dict[str, sitk.Image], progress: Progress
    ) -> None:
        """Takes the label images read so far, which both roles share."""
        self._files = job.images
        self._structures = {item.name: item for item in job.structures[role]}
        self._folder, self._images, self._progress = folder, images, progress
        self._asked = 0

    def __getitem__(self, name: str) -> sitk.Image:
        structure = self._structures[name]
        self._progress.report(self._asked / len(self._structures))
        self._asked += 1
        if structure.image not in self._images:
            self._images[structure.image] = read_image(self._files[structure.image], self._folder)
        return sitk.Equal(self._images[structure.image], structure.value)

    def __iter__(self) -> Iterator[str]:
        return iter(self._structures)

    def __contains__(self, name: object) -> bool:
        return name in self._structures

    def __len__(self) -> int:
        return len(self._structures)
