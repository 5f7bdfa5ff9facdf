"""Default values given in an annotation."""


class Default:
    """The default value of a parameter, or a function that makes it."""

    def __init__(self, value=None, *, generator=None):
        if value is not None and generator is not None:
            raise ValueError("give a value or a generator, not both")
        self._value = value
        self._generator = generator

    @property
    def value(self):
        return self._generator() if self._generator is not None else self._value

    def __repr__(self) -> str:
        return f"Default({self._generator or self._value!r})"

    def __eq__(self, other):
        if not isinstance(other, Default):
            return False
        return (self._value, self._generator) == (other._value, other._generator)

    __hash__ = None


def extractDefault(annotations):
    """Returns (the one Default or None, the other annotations).

    Raises:
        ValueError: There is more than one Default.
    """
    found = [item for item in annotations if isinstance(item, Default)]
    if len(found) > 1:
        raise ValueError("a parameter has one default value at most")
    return next(iter(found), None), [item for item in annotations if not isinstance(item, Default)]
