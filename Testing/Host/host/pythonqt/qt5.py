"""Where PySide6 (Qt 6) and Qt 5.15, which Slicer's users run, name things differently."""

import functools
import json
from pathlib import Path

# Signals that Qt 5.15 has and Qt 6 renamed: Qt 6's signal that fires at the same time with the same value.
ALIASES = {
    ("QComboBox", "currentIndexChanged(QString)"): "currentTextChanged(QString)",
    ("QComboBox", "activated(QString)"): "textActivated(QString)",
    ("QComboBox", "highlighted(QString)"): "textHighlighted(QString)",
    ("QSpinBox", "valueChanged(QString)"): "textChanged(QString)",
    ("QDoubleSpinBox", "valueChanged(QString)"): "textChanged(QString)",
    ("QButtonGroup", "buttonClicked(int)"): "idClicked(int)",
    ("QButtonGroup", "buttonToggled(int,bool)"): "idToggled(int,bool)",
}

_NEWER = Path(__file__).with_name("newer_than_qt5.json")


@functools.cache
def _newer() -> dict[str, frozenset[str]]:
    return {name: frozenset(members) for name, members in json.loads(_NEWER.read_text()).items()}


def is_newer(cls: type, name: str) -> bool:
    """Whether a class of PySide6 has a member that came after Qt 5.15."""
    for base in cls.__mro__:
        if name in _newer().get(base.__name__, ()):
            return True
        if name in vars(base):
            return False
    return False


def signal_alias(cls: type, signature: str) -> str | None:
    """The Qt 6 signature for one that only Qt 5.15 has."""
    for base in cls.__mro__:
        found = ALIASES.get((base.__name__, signature))
        if found:
            return found
    return None
