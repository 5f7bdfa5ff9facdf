"""K-Means: seeded, safe with degenerate input, and close to the exact result with its fast settings."""

from dataclasses import replace

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from plain_lloyd import inertia, plain_lloyd

from SACBRegistrationLib.imaging.phantom import make_phantom_pair
from SACBRegistrationLib.imaging.tensors import image_to_tensor
from SACBRegistrationLib.network import EXACT_KMEANS, KMeansSettings, SACBNet
from SACBRegistrationLib.network.clustering import assign, kmeans
from SACBRegistrationLib.network.lloyd import lloyd
from SACBRegistrationLib.network.seeding import seed_centroids, spread_sample
from SACBRegistrationLib.network.spatial_awareness import context_vectors

SETTINGS = {"default": KMeansSettings(), "exact": EXACT_KMEANS}


def random_vectors(count=500, width=4, seed=1):
    return torch.randn(count, width, generator=torch.Generator().manual_seed(seed))


def squared_distances(vectors, centroids):
    return (vectors[:, None].double() - centroids[None].double()).square().sum(2)


@pytest.fixture(scope="module")
def brain():
    return make_phantom_pair(coarsening=1.5).fixed


@pytest.fixture(scope="module", params=["spatial", "mixed"])
@torch.no_grad()
def brain_vectors(request, brain):
    """The context vectors of a brain image at level 2, [V, C], from an untrained network."""
    image = brain
    size, extent = (80, 96, 96), np.array(image.GetSize()) * image.GetSpacing()
    spacing = extent / size
    origin = image.TransformContinuousIndexToPhysicalPoint((-0.5, -0.5, -0.5))
    origin = np.array(origin) + np.reshape(image.GetDirection(), (3, 3)) @ (spacing / 2)
    coarse = sitk.Resample(
        sitk.Cast(image, sitk.sitkFloat32), size, sitk.Transform(), sitk.sitkLinear, origin, spacing,
        image.GetDirection(),
    )  # fmt: skip
    torch.manual_seed(0)
    network = SACBNet(7, request.param).eval()
    intensities = image_to_tensor(coarse)
    features = network.encoder(intensities / intensities.max())[2]
    vectors = context_vectors(network.sacb["2"].project(features), request.param)[0]
    return vectors.reshape(-1, vectors.shape[-1]).contiguous()


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_same_seed_same_clusters(settings):
    vectors = random_vectors()
    first, again = kmeans(vectors, 6, settings), kmeans(vectors.clone(), 6, settings)
    other = kmeans(vectors, 6, replace(settings, seed=1))
    assert torch.equal(first.labels, again.labels) and torch.equal(first.centroids, again.centroids)
    assert not torch.equal(first.centroids, other.centroids)


def test_same_seed_whatever_ran_before():
    vectors = random_vectors()
    torch.manual_seed(1)
    first = kmeans(vectors, 6)
    torch.manual_seed(2)
    torch.rand(10)
    state = torch.random.get_rng_state()
    assert torch.equal(kmeans(vectors, 6).labels, first.labels)
    assert torch.equal(torch.random.get_rng_state(), state)


def test_input_stays_as_it_is():
    vectors, start = random_vectors(), random_vectors(5, seed=2)
    copies = vectors.clone(), start.clone()
    kmeans(vectors, 5)
    kmeans(vectors, 5, initial=start)
    assert torch.equal(vectors, copies[0]) and torch.equal(start, copies[1])


def test_no_gradient_flows():
    found = kmeans(random_vectors().requires_grad_(), 3)
    assert not found.centroids.requires_grad


def test_result_is_a_fixed_point():
    vectors = random_vectors().double()
    found = kmeans(vectors, 6, EXACT_KMEANS)
    assert torch.equal(found.labels, squared_distances(vectors, found.centroids).argmin(1))
    for n in range(6):
        members = vectors[found.labels == n]
        torch.testing.assert_close(members.mean(0), found.centroids[n], rtol=0, atol=1e-5)


def test_assignment_breaks_ties_by_the_first():
    centroids = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])
    assert assign(torch.tensor([[0.0, 5.0], [2.0, 0.0], [-2.0, 0.0]]), centroids).tolist() == [0, 0, 1]


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("seed", range(5))
def test_fewer_distinct_vectors_than_clusters(settings, seed):
    distinct = torch.tensor([[1.0, 2.0], [-3.0, 1.0], [4.0, 4.0]])
    vectors = distinct.repeat(20, 1)
    found = kmeans(vectors, 7, replace(settings, seed=seed))
    assert torch.equal(found.centroids[found.labels], vectors)
    empty = [n for n in range(7) if not (found.labels == n).any()]
    assert len(empty) == 4
    assert not found.centroids[empty].any()


def test_more_clusters_than_vectors():
    vectors = torch.tensor([[1.0, 2.0], [-3.0, 1.0]])
    found = kmeans(vectors, 32)
    assert torch.equal(found.centroids[found.labels], vectors)
    assert found.centroids.shape == (32, 2) and int((found.centroids.abs().sum(1) > 0).sum()) == 2


def test_empty_cluster_has_a_zero_centroid():
    vectors = torch.tensor([[1.0, 0.0], [1.0, 1.0], [5.0, 5.0]])
    start = torch.tensor([[1.0, 0.0], [90.0, 90.0], [5.0, 5.0]])
    found = kmeans(vectors, 3, EXACT_KMEANS, initial=start)
    assert found.labels.tolist() == [0, 0, 2]
    assert torch.equal(found.centroids, torch.tensor([[1.0, 0.5], [0.0, 0.0], [5.0, 5.0]]))


