"""Convolution with one kernel per cluster, as one product over gated patches (paper, equations 5 and 6)."""

import torch
from torch.nn import functional as F

from SACBRegistrationLib.network import triton_support
from SACBRegistrationLib.network.cpu_layers import strided_convolution
from SACBRegistrationLib.network.matching import planes_at_once, shifted, window_offsets

_TILE_VALUES = 2**21


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
    if triton_support.serves(features):
        from SACBRegistrationLib.network.triton_kernels import adaptive_convolution_triton

        return adaptive_convolution_triton(features, weight, labels, gates, biases)
    convolve = _convolve_sample
    if not torch.is_grad_enabled():
        convolve = _convolve_in_tiles if features.device.type == "cpu" else _convolve_in_slabs
    padded = F.pad(features, [1] * 6)
    samples = [
        convolve(x, weight, own, gate, bias)
        for x, own, gate, bias in zip(padded, labels, gates, biases, strict=True)
    ]
    return samples[0][None] if len(samples) == 1 else torch.stack(samples)


def _convolve_sample(padded, weight, labels, gates, biases):
    """Convolves [C, D + 2, H + 2, W + 2] as a whole; gradients flow."""
    kernel = weight.permute(0, 2, 1).reshape(weight.shape[0], -1)
    gate = gates.T[:, labels.reshape(-1)].reshape(-1, 1, *labels.shape)
    patches = torch.stack(
        [shifted(padded, offset, labels.shape, 1) * gate[k] for k, offset in enumerate(window_offsets(3))]
    )
    product = kernel @ patches.reshape(kernel.shape[1], -1)
    return (product + biases.T[:, labels.reshape(-1)]).reshape(-1, *labels.shape)


def _convolve_in_slabs(padded, weight, labels, gates, biases):
    """Convolves [C, D + 2, H + 2, W + 2] without gradients on a GPU: few launches, and one slab's patches."""
    outputs, channels, positions = weight.shape
    kernel = weight.permute(0, 2, 1).reshape(outputs, -1)
    result = padded.new_empty(outputs, *labels.shape)
    planes = min(len(labels), planes_at_once(positions * channels * labels[0].numel()))
    scratch = padded.new_empty(positions * channels * planes * labels[0].numel())
    for d in range(0, len(labels), planes):
        of = labels[d : d + planes]
        gate = gates.T.index_select(1, of.reshape(-1)).view(positions, *of.shape)
        patches = scratch[: positions * channels * of.numel()].view(positions, channels, *of.shape)
        for k, offset in enumerate(window_offsets(3)):
            source = shifted(padded[:, d : d + planes + 2], offset, of.shape, 1)
            torch.mul(source, gate[k], out=patches[k])
        product = kernel @ patches.view(kernel.shape[1], -1)
        result[:, d : d + planes] = (product + biases.T.index_select(1, of.reshape(-1))).view(-1, *of.shape)
    return result


def _convolve_in_tiles(padded, weight, labels, gates, biases):
    """Convolves [C, D + 2, H + 2, W + 2] without gradients, in tiles of rows whose patches stay in the cache.

    With the channels last, the patches of a row are a view of the padded volume; the product with the gates
    is the only copy. The matrix product is given as a convolution with a 1x1x1 kernel, the fastest one here.
    """
    outputs, channels, positions = weight.shape
    depth, height, width = labels.shape
    kernel = weight.permute(0, 2, 1).reshape(outputs, -1, 1, 1, 1)
    voxels = padded.permute(1, 2, 3, 0).contiguous()
    plane, row, voxel, one = voxels.stride()
    begin = voxels.storage_offset()
    result = voxels.new_empty(depth, height, width, outputs)
    rows = max(1, min(height, _TILE_VALUES // (positions * channels * width)))
    scratch = voxels.new_empty(rows, width, 3, 3, 3, channels)
    for d in range(depth):
        for h in range(0, height, rows):
            of = labels[d, h : h + rows].reshape(-1)
            shape = (len(of) // width, width, 3, 3, 3)
            patches = voxels.as_strided(
                (*shape, channels), (row, voxel, plane, row, voxel, one), begin + d * plane + h * row
            )
            gate = gates.index_select(0, of).view(*shape, 1)
            gated = torch.mul(patches, gate, out=scratch[: shape[0]])
            gated = gated.view(1, 1, *shape[:2], -1).permute(0, 4, 1, 2, 3)
            product = strided_convolution(gated, kernel, None, (1, 1, 1), (0, 0, 0))
            product = product[0, :, 0].permute(1, 2, 0)
            bias = biases.index_select(0, of).view(*shape[:2], outputs)
            torch.add(product, bias, out=result[d, h : h + rows])
    return result.permute(3, 0, 1, 2)
