"""The list of pairs: every way of writing it that works, and one sentence with a line for what does not."""

import re

import pytest

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.study.pair_list import read_pair_list
from SACBRegistrationLib.study.settings import choose_labels

HEADER = "fixed,moving,fixed_labels,moving_labels"
GOOD = "a.nii.gz,b.nrrd,al.nii.gz,bl.nrrd"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "data").mkdir()
    for name in ("a.nii.gz", "b.nrrd", "al.nii.gz", "bl.nrrd", "t.tfm", "data/a.nii.gz", "odd,name.nrrd"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def read(folder, text, encoding="utf-8"):
    path = folder / "pairs.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode(encoding))
    return read_pair_list(path)


def refusal(folder, text, encoding="utf-8") -> str:
    with pytest.raises(UserError) as caught:
        read(folder, text, encoding)
    sentence = str(caught.value)
    assert str(folder / "pairs.csv") in sentence
    assert re.fullmatch(r"[A-Z].*\.", sentence) and not re.search(r"[.!?] +[A-Z]", sentence), sentence
    return sentence


def test_paths_start_at_the_lists_folder_and_names_at_the_files(folder):
    absolute = folder / "data" / "a.nii.gz"
    first, second = read(
        folder, f"{HEADER},name,transform\n{GOOD},,t.tfm\n\n{absolute},b.nrrd,al.nii.gz,bl.nrrd,Zoë\n"
    )
    assert first.name == "a from b" and first.line == 2 and first.transform == folder / "t.tfm"
    assert first.files["fixed"] == folder / "a.nii.gz" and "fixed_mask" not in first.files
    assert second.name == "Zoë" and second.line == 4
    assert second.fixed == absolute and second.transform is None
    assert set(second.files) == {"fixed", "moving", "fixed_labels", "moving_labels"}


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_what_spreadsheets_write_is_read(folder, delimiter, end, encoding):
    text = f" Fixed ,MOVING,moving_labels,fixed_labels{end}a.nii.gz,b.nrrd,bl.nrrd,al.nii.gz,,{end},,,{end}"
    (pair,) = read(folder, text.replace(",", delimiter), encoding)
    assert pair.fixed_labels == folder / "al.nii.gz" and pair.moving == folder / "b.nrrd"


def test_a_quoted_cell_may_hold_the_separator(folder):
    (pair,) = read(folder, f'{HEADER}\n"odd,name.nrrd",b.nrrd,al.nii.gz,bl.nrrd\n')
    assert pair.fixed == folder / "odd,name.nrrd"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        ("\n , ,\n", "is empty"),
        (HEADER + "\n", "names no pair"),
        ("fixed,moving,fixed_labels\n", 'Line 1 of .* lacks the column "moving_labels"'),
        (f"{HEADER},weight\n", 'Line 1 of .* unknown column "weight"'),
        (f"\n{HEADER},fixed\n", 'Line 2 of .* column "fixed" twice'),
        (f"{HEADER}\n{GOOD}\n\na.nii.gz,,al.nii.gz,bl.nrrd\n", "Line 4 of .* has no moving image"),
        (f"{HEADER}\na.nii.gz,b.nrrd\n", "Line 2 of .* has no fixed label map"),
        (f"{HEADER}\n{GOOD},x\n", "Line 2 of .* 5 cells for 4 columns"),
        (f"{HEADER}\n{GOOD.replace('b.nrrd', 'no.nrrd')}\n", r"Line 2 of .* moving image \(.*no.nrrd\) does"),
        (f"{HEADER},fixed_mask\n{GOOD},m.nrrd\n", r"Line 2 of .*fixed mask \(.*m.nrrd\) does not exist"),
        (f"{HEADER},name\n{GOOD},p\n{GOOD},P\n", 'Line 3 of .* has the name "P" of line 2'),
        (f"{HEADER}\n{GOOD}\n{GOOD}\n", 'Line 3 of .* has the name "a from b" of line 2'),
        (f"{HEADER},transform,initial_transform\n{GOOD},t.tfm,t.tfm\n", "Line 2 of .* leave one of them"),
        (f'{HEADER}\n{GOOD}\n"a.nii.gz"x,b.nrrd\n', "Line 3 of .* quotation marks"),
        (f'{HEADER}\n{GOOD}\n"a.nii.gz,b.nrrd\n', "Line 3 of .* quotation marks"),
        (f"{HEADER}\n{GOOD}\nJos\xe9,b\n".encode("latin-1"), "Line 3 of .* not UTF-8"),
        (f"{HEADER}\n{GOOD}\n".encode("utf-16"), "Line 1 of .* UTF-8"),
        (f"{HEADER}\n{GOOD}\0\n", "Line 2 of .* no text"),
        (b"a" * (2**22 + 1), "larger than 4 MiB"),
    ],
)
def test_mistakes_are_named_with_their_line(folder, text, reason):
    assert re.search(reason, refusal(folder, text))


def test_a_list_that_is_not_there(tmp_path):
    for path in (tmp_path / "no.csv", tmp_path):
        with pytest.raises(
            UserError, match=r"^The list of pairs .* cannot be read \(.*\); check the path\.$"
        ):
            read_pair_list(path)


def test_labels_are_numbers_names_or_the_presets():
    preset = load_preset("abdomen-ct")
    assert choose_labels(None, preset) == (None, False)
    assert choose_labels(["6", "2", "0", "-3"], preset) == ((-3, 2, 6), False)
    assert choose_labels(["liver", "LEFT kidney", "2"], preset) == ((2, 3, 6), True)
    assert choose_labels(["preset"], preset) == (tuple(range(1, 14)), True)
    for words, reason in ((["spine"], '"spine" is no number'), (["0"], "No label is left")):
        with pytest.raises(UserError, match=reason):
            choose_labels(words, preset)
