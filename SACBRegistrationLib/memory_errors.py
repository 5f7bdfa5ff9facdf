"""Telling from an exception whose memory was too small; imports torch only when asked."""

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
