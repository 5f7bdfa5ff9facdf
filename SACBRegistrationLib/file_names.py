"""Names that cannot be those of files everywhere."""

import re

_DEVICES = re.compile(r"(con|prn|aux|nul|com\d|lpt\d)(\..*)?", re.IGNORECASE)


def is_device(name: str) -> bool:
    """Returns whether Windows takes a file of this name, with whatever ending, for one of its devices."""
    return _DEVICES.fullmatch(name) is not None
