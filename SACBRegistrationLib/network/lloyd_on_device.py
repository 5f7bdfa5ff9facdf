"""Lloyd's algorithm for a GPU: a fixed course of steps that never waits for the device."""

from functools import reduce

import torch

from SACBRegistrationLib.network import triton_support

_BLOCK = 1024
"""Vectors summed together; a GPU sums many blocks at a time, a single long product leaves it idle."""
_MOST_SCORES = 2**24
"""Distances held in memory at a time."""
_ASK_EVERY = 8
"""Steps between two looks at whether the centroids stand still."""


def lloyd(
    vectors: torch.Tensor, start: torch.Tensor, tolerance: float, max_steps: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Takes Lloyd's steps; once the centroids stand still, further steps change nothing.

    Float32 vectors take the Triton kernels where these serve: two launches a step instead of some twenty.

    Args:
        vectors: [V, C] float32 or float64.
        start: [N, C] centroids of the same type.
        tolerance: The centroids are frozen when the squared change of all together is at most this.
        max_steps: Most steps. Fewer are started when the device is known to have finished, see `_Watch`.

    Returns:
        Centroids [N, C], zero for an empty cluster, and the steps until they stood still, a tensor.
    """
    watch = _Watch(vectors.device)
    if vectors.dtype == torch.float32 and triton_support.serves(vectors):
        from SACBRegistrationLib.network.triton_lloyd import lloyd_triton

        return lloyd_triton(vectors, start, tolerance, max_steps, watch.ends_before)
    centroids = start
    still = torch.zeros((), dtype=torch.bool, device=vectors.device)
    steps = torch.zeros((), dtype=torch.int64, device=vectors.device)
    numbers = torch.arange(len(start), device=vectors.device)[:, None]
    for step in range(max_steps):
        if watch.ends_before(step, still):
            break
        updated = _means(vectors, centroids, numbers)
        change = (updated - centroids).square().sum()
        centroids = torch.where(still, centroids, updated)
        steps = steps + ~still
        still = still | (change <= tolerance)
    return centroids, steps


def nearest_centroid(vectors: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Returns the index [V] (int64) of the nearest centroid; of equally near ones the first."""
    rows = _rows_at_once(len(centroids))
    parts = [_scores(part, centroids).argmin(0) for part in vectors.split(rows)]
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def _rows_at_once(clusters: int) -> int:
    return max(_MOST_SCORES // clusters // _BLOCK, 1) * _BLOCK


def _scores(part: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    # |x - c|^2 = |x|^2 - 2 x.c + |c|^2 and |x|^2 does not change which c is nearest.
    return torch.addmm(centroids.square().sum(1, keepdim=True), centroids, part.T, beta=0.5, alpha=-1)


def _means(vectors: torch.Tensor, centroids: torch.Tensor, numbers: torch.Tensor) -> torch.Tensor:
    """Returns the means [N, C] of the vectors nearest to each centroid; `numbers` is 0 to N - 1, [N, 1]."""
    parts = [_sums(part, centroids, numbers) for part in vectors.split(_rows_at_once(len(centroids)))]
    totals, counts = (reduce(torch.add, found) for found in zip(*parts, strict=True))
    # An empty cluster's total is zero, and so is its centroid.
    return (totals / counts.clamp(min=1)[:, None]).to(centroids.dtype)


def _sums(
    part: torch.Tensor, centroids: torch.Tensor, numbers: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Returns the sums [N, C] of the vectors nearest to each centroid and their number [N], float64."""
    members = (_scores(part, centroids).argmin(0) == numbers).to(part.dtype)
    whole = len(part) // _BLOCK * _BLOCK
    blocks = members[:, :whole].unflatten(1, (-1, _BLOCK)).transpose(0, 1)
    total = (blocks @ part[:whole].unflatten(0, (-1, _BLOCK))).sum(0, dtype=torch.float64)
    if whole < len(part):
        total = total + members[:, whole:] @ part[whole:]
    return total, members.sum(1, dtype=torch.float64)


class _Watch:
    """Notices that the centroids stand still without waiting for the device.

    A copy of the flag is on its way to the host while further steps are started; only copies that have
    arrived are looked at. When one arrives decides how many idle steps run, never what the result is. While
    a CUDA graph is recorded, and on other devices, nothing is looked at.
    """

    def __init__(self, device: torch.device) -> None:
        self._works = device.type == "cuda" and not torch.cuda.is_current_stream_capturing()
        self._copies: list[tuple[torch.Tensor, torch.cuda.Event]] = []

    def ends_before(self, step: int, flag: torch.Tensor) -> bool:
        """Returns whether a flag of an earlier step has arrived and was set; now and then sends this one."""
        if not self._works or step % _ASK_EVERY:
            return False
        arrived = [copy for copy, event in self._copies if event.query()]
        self._copies = self._copies[len(arrived) :]
        copy, event = torch.empty((), dtype=flag.dtype, pin_memory=True), torch.cuda.Event()
        copy.copy_(flag, non_blocking=True)
        event.record()
        self._copies.append((copy, event))
        return any(bool(copy) for copy in arrived)
