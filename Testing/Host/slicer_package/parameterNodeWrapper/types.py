"""Types of Slicer's parameter nodes."""


class FloatRange:
    """A range of numbers; minimum may not pass maximum."""

    @staticmethod
    def checkRange(minimum, maximum):
        if minimum > maximum:
            raise ValueError(f"the minimum {minimum} is above the maximum {maximum}")

    def __init__(self, minimum=0, maximum=0) -> None:
        self.checkRange(minimum, maximum)
        self._minimum, self._maximum = float(minimum), float(maximum)

    def __str__(self) -> str:
        return f"FloatRange({self._minimum}, {self._maximum})"

    def __repr__(self) -> str:
        return str(self)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, FloatRange):
            return NotImplemented
        return (self._minimum, self._maximum) == (other._minimum, other._maximum)

    __hash__ = None

    @property
    def minimum(self) -> float:
        return self._minimum

    @minimum.setter
    def minimum(self, value: float) -> None:
        self.checkRange(value, self._maximum)
        self._minimum = float(value)

    @property
    def maximum(self) -> float:
        return self._maximum

    @maximum.setter
    def maximum(self, value: float) -> None:
        self.checkRange(self._minimum, value)
        self._maximum = float(value)

    def setRange(self, minimum, maximum) -> None:
        self.checkRange(minimum, maximum)
        self._minimum, self._maximum = float(minimum), float(maximum)
