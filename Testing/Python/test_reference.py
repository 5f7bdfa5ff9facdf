"""The network against the reference written out equation by equation, and that against recorded results."""

from dataclasses import replace

import pytest
import torch
from golden import load_golden
from reference_sacb_net import LEVELS, ReferenceSACBNet

from SACBRegistrationLib.network import EXACT_KMEANS, ClusterContext, SACBNet, load_checkpoint
from SACBRegistrationLib.network.clustering import kmeans
from SACBRegistrationLib.network.sacb_net import ROLES

KEYS = [(level, role) for level in LEVELS for role in ROLES]
SIZE = (32, 32, 48)

CASES = {
    "spatial": {},
    "channel": {"feature_mean": "channel", "clusters": 5},
    "mixed": {"feature_mean": "mixed", "clusters": 3},
    "clusters per level": {"clusters": {5: 2, 4: 9, 3: 1, 2: 4}},
    "two levels": {"sacb_levels": (5, 3)},
    "no block": {"sacb_levels": ()},
    "wide window": {"matching_window": 5, "size": (32, 48, 32)},
    "flat grid": {"size": (16, 32, 16)},
}


def images(size, kind="random", seed=1):
    """Returns moving and fixed [1, D, H, W] in float64."""
    generator = torch.Generator().manual_seed(seed)
    if kind == "random":
        return [torch.rand(1, *size, generator=generator, dtype=torch.float64) for _ in ROLES]
    axes = torch.meshgrid(*[torch.linspace(-1, 1, n, dtype=torch.float64) for n in size], indexing="ij")
    position = torch.stack(axes)
    centers = torch.rand(6, 3, generator=generator, dtype=torch.float64) - 0.5
    found = []
    for shift in (0.0, 0.1):
        distance = (position[None] - (centers + shift)[:, :, None, None, None]).square().sum(1)
        found.append(torch.exp(-distance / 0.08).sum(0, keepdim=True).clamp(max=1.0))
    return found


def double(parameters):
    return {name: value.detach().double() for name, value in parameters.items()}


def reference_of(network, state=None):
    return ReferenceSACBNet(
        double(network.state_dict()) if state is None else state,
        network.clusters,
        network.feature_mean,
        network.sacb_levels,
        network.matching_window,
    )


def contexts_of(*found):
    """Returns what the references of a batch clustered, as the network takes it."""
    return {
        key: ClusterContext(
            torch.stack([one.labels[key] for one in found]),
            torch.stack([one.centroids[key] for one in found]),
        )
        for key in found[0].labels
    }


def single(contexts):
    return {key: replace(c, centroids=c.centroids.float()) for key, c in contexts.items()}


def relative(ours, theirs):
    return float((ours - theirs).norm() / theirs.norm())


@pytest.fixture(scope="module", params=CASES)
def case(request):
    settings = dict(CASES[request.param])
    size = settings.pop("size", SIZE)
    torch.manual_seed(3)
    network = SACBNet(**settings).eval()
    pair = images(size, "smooth" if request.param in ("spatial", "wide window") else "random")
    with torch.no_grad():
        expected = reference_of(network)(*pair)
    return network, pair, expected


@torch.no_grad()
def test_network_agrees_in_double_precision(case):
    network, pair, expected = case
    found = network.double()(pair[0][None], pair[1][None], contexts_of(expected))
    network.float()
    assert float(expected.displacement.abs().max()) > 1.0
    assert float((found.displacement[0] - expected.displacement).abs().max()) <= 1e-8
    assert set(found.contexts) == {(level, role) for level in network.sacb_levels for role in ROLES}
    for level in LEVELS:
        assert float((found.subflows[level][0] - expected.subflows[level]).abs().max()) <= 1e-9


@torch.no_grad()
def test_network_agrees_in_single_precision(case):
    network, pair, expected = case
    moving, fixed = (image[None].float() for image in pair)
    found = network(moving, fixed, single(contexts_of(expected))).displacement[0]
    difference = (found - expected.displacement).abs().flatten().sort().values
    assert float(difference[int(0.999 * len(difference))]) <= 1e-3
    assert float(difference[-1]) <= 2e-2


