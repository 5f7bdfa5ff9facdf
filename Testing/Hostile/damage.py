"""Damage that any file may take: flipped bits, cuts, and numbers that readers trust too easily."""

import numpy as np

Random = np.random.Generator

# Small, signed and unsigned limits, and what overflows once it is multiplied or added to.
WHOLE_NUMBERS = (
    *(-1, 0, 1, 2, 3, 5, 7, 8, 16, 255, 256, 348, 540, 1000, 1024, 32767, -32768, 65535, 65536, 10**6),
    *(2**24, 2**30, 2**31 - 1, 2**31, -(2**31), 2**32 - 1, 2**32, 2**62, 2**63 - 1, 2**63, 2**64, 10**30),
)
REAL_NUMBERS = (0.0, -0.0, -1.0, 1e-300, 1e-45, 1e-9, 0.5, 1e9, 1e38, 3.5e38, 1e300, np.nan, np.inf, -np.inf)


def pick(rng: Random, choices):
    """Returns one of several values, as they are."""
    return choices[int(rng.integers(len(choices)))]


def flipped(content: bytes, rng: Random, most: int = 8, within: int | None = None) -> bytes:
    """Returns the bytes with 1 to `most` bits turned over, among the first `within` bytes."""
    changed = bytearray(content)
    for _ in range(int(rng.integers(1, most + 1)) if changed else 0):
        place = int(rng.integers(min(len(changed), within or len(changed))))
        changed[place] ^= 1 << int(rng.integers(8))
    return bytes(changed)


def cut(content: bytes, rng: Random) -> bytes:
    """Returns a part from the start, most often most of it."""
    share = rng.random() if rng.random() < 0.5 else 1 - rng.random() ** 4
    return content[: int(share * len(content))]


def spliced(content: bytes, rng: Random) -> bytes:
    """Returns the bytes with a piece taken out, doubled, or replaced by noise or zeros."""
    if len(content) < 4:
        return content
    start = int(rng.integers(len(content) - 1))
    stop = min(len(content), start + int(rng.integers(1, max(2, len(content) // 8))))
    piece = content[start:stop]
    replacement = pick(rng, (b"", piece * 2, bytes(len(piece)), rng.bytes(len(piece)), b"\xff" * len(piece)))
    return content[:start] + replacement + content[stop:]


def damaged(content: bytes, rng: Random) -> bytes:
    """Returns the bytes damaged in one of these ways, or in several."""
    for _ in range(int(rng.integers(1, 3))):
        content = pick(rng, (flipped, cut, spliced))(content, rng)
    return content
