"""The anatomical classes that label maps are reduced to, and what each looks like and counts for."""

from dataclasses import dataclass

import numpy as np

BACKGROUND, CSF = 0, 1
"""Compact classes with a role of their own: nothing, and cerebrospinal fluid around the brain."""


@dataclass(frozen=True)
class BrainClass:
    """One compact class; its number is its place in `BRAIN_CLASSES`.

    Attributes:
        name: Name for people.
        values: FreeSurfer label values that belong to it.
        t1: Typical intensity in a skull-stripped T1 image relative to white matter.
        tissue: Classes of one tissue are near each other in every synthesised contrast.
        structure: Merged structure that it counts for in the Dice overlap, or None.
        mirror: Name of its counterpart on the other side; its own name on the midline.
    """

    name: str
    values: tuple[int, ...]
    t1: float
    tissue: str
    structure: str | None
    mirror: str


def _midline(name, values, t1, tissue, structure=None):
    return [BrainClass(name, values, t1, tissue, structure, name)]


def _sides(name, left, right, t1, tissue, structure=None, merge=False):
    def side(own, other, values):
        merged = structure if merge or structure is None else f"{own} {structure}"
        return BrainClass(f"{own} {name}", values, t1, tissue, merged, f"{other} {name}")

    return [side("left", "right", left), side("right", "left", right)]


BRAIN_CLASSES: tuple[BrainClass, ...] = tuple(
    _midline("background", (0,), 0.0, "background")
    + _midline("csf", (24,), 0.30, "fluid")
    + _sides("white matter", (2, 77, 78, 251, 253, 255), (41, 79, 252, 254), 1.00, "white", "white matter")
    + _sides("cortex", (3,), (42,), 0.68, "grey", "cortex")
    + _sides("ventricle", (4, 5), (43, 44), 0.28, "fluid", "lateral ventricle")
    + _sides("choroid plexus", (31, 136, 137), (63, 163, 164), 0.42, "plexus", "lateral ventricle")
    + _sides("lesion", (25,), (57,), 0.85, "lesion")
    + _sides("cerebellar white matter", (7,), (46,), 0.97, "white", "cerebellar white matter", merge=True)
    + _sides("cerebellar cortex", (8,), (47,), 0.67, "grey", "cerebellar cortex", merge=True)
    + _sides("thalamus", (10,), (49,), 0.84, "thalamus", "thalamus")
    + _sides("caudate", (11,), (50,), 0.73, "striatum", "caudate")
    + _sides("putamen", (12,), (51,), 0.81, "striatum", "lentiform nucleus")
    + _sides("pallidum", (13,), (52,), 0.97, "pallidum", "lentiform nucleus")
    + _sides("hippocampus", (17,), (53,), 0.69, "limbic", "hippocampus and amygdala")
    + _sides("amygdala", (18,), (54,), 0.68, "limbic", "hippocampus and amygdala")
    + _sides("accumbens", (26,), (58,), 0.74, "striatum")
    + _sides("ventral diencephalon", (28,), (60,), 0.87, "stem", "brain-stem", merge=True)
    + _sides("vessel", (30,), (62,), 0.55, "plexus")
    + _midline("brain-stem", (16,), 0.91, "stem", "brain-stem")
    + _midline("third ventricle", (14, 72), 0.32, "fluid", "third and fourth ventricle")
    + _midline("fourth ventricle", (15,), 0.30, "fluid", "third and fourth ventricle")
    + _midline("optic chiasm", (85,), 0.85, "stem")
)

STRUCTURES: tuple[str, ...] = tuple(
    dict.fromkeys(c.structure for c in BRAIN_CLASSES if c.structure is not None)
)
"""Names of the merged structures; channel i of a soft label volume is STRUCTURES[i]."""

EXTRA_CEREBRAL = 500
"""FreeSurfer values from here on are tissue outside the brain."""


def compact(values: np.ndarray) -> np.ndarray:
    """Returns the compact classes (uint8) of FreeSurfer values; unknown and outer values are background.

    Args:
        values: Label values, any shape, whole numbers of any number type.
    """
    table = np.zeros(EXTRA_CEREBRAL, dtype=np.uint8)
    for number, brain_class in enumerate(BRAIN_CLASSES):
        table[list(brain_class.values)] = number
    whole = np.rint(values).astype(np.int32)
    whole[(whole < 0) | (whole >= EXTRA_CEREBRAL)] = BACKGROUND
    return table[whole]


def mirror_table() -> np.ndarray:
    """Returns the [classes] uint8 table that exchanges left and right."""
    numbers = {c.name: i for i, c in enumerate(BRAIN_CLASSES)}
    return np.array([numbers[c.mirror] for c in BRAIN_CLASSES], dtype=np.uint8)


def structure_table() -> np.ndarray:
    """Returns the [classes] table of channels in `STRUCTURES`; len(STRUCTURES) for classes of none."""
    return np.array(
        [STRUCTURES.index(c.structure) if c.structure else len(STRUCTURES) for c in BRAIN_CLASSES]
    )
