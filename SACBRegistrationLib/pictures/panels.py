"""What pictures of planes have in common: axes true to scale, greys, and the deformation as a grid."""

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.pictures import style
from SACBRegistrationLib.pictures.planes import Plane

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN_INCHES = 2.0
GAP, LEFT, RIGHT, TOP, BOTTOM = 0.07, 0.38, 0.2, 1.12, 0.72
"""Margins in inches: between panels, and around all of them."""
_GRID_LINES = 20
_GRID_STEPS_MM = (1, 2, 3, 5, 8, 10, 15, 20, 30)


def require_matplotlib(what: str) -> None:
    """Checks that pictures can be drawn.

    Args:
        what: What is to be drawn, for the error sentence.

    Raises:
        UserError: When matplotlib is not installed.
    """
    try:
        importlib.import_module("matplotlib.figure")
    except ImportError as error:
        raise UserError(
            f'The {what} needs matplotlib; install it with "pip install sacb-registration[cli]".'
        ) from error


def plane_figure(
    planes: tuple[Plane, ...], columns: int, bottom: float = BOTTOM
) -> tuple["Figure", list[list["Axes"]]]:
    """Returns a dark figure and its [row][column] axes, a row per plane, that all share one scale in mm.

    Args:
        planes: The planes.
        columns: Number of columns.
        bottom: Room below the axes, inches.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    widest = max(plane.extent[0] for plane in planes)
    heights = [COLUMN_INCHES * plane.extent[1] / widest for plane in planes]
    width = LEFT + columns * (COLUMN_INCHES + GAP) - GAP + RIGHT
    height = TOP + sum(heights) + GAP * (len(planes) - 1) + bottom
    figure = Figure(figsize=(width, height), dpi=130, facecolor=style.BACKGROUND)
    FigureCanvasAgg(figure)
    return figure, _plane_axes(figure, planes, columns, heights)


def save(figure: "Figure", path: Path) -> None:
    """Writes a figure as PNG."""
    # A tenth larger than at the usual level, in a third of the time.
    figure.savefig(path, format="png", facecolor=style.BACKGROUND, pil_kwargs={"compress_level": 2})


def _plane_axes(
    figure: "Figure", planes: tuple[Plane, ...], columns: int, heights: list[float]
) -> list[list["Axes"]]:
    """Returns [row][column] axes that all share one scale in mm."""
    width, height = figure.get_size_inches()
    widest = max(plane.extent[0] for plane in planes)
    rows, top = [], height - TOP
    for plane, tall in zip(planes, heights, strict=True):
        row = []
        for column in range(columns):
            left = LEFT + column * (COLUMN_INCHES + GAP)
            box = (left / width, (top - tall) / height, COLUMN_INCHES / width, tall / height)
            ax = figure.add_axes(box, facecolor=style.PANEL)
            ax.set_xlim(-widest / 2, widest / 2)
            ax.set_ylim(plane.extent[1] / 2, -plane.extent[1] / 2)
            ax.set_xticks([])
            ax.set_yticks([])
            for spine in ax.spines.values():
                spine.set_visible(False)
            row.append(ax)
        rows.append(row)
        top -= tall + GAP
    return rows


def plane_box(plane: Plane) -> tuple[float, float, float, float]:
    """Returns where a plane lies in its axes: left, right, bottom and top, mm."""
    width, height = plane.extent
    return (-width / 2, width / 2, height / 2, -height / 2)


def show(ax: "Axes", plane: Plane, colors: np.ndarray) -> None:
    """Shows [height, width, 3] colours; the aspect stays that of the axes, which is true to scale."""
    ax.imshow(np.clip(colors, 0, 1), extent=plane_box(plane), aspect="auto", interpolation="antialiased")


def grey_window(image: sitk.Image) -> tuple[float, float]:
    """Returns the intensities to show black and white: robust ends of what is not background."""
    values = sitk.GetArrayViewFromImage(image).ravel()
    values = values[:: max(1, values.size // 400_000)].astype(float)
    dark = np.percentile(values, 1)
    inside = values[values > dark]
    return (float(dark), float(np.percentile(inside, 99))) if inside.size else (float(dark), float(dark) + 1)


def grey_levels(values: np.ndarray, black: float, white: float) -> np.ndarray:
    """Returns intensities as greys in [0, 1]."""
    return np.clip((values - black) / max(white - black, 1e-12), 0, 1)


def affine_remover(
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


def grid_step(planes: Sequence[Plane]) -> float:
    """Returns a round width for the cells of a deformation grid, mm: about twenty over the widest plane."""
    widest = max(plane.extent[0] for plane in planes)
    return min(_GRID_STEPS_MM, key=lambda mm: abs(mm - widest / _GRID_LINES))


def draw_deformation(ax: "Axes", plane: Plane, grey: np.ndarray, mapped: np.ndarray, step: float) -> None:
    """Draws where the lines of a regular grid, `step` mm wide, in the straightened moving image lie."""
    show(ax, plane, np.repeat(0.32 * grey[..., None], 3, axis=2))
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


def write_letters(ax: "Axes", plane: Plane) -> None:
    """Writes what lies left, right, above and below."""
    from matplotlib.patheffects import withStroke

    places = [(0.03, 0.5, "left", "center"), (0.97, 0.5, "right", "center"),
              (0.5, 0.98, "center", "top"), (0.5, 0.02, "center", "bottom")]  # fmt: skip
    for letter, (x, y, ha, va) in zip(plane.letters, places, strict=True):
        text = ax.text(x, y, letter, transform=ax.transAxes, ha=ha, va=va, fontsize=8, color=style.TEXT)
        text.set_path_effects([withStroke(linewidth=2, foreground="black")])


def write_texts(
    figure: "Figure",
    axes: list[list["Axes"]],
    planes: tuple[Plane, ...],
    headings: list[str],
    title: str,
    subtitle: str,
) -> None:
    """Writes the title, a line below it, the columns' headings and the planes' names."""
    width, height = figure.get_size_inches()
    left = LEFT / width
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
