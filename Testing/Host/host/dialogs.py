"""Messages and questions while a test runs: recorded, and answered from what the test prepared."""

from collections import deque
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, NamedTuple


class Shown(NamedTuple):
    """One message or question: kind is the function that was called, such as "errorDisplay"."""

    kind: str
    text: str
    title: str = ""
    options: Mapping[str, Any] = MappingProxyType({})


class UnansweredQuestionError(AssertionError):
    """A module asked what the test has no answer for; in Slicer the test would wait for ever."""


class Dialogs:
    """The person in front of the host.

    Attributes:
        shown: What was shown or asked, in order.
    """

    def __init__(self) -> None:
        self.shown: list[Shown] = []
        self._answers: deque = deque()

    def answer(self, *values: Any) -> None:
        """Prepares answers to the next questions, in order: True, False, a text, a file name, a button."""
        self._answers.extend(values)

    def tell(self, kind: str, text: str, title: str = "", **options: Any) -> None:
        """Records a message that needs no answer."""
        self.shown.append(Shown(kind, text, title, options))

    def ask(self, kind: str, title: str, text: str, **options: Any) -> Any:
        """Records a question and returns the prepared answer.

        Raises:
            UnansweredQuestionError: No answer was prepared.
        """
        self.tell(kind, text, title, **options)
        if not self._answers:
            raise UnansweredQuestionError(f"{kind} asked, and the test prepared no answer: {text}")
        return self._answers.popleft()

    def take(self, kind: str | None = None) -> list[Shown]:
        """Returns what was shown (of one kind) and forgets it."""
        taken = [item for item in self.shown if kind in (None, item.kind)]
        self.shown = [item for item in self.shown if item not in taken]
        return taken

    def clear(self) -> None:
        """Forgets everything shown and every prepared answer."""
        self.shown.clear()
        self._answers.clear()

    @property
    def unused_answers(self) -> tuple:
        """Answers that no question used."""
        return tuple(self._answers)


dialogs = Dialogs()
