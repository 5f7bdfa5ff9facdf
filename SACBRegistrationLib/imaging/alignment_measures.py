"""What a linear alignment maximises, with exact slopes: mutual information and local correlation."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.alignment_levels import AlignmentLevel
from SACBRegistrationLib.imaging.alignment_sampling import MovingSampler
from SACBRegistrationLib.imaging.foreground import bounding_box
from SACBRegistrationLib.imaging.grid import Grid

_BINS = 32
# The cubic Parzen window reaches over two bins on either side.
_PADDING = 2
_RADIUS = 2
# A smaller part of the samples inside the moving image says nothing.
_LEAST_INSIDE = 0.01
# Contrast, relative to that of the whole image, below which a window says nothing.
_LEAST_CONTRAST = 1e-6


@dataclass(frozen=True)
class Slope:
    """A measure at y = M (x - center) + target and its derivatives.

    Attributes:
        value: Higher is better; -inf where the images do not overlap.
        by_matrix: [3, 3], by M.
        by_target: [3], by target, per mm.
    """

    value: float
    by_matrix: np.ndarray
    by_target: np.ndarray


class Measure(Protocol):
    """How well a pair agrees under a linear transform.

    Attributes:
        center: LPS mm, [3], about which M turns.
        radius: Of the ball as large as what is compared, mm.
    """

    center: np.ndarray
    radius: float

    def value(self, matrix: np.ndarray, target: np.ndarray) -> float:
        """Returns the measure; -inf where the images do not overlap."""

    def slope(self, matrix: np.ndarray, target: np.ndarray) -> Slope:
        """Returns the measure and its derivatives."""


class MutualInformation:
    """Mattes mutual information over every voxel of the fixed mask, nothing drawn by chance.

    The joint histogram has 32 bins a side; a fixed voxel falls into one bin, a moving value is spread over
    four by a cubic B-spline, which makes the measure smooth.
    """

    def __init__(self, level: AlignmentLevel, initial: sitk.Transform | None = None) -> None:
        """Collects the samples.

        Args:
            level: The pair.
            initial: Applied after M, fixed to moving points (LPS mm), or None.
        """
        grid = Grid.from_image(level.fixed)
        inside = sitk.GetArrayViewFromImage(level.fixed_mask) != 0
        points = grid.to_lps(np.argwhere(inside)[:, ::-1])
        self.center = points.mean(axis=0)
        self.radius = _ball_radius(len(points), grid)
        self._offsets = np.ascontiguousarray((points - self.center).T, np.float32)
        fixed = sitk.GetArrayViewFromImage(level.fixed)[inside]
        self._fixed_bins = _bins_of(fixed, float(fixed.min()), float(fixed.max())).astype(np.int32) * _BINS
        self._sampler = MovingSampler(level, initial)
        moving = sitk.GetArrayViewFromImage(level.moving)
        self._range = float(moving.min()), float(moving.max())

    def value(self, matrix: np.ndarray, target: np.ndarray) -> float:
        """Returns the mutual information; -inf where the images do not overlap."""
        return self._evaluated(matrix, target, False).value

    def slope(self, matrix: np.ndarray, target: np.ndarray) -> Slope:
        """Returns the mutual information and its derivatives."""
        return self._evaluated(matrix, target, True)

    def _evaluated(self, matrix: np.ndarray, target: np.ndarray, with_slopes: bool) -> Slope:
        sampled = self._sampler.sample(self._offsets, matrix, target, with_slopes)
        used = np.flatnonzero(sampled.inside)
        if len(used) < max(2, _LEAST_INSIDE * len(sampled.inside)):
            return Slope(-np.inf, np.zeros((3, 3)), np.zeros(3))
        place = _bins_of(sampled.values[used], *self._range, rounded=False)
        bins = np.clip(place.astype(np.int32), _PADDING, _BINS - _PADDING - 1)
        part = place - bins
        first = self._fixed_bins[used] + (bins - 1)
        joint = np.zeros(_BINS * _BINS)
        for shift, weights in enumerate(_spline(part)):
            joint += np.bincount(first + shift, weights, _BINS * _BINS)
        joint = joint.reshape(_BINS, _BINS) / len(used)
        of_fixed, of_moving = joint.sum(axis=1), joint.sum(axis=0)
        tiny = np.finfo(float).tiny
        relative = np.log(np.maximum(joint, tiny) / np.maximum(np.outer(of_fixed, of_moving), tiny))
        value = float((joint * np.where(joint > 0, relative, 0)).sum())
        if not with_slopes:
            return Slope(value, np.zeros((3, 3)), np.zeros(3))
        # The samples' own bins stay, and the spline's weights sum to 1: of the logarithm's derivative nothing
        # is left.
        conditional = np.log(np.maximum(joint, tiny) / np.maximum(of_moving, tiny)).astype(np.float32).ravel()
        gain = sum(conditional[first + shift] * rise for shift, rise in enumerate(_spline_slope(part)))
        gain *= _bins_per_unit(*self._range) / len(used)
        slopes = sampled.slopes[:, used] * gain
        return Slope(value, *self._sampler.by_transform(slopes, self._offsets[:, used]))


class LocalCorrelation:
    """Mean squared correlation coefficient over cubes of 5 voxels a side around every voxel of the mask.

    It sees the borders of tissues, where mutual information sees the amounts of them.
    """

    def __init__(self, level: AlignmentLevel, initial: sitk.Transform | None = None) -> None:
        """Collects the voxels of the mask's box; see `MutualInformation`."""
        first, last = (ends.tolist() for ends in bounding_box(level.fixed_mask))
        box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
        fixed = level.fixed[box]
        grid = Grid.from_image(fixed)
        self._mask = sitk.GetArrayFromImage(level.fixed_mask[box]) != 0
        points = grid.to_lps(np.argwhere(self._mask)[:, ::-1])
        self.center = points.mean(axis=0)
        self.radius = _ball_radius(len(points), grid)
        self._offsets = np.ascontiguousarray((points - self.center).T, np.float32)
        self._sampler = MovingSampler(level, initial)
        values = sitk.GetArrayFromImage(fixed).astype(np.float32)
        self._fixed = values - values[self._mask].mean()
        moving = sitk.GetArrayViewFromImage(level.moving)
        self._middle = np.float32(moving.mean())
        self._least = _LEAST_CONTRAST * float(self._fixed[self._mask].var()) * float(moving.var())
        # Kept between evaluations, since fresh memory costs more than the arithmetic.
        self._fields, self._scratch = np.empty((2, 6, *self._mask.shape), np.float32)

    def value(self, matrix: np.ndarray, target: np.ndarray) -> float:
        """Returns the mean squared correlation; -inf where the images do not overlap."""
        return self.slope(matrix, target).value

    def slope(self, matrix: np.ndarray, target: np.ndarray) -> Slope:
        """Returns the mean squared correlation and its derivatives."""
        sampled = self._sampler.sample(self._offsets, matrix, target, True)
        count = int(sampled.inside.sum())
        if count < max(2, _LEAST_INSIDE * len(sampled.inside)):
            return Slope(-np.inf, np.zeros((3, 3)), np.zeros(3))
        one, m = np.zeros((2, *self._mask.shape), np.float32)
        one[self._mask] = sampled.inside
        m[self._mask] = (sampled.values - self._middle) * sampled.inside
        f = self._fixed * one
        number, mean_f, mean_m, ff, mm, fm = self._window_sums(one, f, m, f * f, m * m, f * m)
        share = 1 / np.maximum(number, 1)
        mean_f, mean_m = mean_f * share, mean_m * share
        var_f, var_m = ff * share - mean_f * mean_f, mm * share - mean_m * mean_m
        covariance = fm * share - mean_f * mean_m
        says = (var_f * var_m > self._least) & (one > 0)
        var_f[~says] = var_m[~says] = 1
        covariance[~says] = 0
        # d squared / d m at a voxel sums over the windows that hold it.
        by_covariance = covariance / (var_f * var_m)
        squared = covariance * by_covariance
        by_covariance *= share
        by_variance = squared / var_m * share
        a, a_mean, b, b_mean = self._window_sums(
            by_covariance, by_covariance * mean_f, by_variance, by_variance * mean_m
        )
        gain = (one * (2 / count) * (f * a - a_mean - m * b + b_mean))[self._mask]
        value = float(squared.sum(dtype=float)) / count
        return Slope(value, *self._sampler.by_transform(sampled.slopes * gain, self._offsets))

    def _window_sums(self, *fields: np.ndarray) -> np.ndarray:
        """Returns sums over the cube around every voxel, of the voxels that exist; [field, z, y, x].

        The answer is gone with the next call.
        """
        sums, other = self._fields[: len(fields)], self._scratch[: len(fields)]
        np.stack(fields, out=other)
        for axis in (1, 2, 3):
            np.copyto(sums, other)
            size = sums.shape[axis]
            for shift in range(1, min(_RADIUS, size - 1) + 1):
                head, tail = [slice(None)] * 4, [slice(None)] * 4
                head[axis], tail[axis] = slice(0, size - shift), slice(shift, size)
                sums[tuple(head)] += other[tuple(tail)]
                sums[tuple(tail)] += other[tuple(head)]
            sums, other = other, sums
        return other


