"""The script that measures everything on a GPU: what it says without one, and how its figures read."""

import os
import subprocess
import sys

import pytest
from shared_data import REPOSITORY

FOLDER = REPOSITORY / "Testing" / "Benchmarks"
PASS = {
    "what": "precision",
    "layout": "channels last",
    "best_ms": 40.0,
    "allocated": 1.0e9,
    "reserved": 1.2e9,
    "estimate": 1.9e9,
    "same_mean": 1e-4,
    "same_largest": 2e-2,
    "own_mean": 3e-4,
    "own_largest": 0.5,
}


def row(precision, way, milliseconds, waits=None, triton=True):
    more = {"precision": precision, "way": way, "median_ms": milliseconds, "waits": waits, "triton": triton}
    return {**PASS, **more}


def outcome(**changes):
    return {
        "circumstances": {
            "date": "2030-01-01",
            "gpu": "Some Card",
            "gpu_memory": 8e9,
            "cuda": "13.0",
            "versions": {"torch": "9.9"},
        },
        "size": [160, 192, 224],
        "tests": {"summary": "40 passed", "failed": False, "end": ""},
        "triton": True,
        "forward": [row("float32", "whole", 50.0), row("tf32", "whole", 25.0), row("tf32", "slabs", 90.0)],
        "published": {"median_ms": 1000.0, "allocated": 9e9},
        "operators": {"float32": [{"operator": "aten::conv3d", "calls": 3, "milliseconds": 20.0}]},
        "registration": None,
        "failures": [],
        **changes,
    }


@pytest.fixture
def markdown(monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    from gpu_report import markdown

    return markdown


def test_without_a_gpu_one_sentence_and_nothing_written(tmp_path):
    done = subprocess.run(
        [sys.executable, str(FOLDER / "gpu.py"), "--output", str(tmp_path / "figures")],
        capture_output=True,
        text=True,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert done.returncode == 2 and done.stdout == "" and not (tmp_path / "figures").exists()
    assert done.stderr.strip().splitlines() == [
        "No CUDA GPU was found; run this where torch.cuda.is_available() is true."
    ]


def test_targets_are_judged_by_the_fastest_whole_pass(markdown):
    text = markdown(outcome())
    assert "float32: 50.0 ms (float32; target 60 ms on an H200), 1.00 GB (target 1.5 GB), 20.0 times" in text
    assert "any precision: 25.0 ms (tf32;" in text and "40.0 times the published" in text
    assert "passes in which the host waited for the GPU: 0" in text
    lines = text.splitlines()
    header = next(line for line in lines if line.startswith("| precision"))
    assert "| tf32 | slabs | on | channels last | 90.0 |" in text
    assert len({line.count("|") for line in lines[lines.index(header) : lines.index(header) + 5]}) == 1


def test_what_failed_is_shown(markdown):
    failing = {"summary": "1 failed", "failed": True, "end": "E   assert 0"}
    text = markdown(
        outcome(
            tests=failing,
            failures=["precision: float16: boom"],
            forward=[row("float32", "whole", 50.0, waits="called a synchronizing CUDA operation")],
            published=None,
        )
    )
    assert "E   assert 0" in text and "- precision: float16: boom" in text
    assert "called a synchronizing" in text and "the host waited for the GPU: 1" in text
    assert "No forward pass was measured." in markdown(outcome(forward=[]))
