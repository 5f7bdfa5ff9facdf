"""Instance optimisation: improves the deformation of one pair, coarse to fine."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch.optim.adam import adam

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.progress import Progress
from SACBRegistrationLib.registration.box_filter import box_sum, bump
from SACBRegistrationLib.registration.lattice import transfer
from SACBRegistrationLib.registration.linearized_warp import LinearizedWarp, linearize_warp
from SACBRegistrationLib.registration.mind import FeatureDistance, mind_ssc
from SACBRegistrationLib.registration.regularization import FoldingPenalty, diffusion
from SACBRegistrationLib.registration.similarity import LocalCorrelation, Similarity


@dataclass(frozen=True)
class RefinementSettings:
    """How one pair is refined.

    Attributes:
        steps: Most Adam steps per resolution.
        rate: Adam's step, voxels of the resolution.
        similarity: "ncc" compares intensities by local correlation, "mind" self-similarity (any contrasts).
        window: Side of the local correlation's window, voxels of the resolution.
        mind_factor: Weight of the distance of self-similarities.
        diffusion: Weight of the diffusion regulariser per resolution, coarse to fine; the last value serves
            all further ones.
        smoothness: Factor on these weights, the user's choice; 1 is the default.
        folding_weight: Weight of the penalty on small Jacobian determinants.
        folding_margin: Determinants below this are penalised.
        share_sampling: Steps that share one sampling of the moving image, see `LinearizedWarp`.
        patience: Ends a resolution when so many steps gained less than `gain`.
        gain: Least gain of the loss over `patience` steps.
    """

    steps: int = 30
    rate: float = 0.5
    similarity: str = "ncc"
    window: int = 5
    mind_factor: float = 5.0
    diffusion: tuple[float, ...] = (1.0, 1.5)
    smoothness: float = 1.0
    folding_weight: float = 10.0
    folding_margin: float = 0.3
    share_sampling: int = 2
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
        similarity: What was compared: "ncc" or "mind".
    """

    displacement: torch.Tensor
    grid: Grid
    steps: tuple[int, ...]
    similarity: str


def refine(
    levels: Sequence[RefinementLevel],
    initial: tuple[torch.Tensor, Grid] | None = None,
    settings: RefinementSettings = RefinementSettings(),
    progress: Progress = Progress(),
) -> Refined:
    """Minimises diffusion + folding penalty - similarity(fixed, moving o phi) with Adam, level by level.

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
    return Refined(*found, tuple(taken), settings.similarity)


@torch.no_grad()
def _refine_level(level, index, found, settings, progress) -> tuple[torch.Tensor, int]:
    base = torch.zeros_like(level.fixed).repeat(1, 3, 1, 1, 1)
    if found is not None:
        base = transfer(found[0].to(base), found[1], level.grid)
    similarity, moving = _similarity(level, settings)
    loss = _Loss(similarity, moving, level.weight, _at(settings.diffusion, index), settings)
    control, optimizer = torch.zeros_like(base), _Adam(base, settings.rate)
    losses: list[float] = []
    best, best_loss = base, float("inf")
    for step in range(settings.steps):
        progress.report(step / settings.steps)
        displacement = base + bump(control)
        if step % settings.share_sampling == 0:
            loss.look(displacement)
        value, gradient = loss.value_and_gradient(displacement)
        losses.append(float(value))
        if losses[-1] < best_loss:
            best, best_loss = displacement, losses[-1]
        if len(losses) > settings.patience and losses[-1 - settings.patience] - best_loss < settings.gain:
            break
        # The filter is its own adjoint.
        optimizer.step(control, bump(gradient))
    return best, len(losses)


def _similarity(level: RefinementLevel, settings: RefinementSettings) -> tuple[Similarity, torch.Tensor]:
    """Returns how the level is compared, and the moving features to warp for it."""
    if settings.similarity == "mind":
        fixed, moving = mind_ssc(level.fixed), mind_ssc(level.moving)
        return FeatureDistance(fixed, level.weight, settings.mind_factor), moving
    return LocalCorrelation(level.fixed, level.weight, settings.window), level.moving


class _Loss:
    """The loss of a level around the displacement last looked at."""

    def __init__(
        self,
        similarity: Similarity,
        moving: torch.Tensor,
        weight: torch.Tensor,
        diffusion_weight: float,
        settings: RefinementSettings,
    ) -> None:
        self._similarity, self._moving = similarity, moving
        self._diffusion_weight = diffusion_weight * settings.smoothness
        self._folding_weight = settings.folding_weight
        self._folding = FoldingPenalty(settings.folding_margin)
        near = box_sum(weight, 2 * similarity.reach + 1)
        self._region = (near.flatten() > 0).nonzero()[:, 0]
        self._warp: LinearizedWarp | None = None

    def look(self, displacement: torch.Tensor) -> None:
        """Samples the moving image and finds the voxels near a fold at [1, 3, D, H, W], voxels."""
        self._warp = linearize_warp(self._moving, displacement, self._region)
        self._folding = self._folding.watch(displacement)

    def value_and_gradient(self, displacement: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the loss, a scalar, and its gradient by the displacement [1, 3, D, H, W], voxels."""
        likeness, by_warped = self._similarity.value_and_gradient(self._warp.warped(displacement))
        rough, by_roughness = diffusion(displacement)
        folded, by_folding = self._folding.value_and_gradient(displacement)
        value = self._diffusion_weight * rough + self._folding_weight * folded - likeness
        gradient = by_roughness.mul_(self._diffusion_weight).add_(by_folding, alpha=self._folding_weight)
        return value, gradient.sub_(self._warp.pulled_back(by_warped))


class _Adam:
    """torch.optim.Adam of one tensor; making one of those loads torch's compiler, which takes a second."""

    def __init__(self, like: torch.Tensor, rate: float) -> None:
        self._rate = rate
        self._means, self._squares = torch.zeros_like(like), torch.zeros_like(like)
        self._steps = torch.zeros(())

    def step(self, parameter: torch.Tensor, gradient: torch.Tensor) -> None:
        """Moves the parameter, in place, against its gradient."""
        adam(
            [parameter], [gradient], [self._means], [self._squares], [], [self._steps],
            foreach=False, amsgrad=False, beta1=0.9, beta2=0.999, lr=self._rate, weight_decay=0.0,
            eps=1e-8, maximize=False,
        )  # fmt: skip


def _at(values: tuple, index: int):
    return values[min(index, len(values) - 1)]
