"""Tries hard inputs and hostile files, and puts the tables into docs/reliability.md.

    python Testing/Benchmarks/reliability.py -o results/reliability [--write docs/reliability.md]

Runs hard_inputs.py and hostile_files.py, each in a folder of its own; measurements that lie there already are
kept. The exit code is the larger of theirs: 0 when both met what they are to show.
"""

import argparse
import subprocess
import sys
from pathlib import Path

_BENCHMARKS = Path(__file__).resolve().parent
PARTS = ("hard_inputs", "hostile_files")


def with_tables(document: str, tables: dict[str, str]) -> str:
    """Returns a document whose marked blocks hold other tables.

    Args:
        document: Markdown with a block `<!-- NAME -->` to `<!-- /NAME -->` for every table.
        tables: Name to Markdown.

    Raises:
        ValueError: When a block is missing.
    """
    for name, table in tables.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- /{name} -->"
        before, found, rest = document.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise ValueError(f"the document has no block {begin.strip()}")
        document = f"{before}{begin}{table.strip()}{end}{after}"
    return document


def commands(options: argparse.Namespace) -> dict[str, list[str]]:
    """Returns the arguments of both programs."""
    hard = ["--data", str(options.data), "--resume"]
    hostile = ["--cases", str(options.cases)]
    return {
        name: [
            str(_BENCHMARKS / f"{name}.py"),
            *more,
            "--seed",
            str(options.seed),
            "-o",
            str(options.output / name),
        ]
        for name, more in zip(PARTS, (hard, hostile), strict=True)
    }


def main(argv: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=_BENCHMARKS.parents[2] / "shared/data")
    parser.add_argument("--cases", type=int, default=10_000, help="hostile files of every kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the measurements")
    parser.add_argument("--write", type=Path, metavar="DOCUMENT", help="put the tables into this file")
    options = parser.parse_args(argv)
    codes = [subprocess.run([sys.executable, *command]).returncode for command in commands(options).values()]
    if options.write is not None:
        tables = {name: (options.output / name / f"{name}.md").read_text(encoding="utf-8") for name in PARTS}
        document = options.write.read_text(encoding="utf-8")
        options.write.write_text(with_tables(document, tables), encoding="utf-8")
    return max(codes)


if __name__ == "__main__":
    raise SystemExit(main())
