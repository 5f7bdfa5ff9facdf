"""Hostile NRRD files, .nrrd and .nhdr: sizes that lie, other files pointed at, text where numbers belong."""

import bz2
import gzip
from pathlib import Path

import numpy as np
from Hostile.damage import REAL_NUMBERS, WHOLE_NUMBERS, Random, damaged, pick
from Hostile.place import SIZE, Place

_TYPES = (
    "short",
    "uchar",
    "int8",
    "unsigned long long",
    "float",
    "double",
    "block",
    "default",
    "",
    "Short",
    "x" * 300,
)
_ENCODINGS = ("raw", "gzip", "gz", "ascii", "text", "txt", "hex", "bzip2", "bz2", "zrl", "nonsense", "")
_KINDS = (
    "domain domain domain",
    "vector domain domain",
    "3-vector domain",
    "list",
    "none none none none",
    "???",
)
_SPACES = (
    "left-posterior-superior",
    "right-anterior-superior",
    "LPS",
    "scanner-xyz",
    "3D-right-handed-time",
    "nonsense",
)


def _fields() -> dict[str, str]:
    return {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": " ".join(map(str, SIZE)),
        "space directions": "(1.0,0.1,0) (-0.17,1.7,0) (0,0,2.3)",
        "kinds": "domain domain domain",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(5,-6,7)",
    }


def _number(rng: Random) -> str:
    if rng.random() < 0.5:
        return str(pick(rng, WHOLE_NUMBERS))
    return pick(
        rng, (str(pick(rng, REAL_NUMBERS)), "1e999", "0x7fffffff", "1,5", "--3", "nan", "9" * 400, "%s%n")
    )


def _numbers(rng: Random, most: int = 4) -> str:
    return " ".join(_number(rng) for _ in range(int(rng.integers(0, most + 1))))


def _vectors(rng: Random) -> str:
    def vector() -> str:
        return pick(
            rng, ("none", "(1,0,0)", "(0,0,0)", f"({','.join(_number(rng) for _ in range(3))})", "(1,2")
        )

    return " ".join(vector() for _ in range(int(rng.integers(0, 5))))


def _put_nonsense(fields: dict[str, str], rng: Random) -> None:
    name = pick(
        rng,
        ("dimension", "sizes", "sizes", "type", "encoding", "space", "kinds", "endian", "vectors", "more"),
    )
    if name == "vectors":
        fields[pick(rng, ("space directions", "space origin", "measurement frame"))] = _vectors(rng)
    elif name == "more":
        extra = (
            "spacings",
            "axis mins",
            "axis maxs",
            "thicknesses",
            "line skip",
            "byte skip",
            "block size",
            "min",
            "max",
        )
        fields[pick(rng, extra)] = _numbers(rng)
        if rng.random() < 0.3:
            fields[pick(rng, ("labels", "units", "space units", "centerings", "content", "number"))] = (
                '"a" "b\\"' * int(rng.integers(1, 90))
            )
    else:
        choices = {
            "dimension": lambda: _number(rng),
            "sizes": lambda: _numbers(rng, 5) if rng.random() < 0.5 else _sizes(rng),
            "type": lambda: pick(rng, _TYPES),
            "encoding": lambda: pick(rng, _ENCODINGS),
            "space": lambda: pick(rng, _SPACES),
            "kinds": lambda: pick(rng, _KINDS),
            "endian": lambda: pick(rng, ("big", "little", "middle", "")),
        }
        fields[name] = choices[name]()


def _sizes(rng: Random) -> str:
    sides = list(SIZE)
    sides[int(rng.integers(3))] = int(pick(rng, (0, -1, 1, 8, 4096, 10**6, 2**31, 2**33, 2**62)))
    return " ".join(map(str, sides))


def _elsewhere(rng: Random, place: Place) -> str:
    """Returns a data file outside the case's folder, and ways to say it."""
    choices = (
        str(place.secret),
        f"../{place.secret.name}",
        f"./../{place.secret.name}",
        f"{place.inside}/../{place.secret.name}",
        f"LIST\n{place.secret}",
        f"LIST 2\n{place.secret}",
        "../secret%d.raw 1 1 1",
        "/etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "-",
        "",
        "case.nhdr",
        "none.raw",
        ".",
        "~/x",
        "file://" + str(place.secret),
        "x" * 5000,
    )
    return pick(rng, choices)


def _encoded(values: np.ndarray, encoding: str) -> bytes:
    raw = values.tobytes()
    encoders = {
        "gzip": lambda: gzip.compress(raw, 1),
        "bzip2": lambda: bz2.compress(raw),
        "ascii": lambda: " ".join(map(str, values)).encode(),
        "hex": lambda: raw.hex().encode(),
    }
    return encoders.get(encoding, lambda: raw)()


def write_nrrd(rng: Random, place: Place) -> Path:
    """Writes one hostile file and returns its path."""
    fields = _fields()
    values = rng.integers(-500, 500, int(np.prod(SIZE))).astype("<i2")
    encoding = pick(rng, ("raw", "raw", "gzip", "gzip", "ascii", "hex", "bzip2"))
    fields["encoding"] = encoding
    content = _encoded(values, encoding)
    if encoding == "gzip" and rng.random() < 0.05:
        content = gzip.compress(values.tobytes() + bytes(2**25), 9)
    for _ in range(int(rng.integers(0, 3))):
        _put_nonsense(fields, rng)
    names = list(fields)
    if rng.random() < 0.2:
        rng.shuffle(names)
    if rng.random() < 0.1:
        names.append(pick(rng, names))
    if rng.random() < 0.1:
        names.remove(pick(rng, names))
    lines = [pick(rng, ("NRRD0004",) * 6 + ("NRRD0005", "NRRD0001", "NRRD0009", "NRRD00.01"))]
    lines += [f"{name}: {fields[name]}" for name in names]
    if rng.random() < 0.1:
        lines.insert(
            1, pick(rng, ("# note", "key:=value", "key:=" + "v" * 10**5, "odd line", ":", "x" * 10**5))
        )
    detached = rng.random() < 0.35
    if detached:
        other = rng.random() < 0.6
        (place.inside / "case.raw").write_bytes(damaged(content, rng) if rng.random() < 0.2 else content)
        name = pick(rng, ("data file", "data file", "datafile", "Data File", "DATAFILE"))
        lines.append(f"{name}: {_elsewhere(rng, place) if other else 'case.raw'}")
        content = b"" if rng.random() < 0.8 else content
    header = pick(rng, ("\n", "\n", "\n", "\r\n")).join([*lines, "", ""]).encode("utf-8", "surrogatepass")
    if rng.random() < 0.15:
        header = damaged(header, rng)
    whole = header + content
    if rng.random() < 0.15:
        whole = damaged(whole, rng)
    path = place.inside / pick(rng, ("case.nhdr",) * 3 + ("case.nrrd",) if detached else ("case.nrrd",))
    path.write_bytes(whole)
    return path
