"""Pairs made by threads ahead of their use, in order."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")


def prefetched(make: Callable[[int], Item], numbers: Iterable[int], workers: int) -> Iterator[Item]:
    """Yields make(number) for every number in order; the threads work on the next ones meanwhile.

    What is yielded does not depend on the number of threads. An error of `make` is raised where its item is
    due.

    Args:
        make: Called in the threads.
        numbers: May be endless.
        workers: Threads, at least 1; so many items lie ready at most, and one more is in use.
    """
    pending = iter(numbers)
    with ThreadPoolExecutor(workers, thread_name_prefix="pairs") as pool:
        ready = deque(pool.submit(make, number) for number in islice(pending, workers))
        try:
            while ready:
                item = ready.popleft().result()
                ready.extend(pool.submit(make, number) for number in islice(pending, 1))
                yield item
                del item
        finally:
            for future in ready:
                future.cancel()
