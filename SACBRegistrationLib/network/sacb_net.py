"""SACB-Net: a pyramid flow estimator with spatial-awareness convolutions (paper, Section 3 and Figure 2)."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import torch
from torch import nn

from SACBRegistrationLib.network.clustering import KMeansSettings
from SACBRegistrationLib.network.encoder import CHANNELS, Encoder
from SACBRegistrationLib.network.flow import compose, upsample, warp
from SACBRegistrationLib.network.layers import ConvBlock, consume, convolve
from SACBRegistrationLib.network.matching import match, window_offsets
from SACBRegistrationLib.network.precision import at_least_float32, without_autocast
from SACBRegistrationLib.network.slab_sources import Warped
from SACBRegistrationLib.network.slabs import SlabSettings, evaluate, final_displacement
from SACBRegistrationLib.network.spatial_awareness import (
    ClusterContext,
    FeatureMean,
    SpatialAwarenessBlock,
    context_width,
)

LEVELS = (5, 4, 3, 2)
ROLES = ("fixed", "moving")
MOST_CLUSTERS = 32
MOST_WINDOW = 9
STRIDE = 16
"""Every side of the input must be a multiple of this."""


@dataclass(frozen=True)
class SACBNetResult:
    """What one forward pass found.

    Attributes:
        displacement: [B, 3, D, H, W] in voxels, channels (d, h, w); warped(v) = moving(v + displacement(v)).
        subflows: Level (5 to 2) to the flow matched at that level [B, 3, ...] in voxels of that level.
        incoming: Level (4 to 1) to the flow the moving features were warped by there, voxels of that level.
        contexts: (level, role) to the clusters of that image; role is "fixed" or "moving". From level 4 on
            the moving clusters are those of the moving image warped by `incoming`: they lie in fixed space.
    """

    displacement: torch.Tensor
    subflows: Mapping[int, torch.Tensor]
    incoming: Mapping[int, torch.Tensor]
    contexts: Mapping[tuple[int, str], ClusterContext]


class FinalFlow(nn.Module):
    """Layers of the finest level's flow (paper, end of Section 3.3).

    `refine` goes over the fixed and the warped moving features [B, 8, D, H, W] each; `estimate` takes both
    results, fixed first, [B, 16, D, H, W], to a flow [B, 3, D, H, W] in voxels.
    """

    def __init__(self) -> None:
        super().__init__()
        c = CHANNELS[1]
        self.refine = nn.Sequential(ConvBlock(c, c), ConvBlock(c, c))
        self.estimate = nn.Sequential(ConvBlock(2 * c, c), ConvBlock(c, c), nn.Conv3d(c, 3, 3, padding=1))

    def forward(self, fixed: list[torch.Tensor], moving: list[torch.Tensor], together: bool) -> torch.Tensor:
        """Returns the finest level's flow [B, 3, D, H, W] in voxels.

        Args:
            fixed: List of the fixed features alone [B, 8, D, H, W]; emptied, so that they need not be held.
            moving: List of the warped moving features alone; emptied.
            together: Whether to refine both as one batch, see `apply_to_both`.
        """
        if together:
            refined = apply_to_both(self.refine, fixed.pop(), moving.pop(), together=True)
            return self.estimate(torch.cat(refined, dim=1))
        halves = [consume(self.refine, fixed)]
        halves.append(consume(self.refine, moving))
        first, *others, last = self.estimate
        estimated = consume(others, [first.forward_halves(halves)])
        # A flow in half precision would be off by hundredths of a voxel.
        with without_autocast(estimated.device.type):
            return convolve(at_least_float32(estimated), last.weight, last.bias)


class SACBNet(nn.Module):
    """The whole network; 1 105 591 parameters with the default settings.

    Args:
        clusters: Number of clusters N, 1 to 32, for all levels or per level {5: n, 4: n, 3: n, 2: n}.
        feature_mean: What the blocks cluster: "spatial", "channel" or "mixed" (paper, Section 6).
        sacb_levels: Levels with a spatial-awareness block; the others match the encoder's features.
        matching_window: Odd width of the search window, 1 to 9 voxels of each level.
        kmeans: Tolerance, sampling and seed of the clustering.

    Attributes:
        info: Metadata of the checkpoint that the weights came from; empty for new weights.
        slabs: How to evaluate the full resolution in slabs, in evaluation mode without gradients; None
            evaluates it as a whole.

    Raises:
        ValueError: When a setting is out of range.
    """

    def __init__(
        self,
        clusters: int | Mapping[int, int] = 7,
        feature_mean: FeatureMean = "spatial",
        sacb_levels: tuple[int, ...] = LEVELS,
        matching_window: int = 3,
        kmeans: KMeansSettings = KMeansSettings(),
    ) -> None:
        super().__init__()
        if not set(sacb_levels) <= set(LEVELS):
            raise ValueError(f"sacb_levels must be among {LEVELS}, not {sacb_levels}")
        if matching_window > MOST_WINDOW:
            raise ValueError(f"a matching window must be at most {MOST_WINDOW}, not {matching_window}")
        window_offsets(matching_window)
        context_width(1, feature_mean)
        self.feature_mean = feature_mean
        self.sacb_levels = tuple(sacb_levels)
        self.matching_window = matching_window
        self.kmeans = kmeans
        self.clusters = clusters
        self.info: Mapping[str, object] = {}
        self.slabs: SlabSettings | None = None
        self.encoder = Encoder()
        self.sacb = nn.ModuleDict(
            {str(level): SpatialAwarenessBlock(CHANNELS[level], feature_mean) for level in sacb_levels}
        )
        self.final = FinalFlow()
        # Full-resolution convolutions with few channels run two to three times faster in this layout.
        self.encoder.to(memory_format=torch.channels_last_3d)
        self.final.to(memory_format=torch.channels_last_3d)

    @property
    def clusters(self) -> dict[int, int]:
        """Number of clusters of every level; assign an integer or a mapping to change it."""
        return dict(self._clusters)

    @clusters.setter
    def clusters(self, value: int | Mapping[int, int]) -> None:
        per_level = dict(value) if isinstance(value, Mapping) else {level: value for level in LEVELS}
        if set(per_level) != set(LEVELS) or not all(
            isinstance(n, int) and 1 <= n <= MOST_CLUSTERS for n in per_level.values()
        ):
            raise ValueError(
                f"clusters must be whole numbers from 1 to {MOST_CLUSTERS}, one for all levels or one for "
                f"each of {LEVELS}, not {value}"
            )
        self._clusters = per_level

    def forward(
        self,
        moving: torch.Tensor,
        fixed: torch.Tensor,
        contexts: Mapping[tuple[int, str], ClusterContext] | None = None,
    ) -> SACBNetResult:
        """Estimates the displacement that warps the moving image onto the fixed one.

        Args:
            moving: [B, 1, D, H, W], intensities in [0, 1], NIfTI axis order, sides divisible by 16.
            fixed: Same shape.
            contexts: (level, role) to clusters to use instead of clustering; absent keys are clustered.

        Returns:
            The displacement in voxels, with the flows and clusters of every level.

        Raises:
            ValueError: When the shapes differ, a side is not divisible by 16, or no side is above 16.
        """
        _check_inputs(moving, fixed)
        given = dict(contexts or {})
        used: dict[tuple[int, str], ClusterContext] = {}
        subflows: dict[int, torch.Tensor] = {}
        incoming: dict[int, torch.Tensor] = {}
        fixed_features, moving_features = self._encode(fixed, moving)
        flow: torch.Tensor | None = None
        for level in LEVELS:
            f, m = fixed_features.pop(level), moving_features.pop(level)
            if flow is not None:
                incoming[level] = flow
                m = warp(m, flow)
            if level in self.sacb_levels:
                f, m = self._refine(level, f, m, given, used)
            subflows[level] = match(m, f, self.matching_window)
            del f, m
            flow = upsample(subflows[level] if flow is None else compose(flow, subflows[level]))
        incoming[1] = flow
        displacement = self._finest(fixed_features, moving_features, flow)
        return SACBNetResult(displacement, subflows, incoming, used)

    def _in_slabs(self) -> bool:
        return self.slabs is not None and not self.training and not torch.is_grad_enabled()

    def _finest(self, fixed: dict, moving: dict, flow: torch.Tensor) -> torch.Tensor:
        """Composes the finest level's flow with the incoming one; takes its features out of both."""
        if self._in_slabs():
            # Sampling reaches everywhere, so that this much must lie in memory.
            warped = Warped(evaluate(moving.pop(1), self.slabs), flow)
            features = {"fixed": fixed.pop(1), "moving": warped}
            del warped
            return final_displacement(self.final.refine, self.final.estimate, features, flow, self.slabs)
        sampled = [warp(moving.pop(1), flow)]
        # Where a voxel is sampled is no half-precision number, whatever the convolutions compute in.
        delta = self.final([fixed.pop(1)], sampled, together=self.training).to(flow.dtype)
        return compose(flow, delta)

    def _encode(self, fixed: torch.Tensor, moving: torch.Tensor) -> tuple[dict, dict]:
        if self._in_slabs():
            return tuple(self.encoder.in_slabs(image, self.slabs) for image in (fixed, moving))
        if not self.training:
            return self.encoder(fixed), self.encoder(moving)
        both = self.encoder(torch.cat([fixed, moving]))
        halves = {level: features.chunk(2) for level, features in both.items()}
        return {level: f for level, (f, _) in halves.items()}, {level: m for level, (_, m) in halves.items()}

    def _refine(self, level, fixed, moving, given, used):
        """Refines the features of both images at one level and records the clusters in `used`."""
        block = self.sacb[str(level)]
        together = None
        if self.training:
            together = apply_to_both(block.project, fixed, moving, together=True)
        refined = []
        for index, (role, features) in enumerate(zip(ROLES, (fixed, moving), strict=True)):
            # One after the other, so that only one image's lie in memory.
            own = block.project(features) if together is None else together[index]
            if (level, role) in given:
                used[level, role] = given[level, role]
            else:
                # Each image and level draws its own seeds, so that one does not depend on what ran before it.
                seed = self.kmeans.seed * 10_000 + 1000 * level + 100 * ROLES.index(role)
                used[level, role] = block.cluster(own, self._clusters[level], replace(self.kmeans, seed=seed))
            refined.append(block(features, own, used[level, role]))
        return refined


