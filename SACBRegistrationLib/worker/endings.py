"""What to tell the user about a process that ended without an answer."""

import signal

_ABNORMAL_ON_WINDOWS = 0xC0000000
# PythonSlicer is a launcher that runs Slicer's real Python: when that crashes, it says so and returns 1.
_FAILED = 1
_LAUNCHER_SAYS = "exit abnormally"
_FROM_OUTSIDE = ("SIGTERM", "SIGINT", "SIGHUP", "SIGQUIT")

UNUSABLE = (
    "The registration's process gave an answer that cannot be used; run it again, and send the log to the "
    "developers if it happens again."
)
TOO_MUCH = (
    "The registration's process wrote far too many messages and was stopped; run it again, and send the log "
    "to the developers if it happens again."
)


def not_started(program: str, reason: str = "") -> str:
    """Returns the sentence for a program that could not be started."""
    return (
        f"The Python program {program} could not be started for the registration"
        + (f" ({reason})" if reason else "")
        + "; check that it is installed and may be run."
    )


def ending(exit_code: int | None, log: str = "") -> str:
    """Returns the sentence for a process that ended without a result.

    Args:
        exit_code: As WorkerProcess.exit_code gives it.
        log: What the process wrote to standard error.
    """
    if exit_code == _FAILED and _LAUNCHER_SAYS in log:
        return (
            "The registration's process crashed or was killed from outside, most often because the "
            "computer's memory was full; close other programs or use smaller volumes, and run it again."
        )
    if exit_code == 0:
        return (
            "The registration's process ended without a result; run it again, and look into the log if it "
            "happens again."
        )
    if exit_code is None:
        return (
            "The registration's process ended and nobody knows why; run it again, and look into the log if "
            "it happens again."
        )
    name = _signal_name(exit_code)
    if name == "SIGKILL":
        return (
            "The registration's process was killed from outside (SIGKILL), most often because the computer's "
            "memory was full; close other programs or use smaller volumes, and run it again."
        )
    if name in _FROM_OUTSIDE:
        return f"The registration's process was ended from outside ({name}); run it again."
    if name:
        return (
            f"The registration's process crashed ({name}); run it again, on the CPU if it ran on the GPU, "
            "and look into the log if it happens again."
        )
    return (
        f"The registration's process ended early with code {exit_code}; run it again, and look into the log "
        "if it happens again."
    )


def _signal_name(exit_code: int) -> str:
    if exit_code < 0:
        known = {int(item): item.name for item in signal.Signals}
        return known.get(-exit_code, f"signal {-exit_code}")
    return f"0x{exit_code:08X}" if exit_code >= _ABNORMAL_ON_WINDOWS else ""
