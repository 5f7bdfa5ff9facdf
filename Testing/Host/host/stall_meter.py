"""How long the main thread was away from its event loop."""

import faulthandler
import tempfile
import time

from PySide6 import QtCore

BEAT_MS = 5


class StallMeter:
    """Measures, inside its `with`, the longest time between two beats of a timer on the main thread.

    The test must let events run all the time, by process_events(until=...): its own work counts as well.

    Attributes:
        longest_ms: The longest time without a beat.
        longest_cpu_ms: Processor time the main thread used in that time: much less means that the thread
            waited, or that the machine was busy with something else.
        where: What the main thread did in the longest stall, innermost call last, when it was long enough
            and was looked at.

    Args:
        look_after_ms: Stalls longer than this are looked at, for somebody who searches for their cause; None
            does not. Looking reads the calls of a thread that runs meanwhile, which may crash the process.
    """

    def __init__(self, look_after_ms: float | None = None) -> None:
        self.longest_ms = 0.0
        self.longest_cpu_ms = 0.0
        self.where = ""
        self._look_after = None if look_after_ms is None else look_after_ms / 1000
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(lambda: self._beat())

    def __enter__(self) -> "StallMeter":
        # Not a Python thread: its garbage collection would delete Qt objects away from the main thread.
        self._file = tempfile.TemporaryFile("w+")
        self._last, self._last_cpu = time.monotonic(), time.thread_time()
        self._look_later()
        self._timer.start(BEAT_MS)
        return self

    def __exit__(self, *_: object) -> None:
        self._beat()
        self._timer.stop()
        if self._look_after is not None:
            faulthandler.cancel_dump_traceback_later()
        self._file.close()

    def _look_later(self) -> None:
        if self._look_after is None:
            return
        self._file.seek(0)
        self._file.truncate()
        faulthandler.dump_traceback_later(self._look_after, file=self._file)

    def _beat(self) -> None:
        now, cpu = time.monotonic(), time.thread_time()
        if (now - self._last) * 1000 > self.longest_ms:
            self.longest_ms = (now - self._last) * 1000
            self.longest_cpu_ms = (cpu - self._last_cpu) * 1000
            self._file.seek(0)
            calls = [line for line in self._file.read().splitlines() if line.startswith("  File")]
            self.where = "\n".join(reversed(calls))
        self._look_later()
        self._last, self._last_cpu = time.monotonic(), time.thread_time()
