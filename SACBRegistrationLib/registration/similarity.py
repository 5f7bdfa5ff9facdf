"""Local correlation with a fixed image whose statistics are computed once."""

import torch

from SACBRegistrationLib.registration.box_filter import box_sum

# Intensities in [0, 1]: a window that varies by less than about 0.02 says nothing.
_EPSILON = 1e-7


class LocalCorrelation:
    """Squared local NCC of warped images with one fixed image, averaged with weights.

    cc(v) = cov(F, W)^2 / (var F var W + eps) over a cube of `window` voxels around v, of the voxels that
    exist; windows without contrast count as 0.

    Args:
        fixed: [1, 1, D, H, W], intensities in [0, 1].
        weight: [1, 1, D, H, W], not negative; the weights are scaled to a sum of 1.
        window: Odd side of the cube, voxels.
    """

    def __init__(self, fixed: torch.Tensor, weight: torch.Tensor, window: int) -> None:
        self.window = window
        self.weight = weight / weight.sum().clamp(min=1)
        self.fixed = fixed
        self.scale = 1 / box_sum(torch.ones_like(fixed), window)
        self.mean = self._window_mean(fixed)
        self.variance = (self._window_mean(fixed * fixed) - self.mean.square()).clamp(min=0)

    def __call__(self, warped: torch.Tensor) -> torch.Tensor:
        """Returns the weighted mean in [0, 1] for a warped image [1, 1, D, H, W]; 1 is best."""
        maps = torch.cat([warped, warped * warped, warped * self.fixed], dim=1)
        mean, square, product = self._window_mean(maps).split(1, dim=1)
        covariance = product - mean * self.mean
        variance = (square - mean * mean).clamp(min=0)
        correlation = covariance * covariance / (variance * self.variance + _EPSILON)
        return (correlation * self.weight).sum()

    def _window_mean(self, maps: torch.Tensor) -> torch.Tensor:
        return box_sum(maps, self.window) * self.scale
