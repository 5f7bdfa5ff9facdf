"""Instance optimisation: improves the deformation of one pair, coarse to fine."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.nn import functional as F
from torch.optim.adam import adam

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.network.flow import warp
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.registration.box_filter import box_sum
from SACBRegistrationLib.registration.lattice import transfer
from SACBRegistrationLib.registration.similarity import LocalCorrelation


@dataclass(frozen=True)
class RefinementSettings:
    """How one pair is refined; the defaults were chosen on brain scans.

    Attributes:
        steps: Most Adam steps per resolution.
        rate: Adam's step, voxels of the resolution.
        window: Side of the local correlation's window, voxels of the resolution.
        smoothness: Weight of the diffusion regulariser per resolution, coarse to fine; the last value serves
            all further ones.
        coarsening: The deformation has one control node per so many voxels, per resolution likewise.
        folding_weight: Weight of the penalty on small Jacobian determinants.
        folding_margin: Determinants below this are penalised.
        patience: Ends a resolution when so many steps gained less than `gain`.
        gain: Least gain of the loss over `patience` steps.
    """

    steps: int = 60
    rate: float = 0.3
    window: int = 5
    smoothness: tuple[float, ...] = (2.0, 3.0)
    coarsening: tuple[int, ...] = (2, 1)
    folding_weight: float = 10.0
    folding_margin: float = 0.3
    patience: int = 10
    gain: float = 2e-3


@dataclass(frozen=True)
class RefinementLevel:
    """The pair at one resolution.

    Attributes:
        grid: Lattice of the level, in fixed space.
        fixed: [1, 1, D, H, W] in [0, 1].
        moving: [1, 1, D, H, W] in [0, 1], resampled through the alignment.
        weight: [1, 1, D, H, W], where similarity counts.
    """

    grid: Grid
    fixed: torch.Tensor
    moving: torch.Tensor
    weight: torch.Tensor


@dataclass(frozen=True)
class Refined:
    """A refined deformation.

    Attributes:
        displacement: [1, 3, D, H, W] in voxels of `grid`, channels (d, h, w).
        grid: Lattice of the finest level.
        steps: Steps taken per level, coarse to fine.
    """

    displacement: torch.Tensor
    grid: Grid
    steps: tuple[int, ...]


def refine(
    levels: Sequence[RefinementLevel],
    initial: tuple[torch.Tensor, Grid] | None = None,
    settings: RefinementSettings = RefinementSettings(),
    progress: Progress = Progress(),
) -> Refined:
    """Minimises -localNCC(fixed, moving o phi) + diffusion + folding penalty with Adam, level by level.

    The unknown of a level is a smoothed displacement grid that is added to the deformation found so far.

    Args:
        levels: Coarse to fine, all with the same axes.
        initial: A deformation [1, 3, ...] in voxels and its grid, such as the network's; None starts at zero.
        settings: Weights, steps and when to stop.
        progress: Reported to every step, so that cancelling takes effect at once.

    Returns:
        The deformation on the finest level's grid.

    Raises:
        CancelledError: When the progress says so.
    """
    found, taken = initial, []
    work = [float(level.fixed.numel()) for level in levels]
    for index, level in enumerate(levels):
        part = progress.part(
            sum(work[:index]) / sum(work), sum(work[: index + 1]) / sum(work), progress.stage
        )
        displacement, steps = _refine_level(level, index, found, settings, part)
        found = (displacement, level.grid)
        taken.append(steps)
    return Refined(*found, tuple(taken))


def _refine_level(level, index, found, settings, progress) -> tuple[torch.Tensor, int]:
    base = torch.zeros_like(level.fixed).repeat(1, 3, 1, 1, 1)
    if found is not None:
        base = transfer(found[0].to(base), found[1], level.grid)
    similarity = LocalCorrelation(level.fixed, level.weight, settings.window)
    coarsening = _at(settings.coarsening, index)
    nodes = tuple(-(-side // coarsening) for side in level.grid.size)
    control = torch.zeros(1, 3, *nodes, device=base.device, requires_grad=True)
    optimizer = _Adam(control, settings.rate)
    losses: list[float] = []
    best, best_loss = base, float("inf")
    for step in range(settings.steps):
        progress.report(step / settings.steps)
        displacement = base + _smoothed(control, level.grid.size)
        differences = forward_differences(displacement)
        loss = (
            _at(settings.smoothness, index) * diffusion(differences)
            + settings.folding_weight * folding_penalty(differences, settings.folding_margin)
            - similarity(warp(level.moving, displacement))
        )
        losses.append(float(loss.detach()))
        if losses[-1] < best_loss:
            best, best_loss = displacement.detach(), losses[-1]
        if len(losses) > settings.patience and losses[-1 - settings.patience] - best_loss < settings.gain:
            break
        optimizer.step(torch.autograd.grad(loss, control)[0])
    return best, len(losses)


class _Adam:
    """torch.optim.Adam of one tensor; making one of those loads torch's compiler, which takes a second."""

    def __init__(self, parameter: torch.Tensor, rate: float) -> None:
        self._parameter, self._rate = parameter, rate
        self._means, self._squares = (torch.zeros_like(parameter, requires_grad=False) for _ in range(2))
        self._steps = torch.zeros(())

    @torch.no_grad()
    def step(self, gradient: torch.Tensor) -> None:
        """Moves the parameter, in place, against its gradient."""
        adam(
            [self._parameter], [gradient], [self._means], [self._squares], [], [self._steps],
            foreach=False, amsgrad=False, beta1=0.9, beta2=0.999, lr=self._rate, weight_decay=0.0,
            eps=1e-8, maximize=False,
        )  # fmt: skip


def forward_differences(displacement: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Returns the differences of [1, 3, D, H, W] along d, h and w, each [3, D - 1, H - 1, W - 1]."""
    inner = displacement[0, :, :-1, :-1, :-1]
    return (
        displacement[0, :, 1:, :-1, :-1] - inner,
        displacement[0, :, :-1, 1:, :-1] - inner,
        displacement[0, :, :-1, :-1, 1:] - inner,
    )


def diffusion(differences: tuple[torch.Tensor, ...]) -> torch.Tensor:
    """Returns the mean squared forward difference, averaged over the three axes."""
    return sum(difference.square().mean() for difference in differences) / 3


def folding_penalty(differences: tuple[torch.Tensor, ...], margin: float) -> torch.Tensor:
    """Returns the mean of max(0, margin - det) of the Jacobian of v -> v + displacement(v).

    Args:
        differences: Forward differences in voxels of an isotropic grid, see `forward_differences`.
        margin: Determinants above this cost nothing.
    """
    (a0, a1, a2), (b0, b1, b2), (c0, c1, c2) = (difference.unbind(0) for difference in differences)
    a0, b1, c2 = 1 + a0, 1 + b1, 1 + c2
    determinant = a0 * (b1 * c2 - c1 * b2) - b0 * (a1 * c2 - c1 * a2) + c0 * (a1 * b2 - b1 * a2)
    return F.relu(margin - determinant).mean()


def _smoothed(control: torch.Tensor, size: tuple[int, int, int]) -> torch.Tensor:
    # Two box filters make a piecewise quadratic of every node's contribution: no kinks at the nodes.
    for _ in range(2):
        control = box_sum(control, 3) / 27
    if tuple(control.shape[2:]) == tuple(size):
        return control
    return F.interpolate(control, size, mode="trilinear", align_corners=False)


def _at(values: tuple, index: int):
    return values[min(index, len(values) - 1)]
