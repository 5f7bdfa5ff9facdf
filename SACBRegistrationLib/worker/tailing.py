"""Following a file that another process writes, and the log that is made of it."""

from pathlib import Path

_CHUNK_BYTES = 2**18
_MOST_LOG = 1_000_000
_LEFT_OUT = "[earlier lines are left out]\n"


class Tail:
    """Reads what is new in a growing file, a bounded amount at a time.

    Attributes:
        position: Bytes read so far.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rest = b""
        self.position = 0

    def lines(self) -> list[bytes]:
        """Returns the lines that have been completed, without their ends, from at most 256 KiB."""
        new = self._read()
        if not new:
            return []
        *lines, self._rest = (self._rest + new).split(b"\n")
        return lines

    def rest(self) -> bytes:
        """Returns the line that has not been completed."""
        return self._rest

    def is_behind(self) -> bool:
        """Returns whether there is more to read."""
        try:
            return self._path.stat().st_size > self.position
        except FileNotFoundError:
            return False

    def _read(self) -> bytes:
        # The file is opened anew each time: an open file could not be removed on Windows.
        try:
            with open(self._path, "rb") as file:
                file.seek(self.position)
                new = file.read(_CHUNK_BYTES)
        except FileNotFoundError:
            return b""
        self.position += len(new)
        return new


class Log:
    """The text of a log that keeps its last million characters."""

    def __init__(self) -> None:
        self._text = ""

    def add(self, line: str) -> None:
        """Appends a line."""
        self._text += line + "\n"
        if len(self._text) > _MOST_LOG:
            kept = self._text[-_MOST_LOG // 2 :]
            self._text = _LEFT_OUT + kept[kept.find("\n") + 1 :]

    @property
    def text(self) -> str:
        """All lines."""
        return self._text
