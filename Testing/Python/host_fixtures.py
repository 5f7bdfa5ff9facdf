"""The test host for tests: real MRML, PySide6 widgets with PythonQt's rules. See Testing/Host/README.md."""

import pytest
from slicer_host import MISSING, is_available, start_host


@pytest.fixture
def host():
    """The running host; after the test its scene is empty, and nothing that went wrong is left unsaid."""
    if not is_available():
        pytest.skip(MISSING)
    running = start_host()
    running.clean()
    yield running
    running.clean()
