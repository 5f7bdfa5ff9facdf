"""Convolution with one kernel per cluster, as one product over gated patches (paper, equations 5 and 6)."""

import torch
from torch.nn import functional as F

from SACBRegistrationLib.network.matching import shifted, window_offsets

_SLAB_VALUES = 4_000_000


def adaptive_convolution(
    features: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    gates: torch.Tensor,
    biases: torch.Tensor,
) -> torch.Tensor:
    """Convolves every voxel with the kernel of its cluster.

    The kernel of cluster n is W_n[o, i, k] = W[o, i, k] g_n[k], so
    out(v) = sum_k g_label(v)[k] W_k x(v + k) + b_label(v): the gates multiply the patches, and one matrix
    product serves all clusters.

    Args:
        features: [B, C_in, D, H, W].
        weight: [C_out, C_in, 27], kernel positions (d, h, w) with w fastest.
        labels: [B, D, H, W] cluster of every voxel.
        gates: [B, N, 27].
        biases: [B, N, C_out].

    Returns:
        [B, C_out, D, H, W].
    """
    kernel = weight.permute(0, 2, 1).reshape(weight.shape[0], -1)
    padded = F.pad(features, [1] * 6)
    samples = [
        _convolve_sample(padded[b], kernel, labels[b], gates[b].T, biases[b].T)
        for b in range(features.shape[0])
    ]
    return torch.stack(samples)


def _convolve_sample(padded, kernel, labels, gates, biases):
    """Convolves [C, D + 2, H + 2, W + 2] slab by slab, so that the patches never lie in memory as a whole."""
    depth, height, width = labels.shape
    rows = kernel.shape[1] * height * width
    step = depth if torch.is_grad_enabled() else max(1, min(depth, _SLAB_VALUES // rows))
    slabs = []
    for start in range(0, depth, step):
        labels_slab = labels[start : start + step]
        slab = padded[:, start : start + labels_slab.shape[0] + 2]
        gate = gates[:, labels_slab.reshape(-1)].reshape(-1, 1, *labels_slab.shape)
        patches = torch.stack(
            [
                shifted(slab, offset, labels_slab.shape, 1) * gate[k]
                for k, offset in enumerate(window_offsets(3))
            ]
        )
        product = kernel @ patches.reshape(kernel.shape[1], -1)
        slabs.append((product + biases[:, labels_slab.reshape(-1)]).reshape(-1, *labels_slab.shape))
    return torch.cat(slabs, dim=1)
