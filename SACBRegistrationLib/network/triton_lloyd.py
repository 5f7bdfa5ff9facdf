"""Lloyd's steps as two GPU kernels each; importing this module needs Triton.

A step in torch's own operations is some twenty launches, each longer than the work it starts, and a forward
pass takes hundreds of steps. Here the first kernel sums the members of every cluster in parts of the vectors,
the second makes centroids of the sums.
"""

from collections.abc import Callable

import torch
import triton
import triton.language as tl

_ROUNDS = 16
"""Blocks of vectors that a program sums in float32; the parts are added in float64."""
_VALUES = 2048
"""Numbers of a block of vectors, few enough that no variant spills registers on current cards."""
_PARTS = 64
"""Parts added at a time."""


@triton.jit
def _sum_members(
    vectors,
    centroids,
    changes,
    still,
    sums,
    counts,
    count,
    v_v,
    v_c,
    tolerance,
    clusters: tl.constexpr,
    channels: tl.constexpr,
    block_n: tl.constexpr,
    block_c: tl.constexpr,
    block_v: tl.constexpr,
    rounds: tl.constexpr,
):
    n, c = tl.arange(0, block_n), tl.arange(0, block_c)
    known = n < clusters
    change = tl.sum(tl.load(changes + n, mask=known, other=0.0), axis=0)
    part = tl.program_id(0)
    if change <= tolerance:
        if part == 0:
            tl.store(still, 1)
    else:
        used = known[None, :] & (c < channels)[:, None]
        centers = tl.load(centroids + n[None, :] * channels + c[:, None], mask=used, other=0.0)
        # |x - c|^2 without |x|^2, halved; no vector is nearest to a cluster that is not there.
        half = tl.where(known, 0.5 * tl.sum(centers * centers, axis=0), float("inf"))
        total = tl.zeros((block_n, block_c), dtype=tl.float32)
        number = tl.zeros((block_n,), dtype=tl.float32)
        for block in range(rounds):
            v = (part.to(tl.int64) * rounds + block) * block_v + tl.arange(0, block_v)
            valid = v < count
            x = tl.load(
                vectors + v[:, None] * v_v + c[None, :] * v_c,
                mask=valid[:, None] & (c < channels)[None, :],
                other=0.0,
            )
            scores = half[None, :] - tl.dot(x, centers, input_precision="ieee")
            nearest = tl.argmin(scores, axis=1)
            members = ((nearest[:, None] == n[None, :]) & valid[:, None]).to(tl.float32)
            total += tl.dot(tl.trans(members), x, input_precision="ieee")
            number += tl.sum(members, axis=0)
        kept = known[:, None] & (c < channels)[None, :]
        row = part * clusters + n
        tl.store(sums + row[:, None] * channels + c[None, :], total, mask=kept)
        tl.store(counts + row, number, mask=known)


@triton.jit
def _move_centroids(
    sums,
    counts,
    centroids,
    changes,
    still,
    steps,
    parts,
    clusters: tl.constexpr,
    channels: tl.constexpr,
    block_c: tl.constexpr,
    block_p: tl.constexpr,
):
    n = tl.program_id(0)
    if tl.load(still) == 0:
        c = tl.arange(0, block_c)
        known = c < channels
        total = tl.zeros((block_c,), dtype=tl.float64)
        number = tl.zeros((block_p,), dtype=tl.float64)
        for first in range(0, parts, block_p):
            p = first + tl.arange(0, block_p)
            row = p * clusters + n
            there = p < parts
            part = tl.load(
                sums + row[:, None] * channels + c[None, :], mask=there[:, None] & known[None, :], other=0.0
            )
            total += tl.sum(part.to(tl.float64), axis=0)
            number += tl.load(counts + row, mask=there, other=0.0).to(tl.float64)
        # An empty cluster's sum is zero, and so is its centroid.
        mean = (total / tl.maximum(tl.sum(number, axis=0), 1.0)).to(tl.float32)
        former = tl.load(centroids + n * channels + c, mask=known, other=0.0)
        away = mean - former
        tl.store(changes + n, tl.sum(away * away, axis=0))
        tl.store(centroids + n * channels + c, mean, mask=known)
        if n == 0:
            tl.store(steps, tl.load(steps) + 1)


def lloyd_triton(
    vectors: torch.Tensor,
    start: torch.Tensor,
    tolerance: float,
    max_steps: int,
    stop: Callable[[int, torch.Tensor], bool],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Takes Lloyd's steps; once the centroids stand still, further steps change nothing and end at once.

    Args:
        vectors: [V, C] float32, of any strides.
        start: [N, C] float32 centroids.
        tolerance: The centroids are frozen when the squared change of all together is at most this.
        max_steps: Most steps.
        stop: Told the number of the step and the flag, not zero when the centroids stood still before the
            last step; returns whether to start no more steps.

    Returns:
        Centroids [N, C], zero for an empty cluster, and the steps until they stood still, an int32 tensor.
    """
    constants, warps = lloyd_variant(*start.shape)
    parts = triton.cdiv(len(vectors), constants["block_v"] * _ROUNDS)
    centroids = start.clone(memory_format=torch.contiguous_format)
    changes = torch.full_like(centroids[:, 0], float("inf"))
    sums = centroids.new_empty(parts, *start.shape)
    counts = centroids.new_empty(parts, len(start))
    still, steps = torch.zeros(2, dtype=torch.int32, device=vectors.device)
    shared = {name: constants[name] for name in ("clusters", "channels", "block_c")}
    for step in range(max_steps):
        if stop(step, still):
            break
        _sum_members[(parts,)](
            vectors,
            centroids,
            changes,
            still,
            sums,
            counts,
            len(vectors),
            *vectors.stride(),
            tolerance,
            **constants,
            rounds=_ROUNDS,
            num_warps=warps,
        )
        _move_centroids[(len(start),)](
            sums, counts, centroids, changes, still, steps, parts, **shared, block_p=_PARTS, num_warps=warps
        )
    return centroids, steps


def lloyd_variant(clusters: int, channels: int) -> tuple[dict[str, int], int]:
    """Returns the sizes that the summing is compiled for, and its number of warps."""
    # The matrix products take no side below 16.
    block_c = max(16, triton.next_power_of_2(channels))
    constants = {
        "clusters": clusters,
        "channels": channels,
        "block_n": max(16, triton.next_power_of_2(clusters)),
        "block_c": block_c,
        "block_v": max(16, min(64, _VALUES // block_c)),
    }
    return constants, 4
