"""The whole network with its full resolution in slabs, against the published results and the whole."""

import pytest
import torch
from golden import NAMES, load_golden

from SACBRegistrationLib.network import SACBNet, load_checkpoint
from SACBRegistrationLib.network.memory import Way, slab_settings
from SACBRegistrationLib.network.slabs import SlabSettings

IN_SLABS = (Way.SLABS, Way.TIGHT)


def largest_and_usual(difference):
    """Returns the largest distance and the 99.9th percentile, voxels."""
    ordered = difference.abs().flatten().sort().values
    return float(ordered[-1]), float(ordered[int(0.999 * len(ordered))])


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("way", IN_SLABS)
def test_published_results(name, way):
    golden = load_golden(name)
    network = load_checkpoint(golden.weights)
    network.slabs = slab_settings(way)
    with torch.no_grad():
        result = network(golden.image("moving"), golden.image("fixed"), contexts=golden.contexts())
    largest, usual = largest_and_usual(result.displacement[0] - golden.tensor("phi"))
    # Exact arithmetic is 1.6e-3 and 2.1e-2 away from what was recorded in float32.
    assert usual <= 2e-3 and largest <= 2.5e-2


@pytest.mark.parametrize("settings", [SlabSettings(7, True), SlabSettings(5, False), SlabSettings(999, True)])
def test_random_weights_and_clusters_of_its_own(settings):
    torch.manual_seed(4)
    network = SACBNet(clusters=4, sacb_levels=(5, 3, 2)).eval()
    coarse = torch.rand(2, 2, 1, 5, 4, 6)
    # Two samples, and sides that no slab divides.
    moving, fixed = (torch.nn.functional.interpolate(c, (48, 32, 64), mode="trilinear") for c in coarse)
    with torch.inference_mode():
        whole = network(moving, fixed)
        network.slabs = settings
        found = network(moving, fixed)
    largest, usual = largest_and_usual(found.displacement - whole.displacement)
    assert usual <= 5e-3 and largest <= 5e-2 and whole.displacement.abs().max() > 1
    for key, context in whole.contexts.items():
        assert (context.labels == found.contexts[key].labels).float().mean() > 0.999


def test_gradients_and_training_take_the_whole():
    torch.manual_seed(4)
    network = SACBNet(clusters=2)
    network.slabs = slab_settings(Way.TIGHT)
    images = torch.rand(2, 1, 1, 16, 16, 32)
    for mode in (network.train(), network.eval()):
        mode.zero_grad()
        mode(*images).displacement.square().mean().backward()
        assert all(p.grad is not None for p in mode.encoder.parameters())
