"""What keeps a refined deformation smooth and free of folds; values with their gradients."""

from collections.abc import Sequence

import torch


def diffusion(displacement: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the mean squared forward difference, averaged over the three axes, and its gradient.

    Args:
        displacement: [1, 3, D, H, W], voxels.

    Returns:
        A scalar, and [1, 3, D, H, W].
    """
    value = displacement.new_zeros(())
    gradient = torch.zeros_like(displacement)
    for axis in (2, 3, 4):
        length = displacement.shape[axis] - 1
        difference = displacement.narrow(axis, 1, length) - displacement.narrow(axis, 0, length)
        weight = 1 / (3 * difference.numel())
        value = value + weight * difference.square().sum()
        gradient.narrow(axis, 1, length).add_(difference, alpha=2 * weight)
        gradient.narrow(axis, 0, length).sub_(difference, alpha=2 * weight)
    return value, gradient


def jacobian_rows(displacement: torch.Tensor, places: torch.Tensor, strides: tuple[int, ...]) -> torch.Tensor:
    """Returns the Jacobian of v -> v + u(v) by one-sided differences at some voxels, [3, 3, N].

    Args:
        displacement: [3, V], voxels, flat and d-major.
        places: [N] flat indices whose neighbours at `strides` exist.
        strides: Flat distance to the neighbour along d, h and w; negative for backward differences.

    Returns:
        [3, 3, N]: first the axis along which is differentiated, then the component.
    """
    own = displacement.index_select(1, places)
    rows = []
    for axis, stride in enumerate(strides):
        difference = displacement.index_select(1, places + stride) - own
        row = difference if stride > 0 else -difference
        row[axis] += 1
        rows.append(row)
    return torch.stack(rows)


def determinant(jacobian: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the determinant [...] of matrices [3, 3, ...] and its gradient, their cofactors [3, 3, ...]."""
    a, b, c = jacobian
    cofactors = torch.stack([torch.linalg.cross(*pair, dim=0) for pair in ((b, c), (c, a), (a, b))])
    return (a * cofactors[0]).sum(0), cofactors


class FoldingPenalty:
    """Mean of max(0, margin - det) of the Jacobian of v -> v + u(v), by forward and by backward differences.

    Few voxels are ever near a fold. `watch` finds those below margin + slack in the whole volume; between two
    looks the penalty is evaluated there alone.

    Args:
        margin: Determinants above this cost nothing.
        slack: How far determinants may fall between two looks.
        watched: What `watch` found: flat indices and the steps to their neighbours.
    """

    def __init__(
        self,
        margin: float,
        slack: float = 0.25,
        watched: Sequence[tuple[torch.Tensor, tuple[int, ...]]] = (),
    ) -> None:
        self._margin, self._slack = margin, slack
        self._watched = tuple(watched)

    def watch(self, displacement: torch.Tensor) -> "FoldingPenalty":
        """Returns a penalty that evaluates where [1, 3, D, H, W] (voxels) is near a fold."""
        height, width = displacement.shape[3:]
        strides = (height * width, width, 1)
        watched = []
        for sign in (1, -1):
            # Backward differences are the forward ones of the volume turned round, negated.
            volume = displacement if sign > 0 else -displacement.flip(2, 3, 4)
            low = _determinants(volume) < self._margin + self._slack
            # The turned volume's voxel (0, 0, 0) is the last one here.
            places = low.nonzero() if sign > 0 else low.flip(0, 1, 2).nonzero() + 1
            flat = (places * places.new_tensor(strides)).sum(1)
            watched.append((flat, tuple(sign * stride for stride in strides)))
        return FoldingPenalty(self._margin, self._slack, watched)

    def value_and_gradient(self, displacement: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the penalty, a scalar, and its gradient [1, 3, D, H, W], for [1, 3, D, H, W] in voxels."""
        flat = displacement[0].flatten(1)
        voxels = flat.shape[1]
        value, gradient = flat.new_zeros(()), torch.zeros_like(flat)
        for places, strides in self._watched:
            deficit, cofactors = determinant(jacobian_rows(flat, places, strides))
            deficit = self._margin - deficit
            value = value + deficit.clamp(min=0).sum() / voxels
            slope = cofactors * (deficit > 0) * (-1 / voxels)
            for axis, stride in enumerate(strides):
                row = slope[axis] if stride > 0 else -slope[axis]
                neighbors = places + stride
                for component, values in zip(gradient, row, strict=True):
                    component.index_add_(0, neighbors, values)
                    component.index_add_(0, places, values, alpha=-1)
        return value, gradient.view_as(displacement)


def _determinants(displacement: torch.Tensor) -> torch.Tensor:
    """Returns the determinants [D - 1, H - 1, W - 1] by forward differences of [1, 3, D, H, W], voxels."""
    inner = displacement[0, :, :-1, :-1, :-1]
    a, b, c = (
        displacement[0, :, 1:, :-1, :-1] - inner,
        displacement[0, :, :-1, 1:, :-1] - inner,
        displacement[0, :, :-1, :-1, 1:] - inner,
    )
    a[0] += 1
    b[1] += 1
    c[2] += 1
    minors = (b[1] * c[2]).addcmul_(b[2], c[1], value=-1)
    result = minors.mul_(a[0])
    minors = (b[2] * c[0]).addcmul_(b[0], c[2], value=-1)
    result.addcmul_(minors, a[1])
    minors = (b[0] * c[1]).addcmul_(b[1], c[0], value=-1)
    return result.addcmul_(minors, a[2])
