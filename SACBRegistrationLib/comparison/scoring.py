"""What a method's transform is worth, measured alike for every method from the files that it wrote."""

from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.comparison.pairs import Pair
from SACBRegistrationLib.comparison.program import OWN_LABELS, TRANSFORM
from SACBRegistrationLib.evaluation.dice import common_labels, dice_per_label, mean_dice
from SACBRegistrationLib.evaluation.surface_distance import surface_distance, surface_of
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.jacobian import folding_percent
from SACBRegistrationLib.imaging.reading import read_labels
from SACBRegistrationLib.imaging.warping import warp_volume


def score(pair: Pair, folder: Path, distances: bool = False) -> dict:
    """Returns overlap and folding of a method's result.

    Args:
        pair: The pair with its label maps.
        folder: Holds the displacement field that the method wrote (LPS mm, alignment and deformation in one)
            and, perhaps, the moving labels as the method itself warps them.
        distances: Also measures HD95, which takes some seconds per pair.

    Returns:
        "dice", the mean over all labels common to both maps, the moving one warped with nearest neighbour
        through the field onto the fixed one's grid; "dice_per_label"; "labels", their number; "own_dice" with
        the method's own label interpolation or None; "hd95", the mean over the labels, mm, or None;
        "folding_percent" of the fixed label map's volume, from the field on its own nodes.

    Raises:
        UserError: When a label map cannot be read.
    """
    fixed, moving = (read_labels(getattr(pair, f"{role}_labels"), role) for role in ("fixed", "moving"))
    field = sitk.ReadImage(str(folder / TRANSFORM), sitk.sitkVectorFloat32)
    grid = Grid.from_image(fixed)
    warped = warp_volume(moving, field, grid, sitk.sitkNearestNeighbor)
    labels = common_labels(fixed, moving)
    scores = dice_per_label(fixed, warped, labels)
    own = None
    if (folder / OWN_LABELS).is_file():
        theirs = sitk.ReadImage(str(folder / OWN_LABELS), sitk.sitkInt32)
        own = mean_dice(dice_per_label(fixed, theirs, labels))
    return {
        "dice": mean_dice(scores),
        "dice_per_label": {str(label): value for label, value in scores.items()},
        "labels": len(labels),
        "own_dice": own,
        "hd95": mean_hd95(fixed, warped, labels) if distances else None,
        "folding_percent": folding_percent(field, grid),
    }


def mean_hd95(fixed: sitk.Image, warped: sitk.Image, labels: list[int]) -> float | None:
    """Returns the mean HD95 over labels, mm; a label that is lost is left out; None without any.

    Args:
        fixed: Label map.
        warped: Label map on the same grid.
        labels: Labels to measure.
    """
    statistics = [_boxes(image) for image in (fixed, warped)]
    values = []
    for label in labels:
        boxes = [found[label] for found in statistics if label in found]
        if len(boxes) < len(statistics):
            continue
        low = np.min([box[0] for box in boxes], axis=0)
        high = np.max([box[1] for box in boxes], axis=0)
        size = [int(n) for n in high - low]
        parts = [
            sitk.RegionOfInterest(image, size, [int(n) for n in low]) == label for image in (fixed, warped)
        ]
        values.append(surface_distance(*(surface_of(part) for part in parts)).hd95)
    return float(np.mean(values)) if values else None


def _boxes(image: sitk.Image) -> dict[int, tuple[np.ndarray, np.ndarray]]:
    """Returns first index and index after the last of every label."""
    shape = sitk.LabelShapeStatisticsImageFilter()
    shape.Execute(sitk.Cast(image, sitk.sitkInt32))
    boxes = {}
    for label in shape.GetLabels():
        box = np.asarray(shape.GetBoundingBox(label))
        boxes[label] = (box[:3], box[:3] + box[3:])
    return boxes
