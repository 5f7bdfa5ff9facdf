"""Lloyd's algorithm in its plainest form, to measure K-Means against."""

import torch


@torch.no_grad()
def plain_lloyd(
    vectors: torch.Tensor, start: torch.Tensor, tolerance: float = 1e-10, most: int = 2000
) -> tuple[torch.Tensor, int]:
    """Returns the centroids [N, C] and the number of steps on all vectors [V, C] from a start [N, C]."""
    centroids = start
    for step in range(1, most + 1):
        totals = torch.zeros(centroids.shape, dtype=torch.float64)
        counts = torch.zeros(len(centroids), dtype=torch.float64)
        for part, distances in _squared_distances(vectors, centroids):
            members = torch.nn.functional.one_hot(distances.argmin(0), len(centroids)).to(part.dtype)
            totals += members.T @ part
            counts += members.sum(0)
        updated = (totals / counts.clamp(min=1)[:, None]).to(vectors.dtype)
        change = float((updated - centroids).square().sum())
        centroids = updated
        if change <= tolerance:
            return centroids, step
    raise AssertionError(f"Lloyd's steps still move the centroids after {most}")


def inertia(vectors: torch.Tensor, centroids: torch.Tensor) -> float:
    """Returns the sum of the squared distances to the nearest centroid."""
    return sum(float(d.amin(0).double().sum()) for _, d in _squared_distances(vectors, centroids))


def _squared_distances(vectors: torch.Tensor, centroids: torch.Tensor):
    """Yields some of the vectors [V, C] and their squared distances to the centroids [N, V]."""
    for part in vectors.split(2**15):
        yield part, torch.stack([(part - c).square().sum(1) for c in centroids])
