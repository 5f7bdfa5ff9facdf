"""The network's grid follows the fixed axes, covers the anatomy, and stays within memory."""

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid

from SACBRegistrationLib.imaging.foreground import bounding_box, foreground_mask
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.network_grid import NetworkGrid, network_grid
from SACBRegistrationLib.imaging.tensors import array_to_image

FIXED = oblique_grid(size=(90, 70, 60), spacing=(1.1, 1.7, 2.3))
PLENTY = 10**9


def place(box, fixed: Grid = FIXED, **changes) -> NetworkGrid:
    options = dict(size=(48, 64, 80), preset_spacing=2.0, axes="LIA", max_voxels=PLENTY) | changes
    return network_grid(fixed, box, **options)


def box_of(low, high):
    return np.array(low), np.array(high)


SMALL = box_of((30, 25, 22), (60, 45, 38))


def room(result: NetworkGrid, box, fixed: Grid = FIXED) -> np.ndarray:
    """Distance in mm from the box's faces to the grid's, per side; SimpleITK does the geometry."""
    image = sitk.Image(fixed.size, sitk.sitkUInt8)
    image.SetOrigin(fixed.origin)
    image.SetSpacing(fixed.spacing)
    image.SetDirection(fixed.direction)
    grid = sitk.Image(result.grid.size, sitk.sitkUInt8)
    grid.SetOrigin(result.grid.origin)
    grid.SetSpacing(result.grid.spacing)
    grid.SetDirection(result.grid.direction)
    ends = [
        image.TransformContinuousIndexToPhysicalPoint([float(v) for v in corner])
        for corner in (box[0] - 0.5, box[1] + 0.5)
    ]
    indices = np.sort([grid.TransformPhysicalPointToContinuousIndex(point) for point in ends], axis=0)
    low = indices[0] + 0.5
    high = np.array(result.grid.size) - 0.5 - indices[1]
    return np.stack([low, high]) * result.grid.spacing[0]


@pytest.mark.parametrize("axes", ["LIA", "RAS", "LPS", "SAR"])
def test_axes_are_the_fixed_ones_permuted_and_flipped(axes):
    result = place(SMALL, axes=axes)
    assert result.grid.axis_codes == axes
    mixed = np.abs(FIXED.axes.T @ result.grid.axes)
    np.testing.assert_allclose(np.sort(mixed, axis=None), [0] * 6 + [1] * 3, atol=1e-9)


def test_presets_own_grid_around_the_anatomy():
    result = place(SMALL)
    assert result.grid.size == (48, 64, 80) and result.grid.spacing == (2.0, 2.0, 2.0)
    assert not result.grown and not result.clipped and result.message == ""
    spaces = room(result, SMALL)
    assert (spaces > 2).all()
    # Centred but for the shift onto the fixed voxels.
    assert abs(spaces[0] - spaces[1]).max() <= 2.0 + 1e-6


@pytest.mark.parametrize("spacing", [1.0, 2.0, 0.5, 3.0])
def test_voxel_centres_fall_on_fixed_voxel_centres(spacing):
    fixed = oblique_grid(size=(90, 70, 60), spacing=(1.0, 1.0, 1.0))
    result = place(SMALL, fixed, spacing=spacing)
    indices = fixed.to_index(result.grid.to_lps(np.indices((4, 5, 6)).reshape(3, -1).T))
    if spacing < 1:
        indices = indices * 2
    np.testing.assert_allclose(indices, np.rint(indices), atol=1e-6)


def test_equal_spacing_means_no_interpolation():
    fixed = oblique_grid(size=(50, 60, 44), spacing=(2.0, 2.0, 2.0))
    image = blobs(fixed)
    result = place(bounding_box(foreground_mask(image)), fixed)
    sampled = result.grid.resample(image)
    assert np.isin(np.round(sitk.GetArrayFromImage(sampled), 3), (0, 30, 60, 100)).all()


def test_grows_in_steps_where_the_anatomy_does_not_fit():
    box = box_of((1, 25, 22), (88, 45, 38))
    result = place(box)
    base = np.array((48, 64, 80))
    assert result.grown and not result.clipped
    assert not (np.array(result.grid.size) % 16).any()
    long_axis = int(np.argmax(np.array(result.grid.size) - base))
    assert (np.array(result.grid.size) - base > 0).sum() == 1
    # The long axis is the fixed image's own first one.
    np.testing.assert_allclose(abs(FIXED.axes[:, 0] @ result.grid.axes[:, long_axis]), 1)
    assert (room(result, box) >= 1.0).all()
    assert "grew from 48 x 64 x 80" in result.message


def test_another_spacing_keeps_the_presets_extent():
    preset = place(SMALL)
    for spacing in (1.0, 3.0, 4.0):
        result = place(SMALL, spacing=spacing)
        extent = result.grid.extent - preset.grid.extent
        assert (extent > -1e-6).all() and (extent < 16 * spacing).all()
        assert not (np.array(result.grid.size) % 16).any()
        assert not result.grown


def test_memory_clips_the_roomiest_side_first():
    whole = box_of((0, 0, 0), np.array(FIXED.size) - 1)
    free = place(whole)
    assert free.grown
    limit = int(np.prod(free.grid.size)) // 2
    result = place(whole, max_voxels=limit)
    assert np.prod(result.grid.size) <= limit
    assert result.clipped and "memory allows only" in result.message and result.message.endswith(".")
    # Room without anatomy goes before anatomy.
    roomy = place(SMALL, max_voxels=48 * 64 * 64)
    assert not roomy.clipped and (room(roomy, SMALL) > 0).all()
    assert "shrank" in roomy.message


def test_memory_below_one_block_is_refused():
    with pytest.raises(ValueError, match="4096"):
        place(SMALL, max_voxels=4095)


@pytest.mark.parametrize("corner", [0, 1])
def test_anatomy_in_the_volumes_corner(corner):
    low = np.array((0, 0, 0)) if corner == 0 else np.array(FIXED.size) - (20, 15, 12)
    box = (low, low + np.array((19, 14, 11)))
    result = place(box)
    assert (room(result, box) > 2).all()
    # The grid reaches beyond the fixed volume, where there is nothing to see.
    outside = FIXED.to_index(result.grid.corners(0.0))
    assert (outside < 0).any() or (outside > np.array(FIXED.size)).any()


def test_one_voxel_and_thick_slices():
    fixed = oblique_grid(size=(40, 44, 9), spacing=(0.8, 0.8, 9.0))
    for box in (box_of((3, 4, 5), (3, 4, 5)), box_of((0, 0, 0), (39, 43, 8))):
        result = place(box, fixed)
        assert (room(result, box, fixed) > 0).all()


def test_content_lies_at_the_same_place():
    image = blobs(FIXED)
    result = place(bounding_box(foreground_mask(image)))
    sampled = result.grid.resample(image, interpolator=sitk.sitkNearestNeighbor)

    def center(mask: sitk.Image) -> np.ndarray:
        statistics = sitk.LabelShapeStatisticsImageFilter()
        statistics.Execute(mask)
        return np.array(statistics.GetCentroid(1))

    for value in (30, 100):
        np.testing.assert_allclose(
            center(sitk.Equal(sampled, value)), center(sitk.Equal(image, value)), atol=0.6
        )
    assert array_to_image(np.zeros(result.grid.size, np.float32), result.grid).GetSize() == result.grid.size
