"""A procedural T1-weighted brain without skull: folded cortex, white matter, nuclei, ventricles, cerebellum.

Everything is a function of the point, so an image of any grid or deformation shows exactly the same anatomy.
The frame is LPS mm with the origin between the thalami; x grows to the left.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from SACBRegistrationLib.imaging.phantom_fields import (
    Points,
    Waves,
    capsule,
    ellipsoid,
    inside,
    smooth_intersection,
    smooth_union,
)

REACH = (86.0, 104.0, 92.0)
"""Everything lies within an ellipsoid of these half axes around the origin, mm."""

_CSF, _GRAY, _WHITE = 0.2, 0.62, 0.93
_RIM = 1.3  # mm of fluid left around the brain by skull stripping
_CORTEX = 2.7  # mm
_DEEPEST = 25.0  # mm, of a sulcus
_FOLIUM = 1.7  # mm, the cerebellum's cortex

# Left label, right label, intensity; label values are FreeSurfer's, which the preset ixi names.
_NUCLEI = {
    "pallidum": (13, 52, 0.84),
    "putamen": (12, 51, 0.72),
    "caudate": (11, 50, 0.69),
    "thalamus": (10, 49, 0.77),
    "hippocampus": (17, 53, 0.64),
    "amygdala": (18, 54, 0.63),
}


@dataclass(frozen=True)
class BrainAnatomy:
    """One individual; another seed folds its cortex another way.

    Attributes:
        folds: Field whose zeros are the sulci.
        side_folds: What makes the folds of the two sides differ.
        depths: Field that varies the depth of the sulci.
        shape: Three fields that bend the whole, so that nothing is a perfect ellipsoid or mirror image.
        texture: Field of the fine variation of brightness within a tissue.
    """

    folds: Waves
    side_folds: Waves
    depths: Waves
    shape: tuple[Waves, Waves, Waves]
    texture: Waves

    @classmethod
    def random(cls, seed: int) -> "BrainAnatomy":
        """Draws an individual."""
        generator = np.random.default_rng(seed)
        return cls(
            folds=Waves.random(generator, 18, 22.0, 30.0),
            side_folds=Waves.random(generator, 5, 40.0, 60.0),
            depths=Waves.random(generator, 6, 35.0, 70.0),
            shape=tuple(Waves.random(generator, 4, 70.0, 160.0) for _ in range(3)),
            texture=Waves.random(generator, 8, 7.0, 16.0),
        )

    def evaluate(self, points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns what is at the points.

        Args:
            points: [N, 3] points (floating point) in the anatomy's frame, LPS mm.

        Returns:
            Intensities [N] float32 in [0, 1], 0 outside the brain, and label values [N] uint8.
        """
        intensity = np.zeros(len(points), dtype=np.float32)
        labels = np.zeros(len(points), dtype=np.uint8)
        near = np.flatnonzero(((points / np.asarray(REACH, dtype=points.dtype)) ** 2).sum(axis=1) < 1)
        straight = tuple(np.ascontiguousarray(points[near, axis], dtype=np.float32) for axis in range(3))
        bend = [np.float32(1.6) * field.value(straight) for field in self.shape]
        bent = tuple(p + b for p, b in zip(straight, bend, strict=True))
        hull = _Hull.at(bent)
        kept = np.flatnonzero(hull.all < _RIM + 0.5)
        values, names = self._tissues(tuple(p[kept] for p in bent), hull.take(kept))
        intensity[near[kept]] = values
        labels[near[kept]] = names
        return intensity, labels

    def _tissues(self, points: Points, hull: "_Hull") -> tuple[np.ndarray, np.ndarray]:
        left = points[0] > 0
        mirrored = (np.abs(points[0]), points[1], points[2])
        rim = inside(hull.all - _RIM)
        value = _CSF * rim
        label = np.where(rim > 0.5, 24, 0).astype(np.uint8)

        def paint(share: np.ndarray, brightness: float, names: tuple[int, int]) -> None:
            nonlocal value, label
            value = value + share * (brightness - value)
            label = np.where(share > 0.5, np.where(left, *names).astype(np.uint8), label)

        surface = self._cerebral_surface(mirrored, left, hull.cerebrum)
        paint(inside(surface), _GRAY, (3, 42))
        paint(inside(surface + _CORTEX), _WHITE, (2, 41))

        surface = _cerebellar_surface(mirrored, hull)
        paint(inside(surface), _GRAY - 0.03, (8, 47))
        paint(inside(surface + _FOLIUM), _WHITE - 0.02, (7, 46))
        paint(inside(hull.stem), _WHITE - 0.06, (16, 16))

        paint(inside(_callosum(mirrored)), _WHITE + 0.03, (2, 41))
        nuclei = _nuclei(mirrored)
        for name, (left_label, right_label, brightness) in _NUCLEI.items():
            paint(inside(nuclei[name], 0.7), brightness, (left_label, right_label))
        lateral, third, fourth = _ventricles(mirrored)
        paint(inside(lateral), _CSF, (4, 43))
        paint(inside(third), _CSF, (14, 14))
        paint(inside(fourth), _CSF, (15, 15))
        return np.clip(value * (1 + np.float32(0.022) * self.texture.value(points)), 0, 1), label

    def _cerebral_surface(self, points: Points, left: np.ndarray, envelope: np.ndarray) -> np.ndarray:
        """Returns the distance to the pial surface, mm, negative in tissue: the envelope carved by sulci."""
        outer = np.maximum(envelope, -_fissure(points))
        surface = outer.copy()
        near = np.flatnonzero((outer > -_DEEPEST - 4) & (outer < 1))
        surface[near] = np.maximum(
            surface[near], -self._sulci(tuple(p[near] for p in points), left[near], -outer[near])
        )
        return surface

    def _sulci(self, points: Points, left: np.ndarray, below: np.ndarray) -> np.ndarray:
        """Returns the distance to the nearest sulcus for points `below` mm under the surface."""
        x, y, z = points
        # The folds are walls that stand on the surface: they depend on the direction from a core.
        core, reach = (20.0, 2.0, 4.0), (48.0, 82.0, 62.0)
        q = [(p - np.float32(c)) / np.float32(r) for p, c, r in zip(points, core, reach, strict=True)]
        radius = np.maximum(np.sqrt(q[0] ** 2 + q[1] ** 2 + q[2] ** 2), np.float32(0.15))
        on_surface = tuple(a * np.float32(r) / radius for a, r in zip(q, reach, strict=True))
        side = self.side_folds.value(on_surface)
        depths = self.depths.value(on_surface)
        # The walls differ between the sides, and lean over as they go down.
        shift = np.where(left, np.float32(2.5), np.float32(-2.5)) * side
        where = (
            on_surface[0] + shift,
            on_surface[1] + shift + np.float32(0.35) * below * side,
            on_surface[2] + shift + np.float32(0.35) * below * depths,
        )
        sideways = self.folds.zero_distance(where) * radius
        # Where the surface comes close to the core, at the base, folds would crowd: they flatten out.
        flat = inside(np.float32(0.46) - radius, 0.12)
        depth = np.clip(np.float32(17.0) + np.float32(6.0) * depths, 7.0, _DEEPEST) * flat
        folds = np.hypot(sideways, np.maximum(below - depth, 0)) - np.float32(0.65) + 3 * (1 - flat)
        sylvian = (
            np.sqrt(
                (np.float32(0.93) * (z + 4 - np.float32(0.4) * y + 2 * side)) ** 2
                + np.maximum(37 - x, 0) ** 2
                + np.maximum(y - 34, 0) ** 2
                + np.maximum(-36 - y, 0) ** 2
            )
            - 1
        )
        cingulate = np.sqrt(
            (_within_callosum(y, z) + np.float32(11.5)) ** 2
            + np.maximum(x - 10, 0) ** 2
            + np.maximum(-4 - z, 0) ** 2
        ) - np.float32(0.65)
        return np.minimum(np.minimum(folds, sylvian), cingulate)


