"""Passes in both directions: what cancels, what stays as published, and what the user can choose."""

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from small_pairs import blob_pair, write_preset, write_weights

from SACBRegistrationLib import UserError, register
from SACBRegistrationLib.network import load_checkpoint
from SACBRegistrationLib.network.checkpoint import save_checkpoint
from SACBRegistrationLib.network.sacb_net import SACBNetResult
from SACBRegistrationLib.network.symmetric import inverse_flow, sample_flow, symmetric_passes
from SACBRegistrationLib.presets import list_presets, load_preset
from SACBRegistrationLib.registration.checked_settings import check_modality

SIZE = (20, 26, 32)
INNER = (slice(None), slice(None), *(slice(5, side - 5) for side in SIZE))


def positions() -> torch.Tensor:
    axes = (torch.arange(side, dtype=torch.float64) for side in SIZE)
    return torch.stack(torch.meshgrid(*axes, indexing="ij"))[None]


def linear_flow(matrix: np.ndarray, shift=(0.0, 0.0, 0.0)) -> torch.Tensor:
    """Returns (A - 1)(x - c) + t in voxels, c the centre."""
    center = (np.asarray(SIZE) - 1) / 2
    offset = torch.from_numpy(np.asarray(shift)).view(1, 3, 1, 1, 1)
    from_center = positions() - torch.from_numpy(center).view(1, 3, 1, 1, 1)
    return torch.einsum("ij,bjdhw->bidhw", torch.from_numpy(matrix - np.eye(3)), from_center) + offset


def waves() -> torch.Tensor:
    d, h, w = positions()[0]
    return torch.stack([1.2 * torch.sin(h / 5), torch.cos(w / 6) - 0.5, 0.8 * torch.sin((d + w) / 7)])[None]


def sitk_transform(flow: torch.Tensor) -> sitk.Transform:
    """Returns a flow as a transform of a volume with spacing 1; ITK's axes are w, h, d last to first."""
    components = np.ascontiguousarray(np.moveaxis(flow[0].numpy()[::-1], 0, -1))
    return sitk.DisplacementFieldTransform(
        sitk.GetImageFromArray(components.transpose(2, 1, 0, 3)[..., ::-1].astype(np.float64), isVector=True)
    )


class BiasedNetwork:
    """Knows the truth of a pair and adds the same error in both directions."""

    def __init__(self, forward: torch.Tensor, backward: torch.Tensor, bias: torch.Tensor) -> None:
        self.answers = [forward + bias, backward + bias]
        self.bias, self.calls = bias, []

    def __call__(self, moving: torch.Tensor, fixed: torch.Tensor) -> SACBNetResult:
        self.calls.append((moving, fixed))
        # Once the pair is aligned only the error is left.
        answer = self.answers[len(self.calls) - 1] if len(self.calls) < 3 else self.bias
        return SACBNetResult(answer.clone(), {}, {}, {(5, "fixed"): len(self.calls)})


def biased() -> tuple[BiasedNetwork, torch.Tensor]:
    """Returns the network and the true flow."""
    matrix = np.array([[1.08, 0.03, 0.0], [-0.02, 0.94, 0.04], [0.01, 0.0, 1.05]])
    true, inverse = linear_flow(matrix), linear_flow(np.linalg.inv(matrix))
    return BiasedNetwork(true, inverse, 0.3 * waves()), true


def images() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    both = torch.rand(2, 1, 1, *SIZE, generator=generator)
    return both[0], both[1]


def test_no_pass_in_both_directions_is_the_published_run():
    network, moving, fixed = biased()[0], *images()
    result = symmetric_passes(network, moving, fixed, 0)
    torch.testing.assert_close(result.displacement, network.answers[0], rtol=0, atol=0)
    assert len(network.calls) == 1 and network.calls[0][0] is moving and network.calls[0][1] is fixed


def test_an_error_of_both_directions_cancels():
    network, true = biased()
    moving, fixed = images()
    once = symmetric_passes(network, moving, fixed, 1).displacement

    def error(flow):
        return float((flow - true).double()[INNER].norm(dim=1).mean())

    forward_only = error(network.answers[0])
    assert forward_only > 0.25 and error(once) < forward_only / 5
    assert network.calls[1][0] is fixed and network.calls[1][1] is moving


