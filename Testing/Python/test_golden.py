"""The network against every recorded result of the published code, on its own random weights."""

from dataclasses import replace

import pytest
import torch
from golden import NAMES, load_golden

from SACBRegistrationLib.network import EXACT_KMEANS, SACBNet, load_checkpoint
from SACBRegistrationLib.network.authors_format import translate
from SACBRegistrationLib.network.clustering import kmeans
from SACBRegistrationLib.network.flow import warp
from SACBRegistrationLib.network.sacb_net import LEVELS, ROLES
from SACBRegistrationLib.network.spatial_awareness import context_vectors
from SACBRegistrationLib.training.losses import diffusion, local_ncc


@pytest.fixture(scope="module", params=NAMES)
def run(request):
    golden = load_golden(request.param)
    network = load_checkpoint(golden.weights)
    blocks = {level: network.sacb[str(level)] for level in LEVELS}
    refined, projected = {level: [] for level in LEVELS}, {level: [] for level in LEVELS}
    handles = [
        handle
        for level, block in blocks.items()
        for handle in (
            block.register_forward_hook(lambda m, i, out, level=level: refined[level].append(out)),
            block.project.register_forward_hook(lambda m, i, out, level=level: projected[level].append(out)),
        )
    ]
    with torch.no_grad():
        result = network(golden.image("moving"), golden.image("fixed"), contexts=golden.contexts())
    for handle in handles:
        handle.remove()
    return golden, network, result, by_role(refined), by_role(projected)


def by_role(calls: dict[int, list[torch.Tensor]]) -> dict[tuple[int, str], torch.Tensor]:
    assert all(len(found) == len(ROLES) for found in calls.values())
    return {(level, role): found[i][0] for level, found in calls.items() for i, role in enumerate(ROLES)}


def relative(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    return float((ours - theirs).norm() / theirs.norm())


def test_settings_are_recognised(run):
    golden, network, *_ = run
    assert network.feature_mean == golden.settings["feature_mean"]
    assert not network.training


def test_displacement(run):
    golden, _, result, *_ = run
    difference = (result.displacement[0] - golden.tensor("phi")).abs().flatten()
    ordered = difference.sort().values
    assert ordered[int(0.999 * len(ordered))] <= 1e-3
    assert ordered[-1] <= 2e-2


def test_features_and_subflows(run):
    golden, _, result, features, _ = run
    checked = 0
    for level in LEVELS:
        for role in ROLES:
            key = f"level{level}_{role}_features"
            if key in golden.arrays:
                assert relative(features[level, role], golden.tensor(key)) <= 1e-4, key
                checked += 1
        assert relative(result.subflows[level][0], golden.tensor(f"level{level}_subflow")) <= 1e-3
    assert checked >= 4


def test_kmeans_from_the_recorded_start(run):
    golden, network, _, _, projected = run
    for level in LEVELS:
        for role in ROLES:
            vectors = context_vectors(projected[level, role][None], network.feature_mean)[0]
            vectors = vectors.reshape(-1, vectors.shape[-1])
            start = vectors[golden.tensor(f"level{level}_{role}_init")]
            found = kmeans(vectors, len(start), EXACT_KMEANS, initial=start)
            agree = (found.labels == golden.tensor(f"level{level}_{role}_labels")).float().mean()
            assert agree >= 0.999, (level, role, float(agree))


def test_losses_and_gradients(run):
    golden, network, *_ = run
    phi = golden.tensor("phi")[None]
    warped, fixed = golden.image("warped"), golden.image("fixed")
    assert float(local_ncc(warped, fixed)) == pytest.approx(float(golden.arrays["ncc"]), rel=1e-5)
    assert float(diffusion(phi)) == pytest.approx(float(golden.arrays["diffusion"]), rel=1e-5)

    network.zero_grad()
    result = network(golden.image("moving"), fixed, contexts=golden.contexts())
    loss = local_ncc(warp(golden.image("moving"), result.displacement), fixed)
    (loss + 0.3 * diffusion(result.displacement)).backward()
    recorded = translate(golden.settings["grad_norms"])
    largest = max(recorded.values())
    compared = 0
    for name, parameter in network.named_parameters():
        if recorded[name] > 1e-4 * largest:
            assert float(parameter.grad.norm()) == pytest.approx(recorded[name], rel=1e-2), name
            compared += 1
    assert compared > 20


def test_parameter_count():
    assert sum(p.numel() for p in SACBNet().parameters()) == 1_105_591


def test_clustering_without_injection_is_deterministic_for_a_seed(run):
    golden, network, *_ = run
    images = golden.image("moving"), golden.image("fixed")
    with torch.no_grad():
        first, again = network(*images), network(*images)
        network.kmeans = replace(network.kmeans, seed=5)
        other = network(*images)
    network.kmeans = replace(network.kmeans, seed=0)
    assert torch.equal(first.displacement, again.displacement)
    assert not torch.equal(first.displacement, other.displacement)
