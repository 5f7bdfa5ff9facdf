"""Means, tables, the paper's figures and what is kept of pairs, on made-up measurements."""

import csv
import json
import logging
import re

import numpy as np
import pytest
from shared_data import require_shared

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.study import published, tables
from SACBRegistrationLib.study.records import PairRecord, file_name, read_record, write_record
from SACBRegistrationLib.study.settings import StudySettings
from SACBRegistrationLib.study.summary import (
    both_sides,
    over_pairs,
    over_structures,
    pair_figures,
    spread,
    structure_names,
    worst_pair,
)

STATES = ("before", "aligned", "after")


def measured(dice, unknown=False, seconds=4.0):
    """Made-up measurements: label to Dice (before, aligned, after); distances follow from them."""
    structures = {}
    for label, values in dice.items():
        values = dict(zip(STATES, values, strict=True))
        away = {state: None if value == 0 else 10 * (1 - value) for state, value in values.items()}
        halved = {state: None if value is None else value / 2 for state, value in away.items()}
        structures[str(label)] = {"dice": values, "hd95": away, "assd": halved}
    return {
        "structures": structures, "unscored": [], "unknown": unknown,
        "ssim": dict(zip(STATES, (0.5, 0.6, 0.7), strict=True)),
        "ssim_anatomy": dict(zip(STATES, (0.4, 0.5, 0.6), strict=True)),
        "jacobian": {"folding_percent": 0.02, "minimum": -0.1}, "stages": {"reading": 0.2},
        "seconds": seconds, "peak_memory_bytes": 900_000_000, "gpu_memory_bytes": None,
        "device": "CPU", "weights": None, "notes": [],
    }  # fmt: skip


@pytest.fixture
def records():
    return [
        PairRecord("a", "1", None, measured({2: (0.1, 0.4, 0.8), 3: (0.2, 0.5, 0.6)}, seconds=3.0)),
        PairRecord("b", "2", "It is broken.", None),
        PairRecord("c", "3", None, measured({2: (0.0, 0.3, 0.5), 3: (0.2, 0.6, 0.4)}, seconds=6.0)),
    ]


def test_means_and_deviations_are_numpys(records):
    figures = over_pairs(records)
    means = [0.7, 0.45]
    assert figures["dice_after"] == {
        "mean": pytest.approx(np.mean(means)), "sd": pytest.approx(np.std(means, ddof=1)), "n": 2
    }  # fmt: skip
    # A distance that does not exist is left out of the pair's mean.
    assert pair_figures(records[2])["hd95_before"] == pytest.approx(8.0)
    assert figures["seconds"]["mean"] == pytest.approx(4.5) and figures["peak_memory_mb"]["mean"] == 900
    assert figures["gpu_memory_mb"] == {"mean": None, "sd": None, "n": 0}
    assert spread([3.0, None]) == {"mean": 3.0, "sd": None, "n": 1}
    structures = over_structures(records, {2: "Two"})
    assert list(structures) == ["2", "3"] and structures["2"]["name"] == "Two"
    assert structures["3"]["dice_after"]["sd"] == pytest.approx(np.std([0.6, 0.4], ddof=1))


def test_the_worst_pair_has_the_lowest_mean_dice(records):
    assert worst_pair(records).name == "c"
    assert worst_pair(records[1:2]) is None


def test_names_are_the_presets_only_where_its_table_holds(records):
    preset = load_preset("ixi")
    assert structure_names(records, StudySettings(), preset)[2] == "Left cerebral white matter"
    strange = [PairRecord("d", "4", None, measured({2: (0.1, 0.2, 0.3)}, unknown=True)), *records]
    assert structure_names(strange, StudySettings(), preset) == {}
    assert structure_names(strange, StudySettings(named=True), preset) == preset.labels


def test_left_and_right_go_together_where_both_are_there():
    preset = load_preset("abdomen-ct")
    assert both_sides([1, 2, 3, 12], preset.labels) == {
        "Spleen": [1], "Kidney": [2, 3], "Right adrenal gland": [12]
    }  # fmt: skip
    assert both_sides([5, 4], {}) == {"4": [4], "5": [5]}


def test_csv_files_hold_every_pair_and_structure(records, tmp_path):
    tables.write_pairs(tmp_path / "pairs.csv", records)
    tables.write_structures(tmp_path / "structures.csv", records, {3: "Third, left"})
    with open(tmp_path / "pairs.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == ["a", "b", "c"]
    assert float(rows[0]["dice_after"]) == pytest.approx(0.7) and rows[0]["structures"] == "2"
    assert rows[1]["error"] == "It is broken." and rows[1]["dice_after"] == ""
    with open(tmp_path / "structures.csv", encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [(row["name"], row["label"]) for row in rows] == [("a", "2"), ("a", "3"), ("c", "2"), ("c", "3")]
    assert rows[1]["structure"] == "Third, left" and float(rows[1]["assd_after"]) == pytest.approx(2.0)
    assert rows[2]["hd95_before"] == ""


def test_the_table_has_the_papers_columns_and_its_rows(records):
    rows = tables.method_rows(over_pairs(records), StudySettings(), 1_105_591, given=False)
    assert [row[0] for row in rows] == ["Before", "Aligned", "Network"]
    assert rows[-1][1:7] == ("0.575 ± 0.177", "4.250 ± 1.768", "2.125 ± 0.884", "0.0200 ± 0.0000", "1.11M",
                             "0.700 ± 0.000")  # fmt: skip
    paper = published.published_tables()["ixi"]
    text = tables.markdown(rows, "Title", ["A note."], paper)
    lines = [line for line in text.splitlines() if line.startswith("|")]
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in lines}) == 1
    assert len(lines) == 2 + 3 + 15
    assert (
        "| SACB-Net (paper) | 0.769 ± 0.127 | 3.128 ± 0.631 | 0.760 ± 0.125 | 0.083 ± 0.045 | 1.11M |" in text
    )
    assert "Table 1, IXI" in text and "115 pairs" in text and "- A note." in text
    assert "(paper)" not in tables.markdown(rows, "Title", [], None)


