"""Finding the anatomy in a volume: skull-stripped brains, whole heads with noise, CT with a table."""

import numpy as np
import SimpleITK as sitk

# Noise is averaged to this spacing before a threshold is drawn, mm.
_WORKING_SPACING = 2.0
# A value is a painted background when it fills this part of the outermost layer of voxels...
_BACKGROUND_OF_BORDER = 0.3
# ...and this part of the volume.
_BACKGROUND_OF_VOLUME = 0.05
# Air is much darker than tissue; fluid beside white matter is not.
_AIR_TO_TISSUE = 0.25
# The limit lies this many standard deviations above the air, but not below this part of Otsu's limit.
_AIR_SCATTERS = 5.0
_LOWEST_LIMIT = 0.5
# A dark rim thinner than this is blur, mm; more dark voxels than this part of what lies deeper are air.
_RIM = 6.0
_AIR_OF_VOLUME = 0.15
# A second component (an arm beside the body, a hemisphere) counts from this part of the largest on.
_COMPONENT_OF_LARGEST = 0.1


def foreground_mask(image: sitk.Image, air_threshold: float | None = None) -> sitk.Image:
    """Returns the voxels that hold anatomy.

    Without a threshold (MR), a background painted with one value is recognised exactly, whatever the value;
    noisy air is cut off with Otsu's method (air, dark tissue, bright tissue) at 2 mm. Holes inside the
    anatomy (ventricles of value 0, lungs) belong to it; small islands do not.

    Args:
        image: 3D scalar image.
        air_threshold: Intensity above which a voxel is no air (CT: about -500 HU), or None.

    Returns:
        uint8 mask of 0 and 1 on the image's grid; never empty: the whole image where nothing stands out.
    """
    coarse = _averaged(image)
    if air_threshold is None:
        background = _painted_background(sitk.GetArrayViewFromImage(image))
        if background is None:
            limit, _ = _air_limit(sitk.GetArrayViewFromImage(coarse).ravel())
        else:
            painted = sitk.NotEqual(image, background)
            limit = _noise_limit(coarse, painted, background)
            if limit is None:
                return _or_everything(_cleaned(painted))
    else:
        limit = air_threshold
    # Opening cuts the bridges to a table or a coil; thick slices would lose the scalp.
    radius = [int(spacing < 2 * _WORKING_SPACING) for spacing in coarse.GetSpacing()]
    cleaned = _cleaned(sitk.BinaryMorphologicalOpening(coarse > limit, radius))
    nearest = sitk.sitkNearestNeighbor
    return _or_everything(
        sitk.Resample(cleaned, image, interpolator=nearest, useNearestNeighborExtrapolator=True)
    )


def bounding_box(mask: sitk.Image) -> tuple[np.ndarray, np.ndarray]:
    """Returns the first and the last index (x, y, z; both inclusive) of what is not 0, each [3].

    Raises:
        ValueError: When everything is 0.
    """
    inside = sitk.GetArrayViewFromImage(mask) != 0
    plane, column = inside.any(axis=0), inside.any(axis=2)
    sides = plane.any(axis=0), plane.any(axis=1), column.any(axis=1)
    if not sides[0].any():
        raise ValueError("the mask is empty")
    ends = [np.flatnonzero(side)[[0, -1]] for side in sides]
    return np.array([first for first, _ in ends]), np.array([last for _, last in ends])


def _painted_background(values: np.ndarray) -> float | None:
    """Returns the one value that fills much of the volume's outermost layer, if there is one."""
    border = np.concatenate(
        [np.take(values, index, axis).ravel() for axis in range(3) for index in (0, values.shape[axis] - 1)]
    )
    found, counts = np.unique(border, return_counts=True)
    value = found[counts.argmax()]
    if counts.max() < _BACKGROUND_OF_BORDER * border.size:
        return None
    return float(value) if (values == value).mean() >= _BACKGROUND_OF_VOLUME else None


