"""What the tests of the worker share: jobs, waiting, and processes that behave as a test wants."""

import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.arrays import ArrayFile, write_steps
from SACBRegistrationLib.worker.job import Job
from SACBRegistrationLib.worker.process import PopenProcess
from SACBRegistrationLib.worker.run import ENDED, RunStatus, WorkerRun


def put(image: sitk.Image, key: str, folder: Path) -> ArrayFile:
    """Writes an image into a run's folder, as the parent does."""
    array = sitk.GetArrayViewFromImage(image)
    file = ArrayFile.of(array, f"{key}.raw", Grid.from_image(image))
    for _ in write_steps(array, folder / file.name):
        pass
    return file


def job_of(folder: Path, settings: RegistrationSettings, images: Mapping[str, sitk.Image], **more) -> Job:
    return Job(settings, {key: put(image, key, folder) for key, image in images.items()}, **more)


def read_through_simpleitk(file: ArrayFile, folder: Path) -> sitk.Image:
    """Returns a raw file as SimpleITK's own reader sees it, through a MetaImage header."""
    grid, channels = file.grid, 3 if len(file.shape) == 4 else 1
    types = {"uint8": "MET_UCHAR", "int16": "MET_SHORT", "uint16": "MET_USHORT", "int32": "MET_INT"}
    types |= {"float32": "MET_FLOAT", "float64": "MET_DOUBLE", "int8": "MET_CHAR", "uint32": "MET_UINT"}
    header = folder / f"{Path(file.name).stem}.mhd"
    numbers = {
        # MetaImage lists the axes one after the other, that is the columns of ITK's direction.
        "TransformMatrix": [grid.direction[3 * row + column] for column in range(3) for row in range(3)],
        "Offset": grid.origin,
        "ElementSpacing": grid.spacing,
        "DimSize": grid.size,
    }
    lines = ["ObjectType = Image", "NDims = 3", "BinaryData = True", "BinaryDataByteOrderMSB = False"]
    lines += [f"{key} = {' '.join(repr(value) for value in values)}" for key, values in numbers.items()]
    lines += [f"ElementNumberOfChannels = {channels}", f"ElementType = {types[file.dtype]}"]
    header.write_text("\n".join([*lines, f"ElementDataFile = {file.name}", ""]))
    return sitk.ReadImage(str(header))


def wait(run: WorkerRun, seconds: float = 60.0, state: tuple[str, ...] = ENDED) -> RunStatus:
    """Polls until the run is in one of the states."""
    end = time.monotonic() + seconds
    while (status := run.poll()).state not in state:
        assert time.monotonic() < end, (
            f"still {status.state} ({status.stage}) after {seconds} s\n{status.log}"
        )
        time.sleep(0.01)
    return status


def wait_until(condition, seconds: float = 10.0) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"did not come true within {seconds} s"
        time.sleep(0.01)


class ScriptProcess(PopenProcess):
    """Runs a script instead of the worker's program, with the same folder."""

    def __init__(self, script: Path) -> None:
        super().__init__()
        self._script = script

    def start(
        self, command: Sequence[str], environment: Mapping[str, str], output: Path, errors: Path
    ) -> None:
        super().start([command[0], str(self._script), *command[2:]], environment, output, errors)

    @property
    def pid(self) -> int:
        return self._process.pid


@pytest.fixture
def temporary(tmp_path, monkeypatch) -> Path:
    """The folder for temporary files, with a space and letters beyond ASCII in its path; empty afterwards."""
    folder = tmp_path / "Träger 山 (1)"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    left = [path.relative_to(folder).as_posix() for path in folder.rglob("*")]
    assert left == [], f"a run left {left} behind"
