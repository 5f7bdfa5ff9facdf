"""One picture that shows what a registration did."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.pictures import style
from SACBRegistrationLib.pictures.legends import draw_cluster_bar, draw_jacobian_bar, write_caption
from SACBRegistrationLib.pictures.planes import Plane, anatomical_planes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

_COLUMN_INCHES = 2.0
_GAP, _LEFT, _RIGHT, _TOP, _BOTTOM = 0.07, 0.38, 0.2, 1.12, 0.72  # inches
_JACOBIAN_RANGE = 2.5
_GRID_LINES = 20
_GRID_STEPS_MM = (1, 2, 3, 5, 8, 10, 15, 20, 30)
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
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise UserError(
            'The overview picture needs matplotlib; install it with "pip install sacb-registration[cli]".'
        ) from error

    planes = anatomical_planes(fixed)
    clusters = dict(clusters or {})
    headings = list(_HEADINGS)
    headings += [f"Clusters, {role}" for role in clusters]

    widest = max(plane.extent[0] for plane in planes)
    heights = [_COLUMN_INCHES * plane.extent[1] / widest for plane in planes]
    width = _LEFT + len(headings) * (_COLUMN_INCHES + _GAP) - _GAP + _RIGHT
    height = _TOP + sum(heights) + _GAP * (len(planes) - 1) + _BOTTOM
    figure = Figure(figsize=(width, height), dpi=130, facecolor=style.BACKGROUND)
    FigureCanvasAgg(figure)
    axes = _axes(figure, planes, len(headings), heights)

    windows = [window or _window(image) for image in (fixed, before, warped)]
    # The warped image is shown as the moving image is: same tissue, same grey.
    windows[2] = windows[1]
    straighten = _affine_remover(displacement_field, planes)
    highest = max((_highest(image) for image in clusters.values()), default=1)
    step = min(_GRID_STEPS_MM, key=lambda mm: abs(mm - widest / _GRID_LINES))
    folds = False
    for row, plane in zip(axes, planes, strict=True):
        grey = [
            _grey(plane.sample(image, default=black), black, white)
            for image, (black, white) in zip((fixed, before, warped), windows, strict=True)
        ]
        for ax, values in zip(row, grey, strict=False):
            _show(ax, plane, np.repeat(values[..., None], 3, axis=2))
        _show(row[3], plane, _checkers(grey[0], grey[1]))
        _show(row[4], plane, _checkers(grey[0], grey[2]))
        _draw_deformation(row[5], plane, grey[0], straighten(plane), step)
        change_of_volume = plane.sample(jacobian, default=1.0)
        folds = folds or bool((change_of_volume <= 0).any())
        shades = _draw_jacobian(row[6], plane, grey[0], change_of_volume)
        for ax, image in zip(row[7:], clusters.values(), strict=True):
            _draw_clusters(ax, plane, plane.sample(image, sitk.sitkNearestNeighbor), highest)
        _write_letters(row[0], plane)
    _write_texts(figure, axes, planes, headings, title, subtitle)
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
    # A tenth larger than at the usual level, in a third of the time.
    figure.savefig(path, format="png", facecolor=style.BACKGROUND, pil_kwargs={"compress_level": 2})


def _axes(
    figure: "Figure", planes: tuple[Plane, ...], columns: int, heights: list[float]
) -> list[list["Axes"]]:
    """Returns [row][column] axes that all share one scale in mm."""
    width, height = figure.get_size_inches()
    widest = max(plane.extent[0] for plane in planes)
    rows, top = [], height - _TOP
    for plane, tall in zip(planes, heights, strict=True):
        row = []
        for column in range(columns):
            left = _LEFT + column * (_COLUMN_INCHES + _GAP)
            box = (left / width, (top - tall) / height, _COLUMN_INCHES / width, tall / height)
            ax = figure.add_axes(box, facecolor=style.PANEL)
            ax.set_xlim(-widest / 2, widest / 2)
            ax.set_ylim(plane.extent[1] / 2, -plane.extent[1] / 2)
            ax.set_xticks([])
            ax.set_yticks([])
            for spine in ax.spines.values():
                spine.set_visible(False)
            row.append(ax)
        rows.append(row)
        top -= tall + _GAP
    return rows


def _box(plane: Plane) -> tuple[float, float, float, float]:
    width, height = plane.extent
    return (-width / 2, width / 2, height / 2, -height / 2)


def _show(ax: "Axes", plane: Plane, colors: np.ndarray) -> None:
    """Shows [height, width, 3] colours; the aspect stays that of the axes, which is true to scale."""
    ax.imshow(np.clip(colors, 0, 1), extent=_box(plane), aspect="auto", interpolation="antialiased")


def _window(image: sitk.Image) -> tuple[float, float]:
    """Returns the intensities to show black and white: robust ends of what is not background."""
    values = sitk.GetArrayViewFromImage(image).ravel()
    values = values[:: max(1, values.size // 400_000)].astype(float)
    dark = np.percentile(values, 1)
    inside = values[values > dark]
    return (float(dark), float(np.percentile(inside, 99))) if inside.size else (float(dark), float(dark) + 1)


def _grey(values: np.ndarray, black: float, white: float) -> np.ndarray:
    return np.clip((values - black) / max(white - black, 1e-12), 0, 1)


def _checkers(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """Returns warm squares of the first image between cool squares of the second, [height, width, 3]."""
    side = max(1, round(max(first.shape) / 7))
    rows, columns = np.indices(first.shape) // side
    odd = ((rows + columns) % 2 == 1)[..., None]
    return np.where(odd, second[..., None] * style.COOL, first[..., None] * style.WARM)


def _affine_remover(
    displacement_field: sitk.Image, planes: tuple[Plane, ...]
) -> Callable[[Plane], np.ndarray]:
    """Returns a function that gives x + d(x) on a plane; d is u without its least-squares affine part."""
    points = np.concatenate([plane.points()[::8, ::8].reshape(-1, 3) for plane in planes])
    moved = points + np.concatenate(
        [plane.sample(displacement_field)[::8, ::8].reshape(-1, 3) for plane in planes]
    )
    center = points.mean(axis=0)
    solution, *_ = np.linalg.lstsq(np.c_[points - center, np.ones(len(points))], moved, rcond=None)
    inverse = np.linalg.pinv(solution[:3])

    def straighten(plane: Plane) -> np.ndarray:
        mapped = plane.points() + plane.sample(displacement_field)
        return (mapped - solution[3]) @ inverse + center

    return straighten


def _draw_deformation(ax: "Axes", plane: Plane, grey: np.ndarray, mapped: np.ndarray, step: float) -> None:
    """Draws where the lines of a regular grid, `step` mm wide, in the straightened moving image lie."""
    _show(ax, plane, np.repeat(0.32 * grey[..., None], 3, axis=2))
    grid = plane.grid
    middle = grid.to_lps((np.asarray(grid.size) - 1) / 2)
    in_plane = (mapped - middle) @ grid.axes[:, :2]
    width, height = plane.extent
    x = (np.arange(grid.size[0]) + 0.5) * grid.spacing[0] - width / 2
    y = (np.arange(grid.size[1]) + 0.5) * grid.spacing[1] - height / 2
    for component in range(2):
        values = in_plane[..., component]
        levels = np.arange(np.floor(values.min() / step), np.ceil(values.max() / step) + 1) * step
        ax.contour(x, y, values, levels=levels, colors=style.LINES, linewidths=0.6, linestyles="solid")


def _draw_jacobian(ax: "Axes", plane: Plane, grey: np.ndarray, jacobian: np.ndarray) -> "ScalarMappable":
    """Shows volume change so that halving and doubling weigh the same; returns the colour scale."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import LinearSegmentedColormap, LogNorm, to_rgb

    colors = LinearSegmentedColormap.from_list("change", [style.SHRINKING, "#1a1d24", style.GROWING])
    shades = ScalarMappable(LogNorm(1 / _JACOBIAN_RANGE, _JACOBIAN_RANGE, clip=True), colors)
    image = shades.to_rgba(np.maximum(jacobian, 1e-6))[..., :3] * 0.9 + 0.16 * grey[..., None]
    image[jacobian <= 0] = to_rgb(style.FOLD)
    _show(ax, plane, image)
    return shades