@dataclass(frozen=True)
class _Hull:
    """Signed distances to the smooth outsides of the large parts."""

    cerebrum: np.ndarray
    cerebellum: np.ndarray
    stem: np.ndarray

    @property
    def all(self) -> np.ndarray:
        return smooth_union(smooth_union(self.cerebrum, self.cerebellum, 10), self.stem, 10)

    @classmethod
    def at(cls, points: Points) -> "_Hull":
        x, y, z = np.abs(points[0]), points[1], points[2]
        mirrored = (x, y, z)
        # Both poles are narrower than the middle, the frontal one more so.
        widened = (x * (1 + np.float32(1.1e-5) * y * y + np.where(y < 0, -0.0007, 0) * y), y, z)
        main = ellipsoid(widened, (0.0, 0.0, 9.0), (67.0, 86.0, 59.0))
        base = -(z + 21 - np.float32(0.13) * np.maximum(y, 0))
        main = smooth_intersection(main, base, 14)
        temporal = ellipsoid(mirrored, (45.0, -4.0, -24.0), (19.0, 43.0, 18.0))
        cerebrum = smooth_union(main, temporal, 7)
        lobes = ellipsoid(mirrored, (23.0, 48.0, -38.0), (29.0, 28.0, 23.0))
        vermis = ellipsoid(mirrored, (0.0, 46.0, -36.0), (14.0, 24.0, 22.0))
        cerebellum = np.maximum(smooth_union(lobes, vermis, 6), np.float32(1.6) - cerebrum)
        midbrain = capsule(mirrored, (7.0, 10.0, -10.0), (5.0, 18.0, -26.0), (9.0, 9.0))
        pons = ellipsoid(mirrored, (0.0, 17.0, -35.0), (17.0, 13.0, 14.0))
        medulla = capsule(mirrored, (0.0, 22.0, -42.0), (0.0, 30.0, -74.0), (10.0, 7.0))
        stem = smooth_union(smooth_union(midbrain, pons, 6), medulla, 6)
        return cls(cerebrum, cerebellum, np.maximum(stem, -(z + 76)))

    def take(self, kept: np.ndarray) -> "_Hull":
        return _Hull(self.cerebrum[kept], self.cerebellum[kept], self.stem[kept])


