"""The picture of one registered pair with its structures, as the paper's Figures 4 and 7 show pairs."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.pictures import style
from SACBRegistrationLib.pictures.legends import write_caption
from SACBRegistrationLib.pictures.panels import (
    affine_remover,
    draw_deformation,
    grey_levels,
    grid_step,
    plane_figure,
    require_matplotlib,
    save,
    show,
    write_letters,
    write_texts,
)
from SACBRegistrationLib.pictures.planes import Plane, anatomical_planes

_STRENGTH = 0.9
_BOTTOM = 0.4  # inches
# Golden ratio: neighbouring label values get colours far from each other.
_TURN = 0.618034


def draw_pair(
    path: Path,
    images: tuple[sitk.Image, sitk.Image, sitk.Image],
    label_maps: tuple[sitk.Image, sitk.Image, sitk.Image],
    labels: Sequence[int],
    displacement_field: sitk.Image,
    start: str = "before",
    title: str = "",
    subtitle: str = "",
) -> None:
    """Draws the middle planes of a pair with the outlines of its structures as PNG.

    Rows are the axial, coronal and sagittal plane; columns are the fixed image, the moving image before the
    deformation and after it, each with the outlines of its own structures, then where the structures still
    disagree, and the deformation as a regular grid in the moving image looks once warped (its affine part
    taken out).

    Args:
        path: File to write.
        images: Fixed image, moving image before and after, in fixed space, intensities in [0, 1].
        label_maps: Their label maps, in fixed space.
        labels: Values of the structures to show.
        displacement_field: u, vector image, LPS mm, over the fixed volume.
        start: What "before" is: "aligned", or "before" for the images as they were given.
        title: Headline.
        subtitle: One line of numbers below it.

    Raises:
        UserError: When matplotlib is not installed.
    """
    require_matplotlib("picture of a pair")
    planes = anatomical_planes(images[0])
    moving = "Moving, aligned" if start == "aligned" else "Moving, as given"
    headings = ["Fixed", moving, "Moving, registered", "Disagreement", "Deformation"]
    figure, axes = plane_figure(planes, len(headings), _BOTTOM)
    straighten = affine_remover(displacement_field, planes)
    step = grid_step(planes)
    wanted = np.asarray(sorted(labels))
    for row, plane in zip(axes, planes, strict=True):
        greys = [grey_levels(plane.sample(image), 0.0, 1.0) for image in images]
        numbers = [_structures(plane, image, wanted) for image in label_maps]
        for ax, grey, values in zip(row, greys, numbers, strict=False):
            show(ax, plane, _with_outlines(grey, values))
        show(row[3], plane, _disagreement(greys[0], numbers[0], numbers[2]))
        draw_deformation(row[4], plane, greys[0], straighten(plane), step)
        write_letters(row[0], plane)
    write_texts(figure, axes, planes, headings, title, subtitle)
    bottom = axes[-1]
    write_caption(figure, bottom[1], 0.1, [("outlines: the scored structures", style.MUTED)])
    colors = (style.SHRINKING, style.FOLD, style.GROWING)
    words = ("missing", "mixed up", "too much")
    write_caption(figure, bottom[3], 0.1, list(zip(words, colors, strict=True)))
    write_caption(figure, bottom[4], 0.1, [(f"{step:g} mm grid, affine part removed", style.MUTED)])
    save(figure, path)


def _structures(plane: Plane, label_map: sitk.Image, wanted: np.ndarray) -> np.ndarray:
    """Returns 1, 2, ... for the wanted labels on a plane, 0 elsewhere, [height, width]."""
    values = plane.sample(label_map, sitk.sitkNearestNeighbor)
    at = np.searchsorted(wanted, values)
    found = wanted[np.minimum(at, len(wanted) - 1)] == values
    return np.where(found, at + 1, 0)


def _with_outlines(grey: np.ndarray, numbers: np.ndarray) -> np.ndarray:
    """Returns [height, width, 3] colours; a structure's outline lies inside it and is two pixels wide."""
    edge = np.zeros(numbers.shape, bool)
    for axis in (0, 1):
        for shift in (-2, -1, 1, 2):
            edge |= np.roll(numbers, shift, axis) != numbers
    edge &= numbers > 0
    colors = np.repeat(grey[..., None], 3, axis=2)
    colors[edge] = (1 - _STRENGTH) * colors[edge] + _STRENGTH * _hues(numbers[edge])
    return colors


def _hues(numbers: np.ndarray) -> np.ndarray:
    """Returns a bright colour for every number, [n, 3]."""
    from matplotlib.colors import hsv_to_rgb

    hue = (numbers * _TURN) % 1.0
    # Alternating in strength as well, as there are more structures than hues that can be told apart.
    saturation = np.where(numbers % 2 == 0, 0.55, 0.85)
    return hsv_to_rgb(np.stack([hue, saturation, np.ones_like(hue)], axis=-1))


def _disagreement(grey: np.ndarray, fixed: np.ndarray, warped: np.ndarray) -> np.ndarray:
    """Returns the dimmed fixed image with what is in one map alone, or in two different structures."""
    from matplotlib.colors import to_rgb

    colors = np.repeat(0.55 * grey[..., None], 3, axis=2)
    colors[(fixed > 0) & (warped == 0)] = to_rgb(style.SHRINKING)
    colors[(fixed == 0) & (warped > 0)] = to_rgb(style.GROWING)
    colors[(fixed > 0) & (warped > 0) & (fixed != warped)] = to_rgb(style.FOLD)
    return colors
