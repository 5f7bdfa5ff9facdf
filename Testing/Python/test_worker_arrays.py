"""Raw volumes between the processes: nothing is lost, and nothing is believed."""

import json
import os
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import oblique_grid
from small_pairs import same_geometry
from worker_fixtures import put, read_through_simpleitk

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.worker.arrays import NUMBER_TYPES, ArrayFile, read_steps, write_steps
from SACBRegistrationLib.worker.json_checks import parse_object
from SACBRegistrationLib.worker.volumes import read_image, storable

GRID = oblique_grid((7, 5, 4), left_handed=True)


def array_of(dtype: str, shape=(4, 5, 7)) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 120, shape).astype(dtype)


@pytest.mark.parametrize("dtype", sorted(NUMBER_TYPES))
def test_an_array_comes_back_as_it_went(tmp_path, dtype):
    array = array_of(dtype)
    file = ArrayFile.of(array, "a.raw", GRID)
    assert list(write_steps(array, tmp_path / "a.raw"))[-1].stop == 4
    back = np.zeros(file.shape, file.dtype)
    assert [s.stop for s in read_steps(file.path_in(tmp_path), back)][-1] == 4
    assert file.dtype == dtype and (back == array).all()


def test_strides_and_byte_order_do_not_matter(tmp_path):
    array = array_of("float32", (7, 5, 4, 3))
    odd = array.astype(">f4").transpose(2, 1, 0, 3)[::-1]
    file = ArrayFile.of(odd, "a.raw")
    list(write_steps(odd, tmp_path / "a.raw"))
    back = np.zeros((4, 5, 7, 6), np.float32)[..., ::2]
    list(read_steps(file.path_in(tmp_path), back))
    assert file.dtype == "float32" and (back == odd).all()


def test_steps_are_small(tmp_path):
    array = np.zeros((40, 512, 512), np.int16)
    planes = list(write_steps(array, tmp_path / "a.raw"))
    assert len(planes) == 5 and planes[0] == slice(0, 8) and planes[-1] == slice(32, 40)
    assert list(read_steps(tmp_path / "a.raw", array)) == planes


def test_simpleitk_reads_the_same_volume(tmp_path):
    image = sitk.GetImageFromArray(array_of("int16"))
    image.SetOrigin(GRID.origin)
    image.SetSpacing(GRID.spacing)
    image.SetDirection(GRID.direction)
    file = put(image, "volume", tmp_path)
    file = ArrayFile.from_json(json.loads(json.dumps(file.to_json())))
    ours, theirs = read_image(file, tmp_path), read_through_simpleitk(file, tmp_path)
    for other in (ours, theirs):
        assert (sitk.GetArrayFromImage(other) == sitk.GetArrayFromImage(image)).all()
        for point in ((0, 0, 0), (6, 2, 3)):
            expected = image.TransformIndexToPhysicalPoint(point)
            np.testing.assert_allclose(other.TransformIndexToPhysicalPoint(point), expected, atol=1e-9)
    assert Grid.from_image(ours) == Grid.from_image(image)


def test_vectors_become_a_vector_image(tmp_path):
    array = array_of("float32", (4, 5, 7, 3))
    list(write_steps(array, tmp_path / "u.raw"))
    image = read_image(ArrayFile.of(array, "u.raw", GRID), tmp_path)
    assert image.GetPixelID() == sitk.sitkVectorFloat32
    assert image[6, 2, 3] == tuple(array[3, 2, 6])


@pytest.mark.parametrize(
    "name",
    ["", ".", "..", "../a.raw", "/a.raw", "b/a.raw", "b\\a.raw", "c:a.raw", "a", "a.exe", ".raw", "nul.raw",
     "COM1.raw", "a.raw\n", "a\0.raw", "-a.raw", "é.raw", "a" * 300 + ".raw"],
)  # fmt: skip
def test_only_plain_file_names_are_taken(name):
    with pytest.raises(ValueError, match="plain file name"):
        ArrayFile(name, "uint8", (1, 1, 1))


@pytest.mark.parametrize(
    "shape",
    [(), (3,), (2, 3), (2, 3, 4, 2), (2, 3, 4, 3, 1), (0, 3, 4), (-1, 3, 4), (10**9, 10**9, 10**9)],
)
def test_impossible_shapes_are_refused(shape):
    with pytest.raises(ValueError, match="shape"):
        ArrayFile("a.raw", "uint8", shape)


@pytest.mark.parametrize("dtype", ["object", "O", "bool", "float16", "complex64", ">f4", ""])
def test_unknown_number_types_are_refused(dtype):
    with pytest.raises(ValueError, match="number type"):
        ArrayFile("a.raw", dtype, (1, 1, 1))


