"""Where bundled files lie, from a source tree, a wheel and an installed Slicer extension alike."""

from pathlib import Path


def resource_folder(kind: str) -> Path:
    """Returns the folder of bundled resources of one kind.

    Args:
        kind: "Presets", "Weights", "Published", "UI" or "Icons".

    Returns:
        The folder inside the package (wheel) or beside it (source tree, Slicer module folder).

    Raises:
        FileNotFoundError: When neither exists, that is when the installation is damaged.
    """
    return _find(kind)


def ui_file(name: str) -> Path:
    """Returns a panel in Qt Designer's format.

    Args:
        name: File name, such as "SACBRegistration.ui".

    Raises:
        FileNotFoundError: When it is missing, that is when the installation is damaged.
    """
    return _find(f"UI/{name}")


def icon_file(name: str) -> Path:
    """Returns a bundled picture for buttons and lists.

    Args:
        name: File name, such as "SACBRegistration.png".

    Raises:
        FileNotFoundError: When it is missing, that is when the installation is damaged.
    """
    return _find(f"Icons/{name}")


def _find(relative: str) -> Path:
    package = Path(__file__).resolve().parent
    for root in (package, package.parent):
        path = root / "Resources" / relative
        if path.exists():
            return path
    raise FileNotFoundError(f"The installation is damaged: Resources/{relative} is missing; install again.")
