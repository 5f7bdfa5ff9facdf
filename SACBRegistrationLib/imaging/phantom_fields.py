"""Shapes and random fields that the phantom is made of, as functions of physical points.

Points are triples (x, y, z) of equally shaped float32 arrays, mm. Shapes return the approximate signed
distance to their surface, mm, negative inside.
"""

from dataclasses import dataclass

import numpy as np

Points = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Waves:
    """A smooth random field: a sum of plane waves of random directions and phases.

    Attributes:
        vectors: [n, 3] wave vectors, 1/mm.
        phases: [n] phases, radians.
        amplitudes: [n] amplitudes.
    """

    vectors: np.ndarray
    phases: np.ndarray
    amplitudes: np.ndarray

    @classmethod
    def random(
        cls,
        generator: np.random.Generator,
        count: int,
        shortest: float,
        longest: float,
    ) -> "Waves":
        """Draws `count` waves with wavelengths between two lengths (mm) and unit variance in sum."""
        directions = generator.normal(size=(count, 3))
        directions /= np.linalg.norm(directions, axis=1, keepdims=True)
        lengths = generator.uniform(shortest, longest, size=(count, 1))
        return cls(
            (directions * 2 * np.pi / lengths).astype(np.float32),
            generator.uniform(0, 2 * np.pi, count).astype(np.float32),
            np.full(count, np.sqrt(2 / count), dtype=np.float32),
        )

    def value(self, points: Points) -> np.ndarray:
        """Returns the field at the points."""
        total = np.zeros_like(points[0])
        for vector, phase, amplitude in zip(self.vectors, self.phases, self.amplitudes, strict=True):
            total += amplitude * np.cos(_dot(vector, points) + phase)
        return total

    def zero_distance(self, points: Points) -> np.ndarray:
        """Returns the distance to the nearest zero of the field to first order, |f| / |grad f|, mm."""
        total = np.zeros_like(points[0])
        slope = [np.zeros_like(points[0]) for _ in range(3)]
        for vector, phase, amplitude in zip(self.vectors, self.phases, self.amplitudes, strict=True):
            angle = _dot(vector, points) + phase
            total += amplitude * np.cos(angle)
            sine = amplitude * np.sin(angle)
            for axis in range(3):
                slope[axis] += vector[axis] * sine
        # The floor keeps the ridges between two zeros from becoming infinitely far.
        steepness = np.sqrt(slope[0] ** 2 + slope[1] ** 2 + slope[2] ** 2)
        return np.abs(total) / np.maximum(steepness, 0.2 * float(np.linalg.norm(self.vectors, axis=1).mean()))


def ellipsoid(points: Points, center: tuple, semi_axes: tuple) -> np.ndarray:
    """Returns the signed distance to an ellipsoid with axes along x, y and z."""
    q = [(p - np.float32(c)) / np.float32(s) for p, c, s in zip(points, center, semi_axes, strict=True)]
    radius = np.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2)
    slope = np.sqrt(sum((a / np.float32(s)) ** 2 for a, s in zip(q, semi_axes, strict=True)))
    return radius * (radius - 1) / np.maximum(slope, np.float32(1e-4))


def capsule(points: Points, start: tuple, end: tuple, radii: tuple[float, float]) -> np.ndarray:
    """Returns the signed distance to a rod with round ends whose radius changes linearly."""
    axis = [np.float32(b - a) for a, b in zip(start, end, strict=True)]
    offset = [p - np.float32(a) for p, a in zip(points, start, strict=True)]
    along = sum(o * a for o, a in zip(offset, axis, strict=True)) / np.float32(
        sum(float(a) ** 2 for a in axis)
    )
    along = np.clip(along, 0, 1)
    distance = np.sqrt(sum((o - along * a) ** 2 for o, a in zip(offset, axis, strict=True)))
    return distance - (np.float32(radii[0]) + along * np.float32(radii[1] - radii[0]))


def smooth_union(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Returns the union of two shapes, rounded where they meet over `width` mm."""
    share = np.maximum(np.float32(width) - np.abs(a - b), 0) / np.float32(width)
    return np.minimum(a, b) - share**2 * np.float32(width / 4)


def smooth_intersection(a: np.ndarray, b: np.ndarray, width: float) -> np.ndarray:
    """Returns the intersection of two shapes, rounded where they meet over `width` mm."""
    return -smooth_union(-a, -b, width)


def inside(distance: np.ndarray, blur: float = 0.5) -> np.ndarray:
    """Returns how much of a point is inside: 1 deep inside, 0 outside, smooth over `blur` mm either way."""
    t = np.clip(np.float32(0.5) - distance / np.float32(2 * blur), 0, 1)
    return t * t * (3 - 2 * t)


def _dot(vector: np.ndarray, points: Points) -> np.ndarray:
    return vector[0] * points[0] + vector[1] * points[1] + vector[2] * points[2]
