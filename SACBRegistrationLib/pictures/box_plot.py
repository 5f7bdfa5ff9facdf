"""Box plots of Dice per structure, as the paper's Figure 6 shows them."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from SACBRegistrationLib.pictures import style
from SACBRegistrationLib.pictures.panels import require_matplotlib, save

_ROWS = 36
_ROW_INCHES, _PANEL_INCHES, _CHARACTER_INCHES = 0.24, 3.4, 0.075
_TOP, _BOTTOM, _LEFT, _RIGHT, _GAP = 0.95, 0.5, 0.25, 0.25, 0.3  # inches
_BEFORE, _AFTER = style.MUTED, style.LINES
# Left of a name there must be room for it, but not for a whole sentence.
_LONGEST_NAME = 34


def draw_box_plot(
    path: Path,
    scores: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    states: tuple[str, str],
    title: str = "",
) -> None:
    """Draws two boxes of Dice per structure as PNG, structures from best to worst.

    A box reaches from the first to the third quartile, with a line at the median; whiskers reach to the last
    value within 1.5 of the box's length, values beyond are points.

    Args:
        path: File to write.
        scores: Structure's name to its Dice values before and after.
        states: What the two are called.
        title: Headline.

    Raises:
        UserError: When matplotlib is not installed.
        ValueError: When there is no structure.
    """
    require_matplotlib("box plot")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    if not scores:
        raise ValueError("there is no structure to draw")
    order = sorted(scores, key=lambda name: (-_median(scores[name][1]), name))
    columns = -(-len(order) // _ROWS)
    rows = -(-len(order) // columns)
    names = _CHARACTER_INCHES * max(min(len(name), _LONGEST_NAME) for name in order) + 0.1
    width = _LEFT + columns * (names + _PANEL_INCHES + _GAP) - _GAP + _RIGHT
    # A single structure still needs the room of the texts.
    height = _TOP + max(rows, 3) * _ROW_INCHES + _BOTTOM
    figure = Figure(figsize=(width, height), dpi=130, facecolor=style.BACKGROUND)
    FigureCanvasAgg(figure)
    for column in range(columns):
        left = _LEFT + names + column * (names + _PANEL_INCHES + _GAP)
        box = (left / width, _BOTTOM / height, _PANEL_INCHES / width, 1 - (_TOP + _BOTTOM) / height)
        ax = figure.add_axes(box, facecolor=style.PANEL)
        shown = order[column * rows : (column + 1) * rows]
        for place, name in enumerate(shown):
            _draw_box(ax, scores[name][0], place - 0.19, _BEFORE)
            _draw_box(ax, scores[name][1], place + 0.19, _AFTER)
        ax.set_ylim(max(rows, 3) - 0.5, -0.5)
        ax.set_yticks(range(len(shown)), [_shortened(name) for name in shown])
        ax.set_xlim(-0.02, 1.02)
        ax.set_xticks(np.linspace(0, 1, 6))
        ax.set_xlabel("Dice", color=style.MUTED, fontsize=8.5)
        ax.grid(axis="x", color=style.MUTED, alpha=0.25, linewidth=0.6)
        ax.set_axisbelow(True)
        ax.tick_params(axis="x", colors=style.MUTED, labelsize=8, length=2)
        ax.tick_params(axis="y", colors=style.TEXT, labelsize=8, length=0)
        for spine in ax.spines.values():
            spine.set_visible(False)
    figure.text(
        _LEFT / width, 1 - 0.18 / height, title,
        va="top", fontsize=13, color=style.TEXT, fontweight="bold", wrap=True,
    )  # fmt: skip
    figure.text(_LEFT / width, 1 - 0.55 / height, states[0], va="top", fontsize=9.5, color=_BEFORE)
    after = _LEFT + 0.095 * len(states[0]) + 0.15
    figure.text(after / width, 1 - 0.55 / height, states[1], va="top", fontsize=9.5, color=_AFTER)
    save(figure, path)


def _draw_box(ax, values: Sequence[float], place: float, color: str) -> None:
    if not len(values):
        return
    from matplotlib.cbook import boxplot_stats
    from matplotlib.colors import to_rgba

    # Drawn by hand: the argument that lays matplotlib's own boxes flat differs between its versions.
    (found,) = boxplot_stats(list(values))
    line = {"color": color, "linewidth": 0.9}
    ax.barh(
        place, found["q3"] - found["q1"], 0.3, left=found["q1"],
        facecolor=to_rgba(color, 0.3), edgecolor=color, linewidth=0.8,
    )  # fmt: skip
    for inner, outer in ((found["q1"], found["whislo"]), (found["q3"], found["whishi"])):
        ax.plot((inner, outer), (place, place), **line)
        ax.plot((outer, outer), (place - 0.1, place + 0.1), **line)
    ax.plot((found["med"],) * 2, (place - 0.15, place + 0.15), color=color, linewidth=2.2)
    ax.plot(found["fliers"], [place] * len(found["fliers"]), ".", color=color, markersize=2.5)


def _median(values: Sequence[float]) -> float:
    return float(np.median(values)) if len(values) else -1.0


def _shortened(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else name[: _LONGEST_NAME - 1] + "…"
