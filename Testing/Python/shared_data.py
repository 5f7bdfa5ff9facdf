"""Files that lie beside the repository and are never committed: golden results, real scans, papers."""

from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = REPOSITORY.parent / "shared"


def require_shared(relative: str) -> Path:
    """Returns the path of a shared file or folder; skips the calling test, saying why, where it is absent.

    Args:
        relative: Path inside the shared folder, such as "data/brain-oasis/1000_t1.nii.gz".
    """
    if not SHARED.is_dir():
        pytest.skip(f"needs ../shared/{relative}; there is no shared folder beside this repository")
    path = SHARED / relative
    if not path.exists():
        pytest.skip(f"needs ../shared/{relative}, which the shared folder beside this repository lacks")
    return path
