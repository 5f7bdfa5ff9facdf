"""One step of training: mixed precision, and what falls out of it."""

import pytest
import torch
from lightning_fabric import Fabric

from SACBRegistrationLib.network import SACBNet
from SACBRegistrationLib.training.pairs import TrainingPair
from SACBRegistrationLib.training.settings import TrainingSettings
from SACBRegistrationLib.training.step import DisplacementNetwork, take_step

SIZE = (16, 16, 32)


@pytest.fixture(scope="module")
def pair():
    generator = torch.Generator().manual_seed(5)
    coarse = torch.rand(2, 1, 4, 4, 8, generator=generator)
    moving, fixed = torch.nn.functional.interpolate(coarse, SIZE, mode="trilinear").chunk(2)
    return TrainingPair(moving, fixed, None, None, 2.0)


def step(pair, precision, tmp_path, **changes):
    """Returns the terms, the gradients and the flows of a first step."""
    torch.manual_seed(0)
    network = SACBNet(clusters=3)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    fabric.launch()
    flows = []
    network.register_forward_hook(lambda module, inputs, result: flows.append(result))
    model = DisplacementNetwork(network)
    model, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters()))
    terms = take_step(
        fabric, model, optimizer, pair, TrainingSettings(tmp_path, **changes), rate=1e-3, number=0
    )
    return terms, {name: p.grad for name, p in network.named_parameters()}, flows[0]


def test_mixed_precision_is_near_to_float32_and_keeps_flows_exact(pair, tmp_path):
    exact, exact_gradients, _ = step(pair, "32-true", tmp_path)
    mixed, gradients, result = step(pair, "bf16-mixed", tmp_path)
    assert mixed != exact
    assert mixed.values() == pytest.approx(exact.values(), abs=0.02, rel=0.05)
    flows = [*result.subflows.values(), *result.incoming.values(), result.displacement]
    # Eight bits tell no position in a volume.
    assert all(flow.dtype == torch.float32 for flow in flows)
    assert any((flow != flow.bfloat16().float()).any() for flow in flows)
    # Level 5 has two voxels here, whose normalisation turns on a hair: most parameters are looked at.
    angles = [
        float(torch.nn.functional.cosine_similarity(*(g.flatten() for g in pair), dim=0))
        for pair in zip(exact_gradients.values(), gradients.values(), strict=True)
    ]
    assert sorted(angles)[len(angles) // 2] > 0.9, angles


def test_every_parameter_gets_a_gradient(pair, tmp_path):
    # What distributed training relies on: a parameter without one would make it wait for ever.
    _, gradients, _ = step(pair, "32-true", tmp_path)
    assert all(gradient is not None for gradient in gradients.values())


def test_a_step_that_is_not_finite_is_not_taken(pair, tmp_path):
    torch.manual_seed(0)
    network = SACBNet(clusters=3)
    with torch.no_grad():
        network.final.estimate[2].bias.fill_(float("nan"))
    before = [p.clone() for p in network.parameters()]
    fabric = Fabric(accelerator="cpu", devices=1)
    fabric.launch()
    model = DisplacementNetwork(network)
    model, optimizer = fabric.setup(model, torch.optim.Adam(model.parameters()))
    assert take_step(fabric, model, optimizer, pair, TrainingSettings(tmp_path), 1e-3, 0) is None
    after = list(network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before[:-1], after[:-1], strict=True))
