"""Stand-in for slicer.testing."""

import sys


def exitSuccess():
    """Ends the process as a success."""
    sys.exit(0)


def exitFailure(message=""):
    """Ends the process as a failure."""
    sys.exit(message or 1)
