"""Runs pytest on several files, each in a process of its own that need not import the large packages again.

    python Testing/together.py --import torch SimpleITK --files test_grid.py test_inverse.py

The packages are imported once, and every file is tested in a fork of that process, so that no file sees what
another left behind and a crash costs one file. Where a system has no fork, each file gets a new Python. The
exit code is 0 when every file passed; a file without tests has not (pytest's exit code 5).
"""

import argparse
import importlib
import os
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

# Hypothesis tests without its plugin, whose import takes longer than most files' tests.
_PYTEST = ("-p", "no:cacheprovider", "-p", "no:hypothesispytest")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--import", dest="packages", nargs="*", default=(), help="packages to import once")
    parser.add_argument("--files", nargs="+", required=True, help="test files")
    options = parser.parse_args(arguments)
    test = _in_fork if hasattr(os, "fork") else _in_new_python
    if test is _in_fork:
        for package in ("pytest", *options.packages):
            _import(package)
    outcomes = {}
    for file in options.files:
        start = time.monotonic()
        code = test(file)
        outcomes[file] = f"{Path(file).name}: exit code {code}, {time.monotonic() - start:.1f} s", code
    for line, _ in outcomes.values():
        print(line)
    return int(any(code for _, code in outcomes.values()))


def _import(package: str) -> None:
    # The tests that need a package that is not here say so themselves.
    try:
        importlib.import_module(package)
    except ImportError as error:
        print(f"{package} was not imported before the tests: {error}", file=sys.stderr)


def _in_fork(file: str) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        os._exit(_code(lambda: _pytest_main(file)))
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _pytest_main(file: str) -> int:
    import pytest

    return int(pytest.main([*_PYTEST, file]))


def _in_new_python(file: str) -> int:
    return subprocess.run([sys.executable, "-m", "pytest", *_PYTEST, file]).returncode


def _code(run: Callable[[], int]) -> int:
    # A fork must not return into its parent's code, whatever happens.
    try:
        return run()
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
