"""Pickles as TransMorph publishes them are read; one that wants anything else never gets to run it."""

import io
import os
import pickle
import pickletools
from functools import partial

import numpy as np
import pytest

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.training.published_pickle import read_published_pickle

IMAGE = np.random.default_rng(1).random((5, 4, 3), dtype=np.float32)
LABELS = np.arange(60, dtype=np.uint16).reshape(5, 4, 3)


def write(path, content, protocol=4):
    path.write_bytes(pickle.dumps(content, protocol=protocol))
    return path


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("order", ["C", "F"])
def test_image_and_labels_come_back(tmp_path, protocol, order):
    content = (np.asarray(IMAGE, order=order), np.asarray(LABELS, order=order))
    image, labels = read_published_pickle(write(tmp_path / "p.pkl", content, protocol))
    assert np.array_equal(image, IMAGE) and image.dtype == np.float32
    assert np.array_equal(labels, LABELS) and labels.dtype == np.int32


@pytest.mark.parametrize("kind", ["<f8", ">f4", ">i2", "<i8", "u1", "?"])
def test_every_number_type_is_read(tmp_path, kind):
    values = (IMAGE * 100).astype(kind)
    image, labels = read_published_pickle(write(tmp_path / "p.pkl", [values, (IMAGE > 0.5).astype(kind)]))
    assert np.array_equal(image, values.astype(np.float32))
    assert np.array_equal(labels, IMAGE > 0.5)


def test_pickles_of_older_and_newer_numpy_are_read(tmp_path):
    content = pickle.dumps((IMAGE, LABELS), protocol=0)
    newer, older = (
        content.replace(b"numpy._core", b"numpy.core"),
        content.replace(b"numpy.core", b"numpy._core"),
    )
    for text in (newer, older):
        (tmp_path / "p.pkl").write_bytes(text)
        assert np.array_equal(read_published_pickle(tmp_path / "p.pkl")[0], IMAGE)


def test_an_image_alone_and_a_leading_axis_are_accepted(tmp_path):
    assert read_published_pickle(write(tmp_path / "p.pkl", IMAGE))[1] is None
    image, labels = read_published_pickle(write(tmp_path / "q.pkl", (IMAGE[None], LABELS[None])))
    assert image.shape == labels.shape == (5, 4, 3)


class Touch:
    """Makes a file when it is unpickled by Python's own reader."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.mark.parametrize("place", ["alone", "in the tuple", "in an object array"])
def test_a_pickle_that_would_run_code_is_not_opened(tmp_path, place):
    mark = tmp_path / "was here"
    inner = np.empty(1, dtype=object)
    inner[0] = Touch(mark)
    content = {
        "alone": Touch(mark),
        "in the tuple": (IMAGE, Touch(mark)),
        "in an object array": (IMAGE, inner),
    }
    path = write(tmp_path / "p.pkl", content[place])
    with pytest.raises(
        UserError, match=r"(wants to use (_?io|builtins)\.open, which no image needs|damaged)"
    ):
        read_published_pickle(path)
    assert not mark.exists()
    pickle.loads(path.read_bytes())
    assert mark.exists(), "the attack itself does not work, so that nothing was tested"


@pytest.mark.parametrize(
    "call",
    [
        "cos\nsystem\n(S'touch {mark}'\ntR.",
        'cbuiltins\neval\n(S\'open("{mark}", "w")\'\ntR.',
        "cnumpy\nload\n(S'{mark}'\ntR.",
        "cnumpy\nndarray.tofile\n(S'{mark}'\ntR.",
        "cnumpy.core.multiarray\n_reconstruct.__globals__\n.",
        "csubprocess\nPopen\n(S'touch {mark}'\ntR.",
    ],
)
def test_names_beyond_arrays_are_refused(tmp_path, call):
    mark = tmp_path / "mark"
    path = tmp_path / "p.pkl"
    path.write_bytes(call.format(mark=mark).encode())
    with pytest.raises(UserError, match=r"wants to use .* so it is not opened; give a file that you trust"):
        read_published_pickle(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "text",
    [
        b"cnumpy\nndarray\n((I1000000\nI1000000\ntS'f8'\ntR.",  # eight terabytes
        b"cnumpy\ndtype\n(S'O'\ntR.",
        b"cnumpy\ndtype\n(S'f4'\ntR(I3\nS'x'\ntb.",
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n(I1\n(I0\ntS'b'\ntR.",
        b"cnumpy.core.multiarray\n_reconstruct\n}S'x'\nI1\nsb.",  # a state for a function
        b"c_codecs\nencode\n(V\xc3\xa4\nS'utf-7'\ntR.",
        b"(lp0\ng0\na.",
        b"I1\n.",
        b"N.",
        b"",
        b"not a pickle",
        b"Pname\n.",
    ],
)
def test_damage_and_nonsense_get_one_sentence(tmp_path, text):
    path = tmp_path / "p.pkl"
    path.write_bytes(text)
    with pytest.raises(UserError, match="is damaged or holds something other than an image") as caught:
        read_published_pickle(path)
    assert str(caught.value).count(". ") == 0


def test_every_cut_and_many_changes_of_a_pickle_are_errors_of_the_user(tmp_path):
    content, path = pickle.dumps((IMAGE, LABELS), protocol=2), tmp_path / "p.pkl"
    random = np.random.default_rng(0)
    changed = 0
    for i in range(0, len(content), 7):
        cut, wrong = content[:i], bytearray(content)
        wrong[i] = int(random.integers(256))
        for text in (cut, bytes(wrong)):
            path.write_bytes(text)
            try:
                read_published_pickle(path)
            except UserError:
                changed += 1
    assert changed > len(content) // 7


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            (IMAGE, LABELS[1:]),
            "an image of 5x4x3 voxels and labels of 4x4x3; give labels on the image's grid",
        ),
        ((IMAGE[0], LABELS[0]), "no 3D image"),
        ((IMAGE, IMAGE), "no whole numbers"),
        ((IMAGE * np.nan, LABELS), "NaN or infinity"),
        ((IMAGE, LABELS.astype(np.int64) << 40), "exceed 32-bit integers"),
        ((IMAGE, LABELS, LABELS), "other than an image and its labels"),
        ({"image": IMAGE}, "other than an image and its labels"),
    ],
)
def test_other_arrays_are_refused(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_published_pickle(write(tmp_path / "p.pkl", content))


def test_a_missing_or_too_large_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="cannot be read"):
        read_published_pickle(tmp_path / "none.pkl")
    monkeypatch.setattr("SACBRegistrationLib.training.published_pickle.MOST_BYTES", 10)
    with pytest.raises(UserError, match="too large"):
        read_published_pickle(write(tmp_path / "p.pkl", (IMAGE, LABELS)))


def test_the_reader_imports_nothing(tmp_path, monkeypatch):
    path = write(tmp_path / "p.pkl", (IMAGE, partial(os.getcwd)))
    assert "functools" in "".join(str(op[1]) for op in pickletools.genops(io.BytesIO(path.read_bytes())))
    monkeypatch.setattr("builtins.__import__", lambda *a, **k: pytest.fail(f"imports {a[0]}"))
    with pytest.raises(UserError, match=r"functools\.partial"):
        read_published_pickle(path)