def test_a_second_pass_sees_the_moving_image_warped_and_adds_up():
    network, true = biased()
    moving, fixed = images()
    before = moving.clone(), fixed.clone()
    result = symmetric_passes(network, moving, fixed, 2)
    assert len(network.calls) == 4 and network.calls[2][1] is fixed
    first = symmetric_passes(biased()[0], moving, fixed, 1)
    warped = sitk_warped(moving, first.displacement)
    np.testing.assert_allclose(network.calls[2][0][INNER].numpy(), warped[INNER], atol=2e-4)
    assert float((result.displacement - true).double()[INNER].norm(dim=1).mean()) < 0.08
    # The clusters are those of the images as given.
    assert result.contexts == {(5, "fixed"): 1}
    assert all(torch.equal(*pair) for pair in zip(before, (moving, fixed), strict=True))


def sitk_warped(volume: torch.Tensor, flow: torch.Tensor) -> np.ndarray:
    image = sitk.GetImageFromArray(volume[0, 0].numpy().transpose(2, 1, 0))
    warped = sitk.Resample(image, image, sitk_transform(flow), sitk.sitkLinear)
    return sitk.GetArrayFromImage(warped).transpose(2, 1, 0)[None, None]


def inversion_errors(flow: torch.Tensor) -> np.ndarray:
    """Distances in voxels by which ITK misses points that go back and there again."""
    there, back = sitk_transform(flow), sitk_transform(inverse_flow(flow))
    points = positions()[INNER].flatten(2)[0].T[::37].tolist()
    moved = [there.TransformPoint(back.TransformPoint(point)) for point in points]
    assert len(points) > 50
    return np.linalg.norm(np.subtract(moved, points), axis=1)


def determinants(flow: torch.Tensor) -> np.ndarray:
    field = sitk_transform(flow).GetDisplacementField()
    # The outermost differences are not central.
    return sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))[1:-1, 1:-1, 1:-1]


def test_the_inverse_is_one_for_itk():
    flow = waves()
    errors, sizes = inversion_errors(flow), flow.norm(dim=1)
    assert errors.mean() < 0.02 * float(sizes.mean()) and errors.max() < 0.02 * float(sizes.max())


def test_the_inverse_of_a_fold_does_not_fold():
    flow = 6 * waves()
    assert determinants(flow).min() < -0.5
    assert determinants(inverse_flow(flow)).min() > 0
    # What turns the other way round is none the worse.
    assert np.median(inversion_errors(flow)) < 0.1 * float(flow.norm(dim=1).median())


def test_flows_go_on_beyond_the_edge():
    flow = waves()
    outside = torch.zeros_like(flow)
    outside[:, 0] = 2.0 * SIZE[0]
    expected = flow[:, :, -1:].expand_as(flow)
    torch.testing.assert_close(sample_flow(flow, outside), expected, rtol=0, atol=1e-12)


def test_a_negative_number_is_refused():
    with pytest.raises(ValueError, match="0 or more"):
        symmetric_passes(lambda moving, fixed: None, *images(), -1)


@pytest.mark.parametrize("number", [-1, 5, 1.5, True])
def test_a_number_out_of_range_is_one_sentence(number):
    with pytest.raises(
        UserError, match=r"^The number of symmetric passes must be a whole number from 0 to 4"
    ):
        register(*blob_pair(), symmetric_passes=number)


def test_the_weights_record_how_they_are_run_and_the_user_may_change_it(tmp_path):
    preset, plain = write_preset(tmp_path), write_weights(tmp_path)
    recorded = tmp_path / "recorded.pt"
    save_checkpoint(recorded, load_checkpoint(plain), {"preset": "small", "symmetric_passes": 1})
    fixed, moving = blob_pair()
    fractions = []

    def run(weights, **more):
        result = register(
            fixed, moving, preset=preset, weights=weights, alignment="none", device="cpu",
            progress=lambda fraction, stage: fractions.append(fraction), **more,
        )  # fmt: skip
        return result.report["network_run"]["symmetric_passes"], sitk.GetArrayFromImage(
            result.displacement_field
        )

    passes, published = run(plain)
    assert passes == 0
    passes, both = run(recorded)
    assert passes == 1 and np.abs(both - published).max() > 1e-3
    passes, chosen = run(recorded, symmetric_passes=0)
    assert passes == 0
    np.testing.assert_array_equal(chosen, published)
    assert max(fractions) <= 1.0
    assert run(plain, symmetric_passes=1)[0] == 1


@pytest.mark.parametrize("preset", list_presets(), ids=lambda preset: preset.name)
def test_the_weights_of_a_preset_fit_it_and_run_in_both_directions(preset):
    info = load_checkpoint(preset.weights_path).info
    check_modality(info, preset)
    assert info["symmetric_passes"] == 2 and info["axes"] == load_preset(info["preset"]).axes
    assert "synthesised from" in info["training_data"] and info["licence"] == "Apache-2.0"
