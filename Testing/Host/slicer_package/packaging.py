"""Stand-in for slicer.packaging: installing is refused unless a test supplies how."""

from collections.abc import Callable
from pathlib import Path


def pip_install(
    requirements: str | list[str],
    constraints: str | Path | None = None,
    no_deps_requirements: str | list[str] | None = None,
    skip_packages: list[str] | None = None,
    blocking: bool = True,
    show_progress: bool = True,
    requester: str | None = None,
    parent: "qt.QWidget | None" = None,  # noqa: F821
    logCallback: Callable[[str], None] | None = None,
    completedCallback: Callable[[int], None] | None = None,
) -> list[str] | None:
    """Refuses."""
    raise AssertionError(f"the test host installs nothing, and was asked for {requirements}")


def pip_uninstall(
    requirements: str | list[str],
    blocking: bool = True,
    logCallback: Callable[[str], None] | None = None,
    completedCallback: Callable[[int], None] | None = None,
) -> None:
    """Refuses."""
    raise AssertionError(f"the test host removes nothing, and was asked to remove {requirements}")
