"""What a training writes down as it goes: tables, and events for TensorBoard."""

from pathlib import Path

from SACBRegistrationLib.training.metrics import MetricsTable
from SACBRegistrationLib.training.state import TrainingProgress
from SACBRegistrationLib.training.step import StepTerms
from SACBRegistrationLib.training.validation import ValidationScores

METRICS = (
    "step",
    "elapsed",
    "loss",
    "ncc",
    "diffusion",
    "dice",
    "folding_percent",
    "rate",
    "spacing",
)
VALIDATION = ("step", "elapsed", "dice_before", "dice_after", "folding_percent")
EVENTS_FOLDER = "tensorboard"

# TensorBoard shows what was written; a killed run loses as much of it.
_FLUSH_SECONDS = 20


class TrainingRecord:
    """metrics.csv, validation.csv and the folder tensorboard; `close` it at the end.

    Args:
        folder: Where they lie.
        done: How far the run has come; what an earlier run wrote beyond that is dropped.
    """

    def __init__(self, folder: Path, done: TrainingProgress) -> None:
        from torch.utils.tensorboard import SummaryWriter

        self._metrics = MetricsTable(folder / "metrics.csv", METRICS, done.step)
        self._validation = MetricsTable(folder / "validation.csv", VALIDATION, done.validated)
        self._events = SummaryWriter(
            str(folder / EVENTS_FOLDER), purge_step=done.step + 1, flush_secs=_FLUSH_SECONDS
        )

    def add_step(
        self, done: TrainingProgress, terms: StepTerms, rate: float, spacing: float, seconds: float
    ) -> None:
        """Records a step.

        Args:
            done: Progress with this step.
            terms: What it computed.
            rate: Its learning rate.
            spacing: Voxel size of its pair, mm.
            seconds: Time it took, the waiting for data counted.
        """
        self._metrics.add((done.step, round(done.elapsed, 1), *terms.values(), rate, spacing))
        names = ("loss", "ncc", "diffusion", "dice", "folding_percent")
        for name, value in zip(names, terms.values(), strict=True):
            self._events.add_scalar(f"training/{name}", value, done.step)
        self._events.add_scalar("training/learning_rate", rate, done.step)
        self._events.add_scalar("training/seconds_per_step", seconds, done.step)

    def add_validation(self, done: TrainingProgress, scores: ValidationScores) -> None:
        """Records a validation."""
        values = (scores.dice_before, scores.dice_after, scores.folding_percent)
        self._validation.add((done.step, round(done.elapsed, 1), *values))
        for name, value in zip(("dice_before", "dice_after", "folding_percent"), values, strict=True):
            self._events.add_scalar(f"validation/{name}", value, done.step)

    def close(self) -> None:
        """Writes what is left."""
        self._events.close()
