"""Cubic spline interpolation on a lattice as one matrix per axis."""

import numpy as np
import torch

from SACBRegistrationLib.imaging.tensors import to_tensor


class LatticeSpline:
    """Cubic splines through a vector field's samples, evaluated on a parallel lattice plane by plane."""

    def __init__(self, samples: torch.Tensor, positions: list[np.ndarray]) -> None:
        """Interpolates along x and y; z waits until planes are asked for, which bounds the memory.

        Args:
            samples: [z, y, x, component] float32.
            positions: Where to evaluate along x, y and z, in samples; see `interpolation_matrix`.
        """
        z, y, x, components = samples.shape
        weights = [
            to_tensor(interpolation_matrix(n, p).astype(np.float32))
            for n, p in zip((x, y, z), positions, strict=True)
        ]
        self._shape = (components, -1, len(positions[1]), len(positions[0]))
        self._weights = weights[2]
        # Components first: matrix products along an axis are then large ones.
        rows = samples.permute(3, 0, 1, 2).reshape(-1, x) @ weights[0].T
        rows = weights[1] @ rows.view(components * z, y, -1)
        self._rows = rows.view(components, z, -1)

    def planes(self, start: int, stop: int) -> torch.Tensor:
        """Returns the values at z positions start <= k < stop, [stop - start, y, x, component]."""
        return (self._weights[start:stop] @ self._rows).view(self._shape).permute(1, 2, 3, 0)


def interpolation_matrix(size: int, positions: np.ndarray) -> np.ndarray:
    """Returns the weights that take equidistant samples to their cubic spline at given positions.

    The spline passes through the samples, is twice continuously differentiable, and is mirrored at the first
    and last sample (Unser, Splines: a perfect fit for signal and image processing, 1999). A lattice parallel
    to the samples is interpolated by one such matrix per axis.

    Args:
        size: Number of samples, at 0, 1, ..., size - 1.
        positions: [n] where to evaluate, in samples; positions outside take the value of the nearest end.

    Returns:
        [n, size] float64; every row sums to 1, and a position on a sample selects that sample.
    """
    positions = np.clip(np.asarray(positions, dtype=float), 0, size - 1)
    if size == 1:
        return np.ones((len(positions), 1))
    to_coefficients = np.linalg.inv(_basis_matrix(size, np.arange(size, dtype=float)))
    return _basis_matrix(size, positions) @ to_coefficients


def _basis_matrix(size: int, positions: np.ndarray) -> np.ndarray:
    matrix = np.zeros((len(positions), size))
    rows = np.arange(len(positions))
    first = np.floor(positions).astype(int)
    for shift in (-1, 0, 1, 2):
        knots = first + shift
        mirrored = np.abs(knots)
        mirrored = (size - 1) - np.abs((size - 1) - mirrored)
        # Two samples mirror twice: the knot beyond the reflected end is the other sample again.
        np.add.at(matrix, (rows, np.abs(mirrored)), _cubic_b_spline(positions - knots))
    return matrix


def _cubic_b_spline(distance: np.ndarray) -> np.ndarray:
    t = np.abs(distance)
    near = 2 / 3 - t**2 + t**3 / 2
    far = np.clip(2 - t, 0, None) ** 3 / 6
    return np.where(t < 1, near, far)
