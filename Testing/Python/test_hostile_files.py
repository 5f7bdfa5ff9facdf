"""Seeded hostile files of every kind: read, or refused in one sentence; and the count can tell otherwise."""

import json
import os
import sys

import pytest
from Benchmarks import hostile_files
from Hostile import campaign
from Hostile.campaign import Tally, play_cases
from Hostile.kinds import KINDS, Kind
from Hostile.opcodes import calls
from Hostile.place import make_place
from Hostile.player import play, random_of

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.foreign_text import is_plain_text, shown

# A case of these takes a millisecond, one that torch reads thirty.
CASES = dict.fromkeys(KINDS, 150) | {"checkpoint": 50, "state": 80}


@pytest.mark.parametrize("kind", KINDS)
def test_hostile_files_are_read_or_refused_in_one_sentence(kind):
    tally = play_cases(kind, seed=1, cases=CASES[kind])
    assert not tally.wrong
    assert tally.cases == tally.read + tally.refused == CASES[kind]
    # Cases that are all sound, or all hopeless, would show nothing.
    assert tally.read >= 1 and len(tally.sentences) >= 5
    if sys.platform == "linux":
        assert tally.unlimited is None


def test_the_same_seed_makes_the_same_file(tmp_path):
    def content(folder: str, seed: int, case: int) -> bytes:
        (tmp_path / folder).mkdir()
        place = make_place(tmp_path / folder)
        return KINDS["preset"]().write(random_of("preset", seed, case), place).read_bytes()

    first = content("a", 0, 7)
    assert first == content("b", 0, 7)
    assert first != content("c", 0, 8) and first != content("d", 1, 7)


def write_text(rng, place):
    (place.inside / "case.txt").write_text("x")
    return place.inside / "case.txt"


def refuses(text: str):
    def read(path):
        raise UserError(text.replace("FILE", str(path)))

    return read


def runs_code(path):
    os.mkdir(path.parents[1] / "marker")


def wants_memory(path):
    try:
        raise MemoryError
    except MemoryError as error:
        raise UserError(f"The file {path} is damaged; copy it.") from error


def prints(path):
    os.write(2, b"warning")


WRONG = {
    "two lines": (refuses("The file FILE is\nbad."), "no single line"),
    "no end": (refuses("The file FILE is bad"), "no single line"),
    "control character": (refuses("The file FILE has \x1b[31m."), "no single line"),
    "no name": (refuses("It is bad."), "does not name the file"),
    "long": (refuses("The file FILE has " + "x" * 1000 + "."), "a sentence of"),
    "exception": (lambda path: 1 / 0, "ZeroDivisionError"),
    "memory": (wants_memory, "memory beyond"),
    "written": (lambda path: (path.parent / "more").touch(), "wrote a file"),
    "leak": (lambda path: "another file was read", "another file was read"),
}


@pytest.mark.parametrize("read, words", WRONG.values(), ids=WRONG)
def test_whatever_else_happens_is_counted(tmp_path, capfd, read, words):
    played = play(Kind(write_text, read), "preset", 0, 0, make_place(tmp_path))
    assert played["outcome"] == "wrong" and words in played["reason"]


def test_code_that_is_run_is_noticed(tmp_path):
    import pickle

    def write(rng, place):
        path = place.inside / "case.pkl"
        path.write_bytes(calls(place.marker)[7] + b".")
        return path

    played = play(
        Kind(write, lambda path: pickle.loads(path.read_bytes()).close()),
        "pickle",
        0,
        0,
        make_place(tmp_path),
    )
    assert played["outcome"] == "wrong" and played["reason"] == "code of the file was run"


PLAYER = """
import json, os, sys, time
first, stop = int(sys.argv[3]), int(sys.argv[4])
print(json.dumps({"unlimited": None}), flush=True)
for case in range(first, stop):
    if case == 3:
        os.abort()
    if case == 5:
        time.sleep(60)
    peak = 2**30 if case == 7 else 0
    played = {"case": case, "outcome": "read", "reason": "", "seconds": 0.1, "peak": peak}
    print(json.dumps(played), flush=True)
"""


def test_a_crash_and_a_standstill_cost_one_case_each(tmp_path, monkeypatch):
    (tmp_path / "player.py").write_text(PLAYER)
    monkeypatch.setattr(campaign, "_PLAYER", tmp_path / "player.py")
    monkeypatch.setattr(campaign, "MOST_SECONDS", 1.0)
    tally = play_cases("nifti", 0, 10, batch=6)
    assert (tally.cases, tally.read) == (10, 7)
    assert [case for case, _ in tally.wrong] == [3, 5, 7]
    assert [
        words in reason for (_, reason), words in zip(tally.wrong, ("died", "no end", "MiB"), strict=True)
    ] == [True] * 3


def test_the_command_writes_a_table(tmp_path, monkeypatch, capsys):
    def pretend(kind, seed, cases, first):
        wrong = [(4, "it crashed")] if kind == "nrrd" else []
        return Tally(kind, cases, read=1, refused=cases - 1 - len(wrong), wrong=wrong)

    monkeypatch.setattr(hostile_files, "play_cases", pretend)
    options = ["--cases", "9", "-o", str(tmp_path / "out")]
    assert hostile_files.main([*options, "--kind", "preset"]) == 0
    assert hostile_files.main([*options, "--kind", "nrrd"]) == 1
    shown_text = capsys.readouterr().out
    assert "nrrd 4: it crashed" in shown_text
    table = (tmp_path / "out" / "hostile_files.md").read_text(encoding="utf-8").splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == ["| nrrd", "| preset"]
    assert hostile_files.main([*options, "--kind", "preset", "--first", "9"]) == 1
    assert json.loads((tmp_path / "out" / "preset.json").read_text(encoding="utf-8"))["cases"] == 18
    with pytest.raises(SystemExit):
        hostile_files.main([*options, "--kind", "preset", "--first", "9"])
    assert json.loads((tmp_path / "out" / "nrrd.json").read_text(encoding="utf-8"))["wrong"] == [
        [4, "it crashed"]
    ]


def test_foreign_text_is_made_fit_to_be_shown():
    assert shown("Łukasz 脳") == "Łukasz 脳"
    assert shown("a\nb\x1b[0m\ud800\u202e") == "a?b?[0m??"
    assert shown("x" * 100, 10) == "x" * 10 + "..."
    assert is_plain_text("Łukasz 脳\n\t") and is_plain_text("")
    assert not any(map(is_plain_text, ("\0", "\ud800", "\x1b", "a\r")))
