"""Images that cannot be registered are refused in one sentence."""

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid, points_of

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.validation import validate_labels, validate_mask, validate_volume


def with_voxel(value: float) -> sitk.Image:
    image = blobs(oblique_grid())
    image[3, 4, 5] = value
    return image


def sheared() -> sitk.Image:
    image = blobs(oblique_grid())
    image.SetDirection((1, 0.05, 0, 0, 1, 0, 0, 0, 1))
    return image


def stretched() -> sitk.Image:
    image = blobs(oblique_grid())
    image.SetDirection((1e200, 0, 0, 0, 1, 0, 0, 0, 1))
    return image


def misplaced() -> sitk.Image:
    image = blobs(oblique_grid())
    image.SetOrigin((float("nan"), 0, 0))
    return image


REFUSED = {
    "2D": (lambda: sitk.Image((20, 20), sitk.sitkFloat32), "2 dimensions"),
    "4D": (lambda: sitk.Image((8, 8, 8, 3), sitk.sitkFloat32), "4 dimensions"),
    "vector": (lambda: sitk.Image((8, 8, 8), sitk.sitkVectorFloat32, 3), "3 values per voxel"),
    "colour": (lambda: sitk.Image((8, 8, 8), sitk.sitkVectorUInt8, 4), "4 values per voxel"),
    "complex": (lambda: sitk.Image((8, 8, 8), sitk.sitkComplexFloat32), "complex"),
    "slice": (lambda: sitk.Image((30, 30, 1), sitk.sitkInt16), "30 x 30 x 1 voxels"),
    "thin": (lambda: sitk.Image((30, 3, 30), sitk.sitkInt16), "at least 4"),
    "empty": (lambda: sitk.Image((8, 9, 10), sitk.sitkInt16), "every voxel has the value 0"),
    "constant": (lambda: sitk.Image((8, 9, 10), sitk.sitkInt16) + 7, "every voxel has the value 7"),
    "nan": (lambda: with_voxel(float("nan")), "NaN or infinite"),
    "inf": (lambda: with_voxel(float("inf")), "NaN or infinite"),
    "-inf": (lambda: with_voxel(float("-inf")), "NaN or infinite"),
    "sheared": (sheared, "non-orthonormal"),
    "stretched": (stretched, "non-orthonormal"),
    "header": (misplaced, "invalid spacing, origin or direction"),
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("case", REFUSED)
@pytest.mark.parametrize("role", ["fixed", "moving"])
def test_refused(case, role):
    build, reason = REFUSED[case]
    with pytest.raises(UserError) as caught:
        validate_volume(build(), role, "scan.nrrd")
    message = str(caught.value)
    assert message.startswith(f"The {role} image (scan.nrrd) ")
    assert reason in message
    assert "\n" not in message and message.endswith(".")


@pytest.mark.parametrize("pixel", [sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt32, sitk.sitkFloat64])
@pytest.mark.parametrize("left_handed", [False, True])
def test_accepted_with_any_number_type_and_handedness(pixel, left_handed):
    grid = oblique_grid(left_handed=left_handed)
    image = sitk.Cast(blobs(grid), pixel)
    checked = validate_volume(image, "fixed")
    assert checked.GetPixelID() == sitk.sitkFloat32
    assert Grid.from_image(checked) == grid
    np.testing.assert_array_equal(sitk.GetArrayFromImage(checked), sitk.GetArrayFromImage(blobs(grid)))


def test_huge_doubles_do_not_become_infinite_silently():
    image = sitk.Cast(blobs(oblique_grid()), sitk.sitkFloat64)
    image[1, 2, 3] = 1e300
    with pytest.raises(UserError, match="NaN or infinite"):
        validate_volume(image, "moving")


def test_rounded_directions_are_accepted():
    image = blobs(oblique_grid())
    image.SetDirection(tuple(np.round(image.GetDirection(), 5)))
    validate_volume(image, "fixed")


def test_float_labels_become_integers():
    labels = validate_labels(blobs(oblique_grid()), "fixed")
    assert labels.GetPixelID() == sitk.sitkInt32
    assert set(np.unique(sitk.GetArrayViewFromImage(labels))) == {0, 30, 60, 100}


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: blobs(oblique_grid()) * 0.01, "fractions"),
        (lambda: with_voxel(float("nan")), "NaN"),
        (lambda: with_voxel(1e12), "32-bit"),
        (lambda: sitk.Image((8, 8, 8), sitk.sitkInt16), "empty"),
        (lambda: sitk.Image((8, 8, 8), sitk.sitkVectorUInt8, 3), "3 values per voxel"),
        (lambda: sitk.Image((8, 8), sitk.sitkUInt8), "2 dimensions"),
    ],
)
def test_refused_labels(build, reason):
    with pytest.raises(UserError, match=reason) as caught:
        validate_labels(build(), "moving", "labels.nii")
    assert str(caught.value).startswith("The moving label map (labels.nii) ")


def test_mask_moves_to_the_images_grid():
    grid = oblique_grid()
    other = oblique_grid(size=(60, 50, 40), spacing=(0.9, 0.8, 1.4), degrees=(-30, 5, 60))
    mask = validate_mask(blobs(other) > 50, "fixed", grid)
    assert Grid.from_image(mask) == grid
    assert mask.GetPixelID() == sitk.sitkUInt8
    # The blobs are drawn around the same point, so the mask is what drawing it here would give.
    distance = (((points_of(grid) - grid.center) / (17, 21, 19)) ** 2).sum(axis=-1)
    found = sitk.GetArrayFromImage(mask).transpose(2, 1, 0)
    assert set(np.unique(found)) == {0, 1}
    assert not found[distance > 1.2].any()
    assert found[(distance < 0.3)].mean() > 0.6


def test_mask_elsewhere_is_refused():
    with pytest.raises(UserError, match="The moving mask does not overlap the moving image"):
        validate_mask(blobs(oblique_grid(center=(500, 0, 0))), "moving", blobs(oblique_grid()))


def test_empty_mask_is_refused():
    with pytest.raises(UserError, match=r"The fixed mask \(m.nrrd\) is empty"):
        validate_mask(sitk.Image((8, 8, 8), sitk.sitkUInt8), "fixed", blobs(oblique_grid()), "m.nrrd")
