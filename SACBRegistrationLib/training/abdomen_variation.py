"""What differs between people beyond the place of organs: vessels, lesions, bowel, synthetic shapes."""

from collections.abc import Sequence

import numpy as np

from SACBRegistrationLib.training.abdomen_classes import NUMBER, SHAPES
from SACBRegistrationLib.training.deformation import smooth_noise

_SHAPE_RADIUS_MM = (12.0, 45.0)
_FOREIGN_RADIUS_MM = (6.0, 28.0)
_HOLLOW = ("stomach", "small bowel", "duodenum", "colon")
_SOFT_GROUND = (
    "fat", "soft tissue", "liver", "hepatic vessel", "spleen", "right kidney", "left kidney", "right medulla",
    "left medulla", "stomach", "pancreas", "small bowel", "duodenum", "colon", "gas", "bowel content",
    "gallbladder", "bladder", "liver lesion",
)  # fmt: skip


def shared_anatomy(
    classes: np.ndarray, spacing: float, share: float, generator: np.random.Generator
) -> np.ndarray:
    """Returns the anatomy that both bodies of a pair have: a vessel tree in the liver and, in some, shapes.

    Args:
        classes: [D, H, W] uint8.
        spacing: Voxel size, mm.
        share: Probability of synthetic shapes, ellipsoids painted over the organs.
        generator: Source of the random numbers.
    """
    result = classes.copy()
    _add_vessels(result, spacing, generator)
    if generator.random() < share:
        for number in range(int(generator.integers(4, 2 * SHAPES + 1))):
            name = f"shape {number % SHAPES}"
            _add_ellipsoid(result, name, _SOFT_GROUND, _SHAPE_RADIUS_MM, spacing, generator)
    return result


def own_anatomy(classes: np.ndarray, spacing: float, generator: np.random.Generator) -> np.ndarray:
    """Returns the anatomy with what only this body has: gas, bowel content, lesions, masses, loops of bowel.

    Args:
        classes: [D, H, W] uint8.
        spacing: Voxel size, mm.
        generator: Source of the random numbers.
    """
    result = classes.copy()
    _fill_bowel(result, spacing, generator)
    _add_loops(result, spacing, generator)
    for name, ground, most in (
        ("liver lesion", ("liver", "hepatic vessel"), 4),
        ("foreign fluid", ("right kidney", "left kidney", "spleen", "pancreas"), 2),
        ("foreign mass", ("fat", "soft tissue", "small bowel", "colon", "pancreas"), 4),
    ):
        for _ in range(int(generator.integers(0, most + 1))):
            _add_ellipsoid(result, name, ground, _FOREIGN_RADIUS_MM, spacing, generator)
    return result


def _add_vessels(result: np.ndarray, spacing: float, generator: np.random.Generator) -> None:
    box = _box(result == NUMBER["liver"])
    if box is None:
        return
    liver = result[box]
    width = generator.uniform(0.10, 0.22)
    first, second = (smooth_noise(liver.shape, spacing, 32.0, generator).numpy() for _ in range(2))
    # Two smooth fields both vanish along curves.
    liver[(liver == NUMBER["liver"]) & (first**2 + second**2 < width**2)] = NUMBER["hepatic vessel"]


def _fill_bowel(result: np.ndarray, spacing: float, generator: np.random.Generator) -> None:
    box = _box(np.isin(result, [NUMBER[name] for name in _HOLLOW]))
    if box is None:
        return
    part = result[box]
    height = np.arange(part.shape[1])[None, :, None] * spacing
    lumps = smooth_noise(part.shape, spacing, 24.0, generator).numpy()
    fine = smooth_noise(part.shape, spacing, 9.0, generator).numpy()
    for name in _HOLLOW:
        hollow = part == NUMBER[name]
        if not hollow.any():
            continue
        places = height[0, np.nonzero(hollow)[1], 0]
        # Gas rises: to the front, of someone who lies on the back.
        rise = (height - places.mean()) / (places.std() + 1)
        filling = lumps + generator.uniform(0, 1.5) * rise + (0.8 * fine if name == "colon" else 0)
        levels = np.quantile(filling[hollow], 1 - generator.uniform(0, 0.35, 2).cumsum())
        part[hollow & (filling > levels[1])] = NUMBER["bowel content"]
        part[hollow & (filling > levels[0])] = NUMBER["gas"]


def _add_loops(result: np.ndarray, spacing: float, generator: np.random.Generator) -> None:
    """Paints tubes of soft tissue into the fat around the bowel."""
    box = _box(np.isin(result, [NUMBER["small bowel"], NUMBER["duodenum"]]))
    if box is None:
        return
    part = result[box]
    width = generator.uniform(0.0, 0.45)
    first, second = (smooth_noise(part.shape, spacing, 36.0, generator).numpy() for _ in range(2))
    loops = first**2 + second**2 < width**2
    part[loops & (part == NUMBER["fat"])] = NUMBER["bowel content"]


def _box(mask: np.ndarray) -> tuple[slice, slice, slice] | None:
    spans = [np.flatnonzero(mask.any(axis=tuple({0, 1, 2} - {axis}))) for axis in range(3)]
    return tuple(slice(int(s[0]), int(s[-1]) + 1) for s in spans) if len(spans[0]) else None


def _add_ellipsoid(
    result: np.ndarray,
    name: str,
    ground: Sequence[str],
    radius: tuple[float, float],
    spacing: float,
    generator: np.random.Generator,
) -> None:
    """Paints an ellipsoid over those classes around a random voxel of them."""
    numbers = [NUMBER[each] for each in ground]
    axes = np.exp(generator.uniform(*np.log(radius))) * np.exp(generator.uniform(-0.4, 0.4, 3)) / spacing
    turn, _ = np.linalg.qr(generator.standard_normal((3, 3)))
    center = next(
        (p for p in generator.integers(0, result.shape, (200, 3)) if result[tuple(p)] in numbers), None
    )
    if center is None:
        return
    reach = axes.max()
    spans = [
        (max(int(c - reach), 0), min(int(c + reach) + 2, n))
        for c, n in zip(center, result.shape, strict=True)
    ]
    part = result[tuple(slice(*span) for span in spans)]
    lines = [np.arange(*span) - c for span, c in zip(spans, center, strict=True)]
    offset = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1) @ (turn / axes)
    part[(np.square(offset).sum(axis=-1) < 1) & np.isin(part, numbers)] = NUMBER[name]