@pytest.mark.parametrize(
    "change",
    [
        {"size": [7, 5, 5]},
        {"spacing": [1, 1, 0]},
        {"spacing": [1, 1, -1]},
        {"spacing": [1, 1]},
        {"origin": [0, 0, 1e999]},
        {"origin": "000"},
        {"origin": [0, 0, True]},
        {"direction": [0] * 9},
        {"direction": [1, 0.5, 0, 0, 1, 0, 0, 0, 1]},
        {"orientation": "LPS"},
    ],
)
def test_impossible_grids_are_refused(change):
    document = ArrayFile("a.raw", "uint8", (4, 5, 7), GRID).to_json()
    assert ArrayFile.from_json(document).grid == GRID
    document["grid"] |= change
    with pytest.raises(ValueError):
        ArrayFile.from_json(document)


@pytest.mark.parametrize(
    "change",
    [
        {"shape": [4, 5, 7.0]},
        {"shape": [4, 5, True]},
        {"shape": "457"},
        {"shape": None},
        {"name": 3},
        {"dtype": None},
        {"path": "/"},
    ],
)
def test_impossible_descriptions_are_refused(change):
    with pytest.raises(ValueError):
        ArrayFile.from_json(ArrayFile("a.raw", "uint8", (4, 5, 7)).to_json() | change)


def test_numbers_that_json_does_not_know_are_refused():
    for text in ('{"a": NaN}', '{"a": -Infinity}', '{"a": ' * 100_000, "[]", "", "\xff"):
        with pytest.raises(ValueError):
            parse_object(text)


def test_the_file_must_be_there_and_as_long_as_it_says(tmp_path):
    file = ArrayFile("a.raw", "int16", (2, 3, 4))
    with pytest.raises(ValueError, match="missing"):
        file.path_in(tmp_path)
    for length in (0, 47, 49):
        (tmp_path / "a.raw").write_bytes(bytes(length))
        with pytest.raises(ValueError, match="bytes"):
            file.path_in(tmp_path)
    (tmp_path / "a.raw").write_bytes(bytes(48))
    assert file.path_in(tmp_path) == tmp_path / "a.raw"


@pytest.mark.skipif(sys.platform == "win32", reason="symbolic links need a right of their own on Windows")
def test_links_out_of_the_folder_are_refused(tmp_path):
    folder, outside = tmp_path / "in", tmp_path / "secret"
    folder.mkdir()
    outside.write_bytes(bytes(48))
    os.symlink(outside, folder / "a.raw")
    with pytest.raises(ValueError, match="plain file"):
        ArrayFile("a.raw", "int16", (2, 3, 4)).path_in(folder)


def test_a_file_that_ends_early_while_it_is_read_is_said(tmp_path):
    (tmp_path / "a.raw").write_bytes(bytes(47))
    with pytest.raises(UserError, match="cut off; run it again"):
        list(read_steps(tmp_path / "a.raw", np.zeros((2, 3, 4), np.int16)))
    with pytest.raises(UserError, match="run it again"):
        list(read_steps(tmp_path / "b.raw", np.zeros((2, 3, 4), np.int16)))


@pytest.mark.parametrize(
    ("given", "values", "expected"),
    [
        (sitk.sitkUInt8, (0, 255), sitk.sitkUInt8),
        (sitk.sitkInt16, (-1024, 3000), sitk.sitkInt16),
        (sitk.sitkFloat32, (0.5, 7.25), sitk.sitkFloat32),
        (sitk.sitkFloat64, (0.5, 7.25), sitk.sitkFloat64),
        (sitk.sitkUInt32, (0, 2**32 - 1), sitk.sitkUInt32),
        (sitk.sitkInt8, (-128, 127), sitk.sitkInt16),
        (sitk.sitkInt64, (-1024, 3000), sitk.sitkInt16),
        (sitk.sitkInt64, (-40_000, 3000), sitk.sitkInt32),
        (sitk.sitkUInt64, (0, 2**32 - 1), sitk.sitkUInt32),
        (sitk.sitkInt64, (-1, 2**40), sitk.sitkFloat64),
    ],
)
def test_number_types_that_slicer_stores(given, values, expected):
    grid = oblique_grid((4, 4, 4))
    image = sitk.Image(grid.size, given)
    image.SetOrigin(grid.origin)
    image.SetDirection(grid.direction)
    image[0, 1, 2], image[3, 0, 1] = values
    result = storable(image)
    assert result.GetPixelID() == expected and same_geometry(result, image)
    assert (result[0, 1, 2], result[3, 0, 1]) == values
