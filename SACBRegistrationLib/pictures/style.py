"""Colours and colour maps of the pictures."""

import numpy as np

BACKGROUND = "#0b0e13"
PANEL = "#000000"
TEXT = "#e8ecf2"
MUTED = "#8b95a5"
LINES = "#5eead4"
FOLD = "#ff2bd6"

# Tints of the fixed and the moving image where both stand in one picture.
WARM = np.array([1.00, 0.82, 0.58])
COOL = np.array([0.62, 0.87, 1.00])

SHRINKING, GROWING = "#38bdf8", "#fb923c"


def tissue_colors(count: int) -> np.ndarray:
    """Returns [count, 3] colours, dark and cool to bright and warm, as clusters are numbered."""
    anchors = np.array(
        [
            (0.13, 0.13, 0.27), (0.20, 0.30, 0.62), (0.16, 0.55, 0.72), (0.24, 0.72, 0.56),
            (0.68, 0.82, 0.36), (0.98, 0.78, 0.28), (0.98, 0.50, 0.30), (0.99, 0.90, 0.84),
        ]
    )  # fmt: skip
    places = np.linspace(0, len(anchors) - 1, count)
    return np.stack([np.interp(places, np.arange(len(anchors)), channel) for channel in anchors.T], axis=1)
