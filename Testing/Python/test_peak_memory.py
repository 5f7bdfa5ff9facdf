"""The peak memory of a process, which must not be that of the program that started it."""

import ctypes
import subprocess
import sys
from pathlib import Path

import pytest
from shared_data import REPOSITORY

from SACBRegistrationLib import peak_memory

MANY_BYTES = 400 * 2**20
IMPORT = "import SACBRegistrationLib.registration\n"
ASK = "from SACBRegistrationLib.peak_memory import peak_memory_bytes; print(peak_memory_bytes())"


def peak_of_a_process(code: str) -> int:
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_peak_stays_when_memory_is_given_back():
    few = peak_of_a_process(IMPORT + ASK)
    many = peak_of_a_process(IMPORT + f"block = b'1' * {MANY_BYTES}; del block\n" + ASK)
    assert 5e6 < few < 3e9
    assert 0.9 * MANY_BYTES < many - few < 1.5 * MANY_BYTES


@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="only Linux counts from the program's start"
)
def test_peak_is_not_the_parents():
    block = b"1" * MANY_BYTES
    assert peak_memory.peak_memory_bytes() > len(block)
    # os.posix_spawn and vfork, which subprocess uses, share the parent's memory until the program starts.
    assert peak_of_a_process(ASK) < peak_memory.peak_memory_bytes() - MANY_BYTES / 2


def test_windows_structure_has_the_documented_layout():
    pointer = ctypes.sizeof(ctypes.c_void_p)
    counters = peak_memory._MemoryCounters
    assert ctypes.sizeof(counters) == 8 + 8 * pointer
    assert counters.peak_working_set.offset == 8


@pytest.mark.skipif(sys.platform != "win32", reason="asks Windows")
def test_windows_answers():
    assert 5e6 < peak_memory.peak_memory_bytes() < 100e9
