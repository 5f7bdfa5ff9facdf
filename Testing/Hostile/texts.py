"""Hostile text files: JSON presets, splits of a training as JSON and CSV, lists of pairs."""

import csv
import io
import json
from pathlib import Path

from Hostile.damage import REAL_NUMBERS, WHOLE_NUMBERS, Random, damaged, pick
from Hostile.place import Place

_TEXTS = (
    "",
    " ",
    "ixi",
    "\0",
    "a\nb",
    "\ud800",
    "\u202e",
    "é脳",
    "x" * 300,
    "x" * 10**5,
    "../../etc/passwd",
    "/dev/zero",
    "~",
    "-1",
    "%s%n",
    "{0}",
    "\x1b[31m",
)
_ENCODINGS = ("utf-8", "utf-8", "utf-8", "utf-8", "utf-8-sig", "utf-16", "latin-1", "utf-32", "utf-7")


def _preset() -> dict[str, object]:
    return {
        "name": "own",
        "modality": "mr",
        "size": [160, 192, 224],
        "spacing": 1.0,
        "axes": "LIA",
        "normalization": {"kind": "percentile", "lower": 0.5, "upper": 99.5},
        "title": "Own",
        "description": "none",
        "clusters": 7,
        "alignment": "affine",
        "weights": None,
        "refine_steps": 30,
        "refine_network": True,
        "training_lambda": 1.0,
        "labels": {"1": "left", "2": "right"},
    }


def _nonsense(rng: Random, depth: int = 0):
    """Returns any JSON value, among them ones that no reader expects."""
    choice = int(rng.integers(9 if depth < 3 else 6))
    if choice == 0:
        return pick(rng, WHOLE_NUMBERS)
    if choice == 1:
        return float(pick(rng, REAL_NUMBERS))
    if choice == 2:
        return pick(rng, (None, True, False))
    if choice in (3, 4):
        return pick(rng, _TEXTS)
    if choice == 5:
        return 10 ** int(rng.integers(30, 1000))
    if choice == 6:
        return [_nonsense(rng, depth + 1) for _ in range(int(rng.integers(5)))]
    if choice == 7:
        return {pick(rng, _TEXTS): _nonsense(rng, depth + 1) for _ in range(int(rng.integers(4)))}
    one = _nonsense(rng, 3)
    return [one] * int(rng.integers(1, 4000 if len(str(one)[:100]) < 100 else 9))


def _put(document, rng: Random) -> None:
    """Puts nonsense somewhere into a document."""
    while True:
        keys = list(document) if isinstance(document, dict) else list(range(len(document)))
        if not keys:
            return
        key = pick(rng, keys)
        inner = document[key]
        if isinstance(inner, dict | list) and inner and rng.random() < 0.5:
            document = inner
            continue
        if isinstance(document, dict) and rng.random() < 0.15:
            document[pick(rng, _TEXTS)] = inner
        elif rng.random() < 0.1:
            del document[key]
        else:
            document[key] = _nonsense(rng)
        return


def _json_text(document: object, rng: Random) -> str:
    text = json.dumps(document, ensure_ascii=bool(rng.random() < 0.5))
    chance = rng.random()
    if chance < 0.04:
        depth = int(10 ** rng.uniform(1, 5.5))
        opening, closing = pick(rng, (("[", "]"), ('{"a":', "}")))
        return text[:-1] + ', "deep": ' + opening * depth + closing * depth + "}"
    if chance < 0.07:
        return text.replace(
            "1", pick(rng, ("1" * 5000, "1e400", "1" * 10**5, "-0", "1E+99999", "01", "0x1")), 1
        )
    if chance < 0.1:
        return text.replace(
            "{", "{" + ", ".join(f'"{i}": 0' for i in range(int(10 ** rng.uniform(1, 4.9)))) + ", ", 1
        )
    if chance < 0.12:
        key = pick(rng, ('"name": "a"', '"x": 1', '"labels": {}'))
        return text[:-1] + (", " + key) * int(10 ** rng.uniform(0, 4.5)) + "}"
    if chance < 0.14:
        return pick(
            rng, ("", "null", "[]", '"text"', "1", "NaN", "{}", text * 2, "/*c*/" + text, text[:-1] + ",}")
        )
    return text


def _save(text: str, path: Path, rng: Random) -> Path:
    encoding = pick(rng, _ENCODINGS)
    halves = rng.random() < 0.1 and encoding.startswith("utf-8")
    content = text.encode(encoding, "surrogatepass" if halves else "replace")
    path.write_bytes(damaged(content, rng) if rng.random() < 0.25 else content)
    return path


def write_preset(rng: Random, place: Place) -> Path:
    """Writes one hostile preset and returns its path."""
    document = _preset()
    for _ in range(int(rng.integers(0, 3))):
        _put(document, rng)
    return _save(_json_text(document, rng), place.inside / "case.json", rng)


def _scans(place: Place) -> list[str]:
    names = [f"scan{i}.pkl" for i in range(4)]
    for name in names:
        (place.inside / name).touch()
    return names


def write_split(rng: Random, place: Place) -> Path:
    """Writes one hostile split of a training, JSON or CSV, and returns its path."""
    first, second, third, fourth = _scans(place)
    if rng.random() < 0.5:
        document = {"train": [first, {"image": second}], "val": [third, fourth]}
        for _ in range(int(rng.integers(0, 3))):
            _put(document, rng)
        return _save(_json_text(document, rng), place.inside / "case.json", rng)
    rows = [["image", "labels", "split"]]
    rows += [
        [name, "", part] for name, part in zip((first, second, third, fourth), ("train",) * 4, strict=True)
    ]
    return _save(_csv_text(rows, rng), place.inside / "case.csv", rng)


def write_pair_list(rng: Random, place: Place) -> Path:
    """Writes one hostile list of pairs and returns its path."""
    names = _scans(place)
    rows = [["fixed", "moving", "fixed_labels", "moving_labels"], names, names[::-1]]
    if rng.random() < 0.3:
        rows = [[*row, extra] for row, extra in zip(rows, ("name", "a", "b"), strict=True)]
    return _save(_csv_text(rows, rng), place.inside / "case.csv", rng)


def _csv_text(rows: list[list[str]], rng: Random) -> str:
    rows = [list(row) for row in rows]
    for _ in range(int(rng.integers(0, 3))):
        row = pick(rng, rows)
        if rng.random() < 0.3:
            row[:] = pick(rng, ([], row * 2, row[:-1], [*row, "more"], [pick(rng, _TEXTS)[:10_000]] * 2000))
        elif row:
            row[int(rng.integers(len(row)))] = pick(rng, _TEXTS)
    stream = io.StringIO()
    csv.writer(
        stream, delimiter=pick(rng, ",,,;\t"), lineterminator=pick(rng, ("\n", "\r\n", "\r"))
    ).writerows(rows)
    text = stream.getvalue()
    if rng.random() < 0.1:
        place = int(rng.integers(len(text) + 1))
        text = (
            text[:place] + pick(rng, ('"', "'", '"' * 99, "\0", ",", "\n" * 99, "x" * 200_000)) + text[place:]
        )
    return text
