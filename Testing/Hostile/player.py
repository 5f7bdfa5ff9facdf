"""Plays cases of one kind in this process and tells, a line for each, what came of them; see campaign.py.

python player.py KIND SEED FIRST STOP MEBIBYTES FOLDER
"""

import json
import os
import re
import shutil
import sys
import time
import zlib
from pathlib import Path

_TESTING = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TESTING.parent))
sys.path.insert(0, str(_TESTING))

import numpy as np  # noqa: E402
from Hostile.kinds import KINDS, Kind  # noqa: E402
from Hostile.place import Place, make_place  # noqa: E402

from SACBRegistrationLib.errors import UserError  # noqa: E402

MOST_SENTENCE = 700
_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_NO_MEMORY = re.compile(r"bad_alloc|\ballocat|not enough memory", re.IGNORECASE)


def random_of(kind: str, seed: int, case: int) -> np.random.Generator:
    """Returns the source of a case: the same one whatever else is played."""
    return np.random.default_rng([seed, zlib.crc32(kind.encode()), case])


def limit_memory(mebibytes: int) -> str | None:
    """Lets this process take so much more address space than now; returns why not, or None."""
    try:
        import resource
    except ImportError:
        return "this system has no limits for a process"
    if not _STATUS.exists():
        return "this system does not tell a process's size"
    most = _kilobytes("VmSize") * 1024 + mebibytes * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    return None


def _kilobytes(name: str) -> int:
    return int(re.search(rf"^{name}:\s+(\d+)", _STATUS.read_text(encoding="ascii"), re.MULTILINE)[1])


def wrong_with(error: UserError, path: Path) -> str | None:
    """Returns what keeps a refusal from being one clear sentence, or None."""
    message = str(error)
    bare = message.replace(str(path), "PATH").replace(str(path.parent), "FOLDER")
    if "PATH" not in bare:
        return f"the sentence does not name the file: {bare[:200]!r}"
    if not re.fullmatch(r"[A-Z][^\n\r]*\.", bare) or not bare.isprintable():
        return f"no single line of text: {bare[:200]!r}"
    if len(bare) > MOST_SENTENCE:
        return f"a sentence of {len(bare)} letters: {bare[:200]!r}"
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or _NO_MEMORY.search(str(cause)):
            return f"it asked for memory beyond the limit: {cause!r}"[:300]
        cause = cause.__cause__ or cause.__context__
    return None


def play(kind: Kind, name: str, seed: int, case: int, place: Place) -> dict[str, object]:
    """Plays one case and returns its outcome: "read", "refused" or "wrong", with the reason."""
    shutil.rmtree(place.inside)
    place.inside.mkdir()
    path = kind.write(random_of(name, seed, case), place)
    before = {each.name: each.stat().st_size for each in place.inside.iterdir()}
    printed = _printed()
    held = _reset_peak()
    started = time.perf_counter()
    try:
        wrong = kind.read(path)
        outcome, reason = ("wrong", wrong) if wrong else ("read", "")
    except UserError as error:
        wrong = wrong_with(error, path)
        outcome, reason = ("wrong", wrong) if wrong else ("refused", _form(error, path))
    except Exception as error:
        outcome, reason = "wrong", f"{type(error).__name__}: {error}"[:300]
    seconds = time.perf_counter() - started
    if _printed() != printed:
        outcome, reason = "wrong", "something was printed beside the sentence"
    if place.marker.exists():
        place.marker.unlink()
        outcome, reason = "wrong", "code of the file was run"
    if {each.name: each.stat().st_size for each in place.inside.iterdir()} != before:
        outcome, reason = "wrong", "the reader wrote a file"
    peak = _peak() - held
    return {"case": case, "outcome": outcome, "reason": reason, "seconds": seconds, "peak": peak}


def _form(error: UserError, path: Path) -> str:
    """Returns the sentence without what differs from case to case."""
    return re.sub(r"\d+", "0", str(error).replace(str(path), "FILE"))[:100]


def _printed() -> int:
    """Returns how much stands in the file that standard error goes to."""
    sys.stderr.flush()
    return os.fstat(2).st_size


def _reset_peak() -> int:
    """Forgets the peak so far and returns the memory held now, bytes; 0 where the system does not tell."""
    if not _CLEAR.exists():
        return 0
    _CLEAR.write_text("5", encoding="ascii")
    return _kilobytes("VmRSS") * 1024


def _peak() -> int:
    return _kilobytes("VmHWM") * 1024 if _CLEAR.exists() else 0


def main() -> None:
    name, seed, first, stop, mebibytes = sys.argv[1], *map(int, sys.argv[2:6])
    kind, place = KINDS[name](), make_place(Path(sys.argv[6]))
    unlimited = limit_memory(mebibytes)
    print(json.dumps({"unlimited": unlimited}), flush=True)
    for case in range(first, stop):
        print(json.dumps(play(kind, name, seed, case, place)), flush=True)
    # Libraries that a damaged file confused must not turn the end into a crash of some case.
    sys.stdout.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
