"""Plays many cases in child processes that may crash, hang or want too much memory, and counts them."""

import json
import os
import queue
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

HEADER = ("kind", "cases", "read", "refused", "else", "seconds", "slowest s", "most MiB")
MOST_SECONDS = 20.0
"""A case that takes longer hangs."""
MOST_MEBIBYTES = 64
"""Far more than any of the files holds, or honestly unpacks to."""
_LIMIT_MEBIBYTES = 1024
_PLAYER = Path(__file__).with_name("player.py")


@dataclass
class Tally:
    """What came of the cases of one kind.

    Attributes:
        kind: Name of the kind.
        cases: How many were played.
        read: Files that were read, without anything amiss.
        refused: Files that were refused in one sentence.
        wrong: Anything else: number of the case, and what happened.
        sentences: How often each sentence was given, numbers as 0.
        seconds: For all of them, with making the files.
        slowest: Longest time of reading one file, seconds.
        peak: Most memory that reading one file added, bytes.
        unlimited: Why no memory limit could be set, or None.
    """

    kind: str
    cases: int = 0
    read: int = 0
    refused: int = 0
    wrong: list[tuple[int, str]] = field(default_factory=list)
    sentences: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    slowest: float = 0.0
    peak: int = 0
    unlimited: str | None = None

    def add(self, played: dict) -> None:
        """Counts one case."""
        self.cases += 1
        self.slowest, self.peak = max(self.slowest, played["seconds"]), max(self.peak, played["peak"])
        outcome, reason = played["outcome"], played["reason"]
        if outcome != "wrong" and played["peak"] > MOST_MEBIBYTES * 2**20:
            outcome, reason = "wrong", f"reading took {played['peak'] / 2**20:.0f} MiB"
        if outcome == "wrong":
            self.wrong.append((played["case"], reason))
        elif outcome == "read":
            self.read += 1
        else:
            self.refused += 1
            self.sentences[reason] = self.sentences.get(reason, 0) + 1

    def joined(self, other: "Tally") -> "Tally":
        """Returns the tally of these cases and of others of the kind."""
        sentences = dict(self.sentences)
        for sentence, count in other.sentences.items():
            sentences[sentence] = sentences.get(sentence, 0) + count
        return Tally(
            self.kind,
            cases=self.cases + other.cases,
            read=self.read + other.read,
            refused=self.refused + other.refused,
            wrong=[*self.wrong, *other.wrong],
            sentences=sentences,
            seconds=self.seconds + other.seconds,
            slowest=max(self.slowest, other.slowest),
            peak=max(self.peak, other.peak),
            unlimited=self.unlimited or other.unlimited,
        )

    def row(self) -> tuple[str, ...]:
        """Returns its row of the table."""
        counts = (self.cases, self.read, self.refused, len(self.wrong))
        figures = (f"{self.seconds:.0f}", f"{self.slowest:.2f}", f"{self.peak / 2**20:.0f}")
        return (self.kind, *map(str, counts), *figures)


def play_cases(kind: str, seed: int, cases: int, first: int = 0, batch: int = 1000) -> Tally:
    """Plays cases one after another; a child that dies or hangs costs the one case it was at.

    Args:
        kind: A name of KINDS.
        seed: Source of every case, together with its number and kind.
        cases: How many.
        first: Number of the first.
        batch: Cases of one child process.
    """
    tally, started = Tally(kind), time.perf_counter()
    case, end = first, first + cases
    while case < end:
        case = _play_batch(tally, seed, case, min(end, case + batch))
    tally.seconds = time.perf_counter() - started
    return tally


def _play_batch(tally: Tally, seed: int, first: int, stop: int) -> int:
    """Plays cases in one child and returns the number of the next case."""
    with tempfile.TemporaryDirectory(prefix="sacb-hostile-") as folder, tempfile.TemporaryFile() as errors:
        command = [sys.executable, str(_PLAYER), tally.kind, str(seed), str(first), str(stop)]
        child = subprocess.Popen(
            [*command, str(_LIMIT_MEBIBYTES), folder],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONFAULTHANDLER": ""},
        )
        lines: queue.Queue = queue.Queue()
        reader = threading.Thread(target=_forward, args=(child.stdout, lines), daemon=True)
        reader.start()
        case = first
        try:
            # Libraries load before the first line.
            tally.unlimited = json.loads(lines.get(timeout=60) or "{}").get("unlimited", "the child died")
            while case < stop and (line := lines.get(timeout=MOST_SECONDS)):
                tally.add(json.loads(line))
                case += 1
        except queue.Empty:
            tally.cases += 1
            tally.wrong.append((case, f"no end within {MOST_SECONDS:g} s"))
            case += 1
        else:
            if case < stop:
                errors.seek(0)
                last = errors.read().decode(errors="replace").strip().splitlines()[-1:] or [""]
                tally.cases += 1
                tally.wrong.append((case, f"the process died with {child.wait()}: {last[0][:200]}"))
                case += 1
        finally:
            child.kill()
            child.wait()
            reader.join()
            child.stdout.close()
    return case


def _forward(stream, lines: queue.Queue) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
