"""The measures of the alignment: against SimpleITK's, against plain sums, and their slopes; the climb."""

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid, rigid

from SACBRegistrationLib.imaging.alignment_levels import AlignmentLevel
from SACBRegistrationLib.imaging.alignment_measures import LocalCorrelation, Measure, MutualInformation
from SACBRegistrationLib.imaging.alignment_search import ImagesApartError, maximize, measured
from SACBRegistrationLib.imaging.ascent import climb
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import array_to_image
from SACBRegistrationLib.progress import Progress

FIXED_GRID = oblique_grid(size=(19, 16, 14), spacing=(5.0, 6.5, 7.1))
MOVING_GRID = oblique_grid(size=(17, 21, 15), spacing=(6.6, 4.9, 6.8), degrees=(-14, 31, 9), left_handed=True)
MEASURES = (MutualInformation, LocalCorrelation)


def half(grid: Grid) -> sitk.Image:
    """All of a grid but a wedge."""
    x, y, z = np.indices(grid.size)
    return array_to_image((x + 2 * y + z > 12).astype(np.uint8), grid)


@pytest.fixture(scope="module", name="level")
def level_fixture() -> AlignmentLevel:
    fixed, moving = (sitk.Cast(blobs(grid), sitk.sitkFloat32) for grid in (FIXED_GRID, MOVING_GRID))
    return AlignmentLevel(fixed, moving, half(FIXED_GRID), None)


@pytest.fixture(name="masked")
def masked_fixture(level) -> AlignmentLevel:
    return AlignmentLevel(level.fixed, level.moving, level.fixed_mask, half(MOVING_GRID))


def affine() -> sitk.AffineTransform:
    transform = sitk.AffineTransform(3)
    transform.SetCenter(tuple(np.add(FIXED_GRID.center, (5, -3, 2))))
    transform.SetMatrix((1.04, 0.05, -0.02, 0.03, 0.95, 0.06, 0.01, -0.04, 1.02))
    transform.SetTranslation((3.3, -2.2, 1.7))
    return transform


def simpleitk_information(level: AlignmentLevel, transform: sitk.Transform) -> float:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(32)
    method.SetMetricSamplingStrategy(method.NONE)
    method.SetMetricFixedMask(level.fixed_mask)
    if level.moving_mask is not None:
        method.SetMetricMovingMask(level.moving_mask)
    method.SetInterpolator(sitk.sitkLinear)
    method.SetInitialTransform(transform, True)
    return -method.MetricEvaluate(level.fixed, level.moving)


def test_mutual_information_is_simpleitks(level):
    for transform in (affine(), rigid(FIXED_GRID.center, (4, -7, 9), (2, -8, 5))):
        assert measured(MutualInformation(level), transform) == pytest.approx(
            simpleitk_information(level, transform), abs=0.02
        )


def test_local_correlation_is_the_mean_of_plain_windows(masked):
    transform = affine()
    moved = Grid.from_image(masked.fixed).resample(masked.moving, transform)
    ones = sitk.Image(MOVING_GRID.size, sitk.sitkUInt8) + 1
    ones.CopyInformation(masked.moving)
    nearest = sitk.sitkNearestNeighbor
    reached, seen = (
        sitk.GetArrayFromImage(FIXED_GRID.resample(image, transform, nearest)) != 0
        for image in (ones, masked.moving_mask)
    )
    used = (sitk.GetArrayFromImage(masked.fixed_mask) != 0) & reached & seen
    fixed, values = sitk.GetArrayFromImage(masked.fixed), sitk.GetArrayFromImage(moved)
    squares = []
    for place in np.argwhere(used):
        window = tuple(slice(max(i - 2, 0), i + 3) for i in place)
        inside = used[window]
        f, m = fixed[window][inside].astype(float), values[window][inside].astype(float)
        spread = f.var() * m.var()
        squares.append(np.cov(f, m, bias=True)[0, 1] ** 2 / spread if spread > 1e-9 else 0.0)
    assert measured(LocalCorrelation(masked), transform) == pytest.approx(np.mean(squares), abs=2e-3)


@pytest.mark.parametrize("measure_of", MEASURES)
@pytest.mark.parametrize("initial", [None, rigid(FIXED_GRID.center, (3, 5, -4), (2, 1, -3))])
def test_slopes_are_the_differences_of_values(masked, measure_of, initial):
    measure: Measure = measure_of(masked, initial)
    matrix, target = np.array(affine().GetMatrix()).reshape(3, 3), np.add(measure.center, (2.0, -1.5, 1.0))
    slope, step = measure.slope(matrix, target), 2e-3

    def difference(change: np.ndarray, shift: np.ndarray) -> float:
        ends = (measure.value(matrix + sign * change, target + sign * shift) for sign in (1, -1))
        return float(np.subtract(*ends)) / 2

    still = np.zeros((3, 3)), np.zeros(3)
    by_matrix = [difference(step / measure.radius * np.eye(9)[k].reshape(3, 3), still[1]) for k in range(9)]
    by_target = [difference(still[0], step * np.eye(3)[k]) for k in range(3)]
    found = np.append(slope.by_matrix.ravel() / measure.radius, slope.by_target)
    wanted = np.append(by_matrix, by_target) / step
    np.testing.assert_allclose(found, wanted, rtol=0.05, atol=0.05 * abs(wanted).max())
    assert slope.value == pytest.approx(measure.value(matrix, target))


@pytest.mark.parametrize("measure_of", MEASURES)
def test_a_nonlinear_initial_transform_is_seen_through(level, measure_of):
    """A displacement field that is a shift everywhere counts as the shift."""
    wide = FIXED_GRID.padded((12, 12, 12), (12, 12, 12))
    shift = np.array((4.0, -3.0, 2.5))
    field = array_to_image(np.broadcast_to(shift[:, None, None, None], (3, *wide.size)).copy(), wide)
    nonlinear = sitk.DisplacementFieldTransform(field)
    linear = sitk.TranslationTransform(3, shift.tolist())
    found, wanted = (measured(measure_of(level, initial), affine()) for initial in (nonlinear, linear))
    assert found == pytest.approx(wanted, abs=0.05)
    assert abs(wanted - measured(measure_of(level), affine())) > 1e-3


@pytest.mark.parametrize("measure_of", MEASURES)
def test_images_apart_are_said_to_be(level, measure_of):
    away = sitk.TranslationTransform(3, (4000.0, 0.0, 0.0))
    measure = measure_of(level, away)
    assert measured(measure, affine()) == 0
    with pytest.raises(ImagesApartError):
        maximize(measure, affine(), iterations=5, progress=Progress())


def test_a_climb_ends_at_the_top_of_a_narrow_ridge():
    bend = np.array([[40.0, 6.0, 0.0], [6.0, 1.5, 0.2], [0.0, 0.2, 0.8]])
    top = np.array((3.0, -20.0, 8.0))

    def measure(place: np.ndarray) -> tuple[float, np.ndarray]:
        return float(-(place - top) @ bend @ (place - top)), -2 * bend @ (place - top)

    end, value = climb(measure, np.zeros(3), iterations=60, first_step=1.0, longest_step=10.0, precision=1e-6)
    np.testing.assert_allclose(end, top, atol=1e-3)
    assert value == pytest.approx(0, abs=1e-5)


def test_a_climb_never_ends_below_its_start():
    """The slope lies: no step gains."""
    end, value = climb(
        lambda place: (float(-abs(place).sum()), np.ones(2)),
        np.zeros(2), iterations=9, first_step=1.0, longest_step=2.0, precision=1e-6,
    )  # fmt: skip
    assert value == 0 and (end == 0).all()
