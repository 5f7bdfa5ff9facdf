"""The tissues of an abdomen, their labels in TotalSegmentator's scheme, and what they count for."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

VALUES = 256
"""Label values are below this; TotalSegmentator's 117 classes are."""


@dataclass(frozen=True)
class AbdomenClass:
    """One tissue of an abdomen; its number is its place in `ABDOMEN_CLASSES`.

    Attributes:
        name: Name for people; `NUMBER` finds the class by it.
        values: TotalSegmentator label values (version 2, class map "total") that become this class.
        structure: Structure that it counts for in the Dice overlap, or None.
    """

    name: str
    values: tuple[int, ...] = ()
    structure: str | None = None


def _organ(name: str, values: Iterable[int], structure: str | None = "") -> AbdomenClass:
    return AbdomenClass(name, tuple(values), name if structure == "" else structure)


SHAPES = 6
"""Number of classes for synthetic shapes that both bodies of a pair have."""

ABDOMEN_CLASSES: tuple[AbdomenClass, ...] = (
    AbdomenClass("air"),
    AbdomenClass("skin"),
    AbdomenClass("fat"),
    AbdomenClass("soft tissue"),
    AbdomenClass("cartilage", (117,)),
    _organ("spleen", (1,)),
    _organ("right kidney", (2, 24)),
    _organ("left kidney", (3, 23)),
    AbdomenClass("right medulla", (), "right kidney"),
    AbdomenClass("left medulla", (), "left kidney"),
    _organ("gallbladder", (4,)),
    _organ("liver", (5,)),
    AbdomenClass("hepatic vessel", (), "liver"),
    AbdomenClass("liver lesion", (), "liver"),
    _organ("stomach", (6,)),
    _organ("pancreas", (7,)),
    AbdomenClass("adrenal gland", (8, 9), "adrenal glands"),
    _organ("left lung", (10, 11)),
    _organ("right lung", (12, 13, 14)),
    _organ("oesophagus", (15,)),
    AbdomenClass("small bowel", (18,)),
    AbdomenClass("duodenum", (19,), "duodenum"),
    _organ("colon", (20,)),
    AbdomenClass("gas"),
    AbdomenClass("bowel content"),
    _organ("bladder", (21,)),
    AbdomenClass("prostate", (22,)),
    AbdomenClass("cortical bone", (), "bone"),
    AbdomenClass("vertebra", tuple(range(25, 51)), "spine"),
    AbdomenClass("rib", (*range(92, 117), 71, 72, 73, 74), "bone"),
    AbdomenClass("pelvic bone", (69, 70, 75, 76, 77, 78), "bone"),
    AbdomenClass("spinal canal", (79,), "spine"),
    _organ("heart", (51, 61)),
    AbdomenClass("artery", (52, 65, 66, *range(54, 59)), "arteries"),
    AbdomenClass("vein", (53, 59, 60, 62, 63, 67, 68), "veins"),
    AbdomenClass("portal vein", (64,), "portal vein"),
    AbdomenClass("back muscle", (86, 87), "back muscles"),
    AbdomenClass("iliopsoas", (88, 89), "iliopsoas"),
    AbdomenClass("gluteal muscle", tuple(range(80, 86))),
    AbdomenClass("foreign mass"),
    AbdomenClass("foreign fluid"),
    *(AbdomenClass(f"shape {i}", (), f"shape {i}") for i in range(SHAPES)),
)

NUMBER: dict[str, int] = {c.name: i for i, c in enumerate(ABDOMEN_CLASSES)}
"""Number of every class by its name."""

BODY = "body"
"""The structure of everything that is no air around the body."""

STRUCTURES: tuple[str, ...] = (
    *dict.fromkeys(c.structure for c in ABDOMEN_CLASSES if c.structure is not None),
    BODY,
)
"""Names of the structures; channel i of a soft label volume is STRUCTURES[i]."""


def compact(values: np.ndarray) -> np.ndarray:
    """Returns the classes (uint8) of TotalSegmentator's label values; unknown values are 0.

    Args:
        values: Label values, any shape, whole numbers of any number type.
    """
    table = np.zeros(VALUES, dtype=np.uint8)
    for number, abdomen_class in enumerate(ABDOMEN_CLASSES):
        table[list(abdomen_class.values)] = number
    whole = np.rint(values).astype(np.int64)
    whole[(whole < 0) | (whole >= VALUES)] = 0
    return table[whole]


def structure_table() -> np.ndarray:
    """Returns the [classes] table of channels in `STRUCTURES`; len(STRUCTURES) for classes of none."""
    return np.array(
        [STRUCTURES.index(c.structure) if c.structure else len(STRUCTURES) for c in ABDOMEN_CLASSES]
    )
