"""Lloyd's algorithm on the CPU: exact, looking only at the vectors that can still change their cluster."""

from dataclasses import dataclass

import torch

_CHUNK = 65536
"""Vectors treated at a time: their scores stay in the processor's cache, and all threads have work."""
_BAND = 6.0
"""Undecided vectors are those within this many steps' worth of movement of another cluster."""
_MOST_UNDECIDED = 0.5
"""Above this share of undecided vectors, steps on all vectors are as fast."""
_FIRST_STEPS = 3
"""Steps before undecided vectors are looked for: the centroids move too far in the first ones."""
_FAR = 1e30


@dataclass
class _Buffers:
    scores: torch.Tensor
    nearest: torch.Tensor


@dataclass(frozen=True)
class _Sums:
    """Sum [N, C] and number [N] of the vectors of every cluster, float64."""

    totals: torch.Tensor
    counts: torch.Tensor

    def __add__(self, other: "_Sums") -> "_Sums":
        return _Sums(self.totals + other.totals, self.counts + other.counts)

    def __sub__(self, other: "_Sums") -> "_Sums":
        return _Sums(self.totals - other.totals, self.counts - other.counts)

    def means(self, dtype: torch.dtype) -> torch.Tensor:
        """Returns the centroids [N, C]; zero for an empty cluster."""
        means = self.totals / self.counts.clamp(min=1)[:, None]
        return torch.where(self.counts[:, None] > 0, means, 0.0).to(dtype)


def lloyd(
    vectors: torch.Tensor, start: torch.Tensor, tolerance: float, max_steps: int
) -> tuple[torch.Tensor, int]:
    """Takes Lloyd's steps until the centroids stand still.

    Every step is that of the plain algorithm on all vectors, up to rounding. Now and then it also measures by
    how much every vector is nearer to its own centroid than to the second one, d_b - d_a. While no two
    centroids have moved since by more than that together, the vector cannot change its cluster (triangle
    inequality), and steps need only the others; the sums of the decided vectors stay as they are.

    Args:
        vectors: [V, C] float32 or float64 on the CPU; fastest where each component is contiguous.
        start: [N, C] centroids of the same type.
        tolerance: The steps end when the squared change of all centroids together is at most this.
        max_steps: Most steps.

    Returns:
        Centroids [N, C], zero for an empty cluster, and the steps taken.
    """
    columns, count = vectors.T, vectors.shape[0]
    buffers = _buffers(columns, len(start))
    centroids, steps = start, 0
    margins = squares = None
    while steps < max_steps:
        if margins is None and steps >= _FIRST_STEPS:
            margins = vectors.new_empty(count)
            squares = torch.cat([part.square().sum(0) for part in columns.split(_CHUNK, 1)])
        sums = _sums(columns, centroids, buffers, squares, margins)
        reference, centroids = centroids, sums.means(start.dtype)
        steps += 1
        if _change(centroids, reference) <= tolerance:
            break
        if margins is None:
            continue
        band = _BAND * _drift(centroids, reference)
        undecided = (margins <= band).nonzero()[:, 0]
        if len(undecided) > _MOST_UNDECIDED * count:
            continue
        few = columns.index_select(1, undecided)
        decided = sums - _sums(few, reference, buffers)
        change, work = float("inf"), 0
        while steps < max_steps and change > tolerance and _drift(centroids, reference) <= band:
            previous = centroids
            centroids = (decided + _sums(few, centroids, buffers)).means(start.dtype)
            steps += 1
            change = _change(centroids, previous)
            work += len(undecided)
            # A narrower band pays once all these steps have cost more than a step on all vectors.
            if work > 1.5 * count and _BAND * _drift(centroids, previous) < band / 3:
                break
        if change <= tolerance:
            break
    return centroids, steps


def nearest_centroid(vectors: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Returns the index [V] (int64) of the nearest centroid; of equally near ones the first.

    Args:
        vectors: [V, C] on the CPU.
        centroids: [N, C] of the same type.
    """
    columns = vectors.T
    buffers = _buffers(columns, len(centroids))
    labels = torch.empty(vectors.shape[0], dtype=torch.int64)
    numbers = torch.arange(len(centroids), dtype=vectors.dtype)
    for first in range(0, len(labels), _CHUNK):
        nearest, *_ = _nearest(columns[:, first : first + _CHUNK], centroids, _half(centroids), buffers)
        labels[first : first + _CHUNK] = numbers @ nearest
    return labels


def _buffers(columns: torch.Tensor, clusters: int) -> _Buffers:
    shape = (clusters, min(columns.shape[1], _CHUNK))
    return _Buffers(columns.new_empty(shape), columns.new_empty(shape))


def _half(centroids: torch.Tensor) -> torch.Tensor:
    return 0.5 * centroids.square().sum(1, keepdim=True)


def _nearest(part: torch.Tensor, centroids: torch.Tensor, half: torch.Tensor, buffers: _Buffers):
    """Returns [N, V] with one 1 per vector, its number per cluster [N], the scores and the lowest ones."""
    count = part.shape[1]
    scores, nearest = buffers.scores[:, :count], buffers.nearest[:, :count]
    # |x - c|^2 = |x|^2 - 2 x.c + |c|^2 and |x|^2 does not change which c is nearest.
    torch.addmm(half, centroids, part, alpha=-1, out=scores)
    # The lowest value and a comparison with it take a tenth of the time of its index.
    lowest = scores.amin(0)
    torch.eq(scores, lowest, out=nearest)
    numbers = nearest.sum(1)
    if int(numbers.sum()) != count:
        # Some vectors are equally near to several centroids and count for the first.
        nearest.zero_().scatter_(0, scores.argmin(0)[None], 1.0)
        numbers = nearest.sum(1)
    return nearest, numbers, scores, lowest


def _sums(columns, centroids, buffers, squares=None, margins=None) -> _Sums:
    """Sums the vectors [C, V] of every cluster; fills in the margins [V] where asked for.

    A chunk is summed in the vectors' own precision, the chunks in float64.
    """
    totals = torch.zeros(centroids.shape, dtype=torch.float64)
    counts = torch.zeros(len(centroids), dtype=torch.float64)
    half = _half(centroids)
    for first in range(0, columns.shape[1], _CHUNK):
        part = columns[:, first : first + _CHUNK]
        nearest, numbers, scores, lowest = _nearest(part, centroids, half, buffers)
        totals += nearest @ part.T
        counts += numbers
        if margins is not None:
            margins[first : first + _CHUNK] = _margins(
                nearest, scores, lowest, squares[first : first + _CHUNK]
            )
    return _Sums(totals, counts)


def _margins(nearest, scores, lowest, squares) -> torch.Tensor:
    """Returns d_b - d_a [V], for the nearest centroid a and the second b, as (d_b^2 - d_a^2)/(d_b + d_a)."""
    second = scores.add_(nearest, alpha=_FAR).amin(0)
    gap = (second - lowest).mul_(2)
    distances = second.mul_(2).add_(squares).clamp_(min=0).sqrt_()
    distances += lowest.mul_(2).add_(squares).clamp_(min=0).sqrt_()
    return gap.div_(distances.clamp_(min=1 / _FAR))


def _change(centroids: torch.Tensor, previous: torch.Tensor) -> float:
    return float((centroids - previous).square().sum())


def _drift(centroids: torch.Tensor, reference: torch.Tensor) -> float:
    """Returns the most that any two centroids have moved together."""
    moved = (centroids - reference).square().sum(1).sqrt()
    return float(moved.topk(min(2, len(moved))).values.sum())
