"""Text from a file of unknown origin, made fit to stand in a sentence or a label."""

import unicodedata

MOST_SHOWN = 300
"""Letters of a path in a sentence."""

_LAYOUT = "\n\t"


def shown(text: object, most: int = 80) -> str:
    """Returns text as a sentence may quote it: one line, nothing that a terminal obeys, cut where it is long.

    Args:
        text: Anything; its str() is taken.
        most: Most characters that are kept; three dots stand for the rest.
    """
    whole = str(text)
    kept = "".join(letter if letter.isprintable() else "?" for letter in whole[:most])
    return kept + "..." if len(whole) > most else kept


def is_plain_text(text: str) -> bool:
    """Says whether text can be written and shown: no control characters but line breaks and tabs."""
    # "Cc" are control characters, "Cs" the halves of a character, which no encoding can write.
    return all(letter in _LAYOUT or unicodedata.category(letter) not in ("Cc", "Cs") for letter in text)
