"""Makes the pictures of the documentation: registers the pairs and renders Slicer's views of the results.

python Testing/Pictures/make.py [--output docs/pictures] [--only panel phantom brain ct abdomen]
"""

import argparse
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

_TESTING = Path(__file__).resolve().parents[1]
for _folder in (_TESTING.parent, _TESTING):
    if str(_folder) not in sys.path:
        sys.path.insert(0, str(_folder))

PICTURES = _TESTING.parent / "docs" / "pictures"
UNPUBLISHED = "unpublished"
PANEL = "panel"


def main(arguments: list[str] | None = None) -> int:
    """Makes the pictures; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="run.py pictures", description="Makes the documentation's pictures."
    )
    parser.add_argument(
        "--output", type=Path, default=_TESTING.parent / "docs" / "pictures", metavar="FOLDER"
    )
    parser.add_argument(
        "--only", nargs="+", metavar="PAIR", help="panel, phantom, brain, ct, abdomen (default: all)"
    )
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

    names = {PANEL, *(case.name for case in CASES)}
    wanted = set(options.only or names)
    if not wanted <= names:
        unknown = ", ".join(sorted(wanted - names))
        print(f"There are no pictures of {unknown}; choose from {', '.join(sorted(names))}.", file=sys.stderr)
        return 2
    if PANEL in wanted:
        draw_panel(options.output)
    chosen = [case for case in CASES if case.name in wanted]
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


def draw_panel(output: Path) -> None:
    """Makes the pictures of the panel, in a process of their own."""
    if importlib.util.find_spec("PySide6") is None:
        print("Pictures of the panel are left out because the package PySide6 is missing.")
        return
    print("The panel, on two procedural heads (the sample pair)", flush=True)
    command = [sys.executable, Path(__file__).with_name("panel.py"), output.resolve()]
    subprocess.run([str(part) for part in command], check=True)


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
