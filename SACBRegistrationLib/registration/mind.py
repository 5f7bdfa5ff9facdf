"""MIND-SSC: descriptors of local self-similarity that different contrasts have in common (Heinrich 2013)."""

import torch
from torch.nn import functional as F

from SACBRegistrationLib.registration.box_filter import box_sum

CHANNELS = 12
# Intensities in [0, 1]: differences between the patches of an even region are noise below this.
_EPSILON = 1e-6


def mind_ssc(image: torch.Tensor) -> torch.Tensor:
    """Returns the self-similarity context of every voxel.

    S(v, p, q) = exp(-(D(v + p, v + q) - min D) / V(v)) for the twelve pairs p, q of the six neighbours of a
    voxel that are next to each other; D is the sum of squared differences of their 3x3x3 patches, V its mean
    over the pairs. The border is continued outwards.

    Args:
        image: [1, 1, D, H, W], intensities in [0, 1].

    Returns:
        [1, 12, D, H, W] in [0, 1].
    """
    padded = F.pad(image, [1] * 6, mode="replicate")
    size = image.shape[2:]
    distances = torch.cat(
        [
            box_sum((_shifted(padded, p, size) - _shifted(padded, q, size)).square_(), 3)
            for p, q in neighbor_pairs()
        ],
        dim=1,
    )
    distances -= distances.amin(1, keepdim=True)
    spread = distances.mean(1, keepdim=True).clamp_(min=_EPSILON)
    return distances.div_(spread).neg_().exp_()


def neighbor_pairs() -> list[tuple[tuple[int, int, int], tuple[int, int, int]]]:
    """Returns the twelve pairs of the six neighbours (d, h, w) whose distance is the square root of 2."""
    neighbors = [tuple(sign * (axis == own) for axis in range(3)) for own in range(3) for sign in (-1, 1)]
    return [
        (p, q)
        for index, p in enumerate(neighbors)
        for q in neighbors[index + 1 :]
        if sum((a - b) ** 2 for a, b in zip(p, q, strict=True)) == 2
    ]


def _shifted(padded: torch.Tensor, offset: tuple[int, int, int], size: torch.Size) -> torch.Tensor:
    d, h, w = (1 + o for o in offset)
    return padded[..., d : d + size[0], h : h + size[1], w : w + size[2]]


class FeatureDistance:
    """Negated weighted mean of the squared distance between warped and fixed features.

    Args:
        fixed: [1, C, D, H, W].
        weight: [1, 1, D, H, W], not negative; the weights are scaled to a sum of 1.
        factor: Factor on the mean, which brings it to the size of a local correlation.

    Attributes:
        reach: 0: every voxel is compared with itself alone.
    """

    reach = 0

    def __init__(self, fixed: torch.Tensor, weight: torch.Tensor, factor: float) -> None:
        self._fixed = fixed
        self._weight = weight * (factor / (weight.sum().clamp(min=1) * fixed.shape[1]))

    def value_and_gradient(self, warped: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the similarity, at most 0, and its gradient [1, C, D, H, W] for features of that shape."""
        difference = self._fixed - warped
        weighted = difference * self._weight
        return -(difference * weighted).sum(), weighted.mul_(2)