@pytest.mark.parametrize("feature_mean", ["spatial", "channel", "mixed"])
@torch.no_grad()
def test_own_clustering_agrees_from_the_same_start(feature_mean):
    torch.manual_seed(5)
    network = SACBNet(5, feature_mean).eval()
    expected = reference_of(network)(*images((32, 32, 48)))
    # At level 5, of two voxels a side, all patches hold the same values and rounding decides the clusters.
    for key in [key for key in KEYS if key[0] < 5]:
        vectors = expected.vectors[key]
        start = vectors[torch.linspace(0, len(vectors) - 1, 5).long()]
        found = kmeans(vectors, 5, EXACT_KMEANS, initial=start)
        assert torch.equal(found.labels.reshape(expected.labels[key].shape), expected.labels[key])
        torch.testing.assert_close(found.centroids, expected.centroids[key], rtol=0, atol=1e-12)
        assert found.steps == expected.steps[key]


@torch.no_grad()
def test_batch_of_two_and_training_mode():
    torch.manual_seed(7)
    network = SACBNet(4).eval().double()
    first, second = images((32, 32, 32)), images((32, 32, 32), "smooth")
    expected = [reference_of(network)(*pair) for pair in (first, second)]
    moving, fixed = (torch.stack(both) for both in zip(first, second, strict=True))
    contexts = contexts_of(*expected)
    for training in (False, True):
        found = network.train(training)(moving, fixed, contexts)
        for sample, one in enumerate(expected):
            assert float((found.displacement[sample] - one.displacement).abs().max()) <= 1e-8


@torch.no_grad()
def test_every_sample_of_a_batch_is_clustered_on_its_own():
    torch.manual_seed(7)
    network = SACBNet(4).eval().double()
    first, second = images((32, 16, 32)), images((32, 16, 32), "smooth")
    moving, fixed = (torch.stack(both) for both in zip(first, second, strict=True))
    together = network(moving, fixed)
    alone = network(moving[:1], fixed[:1])
    assert float((together.displacement[:1] - alone.displacement).abs().max()) <= 1e-8
    assert torch.equal(together.contexts[2, "fixed"].labels[0], alone.contexts[2, "fixed"].labels[0])


@pytest.mark.parametrize("training", [False, True])
def test_gradients_agree(training):
    torch.manual_seed(9)
    network = SACBNet(3, "mixed").train(training).double()
    pair = images((32, 16, 32), "smooth")
    state = {name: value.clone().requires_grad_() for name, value in double(network.state_dict()).items()}
    expected = reference_of(network, state)(*pair)
    weights = torch.rand(expected.displacement.shape, generator=torch.Generator().manual_seed(2))
    contexts = {
        key: replace(c, labels=c.labels.detach(), centroids=c.centroids.detach())
        for key, c in contexts_of(expected).items()
    }
    found = network(pair[0][None], pair[1][None], contexts)
    names = list(state)
    theirs = torch.autograd.grad((expected.displacement * weights).sum(), [state[n] for n in names])
    parameters = dict(network.named_parameters())
    ours = torch.autograd.grad((found.displacement[0] * weights).sum(), [parameters[n] for n in names])
    largest = max(float(gradient.norm()) for gradient in theirs)
    assert largest > 1.0
    for name, our, their in zip(names, ours, theirs, strict=True):
        assert float((our - their).norm()) <= 1e-8 * float(their.norm()) + 1e-11 * largest, name


@pytest.mark.parametrize("name", ["mixed_k5_48x48x64"])
@torch.no_grad()
def test_reference_gives_the_recorded_results(name):
    golden = load_golden(name)
    network = load_checkpoint(golden.weights)
    network.clusters = len(golden.tensor("level5_fixed_init"))
    starts = {(level, role): golden.tensor(f"level{level}_{role}_init").long() for level, role in KEYS}
    pair = (golden.image(role)[0].double() for role in ("moving", "fixed"))
    found = reference_of(network)(*pair, starts=starts)
    difference = (found.displacement - golden.tensor("phi")).abs().flatten().sort().values
    assert float(difference[int(0.999 * len(difference))]) <= 1e-3
    assert float(difference[-1]) <= 2e-2
    for level, role in KEYS:
        recorded = golden.tensor(f"level{level}_{role}_labels")
        assert (found.labels[level, role].flatten() == recorded).float().mean() >= 0.999
        features = f"level{level}_{role}_features"
        if features in golden.arrays:
            assert relative(found.features[level, role], golden.tensor(features)) <= 1e-4


def test_input_that_does_not_fit_is_refused():
    network = SACBNet()
    for shape, words in (((1, 1, 32, 32, 40), "divisible by 16"), ((1, 1, 16, 16, 16), "single voxel")):
        with pytest.raises(ValueError, match=words):
            network(torch.rand(shape), torch.rand(shape))
    with pytest.raises(ValueError, match=r"\[B, 1, D, H, W\]"):
        network(torch.rand(1, 1, 32, 32, 32), torch.rand(1, 1, 32, 32, 48))
