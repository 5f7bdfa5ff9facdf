"""What a parameter's value must keep to; all raise ValueError."""

import abc


class Validator(abc.ABC):
    """Refuses values."""

    @abc.abstractmethod
    def validate(self, value) -> None:
        """Raises ValueError unless the value is right."""


class IsNone(Validator):
    def __repr__(self) -> str:
        return "IsNone()"

    def validate(self, value) -> None:
        if value is not None:
            raise ValueError(f"{value!r} is not None")


class NotNone(Validator):
    def __repr__(self) -> str:
        return "NotNone()"

    def validate(self, value) -> None:
        if value is None:
            raise ValueError("the value must not be None")


class IsInstance(Validator):
    def __init__(self, classtype):
        self.classtype = classtype

    def __repr__(self) -> str:
        return f"IsInstance({self.classtype!r})"

    def validate(self, value) -> None:
        if value is not None and not isinstance(value, self.classtype):
            raise ValueError(f"{value!r} is no {self.classtype!r}")


class WithinRange(Validator):
    def __init__(self, minimum, maximum):
        if minimum > maximum:
            raise ValueError(f"the minimum {minimum} is above the maximum {maximum}")
        self.minimum, self.maximum = minimum, maximum

    def __repr__(self) -> str:
        return f"WithinRange({self.minimum!r}, {self.maximum!r})"

    def validate(self, value) -> None:
        if not self.minimum <= value <= self.maximum:
            raise ValueError(f"{value!r} is not from {self.minimum} to {self.maximum}")


class Minimum(Validator):
    def __init__(self, minimum):
        self.minimum = minimum

    def __repr__(self) -> str:
        return f"Minimum({self.minimum!r})"

    def validate(self, value) -> None:
        if value < self.minimum:
            raise ValueError(f"{value!r} is below {self.minimum}")


class Maximum(Validator):
    def __init__(self, maximum):
        self.maximum = maximum

    def __repr__(self) -> str:
        return f"Maximum({self.maximum!r})"

    def validate(self, value) -> None:
        if value > self.maximum:
            raise ValueError(f"{value!r} is above {self.maximum}")


class Choice(Validator):
    def __init__(self, choices):
        self.choices = choices

    def __repr__(self) -> str:
        return f"Choice({self.choices!r})"

    def validate(self, value) -> None:
        if value not in self.choices:
            raise ValueError(f"{value!r} is none of {self.choices!r}")


class Exclude(Validator):
    def __init__(self, excludedValues):
        self.excludedValues = excludedValues

    def __repr__(self) -> str:
        return f"Exclude({self.excludedValues!r})"

    def validate(self, value) -> None:
        if value in self.excludedValues:
            raise ValueError(f"{value!r} is one of {self.excludedValues!r}")


class RangeBounds(Validator):
    """Keeps a FloatRange within limits."""

    def __init__(self, minimum, maximum):
        self.minimum, self.maximum = minimum, maximum

    def __repr__(self) -> str:
        return f"RangeBounds({self.minimum!r}, {self.maximum!r})"

    def validate(self, value) -> None:
        if not self.minimum <= value.minimum <= value.maximum <= self.maximum:
            raise ValueError(f"{value!r} is not from {self.minimum} to {self.maximum}")


def extractValidators(annotations):
    """Returns (the validators, the other annotations)."""
    found = [item for item in annotations if isinstance(item, Validator)]
    return found, [item for item in annotations if not isinstance(item, Validator)]
