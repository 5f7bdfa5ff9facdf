"""The 3D spatial-awareness convolution block (paper, Section 3.2 and Figure 3)."""

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn
from torch.nn import functional as F

from SACBRegistrationLib.network.adaptive_convolution import adaptive_convolution
from SACBRegistrationLib.network.clustering import KMeansSettings, kmeans
from SACBRegistrationLib.network.layers import NEGATIVE_SLOPE, ConvBlock
from SACBRegistrationLib.network.matching import shifted, window_offsets
from SACBRegistrationLib.network.precision import at_least_float32

_SLAB_VALUES = 2**19

FeatureMean = Literal["spatial", "channel", "mixed"]


@dataclass(frozen=True)
class ClusterContext:
    """The clusters of one image at one level.

    Attributes:
        labels: [B, D, H, W] cluster index of every voxel, 0 to N - 1, int64.
        centroids: [B, N, C] mean context vector of every cluster, zero for an empty one.
    """

    labels: torch.Tensor
    centroids: torch.Tensor


def context_vectors(features: torch.Tensor, feature_mean: FeatureMean) -> torch.Tensor:
    """Returns the vector of every voxel that is clustered: the mean of its zero-padded 3x3x3 patch.

    Args:
        features: [B, C, D, H, W].
        feature_mean: "spatial": mean over the 27 positions, C values (equation 3); "channel": mean over the
            channels, 27 values; "mixed": both, spatial first.

    Returns:
        [B, D, H, W, C], [B, D, H, W, 27] or [B, D, H, W, C + 27].
    """
    parts = []
    if feature_mean in ("spatial", "mixed"):
        parts.append(_patch_mean(features))
    if feature_mean in ("channel", "mixed"):
        padded = F.pad(features.mean(1), [1] * 6)
        parts.append(torch.stack([shifted(padded, o, features.shape[2:], 1) for o in window_offsets(3)], 1))
    return torch.cat(parts, dim=1).permute(0, 2, 3, 4, 1)


def _patch_mean(features: torch.Tensor) -> torch.Tensor:
    """Returns the mean of the zero-padded 3x3x3 patches, [B, C, D, H, W], a few planes at a time."""
    depth = features.shape[2]
    planes = max(1, _SLAB_VALUES // features[:, :, 0].numel()) if features.device.type == "cpu" else depth
    if planes >= depth:
        return _window_mean(F.pad(features, [1] * 6))
    result = torch.empty_like(features)
    for start in range(0, depth, planes):
        stop = min(start + planes, depth)
        first, last = max(0, start - 1), min(depth, stop + 1)
        padding = [1, 1, 1, 1, first - (start - 1), stop + 1 - last]
        result[:, :, start:stop] = _window_mean(F.pad(features[:, :, first:last], padding))
    return result


def _window_mean(padded: torch.Tensor) -> torch.Tensor:
    """Returns the mean of the 3x3x3 windows: along one axis after the other."""
    total = padded
    for axis in (2, 3, 4):
        length = total.shape[axis] - 2
        parts = [total.narrow(axis, start, length) for start in range(3)]
        total = (parts[0] + parts[1]).add_(parts[2])
    return total.div_(27)


def context_width(channels: int, feature_mean: FeatureMean) -> int:
    """Returns the length of a context vector.

    Raises:
        ValueError: When the feature mean is unknown.
    """
    widths = {"spatial": channels, "channel": 27, "mixed": channels + 27}
    if feature_mean not in widths:
        raise ValueError(f"feature_mean must be one of {', '.join(widths)}, not {feature_mean!r}")
    return widths[feature_mean]


class SpatialAwarenessBlock(nn.Module):
    """Refines features with a convolution whose kernel depends on the voxel's cluster (equations 2 to 7).

    Args:
        channels: Channels of input and output.
        feature_mean: What is clustered, see `context_vectors`.
    """

    def __init__(self, channels: int, feature_mean: FeatureMean) -> None:
        super().__init__()
        width = context_width(channels, feature_mean)
        self.feature_mean = feature_mean
        self.project = ConvBlock(channels, channels)
        self.weight = nn.Parameter(torch.empty(channels, channels, 27))
        self.kernel_mlp = _mlp(width, 128, 27)
        self.bias_mlp = _mlp(width, 64, channels)
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def cluster(self, projected: torch.Tensor, clusters: int, settings: KMeansSettings) -> ClusterContext:
        """Clusters the context vectors of every sample on its own.

        Args:
            projected: [B, C, D, H, W], features after `project`; no gradient flows.
            clusters: Number of clusters N.
            settings: Tolerance, sampling and seed of K-Means; the samples of a batch draw different seeds.
        """
        # A mean of halves would be rounded to one, and K-Means would see the steps.
        vectors = context_vectors(at_least_float32(projected.detach()), self.feature_mean)
        found = [
            kmeans(v.reshape(-1, v.shape[-1]), clusters, replace(settings, seed=settings.seed + sample))
            for sample, v in enumerate(vectors)
        ]
        labels = torch.stack([c.labels.reshape(vectors.shape[1:4]) for c in found])
        return ClusterContext(labels, torch.stack([c.centroids for c in found]))

    def forward(
        self, features: torch.Tensor, projected: torch.Tensor, context: ClusterContext
    ) -> torch.Tensor:
        """Refines features with the kernels of their clusters (equations 5 to 7).

        Args:
            features: [B, C, D, H, W].
            projected: [B, C, D, H, W], the features after `project`.
            context: Clusters of the projected features.

        Returns:
            [B, C, D, H, W].
        """
        gates = torch.sigmoid(self.kernel_mlp(context.centroids))
        biases = self.bias_mlp(context.centroids)
        adapted = adaptive_convolution(projected, self.weight, context.labels, gates, biases)
        if torch.is_grad_enabled():
            return features + F.leaky_relu(adapted, NEGATIVE_SLOPE)
        return F.leaky_relu_(adapted, NEGATIVE_SLOPE).add_(features)


def _mlp(c_in: int, hidden: int, c_out: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(c_in, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, c_out),
    )
