"""SACB-Net written out equation by equation: slow, and meant to be obviously right.

The oracle for the network and for every faster version of it. It shares no code with the library: it takes
the parameters of a network by their names and uses plain torch operations on one pair of images, without a
batch axis. All tensors are [C, D, H, W]; flows are in voxels with channels (d, h, w). Where the paper is
silent, the choices are those of the published code.
"""

from dataclasses import dataclass, field
from itertools import product

import torch
from torch.nn import functional as F

LEVELS = (5, 4, 3, 2)
SLOPE = 0.1
CENTROID_TOLERANCE = 1e-10


@dataclass(frozen=True)
class ReferenceResult:
    """Everything one pass found.

    Attributes:
        displacement: [3, D, H, W]; warped(v) = moving(v + displacement(v)).
        subflows: Level to the flow matched there, before composition (equation 10).
        features: (level, role) to the refined features (equation 7).
        vectors: (level, role) to the clustered vectors [D * H * W, C] (equation 3).
        labels: (level, role) to the cluster of every voxel [D, H, W].
        centroids: (level, role) to the mean vector of every cluster [N, C] (equation 4).
        steps: (level, role) to the number of Lloyd steps; absent where clusters were given.
    """

    displacement: torch.Tensor
    subflows: dict = field(default_factory=dict)
    features: dict = field(default_factory=dict)
    vectors: dict = field(default_factory=dict)
    labels: dict = field(default_factory=dict)
    centroids: dict = field(default_factory=dict)
    steps: dict = field(default_factory=dict)


