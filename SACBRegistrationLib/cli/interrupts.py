"""Ctrl+C as a cancel event."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def interrupts() -> Iterator[threading.Event]:
    """Turns Ctrl+C into a cancel event while the block runs; a second one ends the program at once."""
    cancelled = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield cancelled
        return
    former = signal.getsignal(signal.SIGINT)

    def cancel(number, frame) -> None:
        signal.signal(signal.SIGINT, former)
        cancelled.set()

    signal.signal(signal.SIGINT, cancel)
    try:
        yield cancelled
    finally:
        signal.signal(signal.SIGINT, former)
