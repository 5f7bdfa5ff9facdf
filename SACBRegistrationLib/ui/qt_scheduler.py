"""Small steps beside Qt's event loop."""

import time
from collections.abc import Callable

import qt
import slicer

INTERVAL_MS = 20


class QtScheduler:
    """A Scheduler over QTimer."""

    def __init__(self) -> None:
        self._timers: list[qt.QTimer] = []

    def repeat(self, step: Callable[[], bool]) -> None:
        """Calls a step regularly from the event loop until it returns True or raises."""
        timer = qt.QTimer()
        timer.setInterval(INTERVAL_MS)

        def tick() -> None:
            ended = True
            try:
                ended = step()
            finally:
                if ended:
                    self._drop(timer)

        timer.connect("timeout()", tick)
        self._timers.append(timer)
        timer.start()

    def idle(self) -> None:
        """Lets the window breathe while a blocking run waits."""
        slicer.app.processEvents()
        time.sleep(INTERVAL_MS / 1000)

    def stop(self) -> None:
        """Stops all steps for good, as when the module goes."""
        for timer in list(self._timers):
            self._drop(timer)

    @property
    def active(self) -> int:
        """How many steps are still being repeated."""
        return len(self._timers)

    def _drop(self, timer: qt.QTimer) -> None:
        timer.stop()
        if timer in self._timers:
            self._timers.remove(timer)
