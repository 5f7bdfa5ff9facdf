"""The files of a training that hold weights: the best, the last, and the state to resume from."""

import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from SACBRegistrationLib import __version__
from SACBRegistrationLib.network import SACBNet, save_checkpoint
from SACBRegistrationLib.training.pairs import TrainingData
from SACBRegistrationLib.training.settings import TrainingSettings
from SACBRegistrationLib.training.state import TrainingProgress, load_state, save_state

BEST_FILE = "weights.pt"
LAST_FILE = "last.pt"

logger = logging.getLogger(__name__)


class TrainingFiles:
    """Writes and reads the files of one training; all appear complete or not at all.

    Args:
        settings: The training's.
        data: The training's.
        network: Whose weights are stored.
        optimizer: Whose moments are stored.
        scaler: Scaling of the loss of float16, or None.
    """

    def __init__(
        self,
        settings: TrainingSettings,
        data: TrainingData,
        network: SACBNet,
        optimizer: torch.optim.Optimizer,
        scaler: "torch.amp.GradScaler | None" = None,
    ) -> None:
        self._settings, self._data = settings, data
        self._network, self._optimizer, self._scaler = network, optimizer, scaler

    @property
    def best(self) -> Path:
        """The checkpoint with the best validation Dice; the last one before the first validation."""
        return self._settings.output / BEST_FILE

    def load(self) -> TrainingProgress:
        """Goes on from the state; see `load_state` for the errors."""
        folder = self._settings.output
        done, scaler = load_state(folder, self._network, self._optimizer, self._choices())
        if self._scaler is not None and scaler:
            self._scaler.load_state_dict(scaler)
        return done

    def save(self, done: TrainingProgress) -> None:
        """Writes the state and the last checkpoint, and the best where there is no validated one."""
        scaler = None if self._scaler is None else self._scaler.state_dict()
        folder = self._settings.output
        save_state(folder, self._network, self._optimizer, done, self._choices(), scaler)
        save_checkpoint(folder / LAST_FILE, self._network, self._info(done))
        if done.best_dice < 0:
            save_checkpoint(self.best, self._network, self._info(done))

    def save_best(self, done: TrainingProgress) -> None:
        """Writes the checkpoint that was just validated as the best."""
        save_checkpoint(self.best, self._network, self._info(done))

    def _choices(self) -> Mapping[str, object]:
        settings = self._settings
        return {
            "the seed": settings.seed,
            "the clusters": settings.clusters,
            "the feature mean": settings.feature_mean,
            "the SACB levels": list(settings.sacb_levels),
            "the data": self._data.description,
        }

    def _info(self, done: TrainingProgress) -> dict[str, object]:
        grid = self._data.grid
        return {
            "preset": self._settings.preset,
            "axes": grid.axes,
            "spacing_mm": list(grid.spacing),
            "extent_mm": list(grid.extent),
            "largest_extent_mm": list(grid.largest_extent or grid.extent),
            "symmetric_passes": self._settings.symmetric_passes,
            "training_data": self._data.description,
            "licence": self._data.licence,
            "version": __version__,
            "steps": done.step,
            "training_minutes": round(done.elapsed / 60, 1),
            "validation_dice": done.best_dice,
        }
