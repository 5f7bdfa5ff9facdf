"""The training loop."""

import logging
import time
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

from SACBRegistrationLib import __version__
from SACBRegistrationLib.errors import CancelledError, UserError
from SACBRegistrationLib.network.checkpoint import load_checkpoint, save_checkpoint
from SACBRegistrationLib.network.flow import warp
from SACBRegistrationLib.network.sacb_net import SACBNet
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.training.label_maps import read_label_maps
from SACBRegistrationLib.training.losses import diffusion, folding_percent, local_ncc, soft_dice
from SACBRegistrationLib.training.metrics import MetricsTable
from SACBRegistrationLib.training.settings import TrainingSettings
from SACBRegistrationLib.training.state import TrainingState, load_state, save_state
from SACBRegistrationLib.training.synthesis import PairSynthesizer, TrainingPair
from SACBRegistrationLib.training.validation import validate

WEIGHTS_FILE = "weights.pt"
LICENCE = "Apache-2.0"
_DECAY_POWER = 0.9
_MOST_SKIPPED_IN_A_ROW = 20
_VALIDATION_SEED = 1_000_003
_STEP_COLUMNS = ("step", "elapsed", "spacing", "loss", "ncc", "diffusion", "dice", "learning_rate", "folding")
_VALIDATION_COLUMNS = (
    "step", "elapsed", "dice_before", "dice_after", "ncc_before", "ncc_after", "folding",
)  # fmt: skip
_log = logging.getLogger(__name__)


def train(settings: TrainingSettings, progress: Progress = Progress()) -> Path:
    """Trains SACB-Net on pairs synthesised from label maps.

    The loss is squared local NCC + diffusion_weight * diffusion + dice_weight * (1 - soft Dice); Adam, one pair
    a step, polynomial decay. The state is saved every `save_seconds` and at the end.

    Args:
        settings: What to train on, how, and for how long.
        progress: Receives the part done; its cancel event ends the run after the current step, with everything
            saved.

    Returns:
        The path of the weights.

    Raises:
        UserError: When the settings do not fit, a file cannot be read or written, or the loss diverges.
    """
    return _Run(settings, progress).execute()


