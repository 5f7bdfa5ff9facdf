"""Captions and colour scales below the columns of a picture."""

from typing import TYPE_CHECKING

from SACBRegistrationLib.pictures import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure


def write_caption(figure: "Figure", above: "Axes", down: float, parts: list[tuple[str, object]]) -> None:
    """Writes differently coloured words side by side.

    Args:
        figure: The figure.
        above: Axes at the bottom of the column.
        down: Distance below them, inches.
        parts: Text and colour.
    """
    _, height = figure.get_size_inches()
    box = above.get_position()
    y = box.y0 - down / height
    for place, (text, color) in enumerate(parts):
        x = box.x0 + (place + 0.5) / len(parts) * box.width
        figure.text(x, y, text, ha="center", va="top", fontsize=8, color=color)


def draw_jacobian_bar(figure: "Figure", above: "Axes", shades: "ScalarMappable") -> None:
    """Draws the scale of the volume change below its column."""
    _, height = figure.get_size_inches()
    box = above.get_position()
    ax = figure.add_axes((box.x0, box.y0 - 0.22 / height, box.width, 0.11 / height))
    bar = figure.colorbar(shades, cax=ax, orientation="horizontal")
    ticks = (0.4, 0.6, 1.0, 1.6, 2.5)
    bar.set_ticks(ticks, labels=[f"{tick:g}" for tick in ticks])
    bar.ax.minorticks_off()
    bar.outline.set_visible(False)
    bar.ax.tick_params(colors=style.MUTED, labelsize=7.5, length=2, pad=2)


def draw_cluster_bar(figure: "Figure", above: list["Axes"], highest: int) -> None:
    """Draws the colours of the cluster numbers below their columns."""
    _, height = figure.get_size_inches()
    first, last = above[0].get_position(), above[-1].get_position()
    ax = figure.add_axes((first.x0, first.y0 - 0.22 / height, last.x1 - first.x0, 0.11 / height))
    ax.imshow(style.tissue_colors(highest)[None], extent=(0.5, highest + 0.5, 0, 1), aspect="auto")
    ax.set_yticks([])
    ax.set_xticks(range(1, highest + 1))
    ax.tick_params(colors=style.MUTED, labelsize=7.5, length=0, pad=3)
    for spine in ax.spines.values():
        spine.set_visible(False)
