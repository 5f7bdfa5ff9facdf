"""One step of training: the loss of the paper (equation 1) and Adam."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING

import torch
from torch import nn

from SACBRegistrationLib.network import SACBNet
from SACBRegistrationLib.network.flow import warp
from SACBRegistrationLib.training.losses import diffusion, folding_percent, local_ncc, soft_dice
from SACBRegistrationLib.training.pairs import TrainingPair
from SACBRegistrationLib.training.settings import TrainingSettings

if TYPE_CHECKING:
    from lightning_fabric import Fabric

_LARGEST_GRADIENT = 5.0
# K-Means of a step: a few thousand voxels tell the clusters well enough, in a fraction of the time.
_KMEANS_STEPS, _KMEANS_SAMPLE = 15, 8000


class DisplacementNetwork(nn.Module):
    """SACB-Net reduced to what the loss needs: one tensor, which every way of distributing it can return.

    Args:
        network: The network; its weights are this module's.
    """

    def __init__(self, network: SACBNet) -> None:
        super().__init__()
        self.network = network

    def forward(self, moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        """Returns the displacement [B, 3, D, H, W] in voxels, of images [B, 1, D, H, W] in [0, 1]."""
        return self.network(moving, fixed).displacement


@dataclass(frozen=True)
class StepTerms:
    """What one step computed, averaged over the devices.

    Attributes:
        loss: The loss.
        ncc: Negated mean squared local correlation.
        diffusion: Mean squared forward difference of the displacement, voxels^2.
        dice: Soft Dice of the structures; 0 where the loss has no such term.
        folding_percent: Percentage of folded voxels.
    """

    loss: float
    ncc: float
    diffusion: float
    dice: float
    folding_percent: float

    def values(self) -> tuple[float, ...]:
        """Returns them in this order."""
        return tuple(getattr(self, each.name) for each in fields(self))


def take_step(
    fabric: Fabric,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    pair: TrainingPair,
    settings: TrainingSettings,
    rate: float,
    number: int,
) -> StepTerms | None:
    """Computes loss and gradients of a pair and takes a step; where they are not finite, it takes none.

    The loss is computed in float32 whatever the precision of the network: sums over 729 voxels do not fit
    into half precision.

    Args:
        fabric: Distributes.
        model: `DisplacementNetwork` as `fabric.setup` returned it.
        optimizer: As `fabric.setup` returned it.
        pair: This process's pair, on any device.
        settings: Weights of the loss, and the seed.
        rate: Learning rate.
        number: Number of the pair, which the clustering draws by.

    Returns:
        The terms, the same in all processes; None where no step was taken.
    """
    model.train()
    network: SACBNet = model.module.network
    network.kmeans = replace(
        network.kmeans, seed=settings.seed + number, max_steps=_KMEANS_STEPS, sample=_KMEANS_SAMPLE
    )
    for group in optimizer.param_groups:
        group["lr"] = rate
    pair = pair.to(fabric.device)
    displacement = model(pair.moving, pair.fixed)
    ncc = local_ncc(warp(pair.moving, displacement), pair.fixed)
    smoothness = diffusion(displacement)
    dice = ncc.new_zeros(())
    if settings.dice_weight:
        moving, fixed = pair.label_shares()
        dice = soft_dice(warp(moving, displacement), fixed)
    loss = ncc + settings.diffusion_weight * smoothness
    if settings.dice_weight:
        loss = loss + settings.dice_weight * (1 - dice)
    optimizer.zero_grad()
    fabric.backward(loss)
    # The gradients are those of all processes together, so that all of them take the step or none does.
    norm = fabric.clip_gradients(model, optimizer, max_norm=_LARGEST_GRADIENT, error_if_nonfinite=False)
    terms = torch.stack([loss, ncc, smoothness, dice, folding_percent(displacement.detach())]).detach()
    if fabric.world_size > 1:
        terms = fabric.all_reduce(terms, reduce_op="mean")
    sound = bool(torch.isfinite(norm)) and bool(torch.isfinite(terms[0]))
    # With float16 the scaling of the loss is lowered here, and the step left out, when it was too high.
    if sound or settings.devices.precision == "float16":
        optimizer.step()
    return StepTerms(*(round(float(term), 6) for term in terms)) if sound else None
