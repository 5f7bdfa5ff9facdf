"""K-Means on real scans: it ends where Lloyd's algorithm to 1e-10 does from the same start."""

import pytest
import torch
from plain_lloyd import inertia, plain_lloyd
from real_vectors import network, scan, vectors_of
from shared_data import require_shared

from SACBRegistrationLib.network import KMeansSettings
from SACBRegistrationLib.network.clustering import kmeans
from SACBRegistrationLib.network.seeding import seed_centroids, spread_sample

SCANS = {
    "brain": ("data/brain-oasis/1000_t1.nii.gz", "ixi"),
    "1": ("data/abdomen-ircad/ircad07_ct.nii.gz", "abdomen-ct"),
}


@pytest.fixture(scope="module", params=SCANS)
def vectors(request):
    file, preset = SCANS[request.param]
    tensor = scan(require_shared(file), preset)
    # A block from the middle, with anatomy, background and the block's border.
    block = tuple(slice((n - 96) // 2, (n - 96) // 2 + 96) for n in tensor.shape[2:])
    return vectors_of(network(request.param), tensor[(..., *block)])


@pytest.mark.parametrize("level", [5, 4, 3, 2])
def test_within_a_thousandth_of_exact(vectors, level):
    own = vectors[level]
    for seed in range(2 if level == 2 else 5):
        start = seed_centroids(spread_sample(own, KMeansSettings().seeding_sample), 7, seed)
        best = inertia(own, plain_lloyd(own, start)[0])
        assert inertia(own, start) > 1.05 * best
        found = kmeans(own, 7, KMeansSettings(seed=seed))
        assert torch.isfinite(found.centroids).all()
        assert inertia(own, found.centroids) <= 1.001 * best
