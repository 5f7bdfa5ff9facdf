"""Lloyd's steps as Triton kernels against torch's own operations: on a GPU, or in Triton's interpreter."""

from dataclasses import replace

import pytest
import torch
from triton_tests import CUDA, DEVICE, needs_kernels, passed_in_the_interpreter, runs_the_interpreter

from SACBRegistrationLib.network import EXACT_KMEANS, KMeansSettings, lloyd, lloyd_on_device, triton_support
from SACBRegistrationLib.network.clustering import kmeans
from SACBRegistrationLib.network.seeding import seed_centroids


@runs_the_interpreter
def test_cuda_kernels_in_the_interpreter():
    assert passed_in_the_interpreter(__file__) >= 10


def groups(count, width, layout="rows"):
    """Overlapping groups, a third of the vectors constant as a scan's background is; [V, C]."""
    generator = torch.Generator().manual_seed(count + width)
    centers = 2 * torch.randn(9, width, generator=generator)
    vectors = centers[torch.arange(count) % 9] + torch.randn(count, width, generator=generator)
    vectors[: count // 3] = -1.0
    if layout == "channels":
        vectors = vectors.T.contiguous().T
    elif layout == "strided":
        vectors = torch.stack([vectors, vectors], dim=2)[:, :, 0]
    return vectors.to(DEVICE)


def never(step, flag):
    return False


@needs_kernels
@pytest.mark.parametrize(
    ("count", "width", "clusters", "layout"),
    [
        (1, 16, 1, "rows"),
        (7, 27, 3, "rows"),
        (1024, 16, 7, "channels"),
        (600, 91, 32, "strided"),
        (700, 64, 20, "channels"),
    ],
)
def test_cuda_steps_are_those_of_lloyd(count, width, clusters, layout):
    from SACBRegistrationLib.network.triton_lloyd import lloyd_triton

    vectors = groups(count, width, layout)
    start = seed_centroids(vectors, clusters, 1)
    kept = start.clone()
    # In float64 no vector is nearer to another centroid for rounding.
    expected, steps = lloyd_on_device.lloyd(vectors.double(), start.double(), 1e-10, 4)
    found, own_steps = lloyd_triton(vectors, start, 1e-10, 4, never)
    torch.testing.assert_close(found.double(), expected, rtol=0, atol=2e-5)
    assert int(own_steps) == int(steps)
    assert torch.equal(start, kept)


@needs_kernels
def test_cuda_standing_still_freezes_the_centroids():
    from SACBRegistrationLib.network.triton_lloyd import lloyd_triton

    vectors = groups(1200, 16)
    start = seed_centroids(vectors, 7, 0)
    expected, steps = lloyd_triton(vectors, start, 0.1, 20, never)
    taken = int(steps)
    assert 3 < taken < 18
    again, own_steps = lloyd_triton(vectors, start, 0.1, taken, never)
    assert torch.equal(again, expected) and int(own_steps) == taken
    # The last step may have moved nothing.
    fewer, own_steps = lloyd_triton(vectors, start, 0.1, taken - 2, never)
    assert not torch.equal(fewer, expected) and int(own_steps) == taken - 2


@needs_kernels
def test_cuda_the_flag_is_raised_and_steps_end_when_told_so():
    from SACBRegistrationLib.network.triton_lloyd import lloyd_triton

    vectors = groups(1200, 16)
    start = seed_centroids(vectors, 7, 0)
    expected, steps = lloyd_triton(vectors, start, 0.1, 20, never)
    flags = []

    def stop(step, flag):
        flags.append(int(flag))
        return bool(flag)

    found, own_steps = lloyd_triton(vectors, start, 0.1, 20, stop)
    assert torch.equal(found, expected) and int(own_steps) == int(steps)
    # The step after the last one sees that nothing moves any more.
    assert flags == [0] * (int(steps) + 1) + [1]


@needs_kernels
def test_cuda_an_empty_cluster_has_a_zero_centroid():
    from SACBRegistrationLib.network.triton_lloyd import lloyd_triton

    vectors = torch.tensor([[1.0, 0.0], [1.0, 1.0], [5.0, 5.0]], device=DEVICE)
    start = torch.tensor([[1.0, 0.0], [90.0, 90.0], [5.0, 5.0]], device=DEVICE)
    found, _ = lloyd_triton(vectors, start, 1e-10, 10, never)
    assert torch.equal(found.cpu(), torch.tensor([[1.0, 0.5], [0.0, 0.0], [5.0, 5.0]]))


@needs_kernels
@pytest.mark.parametrize(
    "settings", [KMeansSettings(sample=700, max_steps=12), replace(EXACT_KMEANS, max_steps=20)]
)
def test_cuda_clusters_are_those_of_a_cpu(settings, monkeypatch):
    vectors = groups(1100, 16, "channels")
    expected = kmeans(vectors.cpu(), 7, settings)
    if not CUDA:
        monkeypatch.setattr("SACBRegistrationLib.network.clustering._place", lambda vectors: lloyd_on_device)
        monkeypatch.setattr(triton_support, "triton_usable", lambda device: True)
    found = kmeans(vectors, 7, settings)
    assert found.steps.dtype == torch.int32, "another path was taken"
    torch.testing.assert_close(found.centroids.cpu(), expected.centroids, rtol=0, atol=2e-5)
    assert (found.labels.cpu() != expected.labels).float().mean() < 1e-3


@needs_kernels
@pytest.mark.skipif(not CUDA, reason="needs a CUDA device")
def test_cuda_steps_can_be_recorded_as_a_graph():
    from SACBRegistrationLib.network.triton_lloyd import lloyd_triton

    vectors = groups(20_000, 16)
    start = seed_centroids(vectors, 7, 0)
    expected, _ = lloyd_triton(vectors, start, 1e-7, 40, never)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.no_grad(), torch.cuda.graph(graph):
        found, _ = lloyd_on_device.lloyd(vectors, start, 1e-7, 40)
    graph.replay()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_kernels_are_left_alone_where_they_do_not_serve():
    vectors = groups(500, 16).cpu()
    expected, _ = lloyd.lloyd(vectors, vectors[:5], 1e-10, 100)
    found, steps = lloyd_on_device.lloyd(vectors, vectors[:5], 1e-10, 100)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert steps.dtype == torch.int64
