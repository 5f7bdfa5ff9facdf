"""What to tell the user about an exception of the work."""

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.memory_errors import is_host_memory

RETRY_NOTE = "The GPU's memory was too small, so the registration goes on on the CPU."


def failure(error: BaseException) -> tuple[str, str]:
    """Returns the kind of a failure ("user", "memory" or "error") and the sentence for the user."""
    if isinstance(error, UserError):
        return "user", str(error)
    if is_host_memory(error):
        return "memory", (
            "The computer's memory was too small for this pair; close other programs, crop or coarsen the "
            "volumes, or choose a larger field spacing, and run it again."
        )
    if isinstance(error, ModuleNotFoundError):
        name = {"torch": "PyTorch"}.get(error.name or "", error.name)
        return "error", (
            f"The registration needs {name}, which is not installed in the Python that runs it; install it "
            "and run it again."
        )
    if isinstance(error, OSError):
        return "error", (
            f"The registration could not read or write a file ({error.strerror or error}); check that the "
            "disk has room, and run it again."
        )
    reason = " ".join(str(error).split())[:200]
    return "error", (
        f"The registration failed unexpectedly ({type(error).__name__}{': ' if reason else ''}{reason}); "
        "the log says where, please send it to the developers."
    )
