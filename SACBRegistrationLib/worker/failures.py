"""What to tell the user about an exception of the work."""

from SACBRegistrationLib.errors import UserError

RETRY_NOTE = "The GPU's memory was too small, so the registration goes on on the CPU."
_GPU_LIBRARIES = ("cuda", "cudnn", "cublas", "cusolver", "cufft")
_GPU_REASONS = (
    "out of memory",
    "alloc_failed",
    "allocation_failed",
    # What cuDNN says when no convolution algorithm fits into the memory that is left.
    "unable to find an engine",
)
_HOST_REASONS = (
    "can't allocate memory",
    "not enough memory",
    "failed to allocate memory",
    "bad_alloc",
    "bad allocation",
    "cannot allocate memory",
)


def is_gpu_memory(error: BaseException) -> bool:
    """Returns whether the GPU's memory was too small."""
    import torch

    if isinstance(error, torch.cuda.OutOfMemoryError):
        return True
    text = str(error).lower()
    if not isinstance(error, RuntimeError) or is_host_memory(error):
        return False
    named = any(library in text for library in _GPU_LIBRARIES) or _GPU_REASONS[-1] in text
    return named and any(reason in text for reason in _GPU_REASONS)


def is_host_memory(error: BaseException) -> bool:
    """Returns whether the computer's memory was too small."""
    if isinstance(error, MemoryError):
        return True
    text = str(error).lower()
    return isinstance(error, (RuntimeError, OSError)) and any(reason in text for reason in _HOST_REASONS)


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
