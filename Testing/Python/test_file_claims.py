"""Headers that claim what is not there, or point elsewhere, are refused before ITK acts on them."""

import gzip
import os

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.reading import read_volume

SIZE = (7, 6, 5)
RAW = np.arange(210, dtype="<i2").tobytes()


@pytest.fixture(name="folder")
def folder_beside_a_secret(tmp_path):
    (tmp_path / "secret.raw").write_bytes(RAW)
    (tmp_path / "in").mkdir()
    return tmp_path / "in"


def header(**changes: str) -> list[str]:
    fields = {
        "type": "short",
        "dimension": "3",
        "space": "left-posterior-superior",
        "sizes": "7 6 5",
        "space directions": "(1,0,0) (0,1.7,0) (0,0,2.3)",
        "endian": "little",
        "encoding": "raw",
        "space origin": "(5,-6,7)",
    }
    fields |= {name.replace("_", " "): value for name, value in changes.items()}
    return ["NRRD0004", *(f"{name}: {value}" for name, value in fields.items() if value)]


def nrrd(folder, lines: list[str], content: bytes = RAW, name: str = "scan.nrrd"):
    (folder / name).write_bytes("\n".join([*lines, "", ""]).encode() + content)
    return folder / name


def refusal(path) -> str:
    with pytest.raises(UserError) as caught:
        read_volume(path, "fixed")
    message = str(caught.value)
    assert message.startswith(f"The fixed image ({path}) ") and message.endswith(".") and "\n" not in message
    return message


@pytest.mark.parametrize("encoding", ["raw", "gzip", "ascii", "hex"])
def test_sound_nrrd_files_are_read(folder, encoding):
    texts = {
        "raw": RAW,
        "gzip": gzip.compress(RAW),
        "ascii": " ".join(map(str, range(210))).encode(),
        "hex": RAW.hex().encode(),
    }
    image = read_volume(nrrd(folder, header(encoding=encoding), texts[encoding]), "fixed")
    assert image.GetSize() == SIZE and image[6, 5, 4] == 209


def test_keys_of_other_programs_may_be_long(folder):
    lines = [*header(), "# made by hand", "Segmentation_ConversionParameters:=" + "a|b: c&" * 20_000]
    assert read_volume(nrrd(folder, lines), "fixed").GetSize() == SIZE


def test_data_beside_the_header_and_below_it_is_read(folder):
    (folder / "data").mkdir()
    for name in ("scan.raw", "data/scan.raw"):
        (folder / name).write_bytes(RAW)
        path = nrrd(folder, header(data_file=name), b"", "scan.nhdr")
        assert read_volume(path, "fixed")[6, 5, 4] == 209


@pytest.mark.parametrize("field", ["data file", "datafile", "Data File"])
@pytest.mark.parametrize("how", ["absolute", "above", "roundabout", "list", "pattern"])
def test_a_nrrd_header_cannot_point_elsewhere(folder, field, how):
    names = {
        "absolute": str(folder.parent / "secret.raw"),
        "above": "../secret.raw",
        "roundabout": "./../in/../secret.raw",
        "list": "LIST\n../secret.raw",
        "pattern": "../secre%c.raw 116 116 1",
    }
    path = nrrd(folder, [*header(), f"{field}: {names[how]}"], b"", "scan.nhdr")
    assert (
        "outside its folder" if how in ("absolute", "above", "roundabout") else "several files"
    ) in refusal(path) or (how == "list" and "odd line" in refusal(path))


@pytest.mark.parametrize("name", ["../secret.raw", "LIST\n../secret.raw", "../secre%c.raw 116 116 1"])
def test_a_metaimage_header_cannot_point_elsewhere(folder, name):
    sitk.WriteImage(sitk.Cast(blobs(oblique_grid(SIZE)), sitk.sitkInt16), str(folder / "scan.mhd"))
    path = folder / "scan.mhd"
    text = path.read_text(encoding="utf-8")
    assert read_volume(path, "fixed").GetSize() == SIZE
    path.write_text(text.replace("scan.raw", name), encoding="utf-8")
    assert "outside its folder" in refusal(path) or "several files" in refusal(path)


