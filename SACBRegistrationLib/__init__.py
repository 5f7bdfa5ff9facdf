"""SACB-Net deformable registration: the backend behind the Slicer module and the command line.

Importing this package costs nothing: torch and SimpleITK are imported on first use of a name.
"""

from importlib import import_module

__version__ = "0.1.0"

_LAZY = {
    "register": "SACBRegistrationLib.registration",
    "RegistrationResult": "SACBRegistrationLib.registration",
    "RegistrationSettings": "SACBRegistrationLib.settings",
    "UserError": "SACBRegistrationLib.errors",
    "CancelledError": "SACBRegistrationLib.errors",
}

__all__ = [
    "CancelledError",
    "RegistrationResult",
    "RegistrationSettings",
    "UserError",
    "__version__",
    "register",
]


def __getattr__(name: str):
    """Imports the public names on first use (PEP 562)."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
