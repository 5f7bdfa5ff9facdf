"""The state of a training run on disk: enough to go on after a kill as if nothing had happened."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import SACBNet

STATE_FILE = "state.pt"


@dataclass(frozen=True)
class TrainingProgress:
    """How far a run has come.

    Attributes:
        step: Steps done.
        elapsed: Seconds of training done, over all resumptions.
        best_dice: Best validation Dice so far, or -1.
    """

    step: int = 0
    elapsed: float = 0.0
    best_dice: float = -1.0


def save_state(
    folder: Path, network: SACBNet, optimizer: torch.optim.Optimizer, progress: TrainingProgress
) -> None:
    """Writes the state; the file appears complete or not at all."""
    content = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": {"step": progress.step, "elapsed": progress.elapsed, "best_dice": progress.best_dice},
    }
    temporary = folder / (STATE_FILE + ".partial")
    torch.save(content, temporary)
    os.replace(temporary, folder / STATE_FILE)


def load_state(folder: Path, network: SACBNet, optimizer: torch.optim.Optimizer) -> TrainingProgress:
    """Puts a saved state into the network and the optimiser.

    Random numbers need no state: every step draws from the run's seed and its own number.

    Raises:
        UserError: When the file is missing, damaged or of another network.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        raise UserError(f"There is no training to resume in {folder}; start it without --resume.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        network.load_state_dict(content["network"])
        optimizer.load_state_dict(content["optimizer"])
        return TrainingProgress(**content["progress"])
    except (
        RuntimeError,
        EOFError,
        OSError,
        ValueError,
        KeyError,
        TypeError,
        pickle.UnpicklingError,
    ) as error:
        raise UserError(f"The training state {path} does not fit or is damaged; start it anew.") from error