@pytest.mark.parametrize("value", [0.0, 3.0])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_constant_input(value, settings):
    found = kmeans(torch.full((100, 4), value), 7, settings)
    assert int(found.labels.max()) == int(found.labels.min())
    assert torch.equal(found.centroids[found.labels], torch.full((100, 4), value))


def test_one_cluster_is_the_mean():
    vectors = random_vectors()
    found = kmeans(vectors, 1)
    assert not found.labels.any()
    torch.testing.assert_close(found.centroids[0], vectors.mean(0), rtol=0, atol=1e-5)


def test_one_vector():
    found = kmeans(torch.tensor([[2.0, 3.0]]), 1)
    assert found.labels.tolist() == [0] and found.centroids.tolist() == [[2.0, 3.0]]


def test_draws_are_voxels_and_spread_out():
    groups = 10 * random_vectors(7, seed=4)
    vectors = (groups[:, None] + 0.01 * random_vectors(100, seed=5)[None]).reshape(-1, 4)
    for seed in range(20):
        drawn = seed_centroids(vectors, 7, seed)
        distances = squared_distances(drawn, vectors)
        assert float(distances.min(1).values.max()) == 0.0
        nearest = squared_distances(drawn, groups).argmin(1)
        assert sorted(nearest.tolist()) == list(range(7))


def test_draws_follow_the_squared_distance():
    vectors = torch.tensor([[0.0], [1.0], [3.0]])
    drawn = [tuple(seed_centroids(vectors, 2, seed)[:, 0].tolist()) for seed in range(6000)]
    # The first uniformly, the second by 1 : 9, 1 : 4 and 9 : 4.
    shares = {(0, 1): 1 / 10, (0, 3): 9 / 10, (1, 0): 1 / 5, (1, 3): 4 / 5, (3, 0): 9 / 13, (3, 1): 4 / 13}
    for pair, share in shares.items():
        # Five standard deviations of such a share of 6000 draws.
        assert drawn.count(pair) / 6000 == pytest.approx(share / 3, abs=0.03), pair


def test_default_settings_end_where_exact_ones_do(brain_vectors):
    vectors, loose = brain_vectors, []
    for seed in range(4):
        start = seed_centroids(spread_sample(vectors, 20_000), 7, seed)
        exact, _ = plain_lloyd(vectors, start)
        best = inertia(vectors, exact)
        assert inertia(vectors, start) > 1.05 * best
        for layout in (vectors.contiguous(), vectors.T.contiguous().T):
            found = kmeans(layout, 7, initial=start)
            assert inertia(vectors, found.centroids) <= 1.001 * best
            assert (found.labels == assign(vectors, exact)).float().mean() > 0.999
        early = kmeans(vectors, 7, replace(KMeansSettings(), tolerance=0.01), initial=start)
        loose.append(inertia(vectors, early.centroids) / best)
    # The bound is one that a laxer tolerance fails.
    assert max(loose) > 1.001


def test_every_step_is_a_step_on_all_vectors(brain_vectors):
    # In float32 rounding decides at which of the last, tiny steps the tolerance is reached.
    vectors = brain_vectors.double()
    start = seed_centroids(spread_sample(vectors, 20_000), 7, 0)
    expected, done = start, 0
    for most in (1, 5, 10, 20):
        for _ in range(most - done):
            expected, _ = plain_lloyd(vectors, expected, tolerance=float("inf"))
        done = most
        found = kmeans(vectors, 7, replace(EXACT_KMEANS, max_steps=most), initial=start)
        assert found.steps == most
        torch.testing.assert_close(found.centroids, expected, rtol=0, atol=1e-12)
    exact, steps = plain_lloyd(vectors, start)
    found = kmeans(vectors, 7, EXACT_KMEANS, initial=start)
    assert found.steps == steps > 20
    torch.testing.assert_close(found.centroids, exact, rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_nested_subsets_leave_no_vector_behind(seed):
    """Evenly spread vectors: steps shrink slowly, and centroids move far from where a subset was chosen."""
    vectors = torch.rand(20_000, 4, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    start = seed_centroids(vectors, 7, seed)
    expected, steps = plain_lloyd(vectors, start)
    found, own_steps = lloyd(vectors, start, 1e-10, 2000)
    assert steps > 40
    assert own_steps == steps
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-10)


def test_a_sample_covers_the_whole_volume():
    # The last tenth of the voxels is a group of its own that a sample of the first ones would miss.
    vectors = torch.cat([random_vectors(90_000, 2), 50 + random_vectors(10_000, 2, seed=2)])
    found = kmeans(vectors, 2, replace(KMeansSettings(), sample=500))
    assert (found.labels[:90_000] == found.labels[0]).all() and (
        found.labels[90_000:] != found.labels[0]
    ).all()


@pytest.mark.parametrize("clusters", [0, -1])
def test_too_few_clusters_are_refused(clusters):
    with pytest.raises(ValueError, match=f"cannot make {clusters} clusters of 500 vectors"):
        kmeans(random_vectors(), clusters)


def test_no_vectors_are_refused():
    with pytest.raises(ValueError, match="of 0 vectors"):
        kmeans(torch.zeros(0, 4), 3)


def test_a_start_of_the_wrong_shape_is_refused():
    for shape in ((4, 4), (3, 5), (3,)):
        with pytest.raises(ValueError, match=r"initial centroids must be \[3, 4\]"):
            kmeans(random_vectors(), 3, initial=torch.zeros(shape))
