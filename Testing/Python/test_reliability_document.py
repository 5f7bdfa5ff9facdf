"""The tables of docs/reliability.md can be put in again by its command."""

import pytest
from Benchmarks.reliability import PARTS, with_tables
from shared_data import REPOSITORY

DOCUMENT = (REPOSITORY / "docs" / "reliability.md").read_text(encoding="utf-8")


def test_only_the_tables_change():
    changed = with_tables(DOCUMENT, dict.fromkeys(PARTS, "| a |\n| --- |\n| \\1 |\n"))
    assert changed.count("| \\1 |") == len(PARTS)
    kept = [line for line in DOCUMENT.splitlines() if not line.startswith(("| ", "- "))]
    assert all(line in changed.splitlines() for line in kept)
    assert with_tables(changed, dict.fromkeys(PARTS, "x")) == with_tables(DOCUMENT, dict.fromkeys(PARTS, "x"))


def test_a_document_without_the_block_is_refused():
    with pytest.raises(ValueError, match="hard_inputs"):
        with_tables("no tables", {"hard_inputs": "| a |"})
