"""A valid small pair for the command `register`, and the check that one mistake is refused properly."""

import re
from pathlib import Path

import SimpleITK as sitk
from oblique import blobs, oblique_grid
from small_pairs import snapshot

from SACBRegistrationLib.cli.main import main

SIZE, SPACING = (24, 20, 18), (2.9, 3.3, 3.7)
FAST = ("--weights", "none", "--refine", "0", "--alignment", "none", "--device", "cpu")
ROLES = ("fixed", "moving")


def volume(**geometry) -> sitk.Image:
    return blobs(oblique_grid(**{"size": SIZE, "spacing": SPACING, **geometry}))


def labels(**geometry) -> sitk.Image:
    return sitk.Cast(volume(**geometry) / 30.0, sitk.sitkUInt8)


def with_voxel(value: float) -> sitk.Image:
    image = volume()
    image[3, 4, 5] = value
    return image


def sheared() -> sitk.Image:
    image = volume()
    image.SetDirection((1, 0.3, 0, 0, 1, 0, 0, 0, 1))
    return image


def write(image: sitk.Image, path: Path) -> Path:
    sitk.WriteImage(image, str(path))
    return path


def shown(captured: str) -> str:
    """Returns what a terminal ends up showing, less the progress: a carriage return starts the line anew."""
    lines = [line.rstrip("\r").split("\r")[-1].rstrip() for line in captured.split("\n")]
    return "\n".join(line for line in lines if line and not re.match(r" *\d+ % ", line))


def run(*arguments: object) -> int:
    try:
        return main(["register", *map(str, arguments)])
    except SystemExit as exit_:  # argparse ends the program by itself
        return exit_.code


class Bench:
    """A valid pair, an output folder that holds something already, and the check of a refusal."""

    def __init__(self, folder: Path, capfd) -> None:
        self.folder, self._capfd = folder, capfd
        self.files = {role: write(volume(), folder / f"{role}.nrrd") for role in ROLES}
        self.output = folder / "results"
        self.output.mkdir()
        (self.output / "notes.txt").write_text("keep me", encoding="utf-8")
        (self.output / "transform.nrrd").write_bytes(b"an older result")

    def refused(self, *options, output: Path | None = None, **files) -> str:
        """Runs the command, which must refuse, and returns its sentence.

        Args:
            options: Further command-line arguments.
            output: Output folder; None takes one that holds an older result.
            files: "fixed" and "moving" to use instead of the valid ones.
        """
        before = snapshot(self.folder)
        chosen = {**self.files, **files}
        self._capfd.readouterr()
        arguments = (chosen["fixed"], chosen["moving"], "-o", output or self.output, *FAST, *options)
        code = run(*arguments)
        captured = self._capfd.readouterr()
        sentence = shown(captured.err)
        assert code == 2, sentence
        assert captured.out == ""
        assert "Traceback" not in captured.err
        assert sentence.count("\n") == 0, sentence
        assert re.fullmatch(
            r"[A-Z].*\.", sentence.removeprefix("sacb-registration: ").removeprefix("Error: ")
        )
        assert not re.search(r"[.!?] +[A-Z]", sentence), f"more than one sentence: {sentence}"
        assert snapshot(self.folder) == before
        return sentence
