"""K-Means on context vectors: seeded, safe with too few distinct voxels (paper, equation 4)."""

from dataclasses import dataclass

import torch

from SACBRegistrationLib.network import lloyd, lloyd_on_device
from SACBRegistrationLib.network.precision import at_least_float32, without_autocast
from SACBRegistrationLib.network.seeding import seed_centroids, spread_sample


@dataclass(frozen=True)
class KMeansSettings:
    """How K-Means runs.

    The defaults take Lloyd's steps on all voxels and end where Lloyd's algorithm to 1e-10 from the same start
    does: Testing/Benchmarks/clustering_inertia.py measures by how much the sums of squared distances differ.

    Attributes:
        tolerance: Lloyd's steps end when the squared change of all centroids together is at most this, in
            squared feature units; instance-normalised features have variance near 1.
        max_steps: Most Lloyd steps.
        sample: Most voxels used for Lloyd's steps (evenly strided over the volume); all voxels are assigned
            at the end. A sample may lead to another local optimum. None uses every voxel.
        final_steps: Lloyd steps on all voxels after those on a sample; not used without a sample.
        seed: Seed of the k-means++ draws.
        seeding_sample: Most voxels that the starting centroids are drawn from (evenly strided); None draws
            from every voxel.
    """

    tolerance: float = 1e-7
    max_steps: int = 300
    sample: int | None = None
    final_steps: int = 2
    seed: int = 0
    seeding_sample: int | None = 20_000


EXACT_KMEANS = KMeansSettings(tolerance=1e-10, max_steps=1000, sample=None, seeding_sample=None)
"""Lloyd's steps on all voxels to the tolerance of the published code."""


@dataclass(frozen=True)
class Clustering:
    """Clusters of one set of vectors.

    Attributes:
        labels: [V] cluster index of every vector, 0 to N - 1, int64.
        centroids: [N, C]; zero for an empty cluster.
        steps: Lloyd steps taken; on a GPU a tensor there, so that nothing waits for it.
    """

    labels: torch.Tensor
    centroids: torch.Tensor
    steps: int | torch.Tensor


@torch.no_grad()
def kmeans(
    vectors: torch.Tensor,
    clusters: int,
    settings: KMeansSettings = KMeansSettings(),
    initial: torch.Tensor | None = None,
) -> Clustering:
    """Clusters vectors by Euclidean distance with Lloyd's algorithm.

    The same seed gives the same result every time on the same machine with the same number of threads.
    Another number of threads or another device sums in another order: the starting voxels are the same, the
    centroids differ by rounding, and only vectors as near to one centroid as to another change their label.
    On a GPU nothing in here waits for the device.

    Args:
        vectors: [V, C] float, half precision is computed in float32; no gradient flows through the result.
        clusters: Number of clusters N; may exceed the number of distinct vectors, then some stay empty.
        settings: Tolerance, sampling and seed.
        initial: [N, C] starting centroids; None draws them by k-means++.

    Returns:
        Labels and centroids; an empty cluster's centroid is zero, as in the published code.

    Raises:
        ValueError: When there are no vectors, fewer than one cluster is asked for, or the start has another
            shape.
    """
    if clusters < 1 or vectors.shape[0] < 1:
        raise ValueError(f"cannot make {clusters} clusters of {vectors.shape[0]} vectors")
    wanted = (clusters, vectors.shape[1])
    if initial is not None and initial.shape != wanted:
        raise ValueError(f"initial centroids must be {list(wanted)}, not {list(initial.shape)}")
    # Rounded products would scatter the labels, and halves cannot even count the voxels.
    with without_autocast(vectors.device.type):
        return _kmeans(at_least_float32(vectors.detach()), clusters, settings, initial)


def _kmeans(vectors, clusters, settings, initial) -> Clustering:
    if initial is None:
        seeds = spread_sample(vectors, settings.sample)
        centroids = seed_centroids(spread_sample(seeds, settings.seeding_sample), clusters, settings.seed)
    else:
        centroids = initial.to(vectors.dtype)
    sample = spread_sample(vectors, settings.sample)
    centroids, steps = _lloyd(sample, centroids, settings.tolerance, settings.max_steps)
    if sample is not vectors:
        centroids, final = _lloyd(vectors, centroids, 0.0, settings.final_steps)
        steps = steps + final
    return Clustering(assign(vectors, centroids), centroids, steps)


def assign(vectors: torch.Tensor, centroids: torch.Tensor) -> torch.Tensor:
    """Returns the index [V] of the nearest centroid; of equally near ones the first."""
    return _place(vectors).nearest_centroid(vectors, centroids)


def _lloyd(vectors, centroids, tolerance, max_steps):
    return _place(vectors).lloyd(vectors, centroids, tolerance, max_steps)


def _place(vectors: torch.Tensor):
    # What a CPU decides on the way, a GPU would have to be waited for.
    return lloyd if vectors.device.type == "cpu" else lloyd_on_device