def _ball_radius(voxels: int, grid: Grid) -> float:
    return float((3 * voxels * np.prod(grid.spacing) / (4 * np.pi)) ** (1 / 3))


def _bins_per_unit(low: float, high: float) -> float:
    return (_BINS - 2 * _PADDING) / (high - low) if high > low else 0.0


def _bins_of(values: np.ndarray, low: float, high: float, rounded: bool = True) -> np.ndarray:
    """Returns the place of values among the bins, whole or with its fraction."""
    place = (values - np.float32(low)) * np.float32(_bins_per_unit(low, high)) + np.float32(_PADDING)
    place = np.clip(place, _PADDING, _BINS - _PADDING)
    return np.minimum(np.floor(place), _BINS - _PADDING - 1) if rounded else place


def _spline(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the cubic B-spline's weights of the bins -1, 0, 1 and 2 from a value's own, 0 <= t <= 1."""
    s, t2, t3 = 1 - t, t * t, t * t * t
    far = t3 / 6
    near = (1 + 3 * (t + t2 - t3)) / 6
    before = s * s * s / 6
    return before, 1 - before - near - far, near, far


def _spline_slope(t: np.ndarray) -> tuple[np.ndarray, ...]:
    """Returns the derivatives of the same weights by t."""
    s, t2 = 1 - t, t * t
    return -s * s / 2, 1.5 * t2 - 2 * t, (1 + 2 * t - 3 * t2) / 2, t2 / 2
