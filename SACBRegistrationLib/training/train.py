"""Training a network: the loop around steps, validations and checkpoints."""

from __future__ import annotations

import json
import logging
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from itertools import count
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import SACBNet, load_checkpoint
from SACBRegistrationLib.network.precision import Precision, using_precision
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.training.checkpoints import TrainingFiles
from SACBRegistrationLib.training.launch import start_devices, stop_other_processes
from SACBRegistrationLib.training.pairs import TrainingData, TrainingPair
from SACBRegistrationLib.training.prefetch import prefetched
from SACBRegistrationLib.training.record import TrainingRecord
from SACBRegistrationLib.training.schedule import Schedule
from SACBRegistrationLib.training.settings import TrainingSettings
from SACBRegistrationLib.training.state import STATE_FILE, TrainingProgress
from SACBRegistrationLib.training.step import DisplacementNetwork, take_step
from SACBRegistrationLib.training.stopping import stop_signals
from SACBRegistrationLib.training.validation import validate

if TYPE_CHECKING:
    from lightning_fabric import Fabric

SETTINGS_FILE = "settings.json"

# With a step after it, a kill loses a minute at most.
_SAVE_SECONDS = 45.0
_MOST_BAD_STEPS = 20

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class TrainingOutcome:
    """How a training ended.

    Attributes:
        weights: The best checkpoint; beside it lie last.pt, state.pt, the tables and TensorBoard's events.
        progress: How far it came.
        finished: Whether it came to its end; False when it was stopped and can be resumed.
    """

    weights: Path
    progress: TrainingProgress
    finished: bool


def train(
    settings: TrainingSettings,
    data: TrainingData,
    progress: Progress = Progress(),
    fabric: Fabric | None = None,
) -> TrainingOutcome:
    """Trains until the epochs, steps or minutes are used up, the progress is cancelled, or a signal ends it.

    The loss is squared local NCC + diffusion_weight * diffusion + dice_weight * (1 - soft Dice); Adam, one
    pair a step on every device, polynomial decay. SIGINT and SIGTERM end the run after the step with
    everything saved. The same seed gives the same pairs in the same order, resumed or not, whatever the
    number of workers.

    Args:
        settings: How to train.
        data: What to train on.
        progress: Receives the fraction done after every step; a set cancel event ends the run after the step.
        fabric: Launched already; None launches it.

    Returns:
        The outcome.

    Raises:
        UserError: When a file cannot be read or written, the settings make no sense, a package is missing, or
            the loss stays without a finite value.
    """
    check_training(settings, data)
    network = _new_network(settings)
    fabric = start_devices(settings.devices) if fabric is None else fabric
    if fabric.is_global_zero:
        _prepare_folder(settings)
    if settings.threads:
        torch.set_num_threads(settings.threads)
    model = DisplacementNetwork(network)
    optimizer = torch.optim.Adam(model.parameters(), lr=settings.learning_rate)
    model, distributed = fabric.setup(model, optimizer)
    scaler = getattr(fabric.strategy.precision, "scaler", None)
    files = TrainingFiles(settings, data, network, optimizer, scaler)
    done = files.load() if settings.resume else TrainingProgress()
    # torch's own default rounds convolutions to TF32, which float32 must not do.
    tf32 = settings.devices.precision == Precision.TF32.value
    rounding = using_precision(Precision.TF32 if tf32 else Precision.FLOAT32, fabric.device)
    with stop_signals() as signalled, rounding:
        run = _Run(settings, data, fabric, network, model, distributed, files, done, progress, signalled)
        try:
            finished = run.go()
        except BaseException:
            # They would wait for this process for as long as the network library lets them.
            stop_other_processes(fabric)
            raise
    return TrainingOutcome(files.best, run.done, finished)


def check_training(settings: TrainingSettings, data: TrainingData) -> None:
    """Checks that a training can begin; see `train` for the errors."""
    ends = (settings.epochs, settings.steps, settings.minutes)
    if all(end is None for end in ends):
        raise UserError("Training needs an end; give a number of epochs, steps or minutes.")
    if any(end is not None and not end > 0 for end in ends):
        raise UserError("Epochs, steps and minutes must be above 0; correct them.")
    if settings.epochs is not None and data.training.epoch_length is None and settings.epochs:
        raise UserError("Synthesised pairs never repeat and have no epochs; give --steps or --minutes.")
    if settings.workers < 1 or (settings.validate_every is not None and settings.validate_every < 1):
        raise UserError("Workers and the steps between validations must be 1 at least; correct them.")
    low, high = data.grid.spacing
    if not 0 < low <= high:
        raise UserError(f"A spacing of {low} to {high} mm is no range; give positive numbers, lowest first.")
    if not settings.resume and (settings.output / STATE_FILE).exists():
        raise UserError(
            f"The folder {settings.output} holds a training already; give --resume to go on with it, or "
            "another folder."
        )


def _new_network(settings: TrainingSettings) -> SACBNet:
    torch.manual_seed(settings.seed)
    if settings.start_from:
        network = load_checkpoint(settings.start_from)
        network.clusters = settings.clusters
        return network
    try:
        network = SACBNet(settings.clusters, settings.feature_mean, settings.sacb_levels)
    except ValueError as error:
        raise UserError(f"The network cannot be made so: {error}.") from error
    # A full-resolution flow that starts near zero leaves the first steps to the pyramid.
    torch.nn.init.normal_(network.final.estimate[2].weight, std=1e-5)
    torch.nn.init.zeros_(network.final.estimate[2].bias)
    return network


