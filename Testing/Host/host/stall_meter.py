"""How long the main thread was away from its event loop."""

import sys
import threading
import time
import traceback

from PySide6 import QtCore

BEAT_MS = 5


class StallMeter:
    """Measures, inside its `with`, the longest time between two beats of a timer on the main thread.

    The test must let events run all the time, by process_events(until=...): its own work counts as well.

    Attributes:
        longest_ms: The longest time without a beat.
        longest_cpu_ms: Processor time the main thread used in that time: much less means that the thread
            waited, or that the machine was busy with something else.
        where: What the main thread did in the longest stall, when it was seen.
    """

    def __init__(self, look_after_ms: float = 50.0) -> None:
        self.longest_ms = 0.0
        self.longest_cpu_ms = 0.0
        self.where = ""
        self._look_after = look_after_ms / 1000
        self._seen: tuple[float, str] = (0.0, "")
        self._stop = threading.Event()
        self._main = threading.get_ident()
        self._timer = QtCore.QTimer()
        self._timer.setTimerType(QtCore.Qt.TimerType.PreciseTimer)
        self._timer.timeout.connect(self._beat)

    def __enter__(self) -> "StallMeter":
        self._last, self._last_cpu = time.monotonic(), time.thread_time()
        self._timer.start(BEAT_MS)
        self._watcher = threading.Thread(target=self._watch, daemon=True)
        self._watcher.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._beat()
        self._timer.stop()
        self._stop.set()
        self._watcher.join()

    def _beat(self) -> None:
        now, cpu = time.monotonic(), time.thread_time()
        if (now - self._last) * 1000 > self.longest_ms:
            self.longest_ms = (now - self._last) * 1000
            self.longest_cpu_ms = (cpu - self._last_cpu) * 1000
            seen_at, text = self._seen
            self.where = text if seen_at == self._last else ""
        self._last, self._last_cpu = now, cpu

    def _watch(self) -> None:
        while not self._stop.wait(self._look_after / 4):
            last = self._last
            if time.monotonic() - last > self._look_after and self._seen[0] != last:
                frame = sys._current_frames().get(self._main)
                self._seen = (last, "".join(traceback.format_stack(frame)))
