"""How well all structures of two label maps lie on each other, by SimpleITK's filters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.evaluation.surface_distance import surface_distance, surface_of


@dataclass(frozen=True)
class LabelQuality:
    """Measures of one structure; NaN where a measure has no meaning.

    Attributes:
        dice: 2 |F and W| / (|F| + |W|). 0 when the structure is missing on one side, NaN when on both.
        hd95: 95th percentile of the Hausdorff distance, mm; see `surface_distance`. NaN when the structure is
            missing on a side.
        assd: Average symmetric surface distance, mm. NaN when the structure is missing on a side.
    """

    dice: float
    hd95: float
    assd: float


def label_quality(
    fixed_labels: sitk.Image, warped_labels: Mapping[str, sitk.Image], labels: Sequence[int]
) -> dict[int, dict[str, LabelQuality]]:
    """Returns the measures of every label for each of several warped label maps.

    Every structure is cut out with the box that holds it in all of the maps, so that its surfaces are those
    in the whole volume; the fixed surface is computed once for all maps.

    Args:
        fixed_labels: Label map of the fixed image.
        warped_labels: Moving label maps on the fixed label map's grid by name, such as "before" and "after".
        labels: Labels to compare.

    Returns:
        Label, ascending, to the name of the map to the measures.

    Raises:
        ValueError: When a map does not lie on the fixed label map's grid.
    """
    if any(image.GetSize() != fixed_labels.GetSize() for image in warped_labels.values()):
        raise ValueError("label maps must lie on the same grid")
    wanted = np.asarray(sorted(set(labels)), dtype=np.int64)
    fixed = _renumbered(fixed_labels, wanted)
    warped = {name: _renumbered(image, wanted) for name, image in warped_labels.items()}
    overlaps = {name: _overlap(fixed, image) for name, image in warped.items()}
    boxes = [_boxes(image) for image in (fixed, *warped.values())]
    result = {}
    for number, label in enumerate(wanted.tolist(), start=1):
        corners = [found[number] for found in boxes if number in found]
        if not corners:
            result[label] = {name: LabelQuality(*[float("nan")] * 3) for name in warped}
            continue
        first = np.min([low for low, _ in corners], axis=0)
        size = np.max([high for _, high in corners], axis=0) - first + 1
        box = size.tolist(), first.tolist()
        surface = surface_of(sitk.RegionOfInterest(fixed, *box) == number)
        result[label] = {}
        for name, image in warped.items():
            distance = surface_distance(surface, surface_of(sitk.RegionOfInterest(image, *box) == number))
            present = number in boxes[0] or number in boxes[1 + list(warped).index(name)]
            dice = overlaps[name].GetDiceCoefficient(number) if present else float("nan")
            result[label][name] = LabelQuality(dice, distance.hd95, distance.assd)
    return result


def _renumbered(image: sitk.Image, wanted: np.ndarray) -> sitk.Image:
    """Returns a uint32 image with 1, 2, ... for the ascending wanted labels and 0 for everything else."""
    values = sitk.GetArrayViewFromImage(image)
    at = np.searchsorted(wanted, values)
    found = wanted[np.minimum(at, len(wanted) - 1)] == values if len(wanted) else np.zeros(at.shape, bool)
    result = sitk.GetImageFromArray(np.where(found, at + 1, 0).astype(np.uint32))
    result.CopyInformation(image)
    return result


def _overlap(fixed: sitk.Image, warped: sitk.Image) -> sitk.LabelOverlapMeasuresImageFilter:
    # Rounding in the header of a label map must not count as another grid.
    warped.CopyInformation(fixed)
    overlap = sitk.LabelOverlapMeasuresImageFilter()
    overlap.Execute(fixed, warped)
    return overlap


def _boxes(image: sitk.Image) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Returns the first and last index (x, y, z; inclusive) of every number that occurs."""
    statistics = sitk.LabelShapeStatisticsImageFilter()
    statistics.ComputePerimeterOff()
    statistics.ComputeFeretDiameterOff()
    statistics.Execute(image)
    boxes = {}
    for number in statistics.GetLabels():
        box = np.asarray(statistics.GetBoundingBox(number))
        boxes[int(number)] = box[:3], box[:3] + box[3:] - 1
    return boxes
