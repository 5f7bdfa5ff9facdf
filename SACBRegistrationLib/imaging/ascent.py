"""Climbing a smooth measure in a few parameters by a quasi-Newton method."""

from collections.abc import Callable

import numpy as np

# Armijo's condition: a step must keep this part of what the slope promises.
_KEPT = 1e-4
_SHORTENINGS = 8
# Steps that gain less end the climb when two of them follow each other.
_LEAST_GAIN = 1e-6


def climb(
    measure: Callable[[np.ndarray], tuple[float, np.ndarray]],
    start: np.ndarray,
    *,
    iterations: int,
    first_step: float,
    longest_step: float,
    precision: float,
    each: Callable[[int], None] = lambda iteration: None,
) -> tuple[np.ndarray, float]:
    """Returns where a climb by BFGS ends, and the value there; it never ends below its start.

    Args:
        measure: Takes parameters [n]; returns the value and its slope [n]. -inf where there is none.
        start: [n] float64; a step of length 1 should mean about the same along every parameter.
        iterations: Most steps.
        first_step: Length of the first trial step, along the slope.
        longest_step: Longest step.
        precision: A shorter step is the last one.
        each: Called before every step with its number.
    """
    place, (value, slope) = start, measure(start)
    curvature, idle = None, 0
    for iteration in range(iterations):
        each(iteration)
        steepness = float(np.linalg.norm(slope))
        if not (np.isfinite(value) and steepness > 0):
            break
        step = slope * (first_step / steepness) if curvature is None else curvature @ slope
        step = step * min(1.0, longest_step / float(np.linalg.norm(step)))
        found = _shortened(measure, place, value, slope, step)
        if found is None:
            if curvature is None:
                break
            curvature = None
            continue
        taken, new_value, new_slope = found
        curvature = _updated(curvature, taken, slope - new_slope)
        idle = idle + 1 if new_value - value < _LEAST_GAIN else 0
        place, value, slope = place + taken, new_value, new_slope
        if idle == 2 or float(np.linalg.norm(taken)) < precision:
            break
    return place, value


def _shortened(
    measure: Callable[[np.ndarray], tuple[float, np.ndarray]],
    place: np.ndarray,
    value: float,
    slope: np.ndarray,
    step: np.ndarray,
) -> tuple[np.ndarray, float, np.ndarray] | None:
    """Returns the step, shortened until it gains, and value and slope at its end; None when it never does."""
    promised = float(slope @ step)
    for _ in range(_SHORTENINGS):
        new_value, new_slope = measure(place + step)
        if new_value >= value + _KEPT * promised:
            return step, new_value, new_slope
        # The parabola through both values and the slope has its top here.
        top = promised / (2 * (value + promised - new_value)) if np.isfinite(new_value) else 0.0
        part = min(max(top, 0.1), 0.5)
        step, promised = part * step, part * promised
    return None


def _updated(curvature: np.ndarray | None, step: np.ndarray, fall: np.ndarray) -> np.ndarray | None:
    """Returns the inverse Hessian (of the negative measure) that explains how the slope fell along a step."""
    along = float(step @ fall)
    if along <= 1e-8 * float(np.linalg.norm(step) * np.linalg.norm(fall)):
        return curvature
    if curvature is None:
        curvature = np.eye(len(step)) * (along / float(fall @ fall))
    left = np.eye(len(step)) - np.outer(step, fall) / along
    return left @ curvature @ left.T + np.outer(step, step) / along
