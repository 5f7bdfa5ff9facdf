"""Dice of the structures on held-out pairs, by which the best checkpoint is chosen."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch.nn import functional as F

from SACBRegistrationLib.network import SACBNet
from SACBRegistrationLib.network.clustering import KMeansSettings
from SACBRegistrationLib.network.flow import sampling_grid, warp
from SACBRegistrationLib.training.losses import folding_percent, soft_dice
from SACBRegistrationLib.training.pairs import TrainingPair, label_places
from SACBRegistrationLib.training.prefetch import prefetched

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class ValidationScores:
    """Means over the pairs.

    Attributes:
        dice_before: Mean Dice of the structures as the pair lies.
        dice_after: The same after the network.
        folding_percent: Percentage of folded voxels.
    """

    dice_before: float
    dice_after: float
    folding_percent: float


def never() -> bool:
    """Returns False: what is asked where nothing stops a validation."""
    return False


@torch.no_grad()
def validate(
    fabric: Fabric,
    network: SACBNet,
    pairs: Sequence[TrainingPair],
    workers: int = 1,
    stopped: Callable[[], bool] = never,
) -> ValidationScores | None:
    """Scores a network on pairs with labels, which the processes share among each other.

    Args:
        fabric: Distributes; every process must call this.
        network: On the device.
        pairs: The pairs.
        workers: Threads that prepare pairs ahead.
        stopped: Asked before every pair whether to give up.

    Returns:
        The scores, the same in all processes; None when one of them was stopped.
    """
    network.eval()
    # As it clusters when it registers, not as it did in the last step.
    former, network.kmeans = network.kmeans, KMeansSettings()
    totals = torch.zeros(5, dtype=torch.float64)
    numbers = range(fabric.global_rank, len(pairs), fabric.world_size)
    try:
        with closing(prefetched(pairs.__getitem__, numbers, workers)) as own:
            for pair in own:
                if stopped():
                    totals[4] = 1
                    break
                totals[:4] += _scores(fabric, network, pair.to(fabric.device))
    finally:
        network.kmeans = former
    if fabric.world_size > 1:
        totals = fabric.all_reduce(totals, reduce_op="sum").cpu()
    if totals[4] > 0:
        return None
    means = (totals[:3] / totals[3].clamp(min=1)).tolist()
    return ValidationScores(*(round(value, 5) for value in means))


def _scores(fabric: Fabric, network: SACBNet, pair: TrainingPair) -> torch.Tensor:
    """Returns Dice before and after, folding, and 1 for the pair, [4]."""
    with fabric.autocast():
        displacement = network(pair.moving, pair.fixed).displacement
    displacement = displacement.float()
    scores = (pair_dice(pair), pair_dice(pair, displacement), folding_percent(displacement), 1.0)
    return torch.tensor([float(score) for score in scores], dtype=torch.float64)


def pair_dice(pair: TrainingPair, displacement: torch.Tensor | None = None) -> float:
    """Returns the mean Dice over the structures that both images of a pair hold.

    Label maps are warped with nearest neighbour, and a structure that is lost then scores 0; shares are
    warped linearly.

    Args:
        pair: With labels.
        displacement: [1, 3, D, H, W], voxels; None scores the pair as it lies.
    """
    moving, fixed = pair.moving_labels, pair.fixed_labels
    if pair.structures is None:
        return float(soft_dice(moving if displacement is None else warp(moving, displacement), fixed))
    wanted = len(pair.structures)
    places = [label_places(each.reshape(-1), pair.structures) for each in (moving, fixed)]
    counts = [torch.bincount(each, minlength=wanted + 1)[:wanted] for each in places]
    both = (counts[0] > 0) & (counts[1] > 0)
    if not bool(both.any()):
        return 0.0
    if displacement is not None:
        # Whole numbers below 2^24 are exact in float32.
        grid = sampling_grid(displacement)
        warped = F.grid_sample(moving.float(), grid, mode="nearest", align_corners=True).round().long()
        places[0] = label_places(warped.reshape(-1), pair.structures)
        counts[0] = torch.bincount(places[0], minlength=wanted + 1)[:wanted]
    shared = torch.bincount(places[1][places[0] == places[1]], minlength=wanted + 1)[:wanted]
    return float((2 * shared[both] / (counts[0] + counts[1])[both]).mean())
