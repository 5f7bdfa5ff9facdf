"""The state of a training run on disk: enough to go on after a kill as if nothing had happened."""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.foreign_text import shown
from SACBRegistrationLib.network import SACBNet
from SACBRegistrationLib.network.checkpoint_file import read_torch_file
from SACBRegistrationLib.network.checkpoint_info import offending_info_key

STATE_FILE = "state.pt"
_ANEW = "start the training anew"
_ADAM = {"step", "exp_avg", "exp_avg_sq"}
# More steps or seconds than any training has, and still exact.
_MOST = 1e15


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
    content = read_torch_file(path, "training state", _ANEW)
    try:
        former = _mapping(content, "choices")
        if (key := offending_info_key(former)) is not None:
            raise ValueError(f"the choice {key!r} is no plain data")
        for name, value in choices.items():
            if name in former and former[name] != value:
                raise UserError(
                    f"The training in {folder} was begun with {name} {shown(former[name])}, not {value}; "
                    "resume it with that, or train in another folder."
                )
        progress = _progress(_mapping(content, "progress"))
        scaling = _mapping(content, "scaler")
        if not all(_is_number(value) for value in scaling.values()):
            raise ValueError("the loss scaling is made of numbers")
        weights, moments = _weights(content, network), _moments(content, optimizer)
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"The training state {path} does not fit or is damaged; {_ANEW}.") from error
    network.load_state_dict(weights)
    # What else the file says of the optimiser is what this one was made with.
    optimizer.load_state_dict({"state": moments, "param_groups": optimizer.state_dict()["param_groups"]})
    return progress, scaling


def _mapping(content: object, name: str) -> dict:
    """Returns a dictionary of a state; earlier versions wrote neither choices nor scaling."""
    if not isinstance(content, dict) or not isinstance(part := content.get(name, {}), dict):
        raise TypeError(f"a state has no dictionary {name}")
    if not all(isinstance(key, str) for key in part):
        raise TypeError(f"{name} has a key that is no text")
    return dict(part)


def _is_number(value: object) -> bool:
    # Of what is no number or infinite, no comparison is true.
    return type(value) in (int, float) and -_MOST < value < _MOST


def _progress(counts: dict) -> TrainingProgress:
    # Runs of earlier versions took one pair a step.
    counts.setdefault("samples", counts.get("step", 0))
    kinds = {each.name: each.type for each in fields(TrainingProgress)}
    for name, value in counts.items():
        least = -1 if name == "best_dice" else 0
        if not _is_number(value) or value < least or (kinds[name] is int and type(value) is not int):
            raise ValueError(f"{name} cannot be {value!r:.40}")
    return TrainingProgress(**counts)


def _weights(content: dict, network: SACBNet) -> dict[str, torch.Tensor]:
    expected, weights = network.state_dict(), content["network"]
    if not isinstance(weights, dict) or weights.keys() != expected.keys():
        raise ValueError("the weights are those of another network")
    for name, value in expected.items():
        _check_like(weights[name], value)
    return dict(weights)


def _moments(content: dict, optimizer: torch.optim.Optimizer) -> dict[int, dict[str, torch.Tensor]]:
    """Returns Adam's moments by the number of their parameter; none before the first step."""
    parameters = [each for group in optimizer.param_groups for each in group["params"]]
    moments = _mapping(content, "optimizer").get("state")
    if not isinstance(moments, dict):
        raise TypeError("a state has no moments")
    for number, values in moments.items():
        known = type(number) is int and 0 <= number < len(parameters)
        if not known or not isinstance(values, dict) or values.keys() != _ADAM:
            raise ValueError("the moments are those of another optimiser")
        for name, value in values.items():
            _check_like(value, torch.zeros(()) if name == "step" else parameters[number])
    return moments


def _check_like(value: object, expected: torch.Tensor) -> None:
    """Raises ValueError unless a value can stand where a tensor stands."""
    if not isinstance(value, torch.Tensor) or value.layout != torch.strided or value.device.type != "cpu":
        raise ValueError("a value is no tensor")
    if value.shape != expected.shape or not value.is_floating_point():
        raise ValueError("a tensor has another shape or type")
