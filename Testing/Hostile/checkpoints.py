"""Hostile torch files: ours and the authors' form, as archives and in torch's older form."""

import collections
import io
import struct
import zipfile
from pathlib import Path

import torch
from Hostile.damage import REAL_NUMBERS, WHOLE_NUMBERS, Random, damaged, flipped, pick
from Hostile.opcodes import calls, changed, claims
from Hostile.place import Place

from SACBRegistrationLib.network import SACBNet
from SACBRegistrationLib.network.authors_format import published_key

_INFO = {"preset": "ixi", "axes": "LIA", "spacing_mm": [1.0, 2.0], "licence": "none", "more": {"a": [1, 2.5]}}


class Checkpoints:
    """Makes hostile checkpoints; a full network now and then, a few small tensors most often."""

    def __init__(self) -> None:
        self._state = SACBNet().state_dict()

    def write(self, rng: Random, place: Place) -> Path:
        """Writes one hostile file and returns its path."""
        path = place.inside / pick(rng, ("case.pt", "case.pth.tar"))
        document, full = self._document(rng)
        path.write_bytes(hostile_torch_file(document, rng, place.marker, full))
        return path

    def _document(self, rng: Random) -> tuple[dict, bool]:
        full = rng.random() < 0.1
        names = list(self._state)
        state = dict(self._state) if full else {name: torch.rand(3) for name in names[:3]}
        theirs = rng.random() < 0.4
        if theirs:
            state = collections.OrderedDict((published_key(name), value) for name, value in state.items())
            state["transformer.0.grid"] = torch.rand(1, 3, 2, 2, 2)
            document: dict = {"epoch": 3, "state_dict": state}
        else:
            document = {
                "format": "sacb-registration",
                "format_version": 1,
                "info": {**_INFO},
                "state_dict": state,
            }
        for _ in range(int(rng.integers(0, 3))):
            target = pick(
                rng, [each for each in (document, state, document.get("info")) if isinstance(each, dict)]
            )
            target[pick(rng, [*target, "clusters", "matching_window", "x\ny", "\ud800", 5])] = odd_value(rng)
        return document, full


def hostile_torch_file(document: dict, rng: Random, marker: Path, full: bool = False) -> bytes:
    """Returns a torch file of a document, most often with a part of it changed.

    Args:
        document: What is saved.
        rng: Chooses the format and the change.
        marker: A file that obeyed code would make.
        full: Whether it is large, and is damaged only in cheap ways.
    """
    zipped = rng.random() < 0.65
    stream = io.BytesIO()
    torch.save(document, stream, _use_new_zipfile_serialization=zipped)
    content = stream.getvalue()
    chance = rng.random()
    if chance < (0.5 if full else 0.15):
        return content
    if chance < 0.4:
        return damaged(content, rng) if rng.random() < 0.5 else flipped(content, rng, within=4000)
    if full:
        return content
    return _other_archive(content, rng, marker) if zipped else _other_stream(content, rng, marker)


def odd_value(rng: Random):
    """Returns a value that torch can save, and that no checkpoint should hold where it is put."""
    choices = (
        lambda: pick(rng, WHOLE_NUMBERS),
        lambda: pick(rng, REAL_NUMBERS),
        lambda: pick(rng, ("", "text", "\0", "x" * 10**5, None, True, b"bytes")),
        lambda: [[[[[[[1]]]]]]],
        lambda: {"a": torch.zeros(2)},
        lambda: torch.zeros(1).expand(10**6, 10**6),
        lambda: torch.full((3,), pick(rng, REAL_NUMBERS), dtype=torch.float64),
        lambda: torch.zeros(3, dtype=pick(rng, (torch.int8, torch.complex64, torch.bfloat16, torch.bool))),
        lambda: torch.zeros(0),
        lambda: torch.tensor(1.0),
        lambda: torch.eye(4).to_sparse(),
        lambda: torch.nn.Parameter(torch.zeros(3)),
        lambda: torch.zeros(4, device="meta"),
        lambda: {1, 2},
        lambda: complex(1, 2),
        lambda: torch.float32,
    )
    return pick(rng, choices)()


def _program(content: bytes, rng: Random, marker: Path) -> bytes:
    chance = rng.random()
    if chance < 0.25:
        return b"\x80\x02" + pick(rng, calls(marker)) + b"."
    if chance < 0.35:
        return b"\x80\x02" + claims(rng) + b"."
    if chance < 0.55:
        return _other_sizes(content, rng)
    if chance < 0.85:
        return changed(content, rng, marker)
    return damaged(content, rng)


def _other_sizes(program: bytes, rng: Random) -> bytes:
    """Returns the program with numbers of values, sides and strides (one byte each) claimed to be huge."""
    places = [i for i in range(len(program) - 1) if program[i : i + 1] == b"K" and program[i + 1] < 32]
    for place in sorted({int(pick(rng, places)) for _ in range(int(rng.integers(1, 4)))}, reverse=True):
        huge = struct.pack("<i", pick(rng, (4, 1000, 10**8, 10**9, 2**31 - 1, -1)))
        program = program[:place] + b"J" + huge + program[place + 2 :]
    return program


def _other_archive(content: bytes, rng: Random, marker: Path) -> bytes:
    stream = io.BytesIO()
    method = zipfile.ZIP_DEFLATED if rng.random() < 0.2 else zipfile.ZIP_STORED
    with zipfile.ZipFile(io.BytesIO(content)) as source, zipfile.ZipFile(stream, "w", method) as target:
        for entry in source.infolist():
            data = source.read(entry)
            if entry.filename.endswith("data.pkl"):
                data = _program(data, rng, marker)
            elif rng.random() < 0.05:
                data = damaged(data, rng)
            name = (
                entry.filename
                if rng.random() < 0.98
                else pick(rng, ("../x", "/x", "archive/data.pkl", "x", "a" * 3000))
            )
            target.writestr(name, data)
        if rng.random() < 0.05:
            target.writestr("archive/data/9", bytes(10**7))
    whole = bytearray(stream.getvalue())
    if rng.random() < 0.15:
        # The directory at the end may claim other sizes than the parts themselves.
        start = whole.rfind(b"PK\x01\x02")
        struct.pack_into(
            "<I", whole, start + pick(rng, (20, 24, 42)), pick(rng, (0, 1, 10**6, 10**9, 2**32 - 1))
        )
    return bytes(whole)


def _other_stream(content: bytes, rng: Random, marker: Path) -> bytes:
    """Changes the third pickle of torch's older form, which holds the document."""
    stream = io.BytesIO(content)
    for _ in range(3):
        _skip(stream)
    start = stream.tell()
    _skip(stream)
    stop = stream.tell()
    return content[:start] + _program(content[start:stop], rng, marker) + content[stop:]


def _skip(stream: io.BytesIO) -> None:
    import pickletools

    for _ in pickletools.genops(stream):
        continue
