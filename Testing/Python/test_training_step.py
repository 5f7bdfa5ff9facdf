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


def start(precision):
    """Returns a small network with its optimiser, ready to be trained, and the list of its results."""
    torch.manual_seed(0)
    network = SACBNet(clusters=3)
    fabric = Fabric(accelerator="cpu", devices=1, precision=precision)
    fabric.launch()
    results = []
    network.register_forward_hook(lambda module, inputs, result: results.append(result))
    model = DisplacementNetwork(network)
    return fabric, *fabric.setup(model, torch.optim.Adam(model.parameters())), results


def learn(pair, precision, steps, tmp_path):
    """Returns the terms of some steps on a pair, and the results of the network."""
    fabric, model, optimizer, results = start(precision)
    settings = TrainingSettings(tmp_path)
    terms = [take_step(fabric, model, optimizer, pair, settings, rate=1e-3, number=0) for _ in range(steps)]
    return terms, results


def test_mixed_precision_learns_as_float32_does_and_keeps_flows_exact(pair, tmp_path):
    # Single gradients of an untrained network turn on a hair; what they come to in some steps does not.
    exact, _ = learn(pair, "32-true", 8, tmp_path)
    mixed, results = learn(pair, "bf16-mixed", 8, tmp_path)
    assert mixed[0] != exact[0]
    assert mixed[0].values() == pytest.approx(exact[0].values(), abs=0.02, rel=0.05)
    gained = [terms[0].loss - terms[-1].loss for terms in (exact, mixed)]
    assert gained[0] > 0.15 and gained[1] > 0.8 * gained[0]
    flows = [*results[0].subflows.values(), *results[0].incoming.values(), results[0].displacement]
    # Eight bits tell no position in a volume.
    assert all(flow.dtype == torch.float32 for flow in flows)
    assert any((flow != flow.bfloat16().float()).any() for flow in flows)


def test_every_parameter_gets_a_gradient(pair, tmp_path):
    # What distributed training relies on: a parameter without one would make it wait for ever.
    fabric, model, optimizer, _ = start("32-true")
    assert take_step(fabric, model, optimizer, pair, TrainingSettings(tmp_path), 1e-3, 0) is not None
    assert all(parameter.grad is not None for parameter in model.parameters())


def test_a_step_that_is_not_finite_is_not_taken(pair, tmp_path):
    fabric, model, optimizer, _ = start("32-true")
    network = model.module.network
    with torch.no_grad():
        network.final.estimate[2].bias.fill_(float("nan"))
    before = [p.clone() for p in network.parameters()]
    assert take_step(fabric, model, optimizer, pair, TrainingSettings(tmp_path), 1e-3, 0) is None
    after = list(network.parameters())
    assert all(torch.equal(a, b) for a, b in zip(before[:-1], after[:-1], strict=True))
