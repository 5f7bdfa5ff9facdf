"""Hostile MetaImage files, .mha and .mhd, and nonsense under the names of other formats."""

import zlib
from pathlib import Path

import numpy as np
from Hostile.damage import REAL_NUMBERS, WHOLE_NUMBERS, Random, damaged, pick
from Hostile.place import SIZE, Place

_TYPES = (
    "MET_SHORT",
    "MET_UCHAR",
    "MET_DOUBLE",
    "MET_LONG",
    "MET_STRING",
    "MET_NONE",
    "",
    "MET_FLOAT_MATRIX",
    "x" * 999,
)
_EXTRA = (
    "HeaderSize",
    "ElementNumberOfChannels",
    "CompressedDataSize",
    "ElementMin",
    "Modality",
    "ObjectSubType",
)
_ENDINGS = (
    "png",
    "jpg",
    "tif",
    "vtk",
    "mnc",
    "mrc",
    "gipl",
    "gipl.gz",
    "pic",
    "lsm",
    "spr",
    "h5",
    "dcm",
    "bmp",
    "2dseq",
)


def _fields() -> dict[str, str]:
    return {
        "ObjectType": "Image",
        "NDims": "3",
        "BinaryData": "True",
        "BinaryDataByteOrderMSB": "False",
        "CompressedData": "False",
        "TransformMatrix": "1 0 0 0 1 0 0 0 1",
        "Offset": "5 -6 7",
        "CenterOfRotation": "0 0 0",
        "AnatomicalOrientation": "RAI",
        "ElementSpacing": "1.1 1.7 2.3",
        "DimSize": " ".join(map(str, SIZE)),
        "ElementType": "MET_SHORT",
    }


def _nonsense(rng: Random) -> str:
    def number() -> str:
        return str(pick(rng, (*WHOLE_NUMBERS, *REAL_NUMBERS, "x", "1e999", "9" * 400)))

    return pick(
        rng, (number(), " ".join(number() for _ in range(int(rng.integers(9)))), "True", "", "x" * 5000)
    )


def _elsewhere(rng: Random, place: Place) -> str:
    outside = f"../{place.secret.name}"
    choices = (
        str(place.secret),
        outside,
        f"./{outside}",
        f"LIST\n{outside}",
        f"LIST 3D\n{outside}",
        f"list\n{outside}",
        f"{outside[:-4]}%d.raw 1 1 1",
        "../secret.ra%c 119 119 1",
        *("/etc/passwd", "/dev/zero", "case.mhd", "none.raw", "", ".", "x" * 3000),
    )
    return pick(rng, choices)


def write_metaimage(rng: Random, place: Place) -> Path:
    """Writes one hostile file and returns its path."""
    if rng.random() < 0.1:
        path = place.inside / f"case.{pick(rng, _ENDINGS)}"
        path.write_bytes(rng.bytes(int(rng.integers(1, 3000))))
        return path
    fields = _fields()
    content = rng.integers(-500, 500, int(np.prod(SIZE))).astype("<i2").tobytes()
    if rng.random() < 0.4:
        content = zlib.compress(content + bytes(2**25 if rng.random() < 0.05 else 0), 1)
        fields |= {"CompressedData": "True", "CompressedDataSize": str(len(content))}
    for _ in range(int(rng.integers(0, 3))):
        if rng.random() < 0.3:
            fields["ElementType"] = pick(rng, _TYPES)
        else:
            fields[pick(rng, (*fields, *_EXTRA))] = _nonsense(rng)
    lines = [f"{name} = {value}" for name, value in fields.items()]
    if rng.random() < 0.15:
        lines.insert(
            int(rng.integers(len(lines))), pick(rng, (*lines, "odd line", "a = " + "x" * 10**5, " = "))
        )
    detached = rng.random() < 0.4
    if detached:
        (place.inside / "case.raw").write_bytes(damaged(content, rng) if rng.random() < 0.2 else content)
        lines.append(f"ElementDataFile = {_elsewhere(rng, place) if rng.random() < 0.6 else 'case.raw'}")
        content = b""
    else:
        lines.append("ElementDataFile = LOCAL")
    header = ("\n".join(lines) + "\n").encode()
    whole = (damaged(header, rng) if rng.random() < 0.15 else header) + content
    path = place.inside / ("case.mhd" if detached else "case.mha")
    path.write_bytes(damaged(whole, rng) if rng.random() < 0.15 else whole)
    return path
