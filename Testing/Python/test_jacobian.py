"""Jacobian determinants against analytic maps on oblique, anisotropic grids."""

import numpy as np
import pytest
import SimpleITK as sitk
from field_fixtures import make_case, oblique_grid, rotation

from SACBRegistrationLib.imaging.displacement import compose_displacement
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.jacobian import (
    folding_percent,
    inside_volume,
    jacobian_determinant,
    summarize_jacobian,
)
from SACBRegistrationLib.imaging.tensors import array_to_image

GRID = oblique_grid((14, 11, 9), (1.2, 2.3, 3.1), (7, -40, 22), rotation(25, -15, 40))


def field_of(displacement, grid=GRID):
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), -1)
    values = displacement(grid.to_lps(index)).astype(np.float32)
    return array_to_image(np.moveaxis(values, -1, 0), grid)


def test_linear_map_on_an_oblique_grid_has_its_matrix_determinant():
    matrix = np.array([[1.2, 0.3, -0.1], [0.2, 0.8, 0.25], [-0.15, 0.1, 1.1]])
    field = field_of(lambda points: points @ (matrix - np.eye(3)).T + (60, -10, 5))
    found = sitk.GetArrayFromImage(jacobian_determinant(field))
    assert np.abs(found - np.linalg.det(matrix)).max() < 1e-4
    # SimpleITK's filter forgets the direction of the axes: the reason for our own.
    theirs = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))[2:-2, 2:-2, 2:-2]
    assert np.abs(theirs - np.linalg.det(matrix)).min() > 0.02


def test_it_agrees_with_simpleitk_where_the_axes_are_not_rotated():
    straight = oblique_grid((14, 11, 9), (1.2, 2.3, 3.1), (7, -40, 22), np.eye(3))
    field = field_of(lambda points: 2 * np.sin(points / 9 + points[..., ::-1] / 13), straight)
    theirs = sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(field))
    found = sitk.GetArrayFromImage(jacobian_determinant(field))
    inner = (slice(1, -1),) * 3
    assert np.abs(found[inner] - theirs[inner]).max() < 1e-5
    assert np.ptp(found) > 0.3


def test_a_curved_map_on_an_oblique_grid():
    grid = oblique_grid((40, 30, 20), (1.2, 1.6, 2.1), (7, -40, 22), rotation(25, -15, 40))
    scale = 30.0
    field = field_of(
        lambda points: np.stack(
            [
                5 * np.sin(points[..., 1] / scale),
                4 * np.sin(points[..., 0] / scale),
                3 * np.sin(points[..., 2] / scale),
            ],
            -1,
        ),
        grid,
    )
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), -1)
    x, y, z = np.moveaxis(grid.to_lps(index), -1, 0) / scale
    exact = (1 - 20 / scale**2 * np.cos(x) * np.cos(y)) * (1 + 3 / scale * np.cos(z))
    found = sitk.GetArrayFromImage(jacobian_determinant(field)).transpose(2, 1, 0)
    inner = (slice(1, -1),) * 3
    assert np.abs(found - exact)[inner].max() < 1e-3
    assert np.ptp(exact) > 0.1


def test_folding_is_counted_in_the_fixed_volume_and_in_the_mask():
    fixed = oblique_grid((20, 20, 10), (1, 1.5, 2), (0, 0, 0), rotation(20, 10, 5))
    normal = fixed.axes[:, 0]
    # Beyond a plane through the centre the axis runs backwards: half of the volume folds.
    field = field_of(
        lambda points: -1.6 * np.maximum(points @ normal - fixed.center @ normal, 0)[..., None] * normal,
        fixed.padded((4, 4, 4), (4, 4, 4)),
    )
    assert folding_percent(field, fixed) == pytest.approx(50, abs=0.1)
    array = np.zeros(fixed.size, np.uint8)
    array[10:15] = 1
    assert folding_percent(field, fixed, array_to_image(array, fixed)) == pytest.approx(100)
    array = 1 - array
    assert folding_percent(field, fixed, array_to_image(array, fixed)) == pytest.approx(100 / 3, abs=0.1)


def test_summary_of_a_registration_holds_the_alignments_volume_change():
    case = make_case(amplitude=1.0)
    field = compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid)
    jacobian = jacobian_determinant(field)
    summary = summarize_jacobian(jacobian, inside_volume(Grid.from_image(field), case.fixed_grid))
    assert summary.mean == pytest.approx(1.08 * 0.95 * 1.03, abs=0.01)
    assert summary.minimum < summary.p01 < summary.mean < summary.p99 < summary.maximum
    assert summary.folding_percent == 0
    assert set(summary.as_dict()) == {"folding_percent", "minimum", "p01", "mean", "p99", "maximum"}


def test_an_empty_region_is_refused():
    field = field_of(lambda points: points * 0)
    jacobian = jacobian_determinant(field)
    with pytest.raises(ValueError, match="no voxel"):
        summarize_jacobian(jacobian, sitk.Image(jacobian.GetSize(), sitk.sitkUInt8))
    with pytest.raises(ValueError, match="same grid"):
        summarize_jacobian(jacobian, sitk.Image((3, 3, 3), sitk.sitkUInt8))