def apply_to_both(layers: nn.Module, fixed: torch.Tensor, moving: torch.Tensor, together: bool):
    """Applies shared layers to both images; no sample influences another, so the results are the same.

    Args:
        layers: Takes [B, C, D, H, W].
        fixed: [B, C, D, H, W].
        moving: Same shape.
        together: As one batch, which is several times faster on a CPU with the small grids of training; one
            after the other needs half the memory and rounds as the published code does.

    Returns:
        The results for fixed and moving.
    """
    if together:
        return layers(torch.cat([fixed, moving])).chunk(2)
    return layers(fixed), layers(moving)


def _check_inputs(moving: torch.Tensor, fixed: torch.Tensor) -> None:
    if moving.shape != fixed.shape or moving.dim() != 5 or moving.shape[1] != 1:
        raise ValueError(
            f"moving and fixed must both be [B, 1, D, H, W], not {tuple(moving.shape)}, {tuple(fixed.shape)}"
        )
    sides = tuple(moving.shape[2:])
    if any(side % STRIDE or side < STRIDE for side in sides):
        raise ValueError(f"every side must be divisible by {STRIDE}, not {sides}")
    if max(sides) == STRIDE:
        # The variance of a single value is zero, so that nothing of it would pass the normalisation.
        raise ValueError(f"one side at least must be above {STRIDE}: at {sides} level 5 has a single voxel")
