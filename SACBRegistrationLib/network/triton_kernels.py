"""Adaptive convolution and matching as one GPU kernel each; importing this module needs Triton.

Both read the features where they lie, channels-last or contiguous, and hold neither patches nor scores in
memory. Products are accumulated in float32 whatever the features' type. No gradients: callers take the plain
functions where they are wanted.
"""

import torch
import triton
import triton.language as tl

from SACBRegistrationLib.network.matching import window_offsets
from SACBRegistrationLib.network.precision import tf32_products

# Chosen so that no variant of a kernel spills registers on current cards or needs more than 50 KB of a
# multiprocessor's shared memory.
_VOXELS = 64
_VALUES = 1024
_CHANNELS = 32
# An offset in a larger tensor needs more than 32 bits.
_NARROW = 2**31 - 1


@triton.jit
def _place(position, depth, height, width, wide: tl.constexpr):
    """Splits a flat voxel index into (d, h, w)."""
    d = position // (height * width)
    h = position // width % height
    w = position % width
    if wide:
        d, h, w = d.to(tl.int64), h.to(tl.int64), w.to(tl.int64)
    return d, h, w


@triton.jit
def _convolve(
    features,
    weight,
    labels,
    gates,
    biases,
    output,
    depth,
    height,
    width,
    clusters,
    x_b,
    x_c,
    x_d,
    x_h,
    x_w,
    y_b,
    y_c,
    y_d,
    y_h,
    y_w,
    c_in: tl.constexpr,
    c_out: tl.constexpr,
    block_in: tl.constexpr,
    block_out: tl.constexpr,
    voxels: tl.constexpr,
    tf32: tl.constexpr,
    wide: tl.constexpr,
):
    sample = tl.program_id(1)
    if wide:
        sample = sample.to(tl.int64)
    count = depth * height * width
    position = tl.program_id(0) * voxels + tl.arange(0, voxels)
    valid = position < count
    d, h, w = _place(position, depth, height, width, wide)
    outputs = tl.arange(0, block_out)
    wanted = outputs < c_out
    label = tl.load(labels + sample * count + position, mask=valid, other=0).to(tl.int32)
    cluster = sample * clusters + label
    center = features + sample * x_b + d * x_d + h * x_h + w * x_w
    sums = tl.zeros((voxels, block_out), dtype=tl.float32)
    for k in range(27):
        i, j, s = k // 9 - 1, k // 3 % 3 - 1, k % 3 - 1
        inside = (d + i >= 0) & (d + i < depth) & (h + j >= 0) & (h + j < height)
        inside = inside & (w + s >= 0) & (w + s < width) & valid
        # The gate multiplies the product, not the patch: it would be rounded to the features' type there.
        gate = tl.load(gates + cluster * 27 + k, mask=valid, other=0.0)
        neighbor = center + i * x_d + j * x_h + s * x_w
        for first in range(0, c_in, block_in):
            inputs = first + tl.arange(0, block_in)
            known = inputs < c_in
            patch = tl.load(
                neighbor[:, None] + inputs[None, :] * x_c, mask=inside[:, None] & known[None, :], other=0.0
            )
            part = tl.load(
                weight + (k * c_in + inputs[:, None]) * c_out + outputs[None, :],
                mask=known[:, None] & wanted[None, :],
                other=0.0,
            )
            if tf32:
                sums += tl.dot(patch, part, input_precision="tf32") * gate[:, None]
            else:
                sums += tl.dot(patch, part, input_precision="ieee") * gate[:, None]
    stored = valid[:, None] & wanted[None, :]
    sums += tl.load(biases + cluster[:, None] * c_out + outputs[None, :], mask=stored, other=0.0)
    target = output + sample * y_b + d * y_d + h * y_h + w * y_w
    tl.store(target[:, None] + outputs[None, :] * y_c, sums.to(output.dtype.element_ty), mask=stored)


