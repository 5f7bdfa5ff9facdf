"""Grids against SimpleITK's own geometry."""

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid, points_of

from SACBRegistrationLib.imaging.grid import Grid

GRIDS = {
    "oblique": oblique_grid(),
    "left-handed": oblique_grid(left_handed=True),
    "steep": oblique_grid(size=(21, 34, 17), spacing=(2.0, 0.7, 1.3), degrees=(80, 30, -100)),
}
CODES = ("LIA", "RAS", "LPS", "SAR", "PIR", "ASL")


@pytest.fixture(params=GRIDS, name="grid")
def any_grid(request) -> Grid:
    return GRIDS[request.param]


def blank(grid: Grid) -> sitk.Image:
    image = sitk.Image(grid.size, sitk.sitkUInt8)
    image.SetOrigin(grid.origin)
    image.SetSpacing(grid.spacing)
    image.SetDirection(grid.direction)
    return image


def test_points_are_simpleitks(grid):
    image = blank(grid)
    for index in ((0.0, 0.0, 0.0), (5.25, 7.5, -2.0), (20.0, 3.0, 11.125)):
        point = image.TransformContinuousIndexToPhysicalPoint(index)
        np.testing.assert_allclose(grid.to_lps(np.array(index)), point, atol=1e-9)
        np.testing.assert_allclose(grid.to_index(np.array(point)), index, atol=1e-9)


def test_from_image_and_back(grid):
    assert Grid.from_image(blank(grid)) == grid


def test_center_extent_and_corners(grid):
    image = blank(grid)
    middle = image.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in grid.size])
    np.testing.assert_allclose(grid.center, middle, atol=1e-9)
    first = image.TransformContinuousIndexToPhysicalPoint((-0.5, -0.5, -0.5))
    last = image.TransformContinuousIndexToPhysicalPoint([n - 0.5 for n in grid.size])
    corners = grid.corners()
    assert corners.shape == (8, 3)
    for corner in (first, last):
        assert np.linalg.norm(corners - corner, axis=1).min() < 1e-9
    diagonal = np.linalg.norm(np.subtract(last, first))
    np.testing.assert_allclose(diagonal, np.linalg.norm(grid.extent), rtol=1e-12)


@pytest.mark.parametrize("codes", ["LPS", "RAS", "LIA", "ASR", "SPL"])
def test_axis_codes_name_the_direction_of_growth(codes):
    """The independent reader is SimpleITK's orientation filter: its letters name the same growth."""
    image = sitk.DICOMOrient(sitk.Image((5, 6, 7), sitk.sitkUInt8), codes)
    assert Grid.from_image(image).axis_codes == codes


def test_axis_codes_of_oblique_grids_agree_with_simpleitk(grid):
    expected = sitk.DICOMOrientImageFilter.GetOrientationFromDirectionCosines(grid.direction)
    assert grid.axis_codes == expected


@pytest.mark.parametrize("codes", CODES)
def test_reoriented_keeps_every_voxel_at_its_point(grid, codes):
    image = blobs(grid)
    new = grid.reoriented(codes)
    assert new.axis_codes == codes
    assert sorted(new.size) == sorted(grid.size)
    same = sitk.DICOMOrient(image, codes)
    assert new.size == same.GetSize()
    np.testing.assert_allclose(new.spacing, same.GetSpacing())
    np.testing.assert_allclose(new.origin, same.GetOrigin(), atol=1e-9)
    np.testing.assert_allclose(new.direction, same.GetDirection(), atol=1e-12)
    sampled = new.resample(image, interpolator=sitk.sitkNearestNeighbor, default=-1)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sampled), sitk.GetArrayFromImage(same))


@pytest.mark.parametrize("codes", ["LLA", "XYZ", "LI", "lia"])
def test_reoriented_refuses_what_is_no_orientation(codes):
    with pytest.raises(ValueError, match="ax"):
        oblique_grid().reoriented(codes)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_coarsened_is_block_averaging(grid, factor):
    shrunk = sitk.BinShrink(blobs(grid), [factor] * 3)
    coarse = grid.coarsened(factor)
    assert coarse.size == shrunk.GetSize()
    np.testing.assert_allclose(coarse.spacing, shrunk.GetSpacing())
    np.testing.assert_allclose(coarse.direction, shrunk.GetDirection())
    block = points_of(grid)[:factor, :factor, :factor].reshape(-1, 3).mean(axis=0)
    np.testing.assert_allclose(coarse.origin, block, atol=1e-9)
    np.testing.assert_allclose(coarse.origin, shrunk.GetOrigin(), atol=1e-9)


def test_padded_is_constant_padding(grid):
    low, high = (3, 0, 5), (1, 4, 2)
    padded = sitk.ConstantPad(blobs(grid), low, high, -7.0)
    mine = grid.padded(low, high)
    assert mine.size == padded.GetSize()
    np.testing.assert_allclose(mine.origin, padded.GetOrigin(), atol=1e-9)
    sampled = mine.resample(blobs(grid), interpolator=sitk.sitkNearestNeighbor, default=-7.0)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(sampled), sitk.GetArrayFromImage(padded))


def test_resample_uses_the_transform_from_grid_to_image():
    grid, image = oblique_grid(size=(20, 22, 18)), blobs(oblique_grid())
    transform = sitk.Euler3DTransform(tuple(grid.center), 0.1, -0.2, 0.3, (3.0, -2.0, 1.0))
    sampled = grid.resample(image, transform)
    for index in ((4, 9, 5), (10, 10, 10), (15, 6, 12)):
        point = transform.TransformPoint(blank(grid).TransformIndexToPhysicalPoint(index))
        expected = image.EvaluateAtPhysicalPoint(point, sitk.sitkLinear)
        np.testing.assert_allclose(sampled[index], expected, atol=1e-3)


def test_covering_takes_any_part_of_the_lattice(grid):
    part = grid.covering(grid.to_lps(np.array([[-3.0, 2.4, 5.0], [1.0, 40.0, 5.0]])))
    assert part.size == (5, 39, 1) and part.spacing == grid.spacing
    np.testing.assert_allclose(part.origin, grid.to_lps((-3, 2, 5)), atol=1e-9)
    whole = grid.covering(grid.corners(0))
    assert whole.size == grid.size
    np.testing.assert_allclose(whole.origin, grid.origin, atol=1e-9)
