"""The whole registration of a small pair whose truth is known, through the public function."""

import dataclasses
import itertools
import threading

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import rigid
from small_pairs import make_small_pair, same_geometry, write_preset, write_weights

from SACBRegistrationLib import CancelledError, UserError, register
from SACBRegistrationLib.imaging.grid import Grid

LEVELS, ROLES = (5, 4, 3, 2), ("fixed", "moving")
CLUSTERS = {5: 2, 4: 3, 3: 4, 2: 5}


class Listener:
    """Records progress; sets `cancel` at the n-th report of a stage, when told to."""

    def __init__(self, cancel_in: str | None = None, report: int = 1) -> None:
        self.fractions, self.stages, self.cancel = [], [], threading.Event()
        self._cancel_in, self._report = cancel_in, report

    def __call__(self, fraction: float, stage: str) -> None:
        assert not self.cancel.is_set(), "work went on after it was cancelled"
        self.fractions.append(fraction)
        self.stages.append(stage)
        if stage == self._cancel_in and self.stages.count(stage) == self._report:
            self.cancel.set()


@pytest.fixture(scope="module")
def pair():
    return make_small_pair()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("files")
    return {"preset": write_preset(folder), "weights": write_weights(folder)}


@pytest.fixture(scope="module")
def refined(pair, files):
    """Alignment and refinement without a network, with labels, listened to."""
    listener = Listener()
    result = register(
        pair.fixed,
        pair.moving,
        preset=files["preset"],
        weights="none",
        refine=20,
        fixed_labels=pair.fixed_labels,
        moving_labels=pair.moving_labels,
        device="cpu",
        progress=listener,
        cancel=listener.cancel,
    )
    return result, listener


def with_network(pair, files, **choices):
    options = {"clusters": CLUSTERS, "refine": 0, "alignment": "none", "device": "cpu", "seed": 5, **files}
    return register(pair.fixed, pair.moving, **{**options, **choices})


@pytest.fixture(scope="module")
def networked(pair, files):
    return with_network(pair, files)


def points_in(image: sitk.Image, count: int = 200, seed: int = 0) -> np.ndarray:
    grid = Grid.from_image(image)
    return grid.to_lps(np.random.default_rng(seed).uniform(0, np.asarray(grid.size) - 1, (count, 3)))


def mapped(transform: sitk.Transform, points: np.ndarray) -> np.ndarray:
    return np.array([transform.TransformPoint(point) for point in points.tolist()])


def independently_warped(result, image: sitk.Image, interpolator: int, default: float = 0.0) -> sitk.Image:
    """Warps with SimpleITK alone, through a transform made here from the displacement field."""
    field = sitk.Cast(result.displacement_field, sitk.sitkVectorFloat64)
    transform = sitk.DisplacementFieldTransform(field)
    return sitk.Resample(image, result.fixed, transform, interpolator, default)


def test_result_holds_one_displacement_field(refined, networked, pair):
    for result in (refined[0], networked):
        field = result.displacement_field
        assert field.GetPixelID() == sitk.sitkVectorFloat32 and field.GetNumberOfComponentsPerPixel() == 3
        assert isinstance(result.transform, sitk.DisplacementFieldTransform)
        points = points_in(pair.fixed)
        field_at = sitk.DisplacementFieldTransform(sitk.Cast(field, sitk.sitkVectorFloat64))
        np.testing.assert_allclose(mapped(result.transform, points), mapped(field_at, points), atol=1e-6)
        # Reading the transform must not empty the field, which SimpleITK's constructor does.
        assert result.displacement_field.GetSize()[0] > 0 and result.transform.GetDimension() == 3
        grid = Grid.from_image(field)
        corners = grid.to_index(Grid.from_image(pair.fixed).corners())
        assert (corners >= -1e-6).all() and (corners <= np.asarray(grid.size) - 1 + 1e-6).all()


def test_result_cannot_be_changed(networked):
    with pytest.raises(dataclasses.FrozenInstanceError):
        networked.report = {}


def test_refinement_comes_nearer_to_the_truth(refined, pair):
    result, _ = refined
    before, after = (pair.mean_error(t) for t in (result.alignment, result.transform))
    identity = pair.mean_error(sitk.Transform(3, sitk.sitkIdentity))
    assert before < 0.6 * identity
    assert after < 0.9 * before
    similarity, dice = result.report["local_ncc"], result.report["dice"]
    assert similarity["before"] < similarity["aligned"] < similarity["after"]
    assert dice["mean_before"] < dice["mean_aligned"] < dice["mean_after"]
    assert result.report["jacobian"]["folding_percent"] < 0.1