class _Run:
    def __init__(self, settings: TrainingSettings, progress: Progress) -> None:
        _check(settings)
        self.settings = settings
        self.progress = progress
        self.device = _device(settings.device)
        self.folder = Path(settings.folder)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"The folder {self.folder} cannot be written; choose another.") from error
        state = load_state(self.folder) if settings.resume else None
        self.network = _network(settings).to(self.device).train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=settings.learning_rate)
        self.step, self.elapsed, self.skipped, self.skipped_in_a_row = 0, 0.0, 0, 0
        if state is not None:
            self._restore(state)
        self.metrics = MetricsTable(self.folder / "metrics.csv", _STEP_COLUMNS, self.step)
        self.scores = MetricsTable(self.folder / "validation.csv", _VALIDATION_COLUMNS, self.step)

    def _restore(self, state: TrainingState) -> None:
        try:
            self.network.load_state_dict(state.network)
            self.optimizer.load_state_dict(state.optimizer)
        except (RuntimeError, ValueError, KeyError) as error:
            raise UserError(
                f"The training state in {self.folder} is of another network; remove it to start anew."
            ) from error
        self.step, self.elapsed, self.skipped = state.step, state.elapsed, state.skipped
        torch.set_rng_state(state.random)

    def execute(self) -> Path:
        settings = self.settings
        paths = (*settings.label_maps, *settings.validation_maps)
        maps = read_label_maps(paths, settings.axes)
        number = len(settings.label_maps)
        synthesizer = PairSynthesizer(maps[:number], settings.synthesis)
        pairs = []
        if settings.validation_maps and settings.validation_pairs > 0:
            pairs = PairSynthesizer(maps[number:], settings.synthesis).validation_pairs(
                settings.validation_pairs, _VALIDATION_SEED, sum(settings.spacing) / 2
            )
        pairs = [pair.to(self.device) for pair in pairs]
        started, saved = time.monotonic() - self.elapsed, time.monotonic()
        if self.step == 0:
            self._validate(pairs)
        while self._part_done() < 1 and not self._cancelled():
            self._train_step(synthesizer)
            self.elapsed = time.monotonic() - started
            if self.step % settings.validation_steps == 0:
                self._validate(pairs)
            if time.monotonic() - saved > settings.save_seconds:
                self._save()
                saved = time.monotonic()
        if self.step % settings.validation_steps:
            self._validate(pairs)
        return self._save()

    def _part_done(self) -> float:
        parts = [0.0]
        if self.settings.minutes is not None:
            parts.append(self.elapsed / (60 * self.settings.minutes))
        if self.settings.steps is not None:
            parts.append(self.step / self.settings.steps)
        return max(parts)

    def _cancelled(self) -> bool:
        try:
            self.progress.report(self._part_done())
        except CancelledError:
            return True
        return False

    def _train_step(self, synthesizer: PairSynthesizer) -> None:
        settings = self.settings
        self.step += 1
        spacings = np.linspace(*settings.spacing, settings.spacing_choices)
        spacing = float(np.random.default_rng((settings.seed, self.step, 1)).choice(spacings))
        pair = synthesizer.pair(settings.seed, self.step, spacing).to(self.device)
        rate = settings.learning_rate * (1 - self._part_done()) ** _DECAY_POWER if self._part_done() < 1 else 0.0
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss, terms = self._loss(pair)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if self._usable(loss):
            self.optimizer.step()
        row = {"step": self.step, "elapsed": self.elapsed, "spacing": spacing, "loss": float(loss)}
        self.metrics.add({**row, **terms, "learning_rate": rate})

    def _loss(self, pair: TrainingPair) -> tuple[torch.Tensor, dict[str, float]]:
        settings = self.settings
        displacement = self.network(pair.moving, pair.fixed).displacement
        ncc = local_ncc(warp(pair.moving, displacement), pair.fixed)
        smoothness = diffusion(displacement)
        loss = ncc + settings.diffusion_weight * smoothness
        terms = {"ncc": float(ncc), "diffusion": float(smoothness)}
        if settings.dice_weight > 0:
            dice = soft_dice(warp(pair.moving_labels, displacement), pair.fixed_labels)
            loss = loss + settings.dice_weight * (1 - dice)
            terms["dice"] = float(dice)
        terms["folding"] = float(folding_percent(displacement.detach()))
        return loss, terms

    def _usable(self, loss: torch.Tensor) -> bool:
        """Returns whether loss and gradients are finite; stops the run when they keep failing."""
        norm = torch.nn.utils.get_total_norm(
            [p.grad for p in self.network.parameters() if p.grad is not None]
        )
        if bool(torch.isfinite(loss)) and bool(torch.isfinite(norm)):
            self.skipped_in_a_row = 0
            return True
        self.skipped += 1
        self.skipped_in_a_row += 1
        _log.warning("step %d has no finite loss and is skipped", self.step)
        if self.skipped_in_a_row >= _MOST_SKIPPED_IN_A_ROW:
            raise UserError(
                f"The loss was no finite number for {_MOST_SKIPPED_IN_A_ROW} steps in a row, at step "
                f"{self.step}; go on from the last saved state with a lower learning rate."
            )
        return False

    def _validate(self, pairs: list[TrainingPair]) -> None:
        if pairs:
            scores = validate(self.network, pairs)
            self.scores.add({"step": self.step, "elapsed": self.elapsed, **asdict(scores)})

    def _save(self) -> Path:
        path = self.folder / WEIGHTS_FILE
        try:
            save_state(
                self.folder,
                TrainingState(
                    self.step,
                    self.elapsed,
                    self.skipped,
                    self.network.state_dict(),
                    self.optimizer.state_dict(),
                    torch.get_rng_state(),
                ),
            )
            save_checkpoint(path, self.network, _info(self.settings, self.step))
        except (OSError, RuntimeError) as error:
            raise UserError(f"The weights cannot be written to {self.folder}; check the disk.") from error
        return path


def _check(settings: TrainingSettings) -> None:
    if settings.minutes is None and settings.steps is None:
        raise UserError("Training has no end; give a number of minutes or steps.")
    low, high = settings.spacing
    if not 0 < low <= high:
        raise UserError(f"The spacing range {low} to {high} mm is no range; give two rising positive numbers.")
    shared = set(settings.label_maps) & set(settings.validation_maps)
    if shared:
        raise UserError(f"{sorted(shared)[0]} is both trained on and validated on; exclude it from one.")


def _device(name: str) -> torch.device:
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise UserError("There is no CUDA device; choose the device cpu or auto.")
    return torch.device("cuda" if name != "cpu" and available else "cpu")


def _network(settings: TrainingSettings) -> SACBNet:
    if settings.start is not None:
        network = load_checkpoint(settings.start)
        network.clusters = settings.clusters
        return network
    with torch.random.fork_rng():
        torch.manual_seed(settings.seed)
        return SACBNet(clusters=settings.clusters, feature_mean=settings.feature_mean)


def _info(settings: TrainingSettings, steps: int) -> dict[str, object]:
    heads = [Path(path).name.split(".")[0] for path in settings.label_maps]
    return {
        "preset": settings.preset,
        "training_data": f"synthesised from {len(heads)} label maps: {', '.join(heads)}",
        "licence": LICENCE,
        "version": __version__,
        "spacing_mm": [float(value) for value in settings.spacing],
        "extent_mm": [float(value) for value in settings.synthesis.extent],
        "steps": steps,
        "diffusion_weight": settings.diffusion_weight,
        "dice_weight": settings.dice_weight,
        "learning_rate": settings.learning_rate,
        "seed": settings.seed,
    }
