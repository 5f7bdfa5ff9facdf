"""Files that are damaged, hostile or no checkpoints: none runs code, each is refused in one sentence."""

import io
import os
import pickle
import zipfile

import pytest
import torch
from checkpoints import content_of, message_of, write_valid

from SACBRegistrationLib.network.checkpoint_file import MOST_BYTES


@pytest.fixture(scope="module")
def valid(tmp_path_factory):
    return write_valid(tmp_path_factory.mktemp("weights") / "valid.pt")


class Malicious:
    """Writes a file when it is unpickled the ordinary way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("place", ["alone", "weights", "info"])
def test_no_code_is_run(valid, tmp_path, zipped, place):
    trace, path = tmp_path / "trace", tmp_path / "hostile.pt"
    content = content_of(valid)
    if place == "alone":
        content = Malicious(trace)
    else:
        content["state_dict" if place == "weights" else "info"]["extra"] = Malicious(trace)
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    assert "holds something other than weights" in message_of(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the file would not have run code anyway"


def test_plain_pickle_runs_no_code(tmp_path):
    trace, path = tmp_path / "trace", tmp_path / "hostile.pkl"
    path.write_bytes(pickle.dumps(Malicious(trace), protocol=2))
    message_of(path)
    assert not trace.exists()


@pytest.mark.parametrize("share", [0.0001, 0.01, 0.5, 0.99, 0.9999])
@pytest.mark.parametrize("zipped", [True, False])
def test_truncated_file(valid, tmp_path, share, zipped):
    buffer = io.BytesIO()
    torch.save(content_of(valid), buffer, _use_new_zipfile_serialization=zipped)
    path = tmp_path / "short.pt"
    path.write_bytes(buffer.getvalue()[: int(share * len(buffer.getvalue()))])
    assert "damaged or no torch file" in message_of(path)


def test_a_flipped_bit_is_found(valid, tmp_path):
    with zipfile.ZipFile(valid) as archive:
        largest = max(archive.infolist(), key=lambda entry: entry.file_size)
    data = bytearray(valid.read_bytes())
    data[largest.header_offset + largest.file_size // 2] ^= 1
    path = tmp_path / "flipped.pt"
    path.write_bytes(data)
    assert "damaged" in message_of(path)


def test_an_archive_that_unpacks_to_too_much(valid, tmp_path):
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(valid) as source, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as target:
        for entry in source.infolist():
            target.writestr(entry.filename, source.read(entry))
        with target.open("archive/data/999", "w") as stream:
            for _ in range(MOST_BYTES // 10**7 + 1):
                stream.write(bytes(10**7))
    assert path.stat().st_size < MOST_BYTES / 10
    assert "too large" in message_of(path)


def test_a_file_that_is_too_large(tmp_path):
    path = tmp_path / "large.pt"
    with path.open("wb") as file:
        file.truncate(MOST_BYTES + 1)
    assert "too large" in message_of(path)


def test_what_is_no_checkpoint(tmp_path):
    assert "does not exist" in message_of(tmp_path / "none.pt")
    assert "is a folder" in message_of(tmp_path)
    cases = {
        "empty.pt": (b"", "is empty"),
        "text.pt": (b"this is not a checkpoint\n", "damaged or no torch file"),
        "page.pt": (b"<!DOCTYPE html><html></html>", "damaged or no torch file"),
        "zeros.pt": (bytes(1000), "damaged or no torch file"),
        "noise.pt": (bytes(range(256)) * 40, "damaged or no torch file"),
    }
    for name, (data, words) in cases.items():
        (tmp_path / name).write_bytes(data)
        assert words in message_of(tmp_path / name)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "damaged or no torch file" in message_of(tmp_path / "other.zip")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(valid, tmp_path):
    path = tmp_path / "locked.pt"
    path.write_bytes(valid.read_bytes())
    path.chmod(0)
    assert "may not be read" in message_of(path)
