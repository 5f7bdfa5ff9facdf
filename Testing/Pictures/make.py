"""Makes the pictures of the documentation: registers the pairs and renders Slicer's views of the results.

python Testing/Pictures/make.py [--output docs/pictures] [--only phantom brain ct abdomen]
"""

import argparse
import importlib.util
import os
import sys
import time
from pathlib import Path

_TESTING = Path(__file__).resolve().parents[1]
for _folder in (_TESTING.parent, _TESTING):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

PICTURES = _TESTING.parent / "docs" / "pictures"
UNPUBLISHED = "unpublished"


def main(arguments: list[str] | None = None) -> int:
    """Makes the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="run.py pictures", description="Makes the documentation's pictures."
    )
    parser.add_argument(
        "--output", type=Path, default=_TESTING.parent / "docs" / "pictures", metavar="FOLDER"
    )
    parser.add_argument("--only", nargs="+", metavar="PAIR", help="phantom, brain, abdomen (default: all)")
    options = parser.parse_args(arguments)
    for name in ("slicer", "vtk", "PIL"):
        if importlib.util.find_spec(name) is None:
            print(
                f"The Python package {name} is missing; run this as python3 run.py pictures.", file=sys.stderr
            )
            return 2
    # Idle threads of torch would otherwise wait for work at full speed.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from Pictures.cases import CASES

    unknown = set(options.only or ()) - {case.name for case in CASES}
    if unknown:
        print(f"There is no pair {', '.join(sorted(unknown))}.", file=sys.stderr)
        return 2
    chosen = [case for case in CASES if not options.only or case.name in options.only]
    missing = [name for case in chosen for name in case.missing]
    if missing:
        print(
            "Pictures that need the following files in ../shared/data beside this repository are left out: "
            f"{', '.join(missing)}."
        )
    for case in chosen:
        if not case.missing:
            make_pictures(case, options.output)
    return 0


def make_pictures(case, output: Path) -> None:
    """Makes all pictures of one pair; those that must not be published go to a folder that git ignores."""
    from Pictures.cases import register_case
    from Pictures.offscreen import SliceViews
    from Pictures.pictures import PICTURES
    from Pictures.stage import set_stage

    started = time.monotonic()
    pair = register_case(case)
    print(f"{case.title}: registered in {time.monotonic() - started:.0f} s", flush=True)
    folder = output if case.publishable else output / UNPUBLISHED
    with SliceViews() as views:
        stage = set_stage(pair, views)
        for name, draw in PICTURES.items():
            if case.pictures is not None and name not in case.pictures:
                continue
            if name == "clusters" and not stage.maps:
                print("  no cluster maps: the preset has no network yet")
                continue
            path = folder / f"{case.name}_{name}.png"
            draw(stage, path)
            print(f"  {path} ({path.stat().st_size / 1000:.0f} kB)", flush=True)


if __name__ == "__main__":
    sys.exit(main())
