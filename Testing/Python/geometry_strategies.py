"""What the property-based tests draw from: grids of any position, and smooth fields on them."""

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from oblique import oblique_grid

from SACBRegistrationLib.imaging.grid import Grid


def examples(count: int):
    """Returns the decorator that has a test try so many cases, the same ones every time."""
    return settings(
        max_examples=count,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


def numbers(low: float, high: float):
    """Returns a strategy for numbers in a thousand steps: tiny ones would only test the number type."""
    return st.integers(0, 1000).map(lambda step: low + (high - low) * step / 1000)


@st.composite
def grids(draw, sides: tuple[int, int] = (4, 20), spacings: tuple[float, float] = (0.4, 6.0)) -> Grid:
    """Draws a grid: any turn, either hand, any order of axes, unequal sides and spacings, far off zero."""
    size = tuple(draw(st.integers(*sides)) for _ in range(3))
    spacing = tuple(draw(numbers(*spacings)) for _ in range(3))
    center = tuple(draw(numbers(-400, 400)) for _ in range(3))
    degrees = tuple(draw(numbers(-180, 180)) for _ in range(3))
    grid = oblique_grid(size, spacing, center, degrees, left_handed=draw(st.booleans()))
    order = draw(st.permutations(range(3)))
    return Grid(
        tuple(grid.size[i] for i in order),
        tuple(grid.spacing[i] for i in order),
        grid.origin,
        tuple(float(v) for v in grid.axes[:, order].ravel()),
    )


@st.composite
def affine_maps(draw) -> tuple[np.ndarray, np.ndarray]:
    """Draws a matrix near a turn, with scaling and shear, of either sign, and a shift in mm."""
    parts = [draw(numbers(-0.3, 0.3)) for _ in range(9)]
    shift = [draw(numbers(-40, 40)) for _ in range(3)]
    return np.eye(3) + np.reshape(parts, (3, 3)), np.asarray(shift)


def indices_within(grid: Grid, count: int, margin: float = 0.0) -> np.ndarray:
    """Returns continuous indices [n, 3], `margin` voxels inside the outermost voxel centres."""
    size = np.asarray(grid.size)
    return np.random.default_rng(0).uniform(margin, size - 1 - margin, (count, 3))