@triton.jit
def _match(
    moving,
    fixed,
    output,
    depth,
    height,
    width,
    m_b,
    m_c,
    m_d,
    m_h,
    m_w,
    f_b,
    f_c,
    f_d,
    f_h,
    f_w,
    channels: tl.constexpr,
    block: tl.constexpr,
    window: tl.constexpr,
    voxels: tl.constexpr,
    wide: tl.constexpr,
):
    sample = tl.program_id(1)
    if wide:
        sample = sample.to(tl.int64)
    count = depth * height * width
    position = tl.program_id(0) * voxels + tl.arange(0, voxels)
    valid = position < count
    d, h, w = _place(position, depth, height, width, wide)
    channel = tl.arange(0, block)
    known = channel < channels
    own = tl.load(
        (fixed + sample * f_b + d * f_d + h * f_h + w * f_w)[:, None] + channel[None, :] * f_c,
        mask=valid[:, None] & known[None, :],
        other=0.0,
    ).to(tl.float32)
    center = moving + sample * m_b + d * m_d + h * m_h + w * m_w
    reach: tl.constexpr = window // 2
    highest = tl.full((voxels,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((voxels,), dtype=tl.float32)
    along_d = tl.zeros((voxels,), dtype=tl.float32)
    along_h = tl.zeros((voxels,), dtype=tl.float32)
    along_w = tl.zeros((voxels,), dtype=tl.float32)
    for k in range(window * window * window):
        i, j, s = k // (window * window) - reach, k // window % window - reach, k % window - reach
        inside = (d + i >= 0) & (d + i < depth) & (h + j >= 0) & (h + j < height)
        inside = inside & (w + s >= 0) & (w + s < width) & valid
        other = tl.load(
            (center + i * m_d + j * m_h + s * m_w)[:, None] + channel[None, :] * m_c,
            mask=inside[:, None] & known[None, :],
            other=0.0,
        ).to(tl.float32)
        score = tl.sum(own * other, axis=1)
        higher = tl.maximum(highest, score)
        # What was summed so far was scaled by another maximum.
        kept, added = tl.exp(highest - higher), tl.exp(score - higher)
        highest = higher
        total = total * kept + added
        along_d = along_d * kept + added * i
        along_h = along_h * kept + added * j
        along_w = along_w * kept + added * s
    target = output + sample * 3 * count + position
    tl.store(target, along_d / total, mask=valid)
    tl.store(target + count, along_h / total, mask=valid)
    tl.store(target + 2 * count, along_w / total, mask=valid)


def adaptive_convolution_triton(
    features: torch.Tensor,
    weight: torch.Tensor,
    labels: torch.Tensor,
    gates: torch.Tensor,
    biases: torch.Tensor,
) -> torch.Tensor:
    """Convolves every voxel with the kernel of its cluster; see `adaptive_convolution` for the equation.

    Args:
        features: [B, C_in, D, H, W], float32, float16 or bfloat16, of any strides.
        weight: [C_out, C_in, 27], rounded to the features' type.
        labels: [B, D, H, W], whole numbers of any type.
        gates: [B, N, 27], applied in float32.
        biases: [B, N, C_out], applied in float32.

    Returns:
        [B, C_out, D, H, W] of the features' type and memory format. Products of float32 features are
        rounded to TF32 where torch's own matrix products are.
    """
    batch, c_in, depth, height, width = features.shape
    c_out = weight.shape[0]
    output = _empty_as(features, c_out)
    if output.numel() == 0:
        return output
    constants, warps = convolution_variant(c_in, c_out)
    _convolve[(triton.cdiv(depth * height * width, constants["voxels"]), batch)](
        features,
        weight.to(features.dtype).permute(2, 1, 0).contiguous(),
        labels.contiguous(),
        gates.float().contiguous(),
        biases.float().contiguous(),
        output,
        depth,
        height,
        width,
        gates.shape[1],
        *features.stride(),
        *output.stride(),
        **constants,
        tf32=features.dtype == torch.float32 and tf32_products(),
        wide=_is_wide(features, output),
        num_warps=warps,
    )
    return output


def match_triton(moving: torch.Tensor, fixed: torch.Tensor, window: int = 3) -> torch.Tensor:
    """Returns the softmax-weighted mean offset of the best matches; see `match`.

    The softmax is taken in one pass over the window: the running sums are scaled again whenever a higher
    score turns up.

    Args:
        moving: [B, C, D, H, W], float32, float16 or bfloat16, of any strides.
        fixed: Same shape and type.
        window: Odd width of the search window, voxels.

    Returns:
        [B, 3, D, H, W] in voxels, float32 whatever the features' type.
    """
    window_offsets(window)
    batch, channels, depth, height, width = fixed.shape
    output = torch.empty(batch, 3, depth, height, width, device=fixed.device, dtype=torch.float32)
    if output.numel() == 0:
        return output
    constants, warps = match_variant(channels)
    _match[(triton.cdiv(depth * height * width, constants["voxels"]), batch)](
        moving,
        fixed,
        output,
        depth,
        height,
        width,
        *moving.stride(),
        *fixed.stride(),
        **constants,
        window=window,
        wide=_is_wide(moving, fixed, output),
        num_warps=warps,
    )
    return output


def convolution_variant(c_in: int, c_out: int) -> tuple[dict[str, int], int]:
    """Returns the sizes that the convolution is compiled for, and its number of warps."""
    constants = {
        "c_in": c_in,
        "c_out": c_out,
        "block_in": min(_block(c_in), _CHANNELS),
        "block_out": _block(c_out),
        "voxels": _VOXELS,
    }
    return constants, 4 if c_out <= 16 else 8


def match_variant(channels: int) -> tuple[dict[str, int], int]:
    """Returns the sizes that the matching is compiled for, and its number of warps."""
    block = _block(channels)
    return {"channels": channels, "block": block, "voxels": max(1, _VALUES // block)}, 4


def _empty_as(features: torch.Tensor, channels: int) -> torch.Tensor:
    shape = (features.shape[0], channels, *features.shape[2:])
    last = features.is_contiguous(memory_format=torch.channels_last_3d)
    memory_format = torch.channels_last_3d if last else torch.contiguous_format
    return torch.empty(shape, device=features.device, dtype=features.dtype, memory_format=memory_format)


def _block(channels: int) -> int:
    # The matrix units take no less than 16.
    return max(16, triton.next_power_of_2(channels))


def _is_wide(*tensors: torch.Tensor) -> bool:
    return any(
        sum((n - 1) * abs(s) for n, s in zip(t.shape, t.stride(), strict=True)) > _NARROW for t in tensors
    )
