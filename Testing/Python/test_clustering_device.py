"""K-Means as a GPU runs it: the same result, and nothing waits for the device."""

from dataclasses import replace

import pytest
import torch

from SACBRegistrationLib.network import EXACT_KMEANS, KMeansSettings, lloyd, lloyd_on_device
from SACBRegistrationLib.network.clustering import kmeans
from SACBRegistrationLib.network.seeding import seed_centroids

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def blobs(count=20_000, width=8):
    """Overlapping groups, a third of the vectors constant as a scan's background is; [V, C]."""
    generator = torch.Generator().manual_seed(3)
    centers = 2 * torch.randn(9, width, generator=generator)
    vectors = centers[torch.arange(count) % 9] + torch.randn(count, width, generator=generator)
    vectors[: count // 3] = -1.0
    return vectors


@pytest.mark.parametrize("count", [7, 1024, 20_000])
@pytest.mark.parametrize("channel_major", [True, False])
def test_both_courses_agree(count, channel_major, monkeypatch):
    # Several parts, several blocks, and a rest.
    monkeypatch.setattr(lloyd_on_device, "_MOST_SCORES", 7 * 4096)
    monkeypatch.setattr(lloyd, "_CHUNK", 3000)
    vectors = blobs(count)
    vectors = vectors.T.contiguous().T if channel_major else vectors
    for seed in range(3):
        start = seed_centroids(vectors, 7, seed)
        expected, steps = lloyd.lloyd(vectors, start, 1e-10, 300)
        # It takes all the steps it may, with the centroids frozen at the end.
        found, own_steps = lloyd_on_device.lloyd(vectors, start, 1e-10, steps + 3)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
        assert abs(int(own_steps) - steps) <= 2
        labels = lloyd_on_device.nearest_centroid(vectors, found)
        assert torch.equal(labels, lloyd.nearest_centroid(vectors, found))


def test_standing_still_freezes_the_centroids():
    vectors = blobs()
    start = seed_centroids(vectors, 7, 0)
    expected, steps = lloyd_on_device.lloyd(vectors, start, 1e-3, 200)
    assert 3 < int(steps) < 100
    again, own_steps = lloyd_on_device.lloyd(vectors, start, 1e-3, int(steps))
    assert torch.equal(again, expected) and int(own_steps) == int(steps)
    farther, _ = lloyd_on_device.lloyd(vectors, start, 1e-10, 200)
    assert not torch.equal(farther, expected)


def test_an_empty_cluster_has_a_zero_centroid():
    vectors = torch.tensor([[1.0, 0.0], [1.0, 1.0], [5.0, 5.0]])
    start = torch.tensor([[1.0, 0.0], [90.0, 90.0], [5.0, 5.0]])
    found, _ = lloyd_on_device.lloyd(vectors, start, 1e-10, 10)
    assert torch.equal(found, torch.tensor([[1.0, 0.5], [0.0, 0.0], [5.0, 5.0]]))


@pytest.mark.parametrize(
    "settings", [KMeansSettings(), KMeansSettings(sample=500), replace(EXACT_KMEANS, max_steps=40)]
)
def test_nothing_depends_on_a_value(settings):
    # A tensor without data raises wherever the host would have to know a value.
    found = kmeans(torch.empty(50_000, 16, device="meta"), 7, settings)
    assert found.labels.shape == (50_000,) and found.centroids.shape == (7, 16)
    with pytest.raises(Exception, match="meta"):
        lloyd.lloyd(torch.empty(50, 16, device="meta"), found.centroids, 1e-5, 10)


@needs_cuda
def test_cuda_never_waits_and_agrees():
    vectors = blobs()
    on_gpu = vectors.cuda()
    expected = kmeans(vectors, 7)
    kmeans(on_gpu, 7)
    torch.cuda.synchronize()
    former = torch.cuda.get_sync_debug_mode()
    torch.cuda.set_sync_debug_mode("error")
    try:
        found = kmeans(on_gpu, 7)
    finally:
        torch.cuda.set_sync_debug_mode(former)
    torch.testing.assert_close(found.centroids.cpu(), expected.centroids, rtol=0, atol=1e-4)
    assert (found.labels.cpu() == expected.labels).float().mean() > 0.999
    assert torch.equal(seed_centroids(on_gpu, 7, 5).cpu(), seed_centroids(vectors, 7, 5))
