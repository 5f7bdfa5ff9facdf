"""Has the program read thousands of hostile files of every kind, and counts what comes of it.

    python Testing/Benchmarks/hostile_files.py --cases 10000 --seed 0 -o results/hostile [--kind nifti ...]

Every case is made from the seed, its kind and its number, and read in a child process whose address space and
time are limited. A file is read, or refused in one sentence that names it; anything else (a crash, another
exception, code that was run, another file that was read, memory beyond the file, more than one sentence) is
listed and makes the exit code 1. The folder gets KIND.json for every kind; the table shows all that lie
there, so that the kinds can be run one by one, and in parts with --first.
"""

import argparse
import json
import sys
from dataclasses import asdict, fields
from pathlib import Path

_TESTING = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(_TESTING.parent))
sys.path.insert(0, str(_TESTING))

from Hostile.campaign import HEADER, MOST_MEBIBYTES, Tally, play_cases  # noqa: E402
from Hostile.kinds import KINDS  # noqa: E402

from SACBRegistrationLib import text_table  # noqa: E402

_SHOWN = 20


def main(arguments: list[str] | None = None) -> int:
    """Runs the command and returns its exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=10_000, help="of every kind")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--first", type=int, default=0, help="go on after so many cases that lie in the folder"
    )
    parser.add_argument("--kind", nargs="+", choices=KINDS, default=list(KINDS))
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the results")
    options = parser.parse_args(arguments)
    options.output.mkdir(parents=True, exist_ok=True)
    for kind in options.kind:
        file = options.output / f"{kind}.json"
        former = _load(file) if options.first else None
        if options.first and (former is None or former.cases != options.first):
            parser.error(f"{file} does not hold the {options.first} cases before; run these first")
        tally = play_cases(kind, options.seed, options.cases, options.first)
        tally = tally if former is None else former.joined(tally)
        file.write_text(
            json.dumps({"seed": options.seed, **asdict(tally)}, indent=1) + "\n", encoding="utf-8"
        )
    tallies = [_load(options.output / f"{kind}.json") for kind in KINDS]
    tallies = [tally for tally in tallies if tally is not None]
    rows = [HEADER, *(tally.row() for tally in tallies)]
    (options.output / "hostile_files.md").write_text(
        "\n".join(text_table.markdown(rows, 1)) + "\n", encoding="utf-8"
    )
    print("\n".join([*text_table.aligned(rows, 1), "", *_remarks(tallies)]))
    return 1 if any(tally.wrong for tally in tallies) else 0


def _load(file: Path) -> Tally | None:
    if not file.is_file():
        return None
    document = json.loads(file.read_text(encoding="utf-8"))
    return Tally(**{each.name: document[each.name] for each in fields(Tally)})


def _remarks(tallies: list[Tally]) -> list[str]:
    lines = [f"else: anything but a file read or one sentence, or more than {MOST_MEBIBYTES} MiB."]
    for tally in tallies:
        if tally.unlimited:
            lines.append(f"{tally.kind}: memory was not limited, as {tally.unlimited}.")
        lines += [f"{tally.kind} {case}: {reason}" for case, reason in tally.wrong[:_SHOWN]]
        if len(tally.wrong) > _SHOWN:
            lines.append(f"{tally.kind}: and {len(tally.wrong) - _SHOWN} more.")
    return lines


if __name__ == "__main__":
    raise SystemExit(main())
