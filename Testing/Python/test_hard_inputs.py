"""The benchmark of hard inputs: its counting, its table, and a quick run on a real scan."""

import json

import pytest
from Benchmarks import hard_inputs as benchmark
from shared_data import SHARED, require_shared
from usual_facts import USUAL

FACTS = USUAL.as_dict()
BAD = {**FACTS, "similarity_after": 0.1}


def row(error: float | None, facts: dict, group: str = "set", **more: object) -> dict:
    return {
        "group": group, "scan": "x", "modality": "mr", "case": "c", "name": "n", "seconds": 1.0,
        "error_mm": error, "facts": facts, **more,
    }  # fmt: skip


def refusal() -> dict:
    return {
        "group": "set", "scan": "x", "modality": "mr", "case": "r", "name": "far", "seconds": 1.0,
        "message": "Move it nearer.",
    }  # fmt: skip


def test_what_is_flagged_is_counted_by_error():
    rows = [row(0.5, FACTS), row(1.9, BAD), row(3.0, BAD), row(9.0, BAD), row(9.0, FACTS), row(None, BAD)]
    found = benchmark.score([*rows, refusal()])
    assert found == {
        "wrong": 2, "wrong_flagged": 1, "right": 2, "right_flagged": 1, "strangers": 1,
        "strangers_flagged": 1, "results": 6, "refused": 1,
    }  # fmt: skip
    met, lines = benchmark.verdict([*rows, refusal()])
    assert met is False and lines[-1].endswith("MISSED.")
    assert "1 of 2 flagged" in lines[0] and "1 refusals" in lines[0]


def test_the_target_is_met_exactly_at_its_limits():
    wrong = [row(6.0, BAD) for _ in range(19)] + [row(6.0, FACTS, "checked")]
    right = [row(1.0, FACTS) for _ in range(19)] + [row(1.0, BAD)]
    met, lines = benchmark.verdict(wrong + right)
    assert met is True and len(lines) == 4 and 'group "checked"' in lines[2]
    assert benchmark.verdict([*wrong[1:], row(6.0, FACTS), *right])[0] is False
    assert benchmark.verdict([*wrong, *right[1:], row(1.0, BAD)])[0] is False
    assert benchmark.verdict(right)[0] is None


def test_a_quick_run_measures_keeps_and_tells(tmp_path, capsys):
    scan = "brain-oasis/1000_t1"
    for name in (scan, benchmark.SCANS[scan].stranger):
        require_shared(f"data/{name}.nii.gz")
    options = ["--data", str(SHARED / "data"), "--scans", scan, "--quick", "-o", str(tmp_path / "out")]
    code = benchmark.main(options)
    outcome = json.loads((tmp_path / "out" / "hard_inputs.json").read_text(encoding="utf-8"))
    right, shifted, turned = outcome["rows"]
    assert right["error_mm"] < benchmark.RIGHT_MM < benchmark.WRONG_MM < shifted["error_mm"]
    assert turned["error_mm"] > 40
    assert code == 0 and outcome["met"] is True, outcome["remarks"]
    assert [benchmark.judged(found)[0] == "good" for found in outcome["rows"]] == [True, False, False]
    shown = capsys.readouterr()
    assert "start off by 30 mm, 0 deg" in shown.out and shown.err.count("\n") == 3
    assert "| set | 1000_t1 | start off by 0 mm, 0 deg | good |" in (
        tmp_path / "out" / "hard_inputs.md"
    ).read_text(encoding="utf-8")
    # A second run uses what is there; one without --resume refuses.
    assert benchmark.main([*options, "--resume"]) == 0
    again = json.loads((tmp_path / "out" / "hard_inputs.json").read_text(encoding="utf-8"))
    assert again["rows"] == outcome["rows"]
    capsys.readouterr()
    assert benchmark.main(options) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_missing_scans_are_named(tmp_path, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["--data", str(tmp_path), "-o", str(tmp_path / "out")])
    assert "name the folder with --data" in capsys.readouterr().err
