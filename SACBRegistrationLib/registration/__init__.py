"""Registering a pair: alignment, network, refinement, and the one transform they make."""

from SACBRegistrationLib.registration.register import register
from SACBRegistrationLib.registration.result import RegistrationResult

__all__ = ["RegistrationResult", "register"]