def test_warped_image_is_what_simpleitk_makes_of_the_field(refined, networked, pair):
    low = float(sitk.GetArrayViewFromImage(pair.moving).min())
    for result in (refined[0], networked):
        assert same_geometry(result.warped, pair.fixed)
        assert result.warped.GetPixelID() == pair.moving.GetPixelID()
        expected = independently_warped(result, pair.moving, sitk.sitkLinear, low)
        top = float(sitk.GetArrayViewFromImage(pair.moving).max())
        np.testing.assert_allclose(
            sitk.GetArrayFromImage(result.warped), sitk.GetArrayFromImage(expected), atol=1e-4 * top
        )
    labels = independently_warped(refined[0], pair.moving_labels, sitk.sitkNearestNeighbor)
    np.testing.assert_array_equal(
        sitk.GetArrayFromImage(refined[0].warped_labels), sitk.GetArrayFromImage(labels)
    )
    assert networked.warped_labels is None


def test_cluster_maps_of_every_level(networked, refined):
    assert set(networked.cluster_maps) == set(itertools.product(LEVELS, ROLES))
    assert refined[0].cluster_maps == {}
    # The network grid is level 1; each map's centre is the grid's centre, whatever its resolution.
    report = networked.report["network_grid"]
    for (level, _), image in networked.cluster_maps.items():
        values = np.unique(sitk.GetArrayViewFromImage(image))
        assert values.min() >= 1 and values.max() <= CLUSTERS[level] and len(values) > 1
        np.testing.assert_allclose(image.GetSpacing(), 2 ** (level - 1) * np.array(report["spacing_mm"]))
        assert list(image.GetSize()) == [side // 2 ** (level - 1) for side in report["size"]]
        fine = networked.cluster_maps[2, "fixed"]
        np.testing.assert_allclose(Grid.from_image(image).center, Grid.from_image(fine).center, atol=1e-4)


def test_initial_transform_alone_is_the_result(pair, files):
    initial = rigid(Grid.from_image(pair.fixed).center, (4.0, -3.0, 6.0), np.array([5.0, 2.0, -7.0]))
    result = register(
        pair.fixed,
        pair.moving,
        preset=files["preset"],
        weights="none",
        refine=0,
        alignment="none",
        initial_transform=initial,
    )
    points = points_in(pair.fixed)
    np.testing.assert_allclose(mapped(result.transform, points), mapped(initial, points), atol=1e-3)
    np.testing.assert_allclose(mapped(result.alignment, points), mapped(initial, points), atol=1e-9)


def test_inverse_leads_back(refined, pair):
    result, _ = refined
    inverse = result.inverse()
    # Exact at its nodes; between them the linear field is a twentieth of a voxel off where it bends most.
    assert 0 <= inverse.residual_mean_mm <= inverse.residual_p99_mm < 0.05 * min(pair.moving.GetSpacing())
    assert inverse is result.inverse(), "the second call must not compute it again"
    there = sitk.DisplacementFieldTransform(sitk.Cast(inverse.displacement_field, sitk.sitkVectorFloat64))
    start = points_in(pair.fixed, 400)
    reached = mapped(result.transform, start)
    index = Grid.from_image(pair.moving).to_index(reached)
    inside = ((index > 0) & (index < np.asarray(pair.moving.GetSize()) - 1)).all(axis=1)
    assert inside.sum() > 100
    away = np.linalg.norm(mapped(there, reached[inside]) - start[inside], axis=1)
    assert away.mean() < 0.1


def test_progress_runs_from_zero_to_one(refined):
    _, listener = refined
    assert listener.fractions[0] == 0 and listener.fractions[-1] == pytest.approx(1.0)
    assert np.all(np.diff(listener.fractions) >= -1e-9)
    assert all(listener.stages) and "alignment" in listener.stages and "refinement" in listener.stages
    assert len(set(listener.fractions)) > 30, "twenty steps at three resolutions must show"


@pytest.mark.parametrize(
    ("stage", "report"),
    [
        ("checking", 1),
        ("alignment", 3),
        ("network", 1),
        ("network", 30),
        ("refinement", 1),
        ("refinement", 4),
        ("transform", 1),
        ("report", 1),
    ],
)
def test_cancelling_ends_the_run_at_once(pair, files, stage, report):
    listener = Listener(stage, report)
    alignment = "rigid" if stage == "alignment" else "none"
    with pytest.raises(CancelledError):
        with_network(pair, files, refine=3, alignment=alignment, progress=listener, cancel=listener.cancel)
    assert listener.stages[-1] == stage and listener.stages.count(stage) == report


def test_same_seed_same_result(networked, pair, files):
    again = with_network(pair, files)
    for first, second in [
        (networked.displacement_field, again.displacement_field),
        *((networked.cluster_maps[key], again.cluster_maps[key]) for key in networked.cluster_maps),
    ]:
        np.testing.assert_array_equal(sitk.GetArrayFromImage(first), sitk.GetArrayFromImage(second))
    other = with_network(pair, files, seed=6)
    assert any(
        not np.array_equal(*(sitk.GetArrayFromImage(r.cluster_maps[key]) for r in (networked, other)))
        for key in networked.cluster_maps
    ), "the seed has no effect"


def test_refinement_repeats_itself(refined, pair, files):
    again = register(pair.fixed, pair.moving, preset=files["preset"], weights="none", refine=20, device="cpu")
    points = points_in(pair.fixed)
    np.testing.assert_allclose(
        mapped(again.transform, points), mapped(refined[0].transform, points), atol=1e-3
    )


def test_inputs_stay_as_they_are(pair, files):
    images = (pair.fixed, pair.moving, pair.fixed_labels, pair.moving_labels)
    before = [(sitk.Hash(image), Grid.from_image(image), image.GetPixelID()) for image in images]
    mask = pair.fixed_labels != 0
    marked = sitk.Hash(mask)
    with_network(
        pair, files, refine=2, fixed_mask=mask, fixed_labels=images[2], moving_labels=images[3]
    ).inverse()
    assert [(sitk.Hash(image), Grid.from_image(image), image.GetPixelID()) for image in images] == before
    assert sitk.Hash(mask) == marked


@pytest.mark.parametrize("way", ["network", "refinement"])
def test_storage_order_does_not_matter(pair, files, way):
    """The same voxels at the same places, stored along other axes and backwards, and as whole numbers."""

    def stored(image: sitk.Image, order: tuple, flips: tuple) -> sitk.Image:
        return sitk.Flip(sitk.PermuteAxes(image, order), flips)

    fixed, moving = (sitk.Cast(sitk.Round(image), sitk.sitkInt16) for image in (pair.fixed, pair.moving))
    choices = {"preset": files["preset"], "alignment": "none", "device": "cpu"}
    if way == "network":
        choices |= {"weights": files["weights"], "refine": 0}
    else:
        choices |= {"weights": "none", "refine": 8}
    plain = register(fixed, moving, **choices)
    other = register(
        stored(fixed, (2, 0, 1), (True, False, True)),
        stored(moving, (1, 2, 0), (False, True, False)),
        **choices,
    )
    points = points_in(pair.fixed)
    moved = np.linalg.norm(mapped(plain.transform, points) - points, axis=1)
    assert moved.mean() > 0.05, "a transform that does nothing proves nothing"
    away = np.linalg.norm(mapped(other.transform, points) - mapped(plain.transform, points), axis=1)
    assert away.max() < 0.02 * max(1.0, moved.max())


def test_mistakes_are_refused_before_any_work(pair, files):
    listener = Listener()
    for choices in ({"clusters": 1}, {"refine": -1}, {"device": "tpu"}, {"alignment": "elastic"}):
        with pytest.raises(UserError):
            with_network(pair, files, progress=listener, **choices)
    with pytest.raises(UserError, match="moving label map is missing"):
        with_network(pair, files, progress=listener, fixed_labels=pair.fixed_labels)
    assert not listener.fractions


@pytest.mark.parametrize("factor", [0.01, 1000.0])
@pytest.mark.parametrize("role", ROLES)
def test_header_in_another_unit_is_refused(pair, files, factor, role):
    images = {"fixed": pair.fixed, "moving": pair.moving}
    image = sitk.Image(images[role])
    image.SetSpacing([factor * spacing for spacing in image.GetSpacing()])
    image.SetOrigin([factor * value for value in image.GetOrigin()])
    with pytest.raises(UserError, match=f"anatomy in the {role} image is .* mm long"):
        register(**{**images, role: image}, preset=files["preset"], weights="none", alignment="none")