@pytest.mark.parametrize(
    ("choices", "parameters", "given", "name"),
    [
        ({"refine": 60}, 10, False, "Network, refined"),
        ({"refine": 0}, None, False, "Alignment alone"),
        ({"refine": 7}, None, False, "Refinement"),
        ({}, None, True, "Given transforms"),
    ],
)
def test_methods_are_called_what_they_are(records, choices, parameters, given, name):
    settings = StudySettings(RegistrationSettings(**choices))
    assert tables.method_rows(over_pairs(records), settings, parameters, given)[-1][0] == name


def test_the_papers_figures_are_those_of_the_paper():
    text = require_shared("papers/sacb-net-cvpr2025.txt").read_text(encoding="utf-8")
    lines = [line.replace(r" \pm ", "±").split("\t") for line in text.splitlines()]
    for preset, start in (("ixi", 1), ("lpba", 5), ("abdomen-ct", 1)):
        rows = published.published_tables()[preset].rows
        wide = 10 if preset != "abdomen-ct" else 5
        found = {re.sub(r" \[\d+\]", "", line[0]): line for line in lines if len(line) == wide}
        assert len(rows) == (15 if wide == 10 else 13)
        similarity = {re.sub(r" \[\d+\]", "", line[0]): line for line in lines if len(line) == 3}
        for method, *cells in rows:
            source = found[method.replace("SACB-Net", "Ours")]
            assert [cell.replace(" ± ", "±") for cell in cells[:4]] == source[start : start + 4]
            if wide == 10:
                assert cells[4] == source[9]
                line = similarity.get(method.replace("SACB-Net", "Ours"), ["", "-", "-"])
                assert cells[5].replace(" ± ", "±") == line[1 + (preset == "lpba")]


def test_the_papers_table_is_chosen_where_structures_and_pairs_are_the_same():
    preset = load_preset("lpba")
    labels = frozenset(preset.labels)
    choose = published.choose_table
    assert choose("auto", preset, labels, 90).where.startswith("Table 1, LPBA")
    assert choose("auto", preset, labels, 89) is None
    assert choose("auto", preset, labels - {21}, 90) is None
    assert choose("none", preset, labels, 90) is None
    assert choose("abdomen-ct", preset, frozenset({1}), 1).structures == 13
    for preset in ("ixi", "lpba", "abdomen-ct"):
        assert published.published_tables()[preset].structures == len(load_preset(preset).labels)
    published.check_published("ixi")
    with pytest.raises(UserError, match="ixi, lpba, abdomen-ct"):
        published.check_published("oasis")


def test_a_record_comes_back_as_it_was_written(records, tmp_path):
    for record in records:
        path = tmp_path / f"{file_name(record.name)}.json"
        write_record(record, path)
        assert read_record(path) == record
    assert read_record(tmp_path / "none.json") is None


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d.update(format=2),
        lambda d: d.update(name=3),
        lambda d: d["measured"].pop("structures"),
        lambda d: d["measured"]["structures"].update({"x": {}}),
        lambda d: d["measured"]["structures"]["2"]["dice"].update(after="high"),
        lambda d: d["measured"].update(seconds=[1]),
        lambda d: d["measured"].update(unknown=None),
        lambda d: d["measured"]["jacobian"].update(folding_percent=True),
    ],
)
def test_a_spoiled_record_counts_as_not_there(records, tmp_path, spoil, caplog):
    path = tmp_path / "a.json"
    write_record(records[0], path)
    document = json.loads(path.read_text(encoding="utf-8"))
    spoil(document)
    path.write_text(json.dumps(document), encoding="utf-8")
    with caplog.at_level(logging.WARNING):
        assert read_record(path) is None
    assert "is no record of a pair" in caplog.text
    path.write_bytes(b"{" * 100_000)
    assert read_record(path) is None


def test_file_names_suit_every_disk_and_differ():
    names = ["a", "1000 from 1001", "a/b", "a_b", "../x", "é", "ü", "x" * 300, "..", "a:b"]
    names += ["con", "Aux.1", "com7", "LPT1.scan", "console"]
    found = [file_name(name) for name in names]
    assert len({name.casefold() for name in found}) == len(names)
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,90}", name) for name in found)
    assert found[0] == "a" and found[-1] == "console"
    # Windows keeps these for itself: a file con.json would be the terminal.
    assert not any(re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name, re.IGNORECASE) for name in found)
