"""The registration in a Slicer scene; the one part that knows MRML. World coordinates are RAS mm."""

from importlib import import_module

_LAZY = {
    "SACBRegistrationLogic": "SACBRegistrationLib.mrml.logic",
    "Outputs": "SACBRegistrationLib.mrml.outputs",
    "RegistrationNodes": "SACBRegistrationLib.mrml.outputs",
    "RegistrationRun": "SACBRegistrationLib.mrml.run",
    "result_of": "SACBRegistrationLib.mrml.outputs",
}

__all__ = ["Outputs", "RegistrationNodes", "RegistrationRun", "SACBRegistrationLogic", "result_of"]


def __getattr__(name: str):
    """Imports the public names on first use (PEP 562)."""
    if name in _LAZY:
        return getattr(import_module(_LAZY[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