def _fissure(points: Points) -> np.ndarray:
    """Returns the distance to the gap between the hemispheres; it ends above the corpus callosum."""
    x, y, z = points
    return np.hypot(np.maximum(x - np.float32(0.7), 0), np.maximum(_within_callosum(y, z), 0))


def _within_callosum(y: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Returns how deep a point of the midplane is below the upper edge of the corpus callosum, mm."""
    radius = np.hypot((y - 1) / np.float32(37.0), (z - 1) / np.float32(26.0))
    return (1 - radius) * np.float32(28.0)


def _callosum(points: Points) -> np.ndarray:
    x, y, z = points
    arch = np.abs(_within_callosum(y, z) - np.float32(3.2)) - np.float32(3.0)
    return np.maximum(np.maximum(arch, x - 16), -(z - np.float32(1.0) - 0.1 * np.abs(y)))


def _cerebellar_surface(points: Points, hull: _Hull) -> np.ndarray:
    """Returns the distance to the cerebellum's surface, mm, negative in tissue; its folia form a fan."""
    surface = hull.cerebellum.copy()
    near = np.flatnonzero(surface < 1.5)
    x, y, z = (p[near] for p in points)
    y0, z0, folds = y - 31, z + 37 + 0.1 * x, 20
    radius = np.hypot(y0, z0)
    phase = folds * (np.arctan2(z0, y0) + np.float32(0.006) * x + np.float32(0.05) * np.sin(x / 9 + z / 7))
    number = np.round(phase / np.float32(np.pi))
    nearest = np.abs(phase - number * np.float32(np.pi)) * radius / folds
    depth = np.where(number % 2 == 0, np.float32(13.0), np.float32(6.5))
    # Around the axis of the fan the folia would crowd.
    fissure = np.hypot(nearest, np.maximum(-surface[near] - depth, 0)) - np.float32(0.35)
    fissure += 3 * inside(radius - 13, 4)
    surface[near] = np.maximum(surface[near], -fissure)
    return surface


def _nuclei(points: Points) -> dict[str, np.ndarray]:
    x, y, z = points
    # Putamen and pallidum stand oblique: their planes open backwards.
    oblique = (x - np.float32(0.30) * y, y, z)
    head = ellipsoid(points, (12.5, -23.0, 7.0), (6.0, 11.0, 9.0))
    tail = capsule(points, (15.0, -16.0, 14.0), (20.5, 14.0, 18.0), (4.5, 2.6))
    return {
        "pallidum": ellipsoid(oblique, (19.0, -2.0, -1.0), (4.2, 9.5, 6.5)),
        "putamen": ellipsoid(oblique, (27.0, -4.0, 1.5), (5.0, 17.0, 10.5)),
        "caudate": smooth_union(head, tail, 5),
        "thalamus": ellipsoid((x - np.float32(0.25) * (y - 6), y, z), (11.0, 7.0, 4.0), (8.0, 15.0, 9.0)),
        "hippocampus": smooth_union(
            capsule(points, (24.0, -3.0, -19.0), (27.0, 12.0, -16.0), (5.5, 5.0)),
            capsule(points, (27.0, 12.0, -16.0), (23.0, 27.0, -4.0), (5.0, 3.2)),
            4,
        ),
        "amygdala": ellipsoid(points, (23.0, -12.0, -17.0), (7.5, 6.5, 6.5)),
    }


def _ventricles(points: Points) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the lateral, third and fourth ventricles."""
    course = [
        ((6.0, -33.0, 7.0), 3.6),
        ((7.0, -12.0, 14.5), 3.8),
        ((10.0, 10.0, 18.5), 3.8),
        ((20.0, 27.0, 12.0), 5.2),
        ((30.0, 24.0, -4.0), 3.2),
        ((33.0, 4.0, -14.0), 1.9),
    ]
    lateral = capsule(points, course[3][0], (21.0, 48.0, 5.0), (4.6, 1.6))
    for (start, first), (end, second) in pairwise(course):
        lateral = smooth_union(lateral, capsule(points, start, end, (first, second)), 4)
    lateral = np.maximum(lateral, np.float32(1.0) - points[0])
    third = ellipsoid(points, (0.0, 3.0, -2.0), (1.9, 15.0, 10.0))
    fourth = ellipsoid(points, (0.0, 32.0, -36.0), (6.5, 4.0, 9.0))
    return lateral, third, fourth
