"""The state of a training run on disk: complete or absent, never half written."""

import os
import pickle
from dataclasses import dataclass
from pathlib import Path

import torch

from SACBRegistrationLib.errors import UserError

STATE_FILE = "state.pt"
_KEYS = {"step", "elapsed", "skipped", "network", "optimizer", "random"}


@dataclass(frozen=True)
class TrainingState:
    """Where a run stands; everything else random follows from the seed and the step.

    Attributes:
        step: Steps done.
        elapsed: Seconds spent on them.
        skipped: Steps whose loss was no finite number.
        network: The network's state dict.
        optimizer: The optimiser's state dict.
        random: State of torch's generator.
    """

    step: int
    elapsed: float
    skipped: int
    network: dict
    optimizer: dict
    random: torch.Tensor


def save_state(folder: Path, state: TrainingState) -> None:
    """Replaces the state in a folder."""
    temporary = folder / (STATE_FILE + ".partial")
    torch.save({key: getattr(state, key) for key in _KEYS}, temporary)
    os.replace(temporary, folder / STATE_FILE)


def load_state(folder: Path) -> TrainingState | None:
    """Returns the state in a folder, or None where there is none.

    Raises:
        UserError: When the file is damaged.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, pickle.UnpicklingError) as error:
        raise UserError(f"The training state {path} is damaged; remove it to start anew.") from error
    if not isinstance(content, dict) or set(content) != _KEYS:
        raise UserError(f"The file {path} is no training state; remove it to start anew.")
    return TrainingState(**content)
