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
        half = 0.5 * centroids.square().sum(1)
        for part in vectors.split(2**16):
            # Half the squared distance, less half the square of the vector.
            scores = torch.addmm(half[:, None], centroids, part.T, alpha=-1)
            nearest, label = scores[0], torch.zeros(len(part), dtype=torch.uint8)
            for n, score in enumerate(scores[1:], start=1):
                label.masked_fill_(score < nearest, n)
                nearest = torch.minimum(nearest, score)
            members = (label == torch.arange(len(centroids))[:, None]).to(part.dtype)
            totals += members @ part
            counts += members.sum(1)
        updated = (totals / counts.clamp(min=1)[:, None]).to(vectors.dtype)
        change = float((updated - centroids).square().sum())
        centroids = updated
        if change <= tolerance:
            return centroids, step
    raise AssertionError(f"Lloyd's steps still move the centroids after {most}")


def inertia(vectors: torch.Tensor, centroids: torch.Tensor) -> float:
    """Returns the sum of the squared distances to the nearest centroid."""
    total = 0.0
    for part in vectors.split(2**15):
        distances = torch.stack([(part - c).square().sum(1) for c in centroids])
        total += float(distances.amin(0).double().sum())
    return total
