"""Makes the repository importable however pytest is started."""

import sys
from pathlib import Path

_TESTING = Path(__file__).resolve().parents[1]
for _folder in (_TESTING / "Host", _TESTING, _TESTING.parent):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

from host_fixtures import host  # noqa: E402, F401
