"""Pairs of recorded scans: an atlas to every subject, or all ordered pairs of subjects."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.alignment import AlignmentKind
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.training.pairs import ShuffledEpochs, TrainingData, TrainingGrid, TrainingPair
from SACBRegistrationLib.training.split import Split, Subject
from SACBRegistrationLib.training.volumes import VolumeReader

logger = logging.getLogger(__name__)

LICENCE = "not stated; decided by whoever trained them, within the terms of the scans"


@dataclass(frozen=True)
class RecordedSettings:
    """How recorded scans become pairs.

    Attributes:
        spacing: Voxel size of the grid, mm; None takes the preset's.
        extent: Length of the grid along the preset's axes, mm; None takes the preset's.
        alignment: How every scan is aligned to the first before training.
        structures: Label values to score; None takes the preset's where the scans hold all of them, otherwise
            all that the scans hold.
        validated: Whether the best checkpoint is chosen by validation scans; False keeps the last.
        labels_needed: Whether training pairs need labels, for a Dice term in the loss.
        seed: Seed of the order of the pairs.
        most_bytes: Memory for scans that are kept.
    """

    spacing: float | None = None
    extent: tuple[float, float, float] | None = None
    alignment: AlignmentKind = "none"
    structures: tuple[int, ...] | None = None
    validated: bool = True
    labels_needed: bool = False
    seed: int = 0
    most_bytes: int = 2**32


class RecordedPairs(Sequence[TrainingPair]):
    """All pairs of some scans, read when they are asked for.

    Args:
        subjects: The scans.
        atlas: Moving image of every pair; None pairs every scan with every other, in both directions.
        reader: Reads them.
        spacing: Voxel size of the reader's grid, mm.
        structures: Label values that count.
    """

    def __init__(
        self,
        subjects: Sequence[Subject],
        atlas: Subject | None,
        reader: VolumeReader,
        spacing: float,
        structures: tuple[int, ...] = (),
    ) -> None:
        self._reader, self._spacing, self._structures = reader, spacing, structures
        if atlas is None:
            self._pairs = [(m, f) for m in subjects for f in subjects if m != f]
        else:
            self._pairs = [(atlas, subject) for subject in subjects]

    def __len__(self) -> int:
        """Returns the number of pairs."""
        return len(self._pairs)

    def __getitem__(self, index: int) -> TrainingPair:
        """Returns a pair; see `VolumeReader.read` for the errors."""
        moving, fixed = (self._reader.read(subject) for subject in self._pairs[index])
        return TrainingPair(
            moving.image, fixed.image, moving.labels, fixed.labels, self._spacing, self._structures
        )


def recorded_data(split: Split, preset: Preset, settings: RecordedSettings) -> TrainingData:
    """Returns the pairs of a split; reads the scans that are validated on, so that errors show at once.

    Args:
        split: Which scans are for what.
        preset: Grid, axes, intensities and structures.
        settings: How they become pairs.

    Raises:
        UserError: When there is nothing to validate on, labels are missing, or a scan cannot be used.
    """
    if settings.validated and not split.validation:
        raise UserError(
            "The split names no validation scan, by which the best checkpoint is chosen; name some, or give "
            "--no-validation to keep the last."
        )
    scored = (*split.validation, *split.test) if settings.validated else split.test
    labelled = (*(split.training if settings.labels_needed else ()), *scored)
    if split.atlas is not None and labelled:
        labelled = (split.atlas, *labelled)
    for subject in labelled:
        if subject.labels is None and not subject.pickled:
            raise UserError(
                f"The scan {subject.image} has no labels, which Dice needs; name its label map in the split"
                + ("." if subject in split.training else ", or give --no-validation.")
            )
    spacing = settings.spacing or preset.spacing
    extent = settings.extent or tuple(side * preset.spacing for side in preset.size)
    reference = split.atlas or split.training[0]
    reader = VolumeReader(preset, reference, spacing, extent, settings.alignment, settings.most_bytes)
    structures = settings.structures or _structures(labelled, reader, preset)

    def pairs(subjects: Sequence[Subject]) -> RecordedPairs:
        return RecordedPairs(subjects, split.atlas, reader, spacing, structures)

    training = ShuffledEpochs(pairs(split.training), settings.seed)
    kind = "from an atlas" if split.atlas else "all ordered pairs"
    return TrainingData(
        training,
        pairs(split.validation) if settings.validated else (),
        pairs(split.test),
        TrainingGrid(preset.axes, (spacing, spacing), tuple(side * spacing for side in reader.grid.size)),
        f"{training.epoch_length} pairs of {len(split.training)} recorded scans ({kind})",
        LICENCE,
    )


def _structures(subjects: Sequence[Subject], reader: VolumeReader, preset: Preset) -> tuple[int, ...]:
    """Returns the labels to score: the preset's if they are the data's numbers, or all that the data hold."""
    found: set[int] = set()
    for subject in subjects:
        labels = reader.read(subject).labels
        if labels is None:
            raise UserError(f"The pickle {subject.image} holds no labels, which Dice needs; give others.")
        found |= {int(value) for value in torch.unique(labels)}
    found.discard(0)
    if found and set(preset.labels) <= found:
        return tuple(sorted(preset.labels))
    if found:
        logger.info("The scans do not hold all structures of the preset; all %d labels count.", len(found))
    return tuple(sorted(found))
