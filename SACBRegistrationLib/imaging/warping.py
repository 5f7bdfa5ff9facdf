"""Warping volumes and label maps through a displacement field."""

import SimpleITK as sitk

from SACBRegistrationLib.imaging.displacement import as_transform
from SACBRegistrationLib.imaging.grid import Grid

_INTEGERS = {
    sitk.sitkInt8, sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt16,
    sitk.sitkInt32, sitk.sitkUInt32, sitk.sitkInt64, sitk.sitkUInt64,
}  # fmt: skip
_SMALL_INTEGERS = {sitk.sitkInt8, sitk.sitkUInt8, sitk.sitkInt16, sitk.sitkUInt16}


def warp_volume(
    moving: sitk.Image,
    displacement_field: sitk.Image | sitk.Transform,
    fixed_grid: Grid,
    interpolator: int = sitk.sitkLinear,
    default: float = 0.0,
) -> sitk.Image:
    """Returns warped(x) = moving(T(x)) on the fixed grid, in the moving image's number type.

    Args:
        moving: Scalar image.
        displacement_field: Vector image u (LPS mm) with T(x) = x + u(x), or the transform T itself.
        fixed_grid: Grid of the result.
        interpolator: sitk.sitkNearestNeighbor for labels.
        default: Value where T(x) lies outside the moving image.

    Returns:
        Scalar image on the fixed grid. Interpolated values of integer images are rounded to the nearest
        integer (SimpleITK's resampler would cut off the fraction, half a grey value too dark on average).
    """
    transform = displacement_field
    if isinstance(displacement_field, sitk.Image):
        transform = as_transform(displacement_field)
    pixel = moving.GetPixelID()
    if interpolator == sitk.sitkNearestNeighbor or pixel not in _INTEGERS:
        return fixed_grid.resample(moving, transform, interpolator, default)
    # Float32 holds 16-bit integers exactly; larger ones need float64.
    real = sitk.Cast(moving, sitk.sitkFloat32 if pixel in _SMALL_INTEGERS else sitk.sitkFloat64)
    return sitk.Clamp(sitk.Round(fixed_grid.resample(real, transform, interpolator, default)), pixel)
