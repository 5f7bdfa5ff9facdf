"""Hostile scans as pickles, in the form that TransMorph publishes."""

import pickle
from pathlib import Path

import numpy as np
from Hostile.damage import Random, damaged, pick
from Hostile.opcodes import calls, changed, claims
from Hostile.place import Place

_TYPES = ("<f4", "<f8", ">f4", "<i2", "<u8", "?", "<c8", "<U3", "O", "<M8[s]", "<f2")


def _scan(rng: Random) -> object:
    image = rng.random((5, 4, 3), dtype=np.float32)
    labels = np.arange(60, dtype=np.uint16).reshape(5, 4, 3)
    chance = rng.random()
    if chance < 0.7:
        return image, labels
    if chance < 0.8:
        return image
    kind = np.dtype(pick(rng, _TYPES))
    if chance < 0.9:
        return image.astype(kind) if kind.kind != "M" else labels.astype("<i8").view(kind), labels
    return pick(
        rng,
        (
            [image, labels, labels],
            (image, labels[1:]),
            (image * np.nan, labels),
            (image, image),
            (image[:0], labels[:0]),
            {"image": image},
            (image, None),
            (np.float32(1), labels),
            (np.full((5, 4, 3), 1e300), labels),
            (image, labels.astype(np.uint64) << np.uint64(60)),
        ),
    )


def write_pickle(rng: Random, place: Place) -> Path:
    """Writes one hostile pickle and returns its path."""
    content = pickle.dumps(_scan(rng), protocol=int(rng.integers(pickle.HIGHEST_PROTOCOL + 1)))
    chance = rng.random()
    if chance < 0.15:
        content = b"\x80\x04" + pick(rng, calls(place.marker)) + b"."
    elif chance < 0.25:
        content = b"\x80\x04" + claims(rng) + b"."
    elif chance < 0.65:
        content = changed(content, rng, place.marker)
    elif chance < 0.9:
        content = damaged(content, rng)
    path = place.inside / "case.pkl"
    path.write_bytes(content)
    return path
