"""PyTorch, the one thing that Slicer does not bring; looked for when Apply is pressed and not before."""

import importlib.metadata
import importlib.util
import logging
import re

from SACBRegistrationLib.errors import UserError

OLDEST_TORCH = (2, 2)

logger = logging.getLogger(__name__)


def ensure_torch() -> None:
    """Sees to it that the worker will find PyTorch, installing it through the PyTorch extension if wanted.

    NumPy and SimpleITK are Slicer's own and stay as they are.

    Raises:
        UserError: When there is none and none was installed; the sentence says what to do.
    """
    version = torch_version()
    if version is None:
        _install()
    elif version < OLDEST_TORCH:
        installed, needed = (".".join(map(str, numbers)) for numbers in (version, OLDEST_TORCH))
        raise UserError(
            f"PyTorch {installed} is too old, {needed} or newer is needed; "
            "in the module PyTorch Utils uninstall it, restart Slicer and press Apply again."
        )


def torch_version() -> tuple[int, int] | None:
    """Returns the installed PyTorch's version without importing it, or None."""
    if importlib.util.find_spec("torch") is None:
        return None
    try:
        text = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        logger.info("A torch package without metadata counts as none")
        return None
    numbers = re.match(r"(\d+)\.(\d+)", text)
    return (int(numbers[1]), int(numbers[2])) if numbers else None


def _install() -> None:
    try:
        import PyTorchUtils
    except ImportError:
        raise UserError(
            "PyTorch is missing; install the extension PyTorch with the Extensions Manager, restart Slicer "
            "and press Apply again."
        ) from None
    requirement = f">={'.'.join(map(str, OLDEST_TORCH))}"
    try:
        torch = PyTorchUtils.PyTorchUtilsLogic().installTorch(
            askConfirmation=True, torchVersionRequirement=requirement
        )
    except Exception as error:
        logger.exception("PyTorch could not be installed")
        raise UserError(
            "PyTorch could not be installed; check the network connection and press Apply again, or install "
            "it in the module PyTorch Utils."
        ) from error
    if torch is None:
        raise UserError(
            "PyTorch is needed and was not installed; press Apply again and confirm, or install it in the "
            "module PyTorch Utils."
        )
