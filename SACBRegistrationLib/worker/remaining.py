"""How much longer a run will take, from how far it has come."""

_LEAST_FRACTION = 0.05
_LEAST_SECONDS = 2.0


class RemainingTime:
    """Estimates the time left; silent until enough is done to tell.

    The time so far is stretched to the whole: left = elapsed (1 - f) / f for the fraction f done since the
    first progress. Between two reports the estimate counts down.
    """

    def __init__(self) -> None:
        self._begun: float | None = None
        self._fraction = 0.0
        self._estimate: tuple[float, float] | None = None

    def update(self, fraction: float, now: float) -> None:
        """Takes in that a fraction in [0, 1] is done at a time in seconds.

        A fraction below the last one means that the work has begun anew.
        """
        if self._begun is None or fraction < self._fraction:
            self._begun, self._estimate = now, None
        self._fraction = fraction
        elapsed = now - self._begun
        if fraction >= _LEAST_FRACTION and elapsed >= _LEAST_SECONDS:
            self._estimate = (now, elapsed * (1 - fraction) / fraction)

    def left(self, now: float) -> float | None:
        """Returns the seconds left at a time, or None as long as nobody can tell."""
        if self._estimate is None:
            return None
        told, seconds = self._estimate
        return max(0.0, seconds - (now - told))
