"""Hostile states of a training: what a torch file can do, in the form that a resumption reads."""

import io
from pathlib import Path

import torch
from Hostile.checkpoints import hostile_torch_file, odd_value
from Hostile.damage import Random, pick
from Hostile.place import Place

from SACBRegistrationLib.training.state import STATE_FILE, TrainingProgress, load_state, save_state

_CHOICES = {"the seed": 0, "the clusters": 7, "the SACB levels": [5, 4], "the data": "made up"}
_PLAIN = (0, 1, -1, 3, 0.5, True, "other", "a\nb", [5], [5, 4, 3], {})


class States:
    """Makes hostile states of a tiny network, and reads them as a resumed training does."""

    def __init__(self, folder: Path) -> None:
        save_state(folder, *_fresh(steps=1), TrainingProgress(3, 7.5), _CHOICES, {"scale": 2.0})
        self._sound = (folder / STATE_FILE).read_bytes()

    def write(self, rng: Random, place: Place) -> Path:
        """Writes one hostile file and returns its folder, which a training is resumed in."""
        document = torch.load(io.BytesIO(self._sound), weights_only=True)
        for _ in range(int(rng.integers(0, 4))):
            _change(rng, document)
        # In half of the cases the file is sound, so that what it holds is looked at.
        content = hostile_torch_file(document, rng, place.marker, full=rng.random() < 0.5)
        (place.inside / STATE_FILE).write_bytes(content)
        return place.inside

    def read(self, folder: Path) -> str | None:
        """Reads the one in a folder, and takes a step with it; returns what is wrong with what came out."""
        network, optimizer = _fresh(steps=0)
        progress, scaling = load_state(folder, network, optimizer, _CHOICES)
        _step(network, optimizer)
        if not all(type(each) is int for each in (progress.step, progress.samples, progress.validated)):
            return "a count is no whole number"
        return None if all(type(value) in (int, float) for value in scaling.values()) else "no scaling"


def _fresh(steps: int) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
    for _ in range(steps):
        _step(network, optimizer)
    return network, optimizer


def _step(network: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
    optimizer.zero_grad()
    network(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()


def _change(rng: Random, document: dict) -> None:
    """Puts another value somewhere into a state, or takes something out of it."""
    target = pick(rng, [document, *(part for part in document.values() if isinstance(part, dict) and part)])
    # The moments lie deeper.
    while target is not document and rng.random() < 0.7:
        inner = [part for part in target.values() if isinstance(part, dict) and part]
        if not inner:
            break
        target = pick(rng, inner)
    key = pick(rng, [*target, "more", 5])
    if rng.random() < 0.2:
        target.pop(key, None)
    else:
        target[key] = pick(rng, _PLAIN) if rng.random() < 0.5 else odd_value(rng)
