"""The program of a registration process: `python main.py FOLDER`, started by file, not by module name.

It waits for the job that its parent writes into the folder, does it, and says on standard output how it goes;
see `messages`. Standard input stays open as long as somebody wants the result: then the process removes the
folder and ends. So the folder goes even when the parent is killed.
"""

import os
import sys
from pathlib import Path

# Threads that wait by spinning slow a run down several times on a machine that does other work too. torch
# reads this when it is first imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
_SECONDS_BETWEEN = 0.01


def main(argv: list[str]) -> int:
    """Runs the program.

    Args:
        argv: The run's private folder.

    Returns:
        2 for a wrong call; otherwise the process ends when its parent has enough of it.
    """
    if len(argv) != 1 or not Path(argv[0]).is_dir():
        sys.stderr.write("usage: main.py FOLDER\n")
        return 2
    folder = Path(argv[0])
    # What libraries put aside for themselves (torch makes a cache on import) goes with the folder, too.
    os.environ.update(dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(folder)))
    import faulthandler
    import signal

    from SACBRegistrationLib.worker.messages import MessageWriter
    from SACBRegistrationLib.worker.parent_watch import watch_parent
    from SACBRegistrationLib.worker.python_command import PARENT

    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = _take_standard_output()

    def let_go() -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (channel, 1, 2):
            os.dup2(nowhere, number)

    parent = os.environ.get(PARENT, "")
    watcher = watch_parent(folder, int(parent) if parent.isdecimal() else None, let_go)
    with os.fdopen(channel, "wb", closefd=False) as stream:
        writer = MessageWriter(stream)
        _log_to(writer)
        _work(folder, writer)
        watcher.join()
    return 0


def _work(folder: Path, writer) -> None:
    import time
    import traceback

    from SACBRegistrationLib.worker.failures import failure
    from SACBRegistrationLib.worker.job import JOB_FILE, read_job

    try:
        # Imported while the parent still writes the volumes.
        from SACBRegistrationLib.worker.execution import execute

        while not (folder / JOB_FILE).exists():
            time.sleep(_SECONDS_BETWEEN)
        writer.done(execute(read_job(folder), folder, writer))
    except Exception as error:
        traceback.print_exc()
        sys.stderr.flush()
        writer.failed(*failure(error))


def _take_standard_output() -> int:
    """Returns a descriptor for the messages; whatever else is printed goes to standard error from now on."""
    channel = os.dup(1)
    os.dup2(2, 1)
    return channel


def _log_to(writer) -> None:
    """Has the log of all libraries written as messages, ours in detail."""
    import logging

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                writer.log(record.levelname, self.format(record))
            except Exception:
                self.handleError(record)

    logging.captureWarnings(True)
    logging.basicConfig(level=logging.WARNING, handlers=[Handler()], format="%(name)s: %(message)s")
    logging.getLogger("SACBRegistrationLib").setLevel(logging.DEBUG)


if __name__ == "__main__":
    # Python puts the program's own folder first, whose modules have common names.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    sys.exit(main(sys.argv[1:]))
