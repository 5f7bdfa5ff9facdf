"""SACB-Net computed as it was published: what the benchmark compares the library's network with.

Slow on purpose, and no part of a registration. K-Means runs on every voxel from drawn starts until its
centroids stand still, patches are unfolded in memory, every cluster's kernel goes over the whole volume
before all but its own voxels are thrown away, and tensors stay in torch's default layout. It takes the
parameters by their names and shares no code with the network, so that nothing that makes the network faster
makes this faster. Tensors are [1, C, D, H, W]; flows are in voxels with channels (d, h, w).
"""

from collections.abc import Mapping
from itertools import product

import torch
from torch.nn import functional as F

LEVELS = (5, 4, 3, 2)
CENTROID_CHANGE = 1e-10
_SLOPE = 0.1
_OFFSETS = tuple(product((-1, 0, 1), repeat=3))
# Lloyd's steps end of themselves; rounding could let two centroids swap for ever.
_MOST_STEPS = 2000

Context = tuple[torch.Tensor, torch.Tensor]
"""Labels [1, D, H, W] and centroids [1, N, C] of one image at one level."""


class PublishedSACBNet:
    """The network of the paper's Figure 2 with the spatial feature mean, a 3x3x3 window and all four blocks.

    Args:
        state: Parameters by their names in the library's network, on the device to compute on.
        clusters: Level (5 to 2) to its number of clusters N.
        seed: Seed of the voxels that K-Means starts from.

    Attributes:
        contexts: (level, "fixed" or "moving") to the clusters that the last call found.
        steps: The same keys to the number of Lloyd's steps.
    """

    def __init__(self, state: Mapping[str, torch.Tensor], clusters: Mapping[int, int], seed: int = 0) -> None:
        self._state = {name: value.contiguous() for name, value in state.items()}
        self._clusters = dict(clusters)
        self._seed = seed
        self.contexts: dict[tuple[int, str], Context] = {}
        self.steps: dict[tuple[int, str], int] = {}

    @torch.inference_mode()
    def __call__(self, moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
        """Returns the displacement [1, 3, D, H, W] in voxels for images [1, 1, D, H, W] in [0, 1]."""
        generator = torch.Generator().manual_seed(self._seed)
        fixed_features, moving_features = self._encode(fixed), self._encode(moving)
        flow = None
        for level in LEVELS:
            f, m = fixed_features[level], moving_features[level]
            if flow is not None:
                m = _warp(m, flow)
            f = self._adapt(f, (level, "fixed"), generator)
            m = self._adapt(m, (level, "moving"), generator)
            delta = _match(m, f)
            flow = _upsample(delta if flow is None else _warp(flow, delta) + delta)
        m = _warp(moving_features[1], flow)
        both = torch.cat([self._refine(fixed_features[1]), self._refine(m)], dim=1)
        for i in (0, 1):
            both = self._block(both, f"final.estimate.{i}.conv")
        delta = self._convolve(both, "final.estimate.2")
        return _warp(flow, delta) + delta

    def _convolve(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.conv3d(x, self._state[f"{name}.weight"], self._state[f"{name}.bias"], padding=1)

    def _block(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.leaky_relu(F.instance_norm(self._convolve(x, name)), _SLOPE)

    def _refine(self, x: torch.Tensor) -> torch.Tensor:
        return self._block(self._block(x, "final.refine.0.conv"), "final.refine.1.conv")

    def _encode(self, image: torch.Tensor) -> dict[int, torch.Tensor]:
        """Returns the features of levels 1 to 5 (Figure 5)."""
        x, features = image, {}
        for stage in range(5):
            if stage:
                x = F.avg_pool3d(x, 2)
            for i in (1, 2) if stage else (0, 1, 2):
                x = self._block(x, f"encoder.stages.{stage}.{i}.conv")
            features[stage + 1] = x
        return features

    def _adapt(self, x: torch.Tensor, key: tuple[int, str], generator: torch.Generator) -> torch.Tensor:
        """Returns the features after the block of one level (equations 2 to 7); records its clusters."""
        name = f"sacb.{key[0]}"
        patches = _unfold(self._block(x, f"{name}.project.conv"))
        vectors = patches.mean(dim=2)
        labels, centroids, self.steps[key] = _lloyd(vectors, self._clusters[key[0]], generator)
        self.contexts[key] = (labels.reshape(1, *x.shape[2:]), centroids[None])
        gates = torch.sigmoid(self._mlp(centroids, f"{name}.kernel_mlp"))
        biases = self._mlp(centroids, f"{name}.bias_mlp")
        weight = self._state[f"{name}.weight"]
        patches = patches.reshape(len(patches), -1)
        adapted = torch.zeros(len(patches), len(weight), device=x.device)
        for n, (gate, bias) in enumerate(zip(gates, biases, strict=True)):
            convolved = torch.addmm(bias, patches, (weight * gate).reshape(len(weight), -1).T)
            adapted = torch.where((labels == n)[:, None], convolved, adapted)
        return x + F.leaky_relu(adapted.T.reshape(x.shape), _SLOPE)

    def _mlp(self, x: torch.Tensor, name: str) -> torch.Tensor:
        for i in (0, 2, 4):
            x = F.linear(x, self._state[f"{name}.{i}.weight"], self._state[f"{name}.{i}.bias"])
            x = F.relu(x) if i < 4 else x
        return x


def _unfold(x: torch.Tensor) -> torch.Tensor:
    """Returns the zero-padded 3x3x3 patch around every voxel, [V, C, 27] (equation 2)."""
    padded = F.pad(x, [1] * 6)
    for axis in (2, 3, 4):
        padded = padded.unfold(axis, 3, 1)
    return padded[0].permute(1, 2, 3, 0, 4, 5, 6).reshape(-1, x.shape[1], 27)


def _lloyd(
    vectors: torch.Tensor, clusters: int, generator: torch.Generator
) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Returns labels [V], centroids [N, C] and the steps that Lloyd's algorithm took (equation 4)."""
    start = torch.randperm(len(vectors), generator=generator)[:clusters]
    centroids = vectors[start.to(vectors.device)]
    steps, change = 0, float("inf")
    while change > CENTROID_CHANGE and steps < _MOST_STEPS:
        labels = _nearest(vectors, centroids)
        moved = torch.stack([_mean(vectors[labels == n]) for n in range(clusters)])
        change = float((moved - centroids).square().sum())
        centroids = moved
        steps += 1
    return _nearest(vectors, centroids), centroids, steps


def _nearest(vectors: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    return torch.stack([(vectors - centroid).square().sum(dim=1) for centroid in centroids]).argmin(dim=0)


def _mean(members: torch.Tensor) -> torch.Tensor:
    return members.mean(dim=0) if len(members) else members.new_zeros(members.shape[1])


def _match(moving: torch.Tensor, fixed: torch.Tensor) -> torch.Tensor:
    """Returns the flow of one level, [1, 3, D, H, W] (equations 9 and 10)."""
    d, h, w = fixed.shape[2:]
    padded = F.pad(moving, [1] * 6)
    scores = [
        (fixed * padded[:, :, 1 + a : 1 + a + d, 1 + b : 1 + b + h, 1 + c : 1 + c + w]).sum(dim=1)
        for a, b, c in _OFFSETS
    ]
    weights = torch.softmax(torch.stack(scores, dim=1), dim=1)
    return torch.einsum("bkdhw,kc->bcdhw", weights, weights.new_tensor(_OFFSETS))


def _warp(x: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Returns x at identity + flow: trilinear, zero outside."""
    sides = x.shape[2:]
    identity = torch.stack(torch.meshgrid(*(torch.arange(n, device=x.device) for n in sides), indexing="ij"))
    place = identity[None] + flow
    last = torch.tensor([max(n - 1, 1) for n in sides], device=x.device).view(1, 3, 1, 1, 1)
    place = 2 * (place / last - 0.5)
    return F.grid_sample(x, place.permute(0, 2, 3, 4, 1).flip(-1), align_corners=True)


def _upsample(flow: torch.Tensor) -> torch.Tensor:
    return F.interpolate(2 * flow, scale_factor=2, mode="trilinear", align_corners=True)