def _prepare_folder(settings: TrainingSettings) -> None:
    """Makes the output folder and notes the settings there, for whoever wants to repeat the run."""
    try:
        settings.output.mkdir(parents=True, exist_ok=True)
        text = json.dumps(asdict(settings), indent=1, default=str)
        (settings.output / SETTINGS_FILE).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise UserError(f"The folder {settings.output} cannot be written; choose another.") from error


class _Run:
    """The loop of one process; what it decides is decided in all processes alike."""

    def __init__(
        self, settings, data, fabric, network, model, optimizer, files, done, progress, signalled
    ) -> None:
        self.settings, self.data, self.fabric = settings, data, fabric
        self.network, self.model, self.optimizer, self.files = network, model, optimizer, files
        self.done, self.progress, self.signalled = done, progress, signalled
        self.schedule = Schedule(
            settings.epochs, settings.steps, settings.minutes, data.training.epoch_length
        )
        self.begun, self.before = monotonic(), done.elapsed
        self.saved, self.bad = monotonic(), 0
        self.record: TrainingRecord | None = None

    def go(self) -> bool:
        """Trains; returns whether the end was reached."""
        if self.fabric.is_global_zero:
            self.record = TrainingRecord(self.settings.output, self.done)
        try:
            finished = self._loop()
            if self.record is not None:
                self.files.save(self.done)
        finally:
            if self.record is not None:
                self.record.close()
        return finished

    def _loop(self) -> bool:
        fabric, world = self.fabric, self.fabric.world_size
        numbers = count(self.done.samples + fabric.global_rank, world)
        with closing(prefetched(self.data.training.pair, numbers, self.settings.workers)) as pairs:
            # A run that was killed while it validated begins there again.
            if self.done.step and self._validation_due() and not self._validate():
                return False
            while True:
                stop = self._agree()
                if self.schedule.fraction(self.done) >= 1:
                    return self.done.validated == self.done.step or self._validate()
                if stop:
                    return False
                begun = monotonic()
                self._step(next(pairs), begun)
                if self._validation_due() and not self._validate():
                    return False
                if monotonic() - self.saved > _SAVE_SECONDS:
                    self._save()
                if fabric.is_global_zero and self.progress.callback is not None:
                    self.progress.callback(self.schedule.fraction(self.done), f"step {self.done.step}")

    def _step(self, pair: TrainingPair, begun: float) -> None:
        number = self.done.samples + self.fabric.global_rank
        rate = self.settings.learning_rate * self.schedule.decay(self.done)
        terms = take_step(self.fabric, self.model, self.optimizer, pair, self.settings, rate, number)
        self.bad = 0 if terms is not None else self.bad + 1
        if self.bad >= _MOST_BAD_STEPS:
            raise UserError("The training loss has no finite value any more; lower the learning rate.")
        seconds = monotonic() - begun
        self.done = replace(
            self.done,
            step=self.done.step + 1,
            samples=self.done.samples + self.fabric.world_size,
            elapsed=self.before + monotonic() - self.begun,
            step_seconds=self.done.step_seconds + seconds,
            memory_mib=max(self.done.memory_mib, _memory_mib(self.fabric.device)),
        )
        if terms is None:
            logger.warning("step %d has no finite loss or gradient and is skipped", self.done.step)
        elif self.record is not None:
            self.record.add_step(self.done, terms, rate, pair.spacing, seconds)

    def _validation_due(self) -> bool:
        if not len(self.data.validation) or self.done.validated == self.done.step:
            return False
        every = self.settings.validate_every
        if every is None:
            return self.schedule.epoch_ended(self.done, self.fabric.world_size)
        return self.done.step % every == 0

    def _validate(self) -> bool:
        """Validates and keeps the best checkpoint; returns False when a signal came meanwhile."""
        if not len(self.data.validation):
            return True
        self._save()
        scores = validate(
            self.fabric, self.network, self.data.validation, self.settings.workers, self._wants_to_stop
        )
        if scores is None:
            return False
        best = scores.dice_after > self.done.best_dice
        self.done = replace(
            self.done,
            elapsed=self.before + monotonic() - self.begun,
            validated=self.done.step,
            best_dice=scores.dice_after if best else self.done.best_dice,
            best_step=self.done.step if best else self.done.best_step,
        )
        if self.record is not None:
            self.record.add_validation(self.done, scores)
            if best:
                self.files.save_best(self.done)
            logger.info(
                "step %d: Dice %.4f to %.4f, folding %.3f %%",
                self.done.step,
                scores.dice_before,
                scores.dice_after,
                scores.folding_percent,
            )
        return True

    def _save(self) -> None:
        if self.record is not None:
            self.files.save(self.done)
        self.saved = monotonic()

    def _wants_to_stop(self) -> bool:
        cancel = self.progress.cancel
        return self.signalled.is_set() or (cancel is not None and cancel.is_set())

    def _agree(self) -> bool:
        """Returns whether any process is to stop, and takes the time from the first one."""
        if self.fabric.world_size == 1:
            return self._wants_to_stop()
        elapsed = self.done.elapsed if self.fabric.is_global_zero else 0.0
        told = torch.tensor([float(self._wants_to_stop()), elapsed], dtype=torch.float64)
        stop, elapsed = self.fabric.all_reduce(told, reduce_op="sum").tolist()
        self.done = replace(self.done, elapsed=elapsed)
        return stop > 0


def _memory_mib(device: torch.device) -> float:
    return torch.cuda.max_memory_reserved(device) / 2**20 if device.type == "cuda" else 0.0
