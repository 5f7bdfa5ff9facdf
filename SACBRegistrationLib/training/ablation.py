"""Ablations of the paper (Tables 3 and 4): the same training with parts of the network changed."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import load_checkpoint
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.training.launch import start_devices
from SACBRegistrationLib.training.pairs import TrainingData, TrainingPair
from SACBRegistrationLib.training.settings import TrainingSettings
from SACBRegistrationLib.training.state import STATE_FILE
from SACBRegistrationLib.training.train import TrainingOutcome, train
from SACBRegistrationLib.training.validation import validate

if TYPE_CHECKING:
    from lightning_fabric import Fabric

RESULT_FILE = "result.json"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Variant:
    """One network of an ablation.

    Attributes:
        sacb_levels: Levels with a spatial-awareness block.
        clusters: Number of clusters N.
        feature_mean: What the blocks cluster.
    """

    sacb_levels: tuple[int, ...]
    clusters: int
    feature_mean: str = "spatial"

    @property
    def folder(self) -> str:
        """Name of the folder of its training."""
        if not self.sacb_levels:
            return "no-sacb"
        levels = "".join(str(level) for level in self.sacb_levels)
        return f"sacb{levels}_n{self.clusters}_{self.feature_mean}"


_LEVELS = tuple(Variant((5, 4, 3, 2)[:used], 5) for used in range(5))
_CLUSTERS = tuple(Variant((5, 4, 3, 2), n) for n in (5, 7, 9, 11))

ABLATIONS: dict[str, tuple[Variant, ...]] = {
    "levels": _LEVELS,
    "clusters": _CLUSTERS,
    "table3": (*_LEVELS, *_CLUSTERS[1:]),
    "feature-mean": tuple(Variant((5, 4, 3, 2), 5, mean) for mean in ("spatial", "channel", "mixed")),
}
"""Sets of variants: Table 3's rows by level, by N, and all of them; Table 4's rows."""


@dataclass(frozen=True)
class AblationRow:
    """What one variant reached.

    Attributes:
        variant: The network.
        dice: Mean Dice of the structures on the test pairs, or on the validation pairs where there are no
            others.
        folding_percent: Percentage of folded voxels there.
        memory_mib: Most GPU memory held in training, MiB; 0 on a CPU.
        training_seconds: Mean seconds of a training step, the waiting for data counted.
        steps: Steps of its training.
    """

    variant: Variant
    dice: float
    folding_percent: float
    memory_mib: float
    training_seconds: float
    steps: int


def check_scored(data: TrainingData) -> Sequence[TrainingPair]:
    """Returns the pairs that an ablation is scored on: the test pairs, or else the validation pairs.

    Raises:
        UserError: When there are none.
    """
    scored = data.test if len(data.test) else data.validation
    if not len(scored):
        raise UserError("An ablation needs scans to score on; name some in the split as test or validation.")
    return scored


def run_ablation(
    variants: Sequence[Variant],
    settings: TrainingSettings,
    data: TrainingData,
    progress: Progress = Progress(),
    fabric: Fabric | None = None,
) -> list[AblationRow] | None:
    """Trains and scores every variant, each in a folder of its own.

    Called again, it goes on where it was stopped: finished variants are not trained again.

    Args:
        variants: The networks.
        settings: Everything else of the training; its output is the folder of the folders.
        data: What to train and score on.
        progress: Reported to; a set cancel event ends it after the step.
        fabric: Launched already; None launches it.

    Returns:
        A row for every variant; None when it was stopped, to be gone on with later.

    Raises:
        UserError: When there is nothing to score on, a folder holds results of other settings, and as `train`
            says.
    """
    scored = check_scored(data)
    fabric = start_devices(settings.devices) if fabric is None else fabric
    rows = []
    for index, variant in enumerate(variants):
        part = progress.part(index / len(variants), (index + 1) / len(variants), variant.folder)
        own = replace(
            settings,
            output=settings.output / variant.folder,
            clusters=variant.clusters,
            feature_mean=variant.feature_mean,
            sacb_levels=variant.sacb_levels,
            resume=(settings.output / variant.folder / STATE_FILE).exists(),
        )
        conditions = _conditions(own, data)
        row = _finished(own.output / RESULT_FILE, variant, conditions)
        if row is None:
            logger.info("training %s (%d of %d)", variant.folder, index + 1, len(variants))
            row = _trained(variant, own, data, scored, part, fabric)
            if row is None:
                return None
            if fabric.is_global_zero:
                _write(own.output / RESULT_FILE, row, conditions)
            fabric.barrier()
        rows.append(row)
    return rows


def _trained(variant, settings, data, scored, progress, fabric) -> AblationRow | None:
    if fabric.device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(fabric.device)
    outcome = train(settings, data, _of_the_whole(progress), fabric)
    if not outcome.finished:
        return None
    # All processes read what the first has written.
    fabric.barrier()
    network = load_checkpoint(outcome.weights).to(fabric.device)
    scores = validate(fabric, network, scored, settings.workers)
    return _row(variant, outcome, scores.dice_after, scores.folding_percent)


def _row(variant: Variant, outcome: TrainingOutcome, dice: float, folding: float) -> AblationRow:
    done = outcome.progress
    return AblationRow(
        variant, dice, folding, done.memory_mib, done.step_seconds / max(done.step, 1), done.step
    )


def _of_the_whole(part: Progress) -> Progress:
    """Returns the progress of one training, whose callback tells the fraction of all of them."""

    def report(fraction: float, stage: str) -> None:
        if part.callback is not None:
            part.callback(part.start + fraction * (part.end - part.start), f"{part.stage}, {stage}")

    return Progress(callback=report, cancel=part.cancel)


def _conditions(settings: TrainingSettings, data: TrainingData) -> dict[str, object]:
    """Returns what results must have in common to stand in one table."""
    names = (
        "preset",
        "epochs",
        "steps",
        "minutes",
        "learning_rate",
        "diffusion_weight",
        "dice_weight",
        "seed",
    )
    return {**{name: getattr(settings, name) for name in names}, "data": data.description}


def _write(path: Path, row: AblationRow, conditions: dict[str, object]) -> None:
    temporary = path.with_name(path.name + ".partial")
    text = json.dumps({"conditions": conditions, **asdict(row)}, indent=1)
    temporary.write_text(text + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _finished(path: Path, variant: Variant, conditions: dict[str, object]) -> AblationRow | None:
    if not path.is_file():
        return None
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        former = content.pop("conditions")
        row = AblationRow(**{**content, "variant": variant})
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The result {path} is damaged; remove it to train this variant again.") from error
    for name, value in conditions.items():
        if former.get(name) != value:
            raise UserError(
                f"The result {path} was made with {name.replace('_', ' ')} {former.get(name)}, not {value}; "
                "give the same settings, or another folder."
            )
    return row
