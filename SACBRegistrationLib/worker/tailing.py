"""Following a file that another process writes, and the log that is made of it."""

from pathlib import Path

_CHUNK_BYTES = 2**16
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
        """Returns the lines that have been completed, without their ends, from at most 64 KiB."""
        new = self._read()
        if not new:
            return []
        *lines, self._rest = (self._rest + new).split(b"\n")
        return lines

    def rest(self) -> bytes:
        """Returns the line that has not been completed."""
        return self._rest

    def size(self) -> int:
        """Returns how many bytes the other process has written so far."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def is_behind(self) -> bool:
        """Returns whether there is more to read."""
        return self.size() > self.position

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
    """The text of a log that keeps its last lines, half a million characters of them at least."""

    def __init__(self) -> None:
        self._lines: list[str] = []
        self._length = 0

    def add(self, line: str) -> None:
        """Appends a line."""
        self._lines.append(line + "\n")
        self._length += len(line) + 1
        if self._length > _MOST_LOG:
            kept = "".join(self._lines)[-_MOST_LOG // 2 :]
            self._lines = [_LEFT_OUT + kept[kept.find("\n") + 1 :]]
            self._length = len(self._lines[0])

    @property
    def text(self) -> str:
        """All lines."""
        self._lines = ["".join(self._lines)]
        return self._lines[0]
