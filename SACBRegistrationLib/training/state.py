"""The state of a training run on disk: enough to go on after a kill as if nothing had happened."""

import os
import pickle
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import SACBNet

STATE_FILE = "state.pt"


@dataclass(frozen=True)
class TrainingProgress:
    """How far a run has come.

    Attributes:
        step: Steps of the optimiser done.
        elapsed: Seconds of training done, over all resumptions.
        best_dice: Best validation Dice so far, or -1.
        best_step: Step of the best validation Dice.
        samples: Pairs used; more than steps where several devices take one each.
        validated: Last step after which was validated.
        step_seconds: Seconds of `elapsed` spent in steps, the waiting for data counted, validation not.
        memory_mib: Most GPU memory held on one device, MiB; 0 on a CPU.
    """

    step: int = 0
    elapsed: float = 0.0
    best_dice: float = -1.0
    best_step: int = 0
    samples: int = 0
    validated: int = 0
    step_seconds: float = 0.0
    memory_mib: float = 0.0


def save_state(
    folder: Path,
    network: SACBNet,
    optimizer: torch.optim.Optimizer,
    progress: TrainingProgress,
    choices: Mapping[str, object],
    scaler: Mapping[str, object] | None = None,
) -> None:
    """Writes the state; the file appears complete or not at all.

    Args:
        folder: Where to.
        network: Its weights are stored.
        optimizer: Its moments are stored.
        progress: How far the run has come.
        choices: What a resumption must have in common with this run, plain values by their names.
        scaler: State of the loss scaling of half precision, or None.

    Raises:
        UserError: When it cannot be written.
    """
    content = {
        "network": network.state_dict(),
        "optimizer": optimizer.state_dict(),
        "progress": asdict(progress),
        "choices": dict(choices),
        "scaler": dict(scaler or {}),
    }
    temporary = folder / (STATE_FILE + ".partial")
    try:
        with temporary.open("wb") as file:
            torch.save(content, file)
        os.replace(temporary, folder / STATE_FILE)
    except OSError as error:
        raise UserError(
            f"The training state cannot be written to {folder} ({error.strerror or error}); make room and "
            "resume."
        ) from error


def load_state(
    folder: Path,
    network: SACBNet,
    optimizer: torch.optim.Optimizer,
    choices: Mapping[str, object],
) -> tuple[TrainingProgress, dict]:
    """Puts a saved state into the network and the optimiser.

    Random numbers need no state: every pair is drawn from the run's seed and its own number.

    Args:
        folder: Where it lies.
        network: Receives the weights.
        optimizer: Receives the moments.
        choices: What must be as it was, see `save_state`.

    Returns:
        How far the run had come, and the state of the loss scaling, empty without.

    Raises:
        UserError: When the file is missing, damaged or of another network, or a choice differs.
    """
    path = folder / STATE_FILE
    if not path.is_file():
        raise UserError(f"There is no training to resume in {folder}; start it without --resume.")
    damaged = UserError(f"The training state {path} does not fit or is damaged; start it anew.")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        former = dict(content.get("choices", {}))
    except (RuntimeError, EOFError, OSError, ValueError, AttributeError, pickle.UnpicklingError) as error:
        raise damaged from error
    for name, value in choices.items():
        if name in former and former[name] != value:
            raise UserError(
                f"The training in {folder} was begun with {name} {former[name]}, not {value}; resume it with "
                "that, or train in another folder."
            )
    try:
        network.load_state_dict(content["network"])
        optimizer.load_state_dict(content["optimizer"])
        counts = dict(content["progress"])
        # Runs of earlier versions took one pair a step.
        counts.setdefault("samples", counts.get("step", 0))
        return TrainingProgress(**counts), dict(content.get("scaler", {}))
    except (RuntimeError, ValueError, KeyError, TypeError) as error:
        raise damaged from error
