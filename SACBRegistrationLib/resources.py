"""Where presets and weights lie, from a source tree, a wheel and an installed Slicer extension alike."""

from pathlib import Path


def resource_folder(kind: str) -> Path:
    """Returns the folder of bundled resources of one kind.

    Args:
        kind: "Presets" or "Weights".

    Returns:
        The folder inside the package (wheel) or beside it (source tree, Slicer module folder).

    Raises:
        FileNotFoundError: When neither exists, that is when the installation is damaged.
    """
    package = Path(__file__).resolve().parent
    for root in (package, package.parent):
        folder = root / "Resources" / kind
        if folder.is_dir():
            return folder
    raise FileNotFoundError(
        f"The installation is damaged: the folder Resources/{kind} is missing; install again."
    )
