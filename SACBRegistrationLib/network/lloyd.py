"""Lloyd's algorithm on the CPU: exact, looking only at the vectors that can still change their cluster."""

from dataclasses import dataclass

import torch

_CHUNK = 65536
"""Vectors treated at a time: their scores stay in the processor's cache, and all threads have work."""
_BAND = 6.0
"""Undecided vectors are those within this many steps' worth of movement of another cluster, at least."""
_SHARE = 0.35
"""Share of the vectors that is left undecided where the band may be wider than that."""
_MOST_UNDECIDED = 0.5
"""Above this share of undecided vectors, steps on all of them are as fast."""
_CALMED = 0.6
"""After a look for undecided vectors, the steps must have shrunk to this before the next one is worth it."""
_FEWEST = 2048
"""So few vectors are not worth a look."""
_SAMPLED = 4096
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


@dataclass
class _Subset:
    """Vectors that could change their cluster while no two centroids together move more than the band.

    Attributes:
        columns: [C, V] the vectors.
        decided: Sums of all other vectors.
        reference: Centroids from which the movement counts.
        band: Movement up to which the others stay in their clusters.
    """

    columns: torch.Tensor
    decided: _Sums
    reference: torch.Tensor
    band: float


def lloyd(
    vectors: torch.Tensor, start: torch.Tensor, tolerance: float, max_steps: int
) -> tuple[torch.Tensor, int]:
    """Takes Lloyd's steps until the centroids stand still.

    Every step is that of the plain algorithm on all vectors, up to rounding. Now and then it also measures by
    how much every vector is nearer to its own centroid than to the second one, d_b - d_a. While no two
    centroids have moved since by more than that together, the vector cannot change its cluster (triangle
    inequality), and steps need only the others; the sums of the decided vectors stay as they are. Among the
    others the same is done again with a narrower band, and so on, so that most steps look at a few thousand
    vectors.

    Args:
        vectors: [V, C] float32 or float64 on the CPU.
        start: [N, C] centroids of the same type.
        tolerance: The steps end when the squared change of all centroids together is at most this.
        max_steps: Most steps.

    Returns:
        Centroids [N, C], zero for an empty cluster, and the steps taken.
    """
    buffers = _buffers(vectors.T, len(start))
    nothing = _Sums(torch.zeros_like(start, dtype=torch.float64), start.new_zeros(len(start)).double())
    subsets = [_Subset(vectors.T, nothing, start, float("inf"))]
    # A look for undecided vectors is worth it when a step moves less than this.
    calm = movement = float("inf")
    centroids, steps = start, 0
    while steps < max_steps:
        valid = _valid(subsets, centroids)
        if valid < len(subsets):
            del subsets[valid:]
            calm = float("inf")
        subset = subsets[-1]
        look = movement < calm and subset.columns.shape[1] > _FEWEST
        margins = vectors.new_empty(subset.columns.shape[1]) if look else None
        sums = _sums(subset.columns, centroids, buffers, margins)
        previous, centroids = centroids, (subset.decided + sums).means(start.dtype)
        steps += 1
        movement = _drift(centroids, previous)
        if _change(centroids, previous) <= tolerance:
            break
        if look:
            subsets += _undecided(subset, sums, margins, previous, movement, buffers)
            calm = _CALMED * movement
    return centroids, steps


def _valid(subsets: list[_Subset], centroids: torch.Tensor) -> int:
    """Returns how many of the nested subsets still hold: those inside one that does not hold neither do."""
    for number, subset in enumerate(subsets):
        if _drift(centroids, subset.reference) > subset.band:
            return number
    return len(subsets)


def _undecided(subset, sums, margins, reference, movement, buffers) -> list[_Subset]:
    """Returns ever smaller subsets of a subset for the next steps; none where most vectors are undecided."""
    found: list[_Subset] = []
    least = _BAND * movement
    columns, decided, band = subset.columns, subset.decided, float("inf")
    while band > least and len(margins) > _FEWEST:
        few = margins[:: max(1, len(margins) // _SAMPLED)]
        band = max(least, float(few.kthvalue(max(1, int(_SHARE * len(few)))).values))
        undecided = (margins <= band).nonzero()[:, 0]
        if len(undecided) > _MOST_UNDECIDED * len(margins):
            break
        columns, margins = columns.T.index_select(0, undecided).T, margins.index_select(0, undecided)
        own = _sums(columns, reference, buffers)
        decided, sums = decided + (sums - own), own
        found.append(_Subset(columns, decided, reference, band))
    return found


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


def _sums(columns, centroids, buffers, margins=None) -> _Sums:
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
            margins[first : first + _CHUNK] = _margins(nearest, scores, lowest, part.square().sum(0))
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