def offsets(k):
    """Returns the k^3 positions d', h', w' of a window, w' fastest (equation 2)."""
    return list(product(range(-(k // 2), k // 2 + 1), repeat=3))


def shift(x, offset):
    """Returns y with y(v) = x(v + offset), zero outside the volume."""
    reach = max(abs(o) for o in offset)
    padded = F.pad(x, [reach] * 6)
    d, h, w = (reach + o for o in offset)
    return padded[:, d : d + x.shape[1], h : h + x.shape[2], w : w + x.shape[3]]


def unfold(x, k=3):
    """Returns the patch around every voxel, [C, D, H, W, k^3] (equation 2)."""
    return torch.stack([shift(x, offset) for offset in offsets(k)], dim=-1)


def context_vectors(x, feature_mean):
    """Returns what is clustered, [D * H * W, C'] (equation 3; the channel mean and both are of Section 6)."""
    patches = unfold(x)
    over_positions = patches.mean(dim=4).permute(1, 2, 3, 0)
    over_channels = patches.mean(dim=0)
    chosen = {
        "spatial": over_positions,
        "channel": over_channels,
        "mixed": torch.cat([over_positions, over_channels], dim=3),
    }[feature_mean]
    return chosen.reshape(-1, chosen.shape[3])


def nearest(vectors, centroids):
    """Returns the index of the nearest centroid of every vector, by Euclidean distance written out."""
    distances = [(vectors - centroid).square().sum(dim=1) for centroid in centroids]
    return torch.stack(distances).argmin(dim=0)


def means(vectors, labels, clusters):
    """Returns the centroid of every cluster, zero for an empty one (equation 4)."""
    centroids = torch.zeros(clusters, vectors.shape[1], dtype=vectors.dtype)
    for n in range(clusters):
        members = vectors[labels == n]
        if len(members):
            centroids[n] = members.mean(dim=0)
    return centroids


def lloyd(vectors, start):
    """Runs K-Means on all vectors until the centroids' squared change is at most 1e-10 (Section 3.2).

    Returns:
        Labels [V], centroids [N, C] and the number of steps.
    """
    vectors, centroids = vectors.detach(), start.detach()
    for step in range(1, 2000):
        labels = nearest(vectors, centroids)
        moved = means(vectors, labels, len(centroids))
        change = (moved - centroids).square().sum()
        centroids = moved
        if change <= CENTROID_TOLERANCE:
            return nearest(vectors, centroids), centroids, step
    raise AssertionError("K-Means did not settle in 2000 steps")


def spatial_awareness_convolution(x, labels, weight, gates, biases):
    """One full convolution for every cluster, kept where the cluster is (equations 5 and 6).

    Args:
        x: [C_in, D, H, W].
        labels: [D, H, W].
        weight: W, [C_out, C_in, 27].
        gates: F_w of every centroid, [N, 27].
        biases: F_b of every centroid, [N, C_out].
    """
    patches = unfold(x)
    out = torch.zeros(weight.shape[0], *x.shape[1:], dtype=x.dtype)
    for n in range(len(gates)):
        kernel = gates[n][None, None, :] * weight
        convolved = torch.einsum("idhwk,oik->odhw", patches, kernel) + biases[n][:, None, None, None]
        out = torch.where(labels == n, convolved, out)
    return out


def match(moving, fixed, k=3):
    """Returns the flow of one level, [3, D, H, W].

    Equation 9: softmax over the window of the inner products of one fixed voxel with the moving voxels around
    it; equation 10: the mean of the window's offsets G with these weights.
    """
    scores = torch.stack([(fixed * shift(moving, offset)).sum(dim=0) for offset in offsets(k)])
    weights = torch.softmax(scores, dim=0)
    flow = torch.zeros(3, *fixed.shape[1:], dtype=fixed.dtype)
    for weight, offset in zip(weights, offsets(k), strict=True):
        flow = flow + torch.stack([weight * o for o in offset])
    return flow


def warp(x, flow):
    """Returns x at identity + flow, written F o phi in equation 11: trilinear, zero outside."""
    sides = x.shape[1:]
    identity = torch.stack(torch.meshgrid(*[torch.arange(n) for n in sides], indexing="ij"))
    position = identity.to(flow.dtype) + flow
    low = position.detach().floor()
    fraction = position - low
    out = torch.zeros_like(x)
    for corner in product((0, 1), repeat=3):
        share = torch.ones(sides, dtype=x.dtype)
        inside = torch.ones(sides, dtype=torch.bool)
        index = []
        for axis, step in enumerate(corner):
            share = share * (fraction[axis] if step else 1 - fraction[axis])
            i = (low[axis] + step).long()
            inside = inside & (i >= 0) & (i < sides[axis])
            index.append(i.clamp(0, sides[axis] - 1))
        out = out + torch.where(inside, share, torch.zeros_like(share)) * x[:, index[0], index[1], index[2]]
    return out


def upsample(flow):
    """Returns up_2x (equation 11): twice the voxels and twice the values, end voxels on end voxels."""
    out = 2 * flow
    for axis in (1, 2, 3):
        n = out.shape[axis]
        position = torch.arange(2 * n, dtype=torch.float64) * (n - 1) / (2 * n - 1)
        low = position.floor().long().clamp(max=max(n - 2, 0))
        high = (low + 1).clamp(max=n - 1)
        shape = [1, 1, 1, 1]
        shape[axis] = 2 * n
        fraction = (position - low).to(flow.dtype).reshape(shape)
        out = out.index_select(axis, low) * (1 - fraction) + out.index_select(axis, high) * fraction
    return out


def compose(flow, delta):
    """Returns the last line of equation 11: flow o delta, as displacements flow(v + delta(v)) + delta(v)."""
    return warp(flow, delta) + delta


class ReferenceSACBNet:
    """The network of Figure 2 on given parameters.

    Args:
        state: Parameters by their names in the library's network.
        clusters: Level to N.
        feature_mean: "spatial", "channel" or "mixed".
        sacb_levels: Levels whose features are refined.
        matching_window: k of equation 9.
    """

    def __init__(self, state, clusters, feature_mean="spatial", sacb_levels=LEVELS, matching_window=3):
        self.state = state
        self.clusters = clusters
        self.feature_mean = feature_mean
        self.sacb_levels = sacb_levels
        self.matching_window = matching_window

    def __call__(self, moving, fixed, contexts=None, starts=None):
        """Registers one pair (Section 3.3).

        Args:
            moving: [1, D, H, W].
            fixed: [1, D, H, W].
            contexts: (level, role) to labels [D, H, W] and centroids [N, C], used instead of K-Means.
            starts: (level, role) to the voxel indices that K-Means starts from; evenly spread without.
        """
        found = ReferenceResult(torch.zeros(0))
        f, m = self.encode(fixed), self.encode(moving)
        flow = None
        for level in LEVELS:
            fixed_features, moving_features = f[level], m[level]
            if flow is not None:
                moving_features = warp(moving_features, flow)
            if level in self.sacb_levels:
                given = (contexts or {}, starts or {}, found)
                fixed_features = self.sacb(fixed_features, (level, "fixed"), *given)
                moving_features = self.sacb(moving_features, (level, "moving"), *given)
            delta = match(moving_features, fixed_features, self.matching_window)
            found.subflows[level] = delta
            flow = upsample(delta if flow is None else compose(flow, delta))
        both = torch.cat([self.refine(f[1]), self.refine(warp(m[1], flow))])
        for i in (0, 1):
            both = self.block(both, f"final.estimate.{i}")
        delta = self.convolve(both, "final.estimate.2")
        return ReferenceResult(compose(flow, delta), *list(vars(found).values())[1:])

    def convolve(self, x, name):
        """Returns a plain 3x3x3 convolution with zero padding."""
        weight, bias = self.state[f"{name}.weight"], self.state[f"{name}.bias"]
        return F.conv3d(x[None], weight, bias, padding=1)[0]

    def block(self, x, name):
        """Returns convolution, instance normalisation and LeakyReLU (Section 3.1)."""
        x = self.convolve(x, f"{name}.conv")
        mean = x.mean(dim=(1, 2, 3), keepdim=True)
        variance = (x - mean).square().mean(dim=(1, 2, 3), keepdim=True)
        x = (x - mean) / torch.sqrt(variance + 1e-5)
        return torch.where(x > 0, x, SLOPE * x)

    def encode(self, image):
        """Returns the features of every level, 1 to 5 (Figure 5)."""
        x, features = image, {}
        for stage in range(5):
            if stage > 0:
                x = sum(x[:, a::2, b::2, c::2] for a, b, c in product((0, 1), repeat=3)) / 8
            for i in (0, 1, 2) if stage == 0 else (1, 2):
                x = self.block(x, f"encoder.stages.{stage}.{i}")
            features[stage + 1] = x
        return features

    def refine(self, x):
        """Returns the features of level 1 after its two convolutions (end of Section 3.3)."""
        return self.block(self.block(x, "final.refine.0"), "final.refine.1")

    def mlp(self, x, name):
        """Returns F_w before its sigmoid, or F_b, of equations 5 and 6."""
        for i in (0, 2, 4):
            x = x @ self.state[f"{name}.{i}.weight"].T + self.state[f"{name}.{i}.bias"]
            x = torch.clamp(x, min=0) if i < 4 else x
        return x

    def sacb(self, x, key, contexts, starts, found):
        """Returns the refined features of one image at one level (equation 7) and records it in `found`."""
        name = f"sacb.{key[0]}"
        projected = self.block(x, f"{name}.project")
        vectors = context_vectors(projected, self.feature_mean)
        if key in contexts:
            labels, centroids = contexts[key]
        else:
            n = self.clusters[key[0]]
            start = starts[key] if key in starts else torch.linspace(0, len(vectors) - 1, n).long()
            labels, centroids, found.steps[key] = lloyd(vectors, vectors[start])
            labels = labels.reshape(x.shape[1:])
        gates = torch.sigmoid(self.mlp(centroids, f"{name}.kernel_mlp"))
        biases = self.mlp(centroids, f"{name}.bias_mlp")
        adapted = spatial_awareness_convolution(
            projected, labels, self.state[f"{name}.weight"], gates, biases
        )
        refined = x + torch.where(adapted > 0, adapted, SLOPE * adapted)
        found.features[key], found.vectors[key] = refined, vectors
        found.labels[key], found.centroids[key] = labels, centroids
        return refined
