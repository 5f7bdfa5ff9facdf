"""The grid on which the network sees the pair."""

from dataclasses import dataclass, replace

import numpy as np

from SACBRegistrationLib.imaging.grid import Grid

STEP = 16
"""The network halves its input four times, so every side is a multiple of 16."""


@dataclass(frozen=True)
class NetworkGrid:
    """Where the network works, and what had to give way.

    Attributes:
        grid: The grid; every side a multiple of STEP.
        grown: Whether it is larger than the preset's.
        clipped: Whether part of the anatomy lies outside it.
        message: A sentence for the report; empty when it is the preset's own grid.
    """

    grid: Grid
    grown: bool
    clipped: bool
    message: str


def network_grid(
    fixed: Grid,
    box: tuple[np.ndarray, np.ndarray],
    size: tuple[int, int, int],
    preset_spacing: float,
    axes: str,
    max_voxels: int,
    spacing: float | None = None,
    margin: float = 2.0,
    step: int = STEP,
) -> NetworkGrid:
    """Places the network's grid on the fixed anatomy, along the fixed image's own axes.

    The fixed axes are permuted and flipped to the preset's codes, never rotated. The grid is centred on the
    anatomy's box, shifted by at most half a voxel so that its voxel centres fall on fixed voxel
    centres; with equal spacings nothing is interpolated.

    Args:
        fixed: Grid of the fixed image.
        box: First and last index of the anatomy on it (inclusive), as `bounding_box` returns.
        size: The preset's size along `axes`.
        preset_spacing: The preset's spacing, mm.
        axes: The preset's axis codes, such as "LIA"; see `Grid.axis_codes`.
        max_voxels: Most voxels that memory allows.
        spacing: Spacing of the result, mm; None takes the preset's. Another one covers at least the same
            extent.
        margin: Space to leave around the anatomy, mm.
        step: Every side is a multiple of this.

    Returns:
        The grid. At least the preset's extent; grown in steps where anatomy and margin do not fit;
        within max_voxels even where that clips the anatomy.

    Raises:
        ValueError: When max_voxels does not hold one block of step x step x step.
    """
    if max_voxels < step**3:
        raise ValueError(f"max_voxels must be at least {step**3}, not {max_voxels}")
    spacing = preset_spacing if spacing is None else float(spacing)
    reoriented = fixed.reoriented(axes)
    # The box's edges (not the centres of its outermost voxels) as indices of the reoriented grid.
    corners = reoriented.to_index(
        fixed.to_lps(np.stack([np.asarray(box[0]) - 0.5, np.asarray(box[1]) + 0.5]))
    )
    low, high = corners.min(axis=0), corners.max(axis=0)
    anatomy = (high - low) * np.asarray(reoriented.spacing) / spacing
    wanted_by_preset = _whole_steps(np.asarray(size) * preset_spacing / spacing, step)
    wanted = np.maximum(wanted_by_preset, _whole_steps(anatomy + 2 * margin / spacing, step))
    final = _within(wanted, anatomy, max_voxels, step)
    grown, clipped = bool((final > wanted_by_preset).any()), bool((final < np.floor(anatomy)).any())
    grid = _centered(reoriented, (low + high) / 2, final, spacing)
    return NetworkGrid(grid, grown, clipped, _message(grid, wanted_by_preset, wanted, grown, clipped))


def _whole_steps(voxels: np.ndarray, step: int) -> np.ndarray:
    """Rounds up to multiples of step; a thousandth of a voxel is rounding error, no reason to grow."""
    return (np.ceil((voxels - 1e-3) / step) * step).astype(int)


def _within(wanted: np.ndarray, anatomy: np.ndarray, max_voxels: int, step: int) -> np.ndarray:
    """Takes steps off until the size fits, each where most room is left around the anatomy."""
    size = np.maximum(wanted, step)
    while np.prod(size.astype(float)) > max_voxels:
        # What remains beyond the anatomy after one step less; the roomiest axis gives way.
        room = np.where(size > step, (size - step - anatomy) / size, -np.inf)
        size = size.copy()
        size[int(np.argmax(room))] -= step
    return size


def _centered(reoriented: Grid, center: np.ndarray, size: np.ndarray, spacing: float) -> Grid:
    """Returns the grid of this size around a continuous index of the reoriented fixed grid."""
    step = spacing / np.asarray(reoriented.spacing)
    # Of two parallel lattices the finer can always contain a point of the coarser.
    quantum = np.minimum(step, 1.0)
    first = np.rint((center - (size - 1) / 2 * step) / quantum) * quantum
    return replace(
        reoriented,
        size=tuple(int(n) for n in size),
        spacing=(spacing,) * 3,
        origin=tuple(float(v) for v in reoriented.to_lps(first)),
    )


def _message(grid: Grid, preset: np.ndarray, wanted: np.ndarray, grown: bool, clipped: bool) -> str:
    def sides(size: np.ndarray | tuple[int, ...]) -> str:
        return " x ".join(str(int(n)) for n in size)

    if clipped:
        return (
            f"The anatomy needs a network grid of {sides(wanted)} voxels but memory allows only "
            f"{sides(grid.size)}: outside it the result is the alignment alone; free memory or crop "
            "the fixed image to cover everything."
        )
    if grown:
        return f"The network grid grew from {sides(preset)} to {sides(grid.size)} voxels to hold the anatomy."
    if (np.asarray(grid.size) < preset).any():
        return (
            f"The network grid shrank from {sides(preset)} to {sides(grid.size)} voxels to fit into memory."
        )
    return ""