def _draw_clusters(ax: "Axes", plane: Plane, numbers: np.ndarray, highest: int) -> None:
    colors = np.concatenate([np.zeros((1, 3)), style.tissue_colors(highest)])
    ax.imshow(colors[numbers.astype(int)], extent=_box(plane), aspect="auto", interpolation="nearest")


def _highest(image: sitk.Image) -> int:
    return int(sitk.GetArrayViewFromImage(image).max())


def _write_letters(ax: "Axes", plane: Plane) -> None:
    from matplotlib.patheffects import withStroke

    places = [(0.03, 0.5, "left", "center"), (0.97, 0.5, "right", "center"),
              (0.5, 0.98, "center", "top"), (0.5, 0.02, "center", "bottom")]  # fmt: skip
    for letter, (x, y, ha, va) in zip(plane.letters, places, strict=True):
        text = ax.text(x, y, letter, transform=ax.transAxes, ha=ha, va=va, fontsize=8, color=style.TEXT)
        text.set_path_effects([withStroke(linewidth=2, foreground="black")])


def _write_texts(
    figure: "Figure",
    axes: list[list["Axes"]],
    planes: tuple[Plane, ...],
    headings: list[str],
    title: str,
    subtitle: str,
) -> None:
    width, height = figure.get_size_inches()
    left = _LEFT / width
    figure.text(left, 1 - 0.2 / height, title, va="top", fontsize=17, color=style.TEXT, fontweight="bold")
    figure.text(left, 1 - 0.53 / height, subtitle, va="top", fontsize=10, color=style.MUTED)
    for ax, heading in zip(axes[0], headings, strict=True):
        box = ax.get_position()
        figure.text(
            (box.x0 + box.x1) / 2, box.y1 + 0.07 / height, heading,
            ha="center", va="bottom", fontsize=10.5, color=style.TEXT,
        )  # fmt: skip
    for row, plane in zip(axes, planes, strict=True):
        box = row[0].get_position()
        figure.text(
            left / 2, (box.y0 + box.y1) / 2, plane.name.capitalize(),
            ha="center", va="center", rotation=90, fontsize=10.5, color=style.TEXT,
        )  # fmt: skip
