"""What the panel's lists offer; a scene keeps the names, people read the labels."""

from enum import Enum

from SACBRegistrationLib.mrml.field_view import FieldView


class _Labelled(Enum):
    def __new__(cls, value: object, title: str) -> "_Labelled":
        member = object.__new__(cls)
        member._value_ = value
        member.title = title
        return member

    def label(self) -> str:
        """Returns the text for people; Slicer's list boxes ask for it under this name."""
        return self.title


class Alignment(_Labelled):
    """How a pair is brought near before it is deformed; the value is the logic's argument."""

    PRESET = (None, "As the kind of images needs it")
    NONE = ("none", "None: the volumes lie well already")
    RIGID = ("rigid", "Rigid: move and turn")
    AFFINE = ("affine", "Affine: move, turn, scale and shear")


class Device(_Labelled):
    """Where the network and the refinement run; the value is the logic's argument."""

    AUTO = ("auto", "Automatic")
    CPU = ("cpu", "Processor (CPU)")
    CUDA = ("cuda", "Graphics card (CUDA)")


class Similarity(_Labelled):
    """What the refinement compares; the value is the logic's argument."""

    AUTO = ("auto", "Automatic")
    NCC = ("ncc", "Intensities (same contrast)")
    MIND = ("mind", "Local structure (any contrasts)")


class Comparison(_Labelled):
    """How the fixed and the warped volume are seen together."""

    FIXED = ("fixed", "Fixed volume alone")
    OVERLAY = ("overlay", "Overlay")
    BLINK = ("blink", "Blink")
    CHECKERBOARD = ("checkerboard", "Checkerboard")
    SIDE_BY_SIDE = ("side by side", "Side by side")


class FieldShown(_Labelled):
    """How the deformation is seen; the value is what the transform itself draws."""

    OFF = ("off", "Off")
    GRID = ("grid", "Deformed grid")
    GLYPHS = ("glyphs", "Arrows")
    CONTOURS = ("contours", "Contours of equal length")
    MAGNITUDE = ("magnitude", "Displacement length (colours)")
    JACOBIAN = ("jacobian", "Volume change (colours)")

    @property
    def view(self) -> FieldView:
        """What the transform node draws; the last two are volumes, and it draws nothing."""
        return FieldView(self.value) if not self.is_volume else FieldView.OFF

    @property
    def is_volume(self) -> bool:
        """Whether a volume over the fixed one shows it."""
        return self in (FieldShown.MAGNITUDE, FieldShown.JACOBIAN)


class ClusterLevel(_Labelled):
    """The pyramid level whose tissue clusters are seen; the value is its number."""

    OFF = (0, "Off")
    LEVEL_5 = (5, "Level 5 (coarsest)")
    LEVEL_4 = (4, "Level 4")
    LEVEL_3 = (3, "Level 3")
    LEVEL_2 = (2, "Level 2 (finest)")


class ClusterRole(_Labelled):
    """The image whose tissue clusters are seen."""

    FIXED = ("fixed", "Fixed volume")
    MOVING = ("moving", "Moving volume")
