"""Similarity of a warped image with a fixed one, and its gradient, computed without a graph."""

from typing import Protocol

import torch

from SACBRegistrationLib.registration.box_filter import box_sum

# Intensities in [0, 1]: a window that varies by less than about 0.02 says nothing.
_EPSILON = 1e-7


class Similarity(Protocol):
    """How much warped features are like the fixed ones that the object was made with."""

    reach: int
    """Voxels around a weighted voxel whose features matter to it."""

    def value_and_gradient(self, warped: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the similarity (higher is better) and its gradient.

        Args:
            warped: [1, C, D, H, W].

        Returns:
            A scalar, and [1, C, D, H, W].
        """


class LocalCorrelation:
    """Squared local NCC of warped images with one fixed image, averaged with weights.

    cc(v) = cov(F, W)^2 / (var F var W + eps) over a cube of `window` voxels around v, of the voxels that
    exist; windows without contrast count as 0.

    Args:
        fixed: [1, 1, D, H, W], intensities in [0, 1].
        weight: [1, 1, D, H, W], not negative; the weights are scaled to a sum of 1.
        window: Odd side of the cube, voxels.

    Attributes:
        reach: Half the window, voxels.
    """

    def __init__(self, fixed: torch.Tensor, weight: torch.Tensor, window: int) -> None:
        self.reach = window // 2
        self._window = window
        self._share = 1 / box_sum(torch.ones_like(fixed), window)
        self._weight = weight / weight.sum().clamp(min=1)
        self._fixed = fixed
        self._mean = self._window_mean(fixed)
        self._variance = (self._window_mean(fixed * fixed) - self._mean.square()).clamp_(min=0)

    def __call__(self, warped: torch.Tensor) -> torch.Tensor:
        """Returns the weighted mean in [0, 1] for a warped image [1, 1, D, H, W]; 1 is best."""
        _, covariance, ratio, _ = self._terms(warped)
        return (covariance * ratio * self._weight).sum()

    def value_and_gradient(self, warped: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Returns the weighted mean and its derivative by every voxel of `warped`.

        With a = 2 w cov / (var F var W + eps) and b = a cov var F / (var F var W + eps), both divided by the
        window's voxels, the derivative is F box(a) - W box(b) - box(a mean F - b mean W).
        """
        mean, covariance, ratio, _ = self._terms(warped)
        value = (covariance * ratio * self._weight).sum()
        a = (2 * self._weight * self._share).mul_(ratio)
        b = (a * ratio).mul_(self._variance)
        rest = (a * self._mean).addcmul_(b, mean, value=-1)
        summed = box_sum(torch.cat([a, b, rest]), self._window)
        gradient = (self._fixed * summed[:1]).addcmul_(warped, summed[1:2], value=-1).sub_(summed[2:])
        return value, gradient

    def _terms(self, warped: torch.Tensor):
        """Returns mean W, cov, cov / (var F var W + eps) and var W of every window."""
        maps = torch.cat([warped, warped * warped, warped * self._fixed])
        mean, square, product = self._window_mean(maps).split(1)
        covariance = product.addcmul_(mean, self._mean, value=-1)
        variance = square.addcmul_(mean, mean, value=-1).clamp_(min=0)
        ratio = covariance / (variance * self._variance).add_(_EPSILON)
        return mean, covariance, ratio, variance

    def _window_mean(self, maps: torch.Tensor) -> torch.Tensor:
        return box_sum(maps, self._window).mul_(self._share)
