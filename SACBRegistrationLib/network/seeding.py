"""The starting centroids of K-Means."""

import numpy as np
import torch

from SACBRegistrationLib.imaging.tensors import to_tensor


def spread_sample(vectors: torch.Tensor, most: int | None) -> torch.Tensor:
    """Returns at most so many of the vectors, evenly strided over the volume; all of them for None.

    Args:
        vectors: [V, C].
        most: Most vectors.
    """
    if most is None or vectors.shape[0] <= most:
        return vectors
    index = torch.linspace(0, vectors.shape[0] - 1, most, dtype=torch.float64).long()
    return vectors[on_device(index, vectors.device)]


@torch.no_grad()
def seed_centroids(vectors: torch.Tensor, clusters: int, seed: int) -> torch.Tensor:
    """Draws N of the vectors by k-means++: each with probability proportional to its squared distance so far.

    The draw is a race: vector i arrives at the time e_i / d_i, with e_i exponentially distributed and d_i its
    squared distance, and the first one is taken, so that i wins with probability d_i / sum(d). Unlike a
    search in cumulated distances it hardly feels rounding: the same seed and vectors give the same draw on
    every device, and in every version of torch and NumPy, as RandomState never changes. Nothing waits for the
    device.

    Args:
        vectors: [V, C].
        clusters: Number of centroids N.
        seed: Seed of the draws.

    Returns:
        [N, C]; repeats a vector where fewer than N are distinct.
    """
    # RandomState knows seeds of 32 bits only.
    random, count = np.random.RandomState(seed % 2**32), vectors.shape[0]
    first = torch.tensor([int(random.random_sample() * count)])
    uniform = on_device(to_tensor(random.random_sample((clusters - 1, count))), vectors.device)
    # Speeds 1 / e_i: nothing is divided by the distances, of which some are zero.
    speeds = torch.log1p(-uniform).neg().clamp(min=1e-300).reciprocal()
    chosen = [vectors.index_select(0, on_device(first, vectors.device))]
    distance = torch.full((count,), float("inf"), dtype=vectors.dtype, device=vectors.device)
    for speed in speeds:
        distance = torch.minimum(distance, (vectors - chosen[-1]).square().sum(1))
        chosen.append(vectors.index_select(0, (distance * speed).argmax().reshape(1)))
    return torch.cat(chosen)


def on_device(values: torch.Tensor, device: torch.device) -> torch.Tensor:
    """Copies values from the CPU to a device without waiting for it."""
    if device.type != "cuda":
        return values.to(device)
    return values.pin_memory().to(device, non_blocking=True)
