"""A progress bar on the terminal; plain lines in a log file or where tqdm is not installed."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from SACBRegistrationLib.progress import ProgressCallback

logger = logging.getLogger(__name__)


@contextmanager
def progress_bar() -> Iterator[ProgressCallback]:
    """Yields a callback that shows the fraction done and the stage on standard error."""
    try:
        from tqdm import tqdm
    except ImportError:
        logger.debug("tqdm is not installed; progress is shown as lines")
        tqdm = None
    if tqdm is None or not sys.stderr.isatty():
        yield _line_printer()
        return
    form = "{desc:<28.28} {percentage:3.0f}% |{bar}| {elapsed} < {remaining}"
    with tqdm(total=1.0, bar_format=form, file=sys.stderr, leave=False, dynamic_ncols=True) as bar:

        def show(fraction: float, stage: str) -> None:
            bar.set_description_str(stage, refresh=False)
            bar.update(max(0.0, fraction - bar.n))

        yield show


def _line_printer() -> ProgressCallback:
    shown: list[str] = [""]

    def show(fraction: float, stage: str) -> None:
        if stage != shown[0]:
            shown[0] = stage
            print(f"{100 * fraction:3.0f} %  {stage}", file=sys.stderr)

    return show
