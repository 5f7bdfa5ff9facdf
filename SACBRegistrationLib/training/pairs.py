"""Training pairs, where they come from, and the order in which they are used."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import numpy as np
import torch
from torch.nn import functional as F


@dataclass(frozen=True)
class TrainingPair:
    """One training pair; every tensor is on the same grid, D, H, W in the preset's axis order.

    Attributes:
        moving: [1, 1, D, H, W] in [0, 1].
        fixed: [1, 1, D, H, W] in [0, 1].
        moving_labels: Share of every voxel that each structure fills, [1, structures, D, H, W] float; or,
            where `structures` says which, the label values [1, 1, D, H, W], whole numbers. None without
            labels.
        fixed_labels: The same of the fixed image.
        spacing: Voxel size, mm.
        structures: Label values that count, ascending; None where the labels are shares.
    """

    moving: torch.Tensor
    fixed: torch.Tensor
    moving_labels: torch.Tensor | None
    fixed_labels: torch.Tensor | None
    spacing: float
    structures: tuple[int, ...] | None = None

    @property
    def labelled(self) -> bool:
        """Whether both images have labels."""
        return self.moving_labels is not None and self.fixed_labels is not None

    def to(self, device: torch.device) -> "TrainingPair":
        """Returns the pair on another device."""
        names = ("moving", "fixed", "moving_labels", "fixed_labels")
        tensors = {name: getattr(self, name) for name in names}
        moved = {name: None if each is None else each.to(device) for name, each in tensors.items()}
        return replace(self, **moved)

    def label_shares(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the labels of moving and fixed as shares [1, structures, D, H, W] float32; needs both."""
        if self.structures is None:
            return self.moving_labels, self.fixed_labels
        return tuple(_one_hot(each, self.structures) for each in (self.moving_labels, self.fixed_labels))


def label_places(labels: torch.Tensor, structures: tuple[int, ...]) -> torch.Tensor:
    """Returns each label's place in the ascending `structures`, or their number for every other label.

    Args:
        labels: Whole numbers, any shape.
        structures: Label values, ascending.

    Returns:
        int64, the shape of `labels`.
    """
    wanted = torch.tensor(structures, dtype=torch.int64, device=labels.device)
    values = labels.long().contiguous()
    places = torch.searchsorted(wanted, values).clamp_(max=max(len(structures) - 1, 0))
    return torch.where(wanted[places] == values, places, len(structures))


def _one_hot(labels: torch.Tensor, structures: tuple[int, ...]) -> torch.Tensor:
    places = label_places(labels[:, 0], structures)
    shares = F.one_hot(places, len(structures) + 1)[..., : len(structures)]
    return shares.movedim(-1, 1).float()


class PairSource(Protocol):
    """Where the pairs of a training come from; the same number always gives the same pair.

    Attributes:
        epoch_length: Pairs of an epoch; None where pairs never repeat.
    """

    epoch_length: int | None

    def pair(self, number: int) -> TrainingPair:
        """Returns a pair by its number, counted from the beginning of the training; from any thread."""
        ...


class Synthesizer(Protocol):
    """What makes pairs from label maps.

    Attributes:
        maps: The label maps.
    """

    maps: tuple

    def pair(self, seed: int, step: int, spacing: float) -> TrainingPair:
        """Returns a pair that depends on the arguments alone."""
        ...

    def validation_pairs(self, number: int, seed: int, spacing: float) -> list[TrainingPair]:
        """Returns pairs to validate on."""
        ...


class SynthesisedPairs:
    """Endless synthesised pairs, each at a voxel size of its own.

    Args:
        synthesizer: Makes them.
        seed: Seed of the training.
        spacing: Lowest and highest voxel size, mm.
    """

    epoch_length = None

    def __init__(self, synthesizer: Synthesizer, seed: int, spacing: tuple[float, float]) -> None:
        self._synthesizer, self._seed, self._spacing = synthesizer, seed, spacing

    def pair(self, number: int) -> TrainingPair:
        """Returns the pair of this number."""
        spacing = float(np.random.default_rng((self._seed, number, 1)).uniform(*self._spacing))
        return self._synthesizer.pair(self._seed, number, spacing)


class ShuffledEpochs:
    """Recorded pairs, each once in an epoch, in an order of every epoch's own.

    Args:
        pairs: The pairs.
        seed: Seed of the training.
    """

    def __init__(self, pairs: Sequence[TrainingPair], seed: int) -> None:
        self._pairs = pairs
        self.epoch_length = len(pairs)
        self._order = lru_cache(maxsize=2)(
            lambda epoch: np.random.default_rng((seed, epoch)).permutation(len(pairs))
        )

    def pair(self, number: int) -> TrainingPair:
        """Returns the pair of this number."""
        epoch, place = divmod(number, self.epoch_length)
        return self._pairs[int(self._order(epoch)[place])]


@dataclass(frozen=True)
class TrainingGrid:
    """The grids that a network is trained on.

    Attributes:
        axes: Axis codes of the arrays, such as "LIA".
        spacing: Lowest and highest voxel size, mm.
        extent: Length along D, H, W, mm.
        largest_extent: Largest length; None where all grids have `extent`.
    """

    axes: str
    spacing: tuple[float, float]
    extent: tuple[float, float, float]
    largest_extent: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class TrainingData:
    """Everything that a training computes with.

    Attributes:
        training: The training pairs.
        validation: Pairs to choose the best checkpoint by; empty keeps the last.
        test: Pairs to score the finished network on; may be empty.
        grid: The grids they lie on.
        description: What they are, for the checkpoint's metadata.
        licence: Terms that the weights are under, for the same place.
    """

    training: PairSource
    validation: Sequence[TrainingPair]
    test: Sequence[TrainingPair]
    grid: TrainingGrid
    description: str
    licence: str