@pytest.mark.skipif(os.name == "nt", reason="links need a right of their own on Windows")
def test_a_link_to_elsewhere_and_a_pipe_are_not_followed(folder):
    (folder / "link.raw").symlink_to(folder.parent / "secret.raw")
    os.mkfifo(folder / "pipe.raw")
    assert "outside" in refusal(nrrd(folder, header(data_file="link.raw"), b"", "scan.nhdr"))
    # A pipe that nobody writes to would be waited for.
    assert "is no file" in refusal(nrrd(folder, header(data_file="pipe.raw"), b"", "scan.nhdr"))
    assert "outside" in refusal(nrrd(folder, header(data_file="-"), b"", "scan.nhdr"))


@pytest.mark.parametrize("name", ["type", "sizes", "space", "data file", "odd line"])
def test_long_lines_do_not_reach_the_reader_that_they_overrun(folder, name):
    line = "x" * 5000
    lines = [*header(), line] if name == "odd line" else [*header(**{name: None}), f"{name}: {line}"]
    assert "odd line" in refusal(nrrd(folder, lines)) or "too long" in refusal(nrrd(folder, lines))


@pytest.mark.parametrize(
    "sizes", ["70000 60000 50000", "4294967296 4294967296 1", "7 6 2147483648", "7 6 0", "7 6"]
)
@pytest.mark.parametrize("encoding", ["raw", "gzip"])
def test_sizes_beyond_the_file_are_refused(folder, sizes, encoding):
    content = RAW if encoding == "raw" else gzip.compress(RAW)
    message = refusal(nrrd(folder, header(sizes=sizes, encoding=encoding), content))
    assert "is truncated" in message or "impossible sizes" in message


def test_little_that_unpacks_to_much_is_believed_only_when_it_does(folder):
    zeros = gzip.compress(bytes(2 * 300**3), 9)
    ones = bytearray(2 * 300**3)
    ones[0] = 1
    assert len(zeros) < 2**16
    lines = header(sizes="300 300 300", encoding="gzip")
    image = read_volume(nrrd(folder, lines, gzip.compress(ones, 9)), "fixed")
    assert image[0, 0, 0] == 1
    assert "is truncated" in refusal(nrrd(folder, header(sizes="300 300 301", encoding="gzip"), zeros))


@pytest.mark.parametrize("suffix", ["mha", "nrrd", "nii.gz"])
def test_masks_that_pack_a_hundredfold_are_read(folder, suffix):
    mask = sitk.Image(150, 140, 130, sitk.sitkUInt8)
    mask[60:90, 50:80, 40:70] = 1
    path = folder / f"mask.{suffix}"
    sitk.WriteImage(mask, str(path), True)
    assert path.stat().st_size < mask.GetNumberOfPixels() / 100
    assert sitk.Hash(read_volume(path, "fixed")) == sitk.Hash(mask)


def test_a_volume_with_a_bomb_behind_it_is_refused(folder):
    path = folder / "scan.nii.gz"
    sitk.WriteImage(blobs(oblique_grid(SIZE)), str(path))
    whole = gzip.decompress(path.read_bytes())
    path.write_bytes(gzip.compress(whole + bytes(1000)))
    assert read_volume(path, "fixed").GetSize() == SIZE
    path.write_bytes(gzip.compress(whole + bytes(2**25), 9))
    assert "far more than" in refusal(path)


@pytest.mark.parametrize("suffix", ["vtk", "mnc", "gipl.gz", "mrc"])
def test_other_formats_are_believed_when_their_size_is_possible(folder, suffix):
    image = sitk.Cast(blobs(oblique_grid(degrees=(0, 0, 0))), sitk.sitkInt16)
    path = folder / f"scan.{suffix}"
    sitk.WriteImage(image, str(path))
    assert read_volume(path, "fixed").GetSize() == image.GetSize()


def test_another_format_that_claims_the_impossible_is_refused(folder):
    path = folder / "scan.vtk"
    sitk.WriteImage(sitk.Cast(blobs(oblique_grid(SIZE)), sitk.sitkInt16), str(path))
    content = path.read_bytes()
    assert content.count(b"DIMENSIONS 7 6 5") == 1
    path.write_bytes(content.replace(b"DIMENSIONS 7 6 5", b"DIMENSIONS 7000 6000 5000"))
    assert "far shorter than its header says" in refusal(path)
