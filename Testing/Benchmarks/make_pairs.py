"""Writes the lists of pairs that docs/benchmarks.md reports on, as `sacb-registration compare` reads them.

Run from the repository; the scans are not part of it:

    python Testing/Benchmarks/make_pairs.py ../shared/data -o results/pairs

writes oasis30.csv (all ordered pairs of the six OASIS scans), oasis4.csv (the four that benchmarks.md beside
the scans lists) and ircad2.csv (3D-IRCADb's cases 7 and 17, both ways).
"""

import argparse
import csv
import os
from itertools import permutations
from pathlib import Path

COLUMNS = ("name", "fixed", "moving", "fixed_labels", "moving_labels")
BRAINS = ("1000", "1001", "1002", "1006", "1007", "1008")
FOUR = (("1000", "1001"), ("1002", "1006"), ("1007", "1008"), ("1001", "1007"))
ABDOMENS = ("07", "17")


def lists() -> dict[str, list[tuple[str, ...]]]:
    """Returns the rows of every list: a name, and files in the folder of the scans."""
    brain = ("brain-oasis/{}_t1.nii.gz", "brain-oasis/{}_labels.nii.gz")
    abdomen = ("abdomen-ircad/ircad{}_ct.nii.gz", "abdomen-ircad/ircad{}_labels.nii.gz")
    return {
        "oasis30": [_row(pair, *brain) for pair in permutations(BRAINS, 2)],
        "oasis4": [_row(pair, *brain) for pair in FOUR],
        "ircad2": [_row(pair, *abdomen) for pair in permutations(ABDOMENS, 2)],
    }


def _row(pair: tuple[str, str], image: str, labels: str) -> tuple[str, ...]:
    fixed, moving = pair
    return (
        f"{fixed.lstrip('0')} from {moving.lstrip('0')}",
        image.format(fixed),
        image.format(moving),
        labels.format(fixed),
        labels.format(moving),
    )


def main() -> None:
    """Writes the lists; a list whose scans are missing is left out, saying so."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="folder of the scans")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder for the lists")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name, rows in lists().items():
        missing = [file for row in rows for file in row[1:] if not (options.data / file).is_file()]
        if missing:
            print(f"{name} is left out: {options.data} has no {missing[0]}")
            continue
        path = options.output / f"{name}.csv"
        with open(path, "w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(COLUMNS)
            for label, *files in rows:
                found = [os.path.relpath(options.data / part, options.output) for part in files]
                writer.writerow([label, *(Path(part).as_posix() for part in found)])
        print(f"{path}: {len(rows)} pairs")


if __name__ == "__main__":
    main()
