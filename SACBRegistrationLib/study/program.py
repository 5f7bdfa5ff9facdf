"""The program of a pair's process: `python program.py FOLDER`, started by file, not by module name.

It does the job in the folder and leaves the outcome there, or says on standard output why it cannot. Like a
worker it ends, and removes the folder, when nobody wants its work any more.
"""

import os
import sys
from pathlib import Path


def main(argv: list[str]) -> int:
    """Runs the program.

    Args:
        argv: The process's private folder.

    Returns:
        0; 1 when the pair cannot be measured; 2 for a wrong call.
    """
    if len(argv) != 1 or not Path(argv[0]).is_dir():
        sys.stderr.write("usage: program.py FOLDER\n")
        return 2
    folder = Path(argv[0])
    import faulthandler
    import signal
    import traceback

    from SACBRegistrationLib.worker.failures import failure
    from SACBRegistrationLib.worker.messages import MessageWriter
    from SACBRegistrationLib.worker.parent_watch import watch_parent
    from SACBRegistrationLib.worker.python_command import PARENT

    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    channel = os.dup(1)
    # Whatever libraries print goes to standard error.
    os.dup2(2, 1)

    def let_go() -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        for number in (channel, 1, 2):
            os.dup2(nowhere, number)

    parent = os.environ.get(PARENT, "")
    watch_parent(folder, int(parent) if parent.isdecimal() else None, let_go)
    with os.fdopen(channel, "wb", closefd=False) as stream:
        writer = MessageWriter(stream)
        try:
            _work(folder, writer)
        except Exception as error:
            traceback.print_exc()
            sys.stderr.flush()
            writer.failed(*failure(error))
            return 1
    return 0


def _work(folder: Path, writer) -> None:
    import json

    from SACBRegistrationLib.progress import Progress
    from SACBRegistrationLib.registration.saving import without_nan
    from SACBRegistrationLib.study.job import OUTCOME_FILE, PICTURE_FILE, read_job
    from SACBRegistrationLib.study.measuring import measure_pair

    job = read_job(folder)
    progress = Progress(writer.progress)
    measured = measure_pair(job.files, job.settings, progress)
    if job.picture:
        from SACBRegistrationLib.study.drawing import draw_measured

        progress.part(0.94, 1.0, "picture").report(0.0)
        draw_measured(folder / PICTURE_FILE, measured, job.name)
    part = folder / f"{OUTCOME_FILE}.part"
    part.write_text(json.dumps(without_nan(measured.record), allow_nan=False), encoding="utf-8")
    os.replace(part, folder / OUTCOME_FILE)


if __name__ == "__main__":
    # Python puts the program's own folder first, whose modules have common names.
    sys.path[0] = str(Path(__file__).resolve().parents[2])
    sys.exit(main(sys.argv[1:]))
