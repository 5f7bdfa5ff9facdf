"""Splits: CSV, JSON, and folders as TransMorph publishes them; every mistake gets one sentence."""

import json

import pytest

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.training.split import Split, Subject, read_split

NAMES = ("a.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz", "e.nii.gz", "a_seg.nii.gz", "e_seg.nii.gz")


@pytest.fixture
def folder(tmp_path):
    for name in NAMES:
        (tmp_path / name).touch()
    return tmp_path


def csv_file(folder, *rows, columns="image,labels,split"):
    path = folder / "split.csv"
    path.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return path


def json_file(folder, content):
    path = folder / "split.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def test_csv_and_json_say_the_same(folder):
    rows = [
        "a.nii.gz,a_seg.nii.gz,train",
        "b.nii.gz,,train",
        "c.nii.gz,,val",
        "d.nii.gz,,TEST",
        "e.nii.gz,,atlas",
    ]
    by_csv = read_split(csv_file(folder, *rows), None)
    content = {
        "train": [{"image": "a.nii.gz", "labels": "a_seg.nii.gz"}, "b.nii.gz"],
        "validation": ["c.nii.gz"],
        "test": [{"image": "d.nii.gz"}],
        "atlas": "e.nii.gz",
    }
    by_json = read_split(json_file(folder, content), None)
    expected = Split(
        (Subject(folder / "a.nii.gz", folder / "a_seg.nii.gz"), Subject(folder / "b.nii.gz")),
        (Subject(folder / "c.nii.gz"),),
        (Subject(folder / "d.nii.gz"),),
        Subject(folder / "e.nii.gz"),
    )
    assert by_csv == by_json == expected
    assert by_csv.subjects[0] == expected.atlas and len(by_csv.subjects) == 5


def test_files_are_relative_to_a_given_folder_and_a_spreadsheets_mark_is_no_column(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "split.csv"
    elsewhere.write_text("image, split\na.nii.gz, train\nb.nii.gz, train\n", encoding="utf-8-sig")
    assert read_split(elsewhere, folder).training[1].image == folder / "b.nii.gz"


def test_published_folders_need_no_file(tmp_path):
    for name in (
        "Train/p_1.pkl",
        "Train/p_2.pkl",
        "Val/p_3.pkl",
        "Test/p_4.pkl",
        "atlas.pkl",
        "Train/notes.txt",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    split = read_split(None, tmp_path)
    assert [s.image.name for s in split.training] == ["p_1.pkl", "p_2.pkl"]
    assert split.validation[0].pickled and split.test[0].image.name == "p_4.pkl"
    assert split.atlas == Subject(tmp_path / "atlas.pkl")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["a.nii.gz,,learn"], 'unknown part "learn"; use train, validation, test or atlas'),
        ([",,train"], "names no image"),
        (["a.nii.gz,,validation"], "names no scan to train on"),
        (["a.nii.gz,,train"], "single training scan, which makes no pair; name two, or an atlas"),
        (["a.nii.gz,,train", "b.nii.gz,,train", "c.nii.gz,,val"], "single validation scan"),
        (
            ["a.nii.gz,,train", "b.nii.gz,,train", "a.nii.gz,,val", "c.nii.gz,,val"],
            "twice .training and validation.",
        ),
        (["a.nii.gz,,train", "a.nii.gz,,train"], "twice .training."),
        (["a.nii.gz,,atlas", "b.nii.gz,,atlas", "c.nii.gz,,train"], "2 atlases"),
        (["a.nii.gz,,train", "missing.nii.gz,,train"], "missing.nii.gz of the split .* does not exist"),
        (
            ["a.nii.gz,missing.nii.gz,train", "b.nii.gz,,train"],
            "missing.nii.gz of the split .* does not exist",
        ),
        (["a.nii.gz"], "a row of another length"),
        (["a.nii.gz,,train,,"], "a row of another length"),
        (['"a.nii.gz,,train'], "no CSV file"),
    ],
)
def test_wrong_rows_are_refused(folder, rows, message):
    with pytest.raises(UserError, match=message) as caught:
        read_split(csv_file(folder, *rows), None)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "no JSON file"),
        ("[" * 100_000, "no JSON file"),
        ("[]", "must be an object"),
        ({"train": [1]}, "names no image"),
        ({"train": [{"labels": "a_seg.nii.gz"}]}, "names no image"),
        ({"train": [{"image": "a.nii.gz", "labels": 3}]}, "names no image"),
        ({"numTraining": 3}, "unknown part"),
    ],
)
def test_wrong_json_is_refused(folder, content, message):
    with pytest.raises(UserError, match=message):
        read_split(json_file(folder, content), None)


def test_missing_columns_files_and_folders_are_refused(folder):
    with pytest.raises(UserError, match="lacks the columns image and split"):
        read_split(csv_file(folder, "a.nii.gz,train", columns="scan,part"), None)
    with pytest.raises(UserError, match="cannot be read"):
        read_split(folder / "none.csv", None)
    (folder / "split.csv").write_bytes(b"\xff\xfe\x00image")
    with pytest.raises(UserError, match="no text in UTF-8"):
        read_split(folder / "split.csv", None)
    with pytest.raises(UserError, match=r"folder of scans .* does not exist"):
        read_split(None, folder / "none")
    with pytest.raises(UserError, match="give --split FILE or --data FOLDER"):
        read_split(None, None)
    with pytest.raises(UserError, match="names no scan to train on"):
        read_split(None, folder)
