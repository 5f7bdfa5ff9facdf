"""One picture that shows what a registration did."""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.pictures import style
from SACBRegistrationLib.pictures.legends import draw_cluster_bar, draw_jacobian_bar, write_caption
from SACBRegistrationLib.pictures.panels import (
    affine_remover,
    draw_deformation,
    grey_levels,
    grey_window,
    grid_step,
    plane_box,
    plane_figure,
    require_matplotlib,
    save,
    show,
    write_letters,
    write_texts,
)
from SACBRegistrationLib.pictures.planes import Plane, anatomical_planes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable

_JACOBIAN_RANGE = 2.5
_HEADINGS = (
    "Fixed",
    "Moving before",
    "Moving after",
    "Checkers before",
    "Checkers after",
    "Deformation",
    "Volume change",
)


def draw_overview(
    path: Path,
    fixed: sitk.Image,
    before: sitk.Image,
    warped: sitk.Image,
    displacement_field: sitk.Image,
    jacobian: sitk.Image,
    clusters: Mapping[str, sitk.Image] | None = None,
    title: str = "SACB-Net registration",
    subtitle: str = "",
    window: tuple[float, float] | None = None,
) -> None:
    """Draws the middle planes of a registration as PNG.

    Rows are the axial, coronal and sagittal plane, the right way up and true to scale; columns are the fixed
    image, the moving image before and after registration, checkerboards of the fixed image with each, the
    deformation (how a regular grid in the moving image looks once warped; the affine part of the field is
    taken out, or a turn would hide everything else), the Jacobian determinant, and the clusters.

    Args:
        path: File to write.
        fixed: Fixed image.
        before: Moving image before the deformation, in fixed space, on any grid.
        warped: Moving image after registration, in fixed space.
        displacement_field: u, vector image, LPS mm, over the fixed volume.
        jacobian: det(I + du/dx), see `jacobian_determinant`.
        clusters: Cluster maps by role ("fixed", "moving"), numbered from 1, in fixed space; None or empty
            leaves their columns out.
        title: Headline.
        subtitle: One line of numbers below it.
        window: Intensities shown black and white, for all images; None takes percentiles of each.

    Raises:
        UserError: When matplotlib is not installed.
    """
    require_matplotlib("overview picture")
    planes = anatomical_planes(fixed)
    clusters = dict(clusters or {})
    headings = list(_HEADINGS)
    headings += [f"Clusters, {role}" for role in clusters]

    figure, axes = plane_figure(planes, len(headings))

    windows = [window or grey_window(image) for image in (fixed, before, warped)]
    # The warped image is shown as the moving image is: same tissue, same grey.
    windows[2] = windows[1]
    straighten = affine_remover(displacement_field, planes)
    highest = max((_highest(image) for image in clusters.values()), default=1)
    step = grid_step(planes)
    folds = False
    for row, plane in zip(axes, planes, strict=True):
        grey = [
            grey_levels(plane.sample(image, default=black), black, white)
            for image, (black, white) in zip((fixed, before, warped), windows, strict=True)
        ]
        for ax, values in zip(row, grey, strict=False):
            show(ax, plane, np.repeat(values[..., None], 3, axis=2))
        show(row[3], plane, _checkers(grey[0], grey[1]))
        show(row[4], plane, _checkers(grey[0], grey[2]))
        draw_deformation(row[5], plane, grey[0], straighten(plane), step)
        change_of_volume = plane.sample(jacobian, default=1.0)
        folds = folds or bool((change_of_volume <= 0).any())
        shades = _draw_jacobian(row[6], plane, grey[0], change_of_volume)
        for ax, image in zip(row[7:], clusters.values(), strict=True):
            _draw_clusters(ax, plane, plane.sample(image, sitk.sitkNearestNeighbor), highest)
        write_letters(row[0], plane)
    write_texts(figure, axes, planes, headings, title, subtitle)
    bottom = axes[-1]
    for column in (3, 4):
        write_caption(figure, bottom[column], 0.1, [("fixed", style.WARM), ("moving", style.COOL)])
    write_caption(figure, bottom[5], 0.1, [(f"{step:g} mm grid, affine part removed", style.MUTED)])
    draw_jacobian_bar(figure, bottom[6], shades)
    change = [("smaller", style.SHRINKING), ("larger", style.GROWING)]
    if folds:
        change.insert(1, ("folded", style.FOLD))
    write_caption(figure, bottom[6], 0.44, change)
    if clusters:
        draw_cluster_bar(figure, bottom[7:], highest)
        write_caption(figure, bottom[7], 0.44, [("numbered from dark to bright", style.MUTED)])
    save(figure, path)


def _checkers(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns warm squares of the first image between cool squares of the second, [height, width, 3]."""
    side = max(1, round(max(first.shape) / 7))
    rows, columns = np.indices(first.shape) // side
    odd = ((rows + columns) % 2 == 1)[..., None]
    return np.where(odd, second[..., None] * style.COOL, first[..., None] * style.WARM)


def _draw_jacobian(ax: "Axes", plane: Plane, grey: np.ndarray, jacobian: np.ndarray) -> "ScalarMappable":
    """Shows volume change so that halving and doubling weigh the same; returns the colour scale."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb

    colors = LinearSegmentedColormap.from_list("change", [style.SHRINKING, "#1a1d24", style.GROWING])
    shades = ScalarMappable(LogNorm(1 / _JACOBIAN_RANGE, _JACOBIAN_RANGE, clip=True), colors)
    image = shades.to_rgba(np.maximum(jacobian, 1e-6))[..., :3] * 0.9 + 0.16 * grey[..., None]
    image[jacobian <= 0] = to_rgb(style.FOLD)
    show(ax, plane, image)
    return shades


def _draw_clusters(ax: "Axes", plane: Plane, numbers: np.ndarray, highest: int) -> None:
    colors = np.concatenate([np.zeros((1, 3)), style.tissue_colors(highest)])
    ax.imshow(colors[numbers.astype(int)], extent=plane_box(plane), aspect="auto", interpolation="nearest")


def _highest(image: sitk.Image) -> int:
    return int(sitk.GetArrayViewFromImage(image).max())
