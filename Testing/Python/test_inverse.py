"""The inverse transform: exactness through SimpleITK, strong deformations, any alignment."""

import numpy as np
import pytest
import SimpleITK as sitk
from field_fixtures import make_case, oblique_grid

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.displacement import as_transform, compose_displacement
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.inverse import inverse_residual, invert_displacement
from SACBRegistrationLib.imaging.jacobian import folding_percent


def inverse_of(case, spacing=None):
    field = compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid, spacing)
    return field, invert_displacement(field, case.alignment, case.moving_grid, case.fixed_grid, spacing)


def test_there_and_back_is_where_it_began():
    case = make_case()
    field, result = inverse_of(case, 1.0)
    assert result.residual_mean_mm < 0.005
    assert result.residual_p99_mm < 0.02
    assert result.residual_mean_mm < result.residual_p99_mm
    forward, backward = as_transform(field), as_transform(result.displacement_field)
    points = case.points(300)
    mapped = np.asarray([forward.TransformPoint(p) for p in points])
    index = case.moving_grid.to_index(mapped)
    inside = ((index > -0.5) & (index < np.asarray(case.moving_grid.size) - 0.5)).all(axis=1)
    assert inside.sum() > 100
    back = np.asarray([backward.TransformPoint(p) for p in mapped[inside]])
    assert np.linalg.norm(back - points[inside], axis=1).max() < 0.05
    assert np.linalg.norm(mapped - points, axis=1).min() > 40


def test_inverse_is_defined_over_the_whole_moving_volume():
    case = make_case()
    _, result = inverse_of(case)
    grid = Grid.from_image(result.displacement_field)
    assert result.displacement_field.GetPixelID() == sitk.sitkVectorFloat32
    assert np.allclose(grid.direction, case.moving_grid.direction)
    corners = grid.to_index(case.moving_grid.corners(0.5))
    assert corners.min() >= 1 - 1e-6
    assert (np.asarray(grid.size) - 1 - corners).min() >= 1 - 1e-6


def test_far_outside_the_fixed_volume_it_follows_the_inverse_alignment():
    case = make_case()
    wide = oblique_grid((30, 30, 30), (16, 16, 16), case.moving_grid.center, case.moving_grid.axes)
    field = compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid)
    result = invert_displacement(field, case.alignment, wide, case.fixed_grid, 8.0)
    back = as_transform(result.displacement_field)
    inverse = case.alignment.GetInverse()
    corners = wide.corners(0)
    expected = np.asarray([inverse.TransformPoint(p) for p in corners])
    found = np.asarray([back.TransformPoint(p) for p in corners])
    assert np.abs(found - expected).max() < 1e-2


def test_a_strong_deformation_on_which_plain_steps_diverge_is_inverted():
    case = make_case(amplitude=18.0, wavelength=110.0)
    points = case.points(2000)
    slope = [(case.deformation(points + h) - case.deformation(points)) / 0.01 for h in 0.01 * np.eye(3)]
    norms = np.linalg.norm(np.stack(slope, -1), ord=2, axis=(1, 2))
    # The factor by which a plain fixed-point step changes the error; above 1 it grows.
    assert norms.max() > 1.3
    field, result = inverse_of(case, 1.0)
    assert folding_percent(field, case.fixed_grid) == 0
    assert result.residual_mean_mm < 0.02
    assert result.residual_p99_mm < 0.06


def test_folds_leave_a_finite_field():
    case = make_case(amplitude=40.0, wavelength=60.0)
    field, result = inverse_of(case, 4.0)
    assert folding_percent(field, case.fixed_grid) > 1
    assert np.isfinite(sitk.GetArrayViewFromImage(result.displacement_field)).all()


def test_an_alignment_without_a_closed_inverse():
    linear = make_case()
    wide = linear.fixed_grid.padded((20, 20, 20), (20, 20, 20))
    inner = compose_displacement(linear.phi(), linear.network_grid, linear.alignment, wide)
    case = make_case(amplitude=3.0, wavelength=120.0, alignment=as_transform(inner))
    with pytest.raises(RuntimeError):
        case.alignment.GetInverse()
    _, result = inverse_of(case, 1.0)
    assert result.residual_mean_mm < 0.01
    assert result.residual_p99_mm < 0.05


def test_the_residual_notices_a_wrong_inverse():
    case = make_case()
    field, result = inverse_of(case)
    wrong = result.displacement_field
    shifted = sitk.Compose(
        [sitk.VectorIndexSelectionCast(wrong, c) + (0.5 if c == 1 else 0) for c in range(3)]
    )
    residual = inverse_residual(field, shifted, case.moving_grid, case.fixed_grid)
    assert residual.mean() == pytest.approx(0.5, abs=0.1)


def test_without_overlap_the_residual_is_unknown():
    case = make_case()
    far = oblique_grid((8, 9, 10), (3, 4, 5), (900, 900, 900), case.moving_grid.axes)
    field = compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid)
    result = invert_displacement(field, case.alignment, far, case.fixed_grid)
    assert np.isnan(result.residual_mean_mm) and np.isnan(result.residual_p99_mm)


def test_a_flattening_alignment_is_refused():
    flat = sitk.AffineTransform(3)
    flat.SetMatrix((1, 0, 0, 0, 1, 0, 0, 0, 1e-9))
    case = make_case(alignment=flat)
    field = compose_displacement(case.phi(), case.network_grid, flat, case.fixed_grid)
    with pytest.raises(UserError, match="no inverse"):
        invert_displacement(field, flat, case.moving_grid, case.fixed_grid)
