"""What a user waits for before anything happens."""

import subprocess
import sys
import time

import pytest
from shared_data import REPOSITORY

HEAVY = {"torch", "SimpleITK", "numpy", "matplotlib", "tqdm"}
# A tenth of this on an idle machine.
MOST_SECONDS = 1.5
COMMAND = """
from SACBRegistrationLib.cli.main import main
try:
    main({arguments})
except SystemExit as end:
    print("ended with", end.code)
"""
STARTS = {
    "package": "import SACBRegistrationLib",
    "help": COMMAND.format(arguments=["register", "--help"]),
    "wrong option": COMMAND.format(arguments=["demo", "--wrong"]),
}


@pytest.mark.parametrize("start", STARTS.values(), ids=STARTS)
def test_starts_at_once_and_without_what_a_registration_needs(start):
    code = f"{start}\nimport sys\nprint(*({HEAVY!r} & sys.modules.keys()), file=sys.stderr)"
    seconds = []
    for _ in range(3):
        begun = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
        seconds.append(time.perf_counter() - begun)
        assert done.returncode == 0, done.stderr
        assert not HEAVY & set(done.stderr.split()), done.stderr
    assert min(seconds) < MOST_SECONDS
