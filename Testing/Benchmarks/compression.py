"""How long the parts of a result take to write and to read, and how large they get, per compression level.

    python Testing/Benchmarks/compression.py FOLDER

FOLDER holds a result of `sacb-registration register --inverse`, best of a pair with label maps. Level 0 is no
compression; NRRD compresses with zlib in one thread. Reading is SimpleITK's, which Slicer's takes as long as.
"""

import argparse
import tempfile
import time
from pathlib import Path

import SimpleITK as sitk

LEVELS = (0, 1, 2, 3, 6, 9)
FILES = ("transform.nrrd", "inverse.nrrd", "warped.nrrd", "warped_labels.nrrd", "clusters/level2_fixed.nrrd")


def measured(image: sitk.Image, path: Path, level: int, repeats: int) -> tuple[float, float, float]:
    """Returns megabytes and the best seconds of writing and reading."""
    writing, reading = [], []
    for _ in range(repeats):
        begun = time.perf_counter()
        writer = sitk.ImageFileWriter()
        writer.SetFileName(str(path))
        writer.SetUseCompression(level > 0)
        if level:
            writer.SetCompressionLevel(level)
        writer.Execute(image)
        written = time.perf_counter()
        sitk.ReadImage(str(path))
        writing.append(written - begun)
        reading.append(time.perf_counter() - written)
    return path.stat().st_size / 1e6, min(writing), min(reading)


def main() -> None:
    """Prints the table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    print("| file | level | MB | write s | read s |\n| --- | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as temporary:
        for name in FILES:
            if (options.folder / name).is_file():
                image = sitk.ReadImage(str(options.folder / name))
                for level in LEVELS:
                    size, write, read = measured(
                        image, Path(temporary) / "image.nrrd", level, options.repeats
                    )
                    print(f"| {name} | {level} | {size:.2f} | {write:.2f} | {read:.2f} |", flush=True)


if __name__ == "__main__":
    main()