def _noise_limit(coarse: sitk.Image, painted: sitk.Image, background: float) -> float | None:
    """Returns the intensity between noisy air and tissue in a volume whose background is partly painted.

    Args:
        coarse: The image at the working spacing.
        painted: The voxels of the image that are not painted background.
        background: Its value.

    Returns:
        The limit; None when all air was painted over, so that whatever is left is anatomy.
    """
    candidate = _averaged(painted) > 0.5
    values = sitk.GetArrayViewFromImage(coarse)
    candidates = values[sitk.GetArrayViewFromImage(candidate) != 0]
    # A background inside the range of the tissue (z-scores) was painted, never measured.
    if candidates.size == 0 or candidates.min() < background:
        return None
    # The blurred rim of a stripped brain is as dark as air, but thin.
    radius = [round(_RIM / spacing) for spacing in coarse.GetSpacing()]
    eroded = sitk.BinaryErode(candidate, radius)
    inner = values[sitk.GetArrayViewFromImage(eroded) != 0]
    limit, air = _air_limit(candidates)
    bright = candidates[candidates > limit]
    if limit <= background or not bright.size or not inner.size:
        return None
    air_like = air - background < _AIR_TO_TISSUE * (float(bright.mean()) - background)
    return limit if air_like and (inner <= limit).mean() > _AIR_OF_VOLUME else None


def _air_limit(values: np.ndarray) -> tuple[float, float]:
    """Returns the intensity between noisy air and tissue, and the air's own; the minimum where none is."""
    floor, top = float(values.min()), float(np.percentile(values, 99))
    otsu = sitk.OtsuMultipleThresholdsImageFilter()
    otsu.SetNumberOfThresholds(2)
    # Fat and vessels would otherwise make a class of their own.
    otsu.Execute(sitk.GetImageFromArray(np.minimum(values, top).reshape(1, 1, -1)))
    limit = float(otsu.GetThresholds()[0])
    dark = values[values <= limit]
    if dark.size in (0, values.size):
        return floor, floor
    # Bone and fluid lie below Otsu's limit too; how far the air itself scatters says how low one may go.
    air = float(np.median(dark))
    scatter = 1.4826 * float(np.median(abs(dark - air)))
    return min(limit, max(air + _AIR_SCATTERS * scatter, floor + _LOWEST_LIMIT * (limit - floor))), air


def _averaged(image: sitk.Image) -> sitk.Image:
    """Averages blocks of voxels up to the working spacing; float32."""
    factors = [
        max(1, min(round(_WORKING_SPACING / spacing), size // 4))
        for spacing, size in zip(image.GetSpacing(), image.GetSize(), strict=True)
    ]
    return sitk.BinShrink(sitk.Cast(image, sitk.sitkFloat32), factors)


def _cleaned(mask: sitk.Image) -> sitk.Image:
    """Fills holes and removes islands."""
    if not sitk.GetArrayViewFromImage(mask).any():
        return mask
    # Beyond a layer around the box there is nothing to find.
    first, last = bounding_box(mask)
    first, last = np.maximum(first - 1, 0), np.minimum(last + 1, np.asarray(mask.GetSize()) - 1)
    box = tuple(slice(int(a), int(b) + 1) for a, b in zip(first, last, strict=True))
    components = sitk.GetArrayFromImage(sitk.ConnectedComponent(sitk.BinaryFillhole(mask[box])))
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    kept = np.zeros(mask.GetSize()[::-1], np.uint8)
    kept[box[::-1]] = (sizes >= _COMPONENT_OF_LARGEST * sizes.max())[components]
    cleaned = sitk.GetImageFromArray(kept)
    cleaned.CopyInformation(mask)
    return cleaned


def _or_everything(mask: sitk.Image) -> sitk.Image:
    """Returns the mask, or all of its grid when it is empty."""
    empty = not sitk.GetArrayViewFromImage(mask).any()
    return sitk.Cast(sitk.Equal(mask, 0), sitk.sitkUInt8) if empty else mask
