"""Nothing leaves the computer, nobody else may look in, and names of patients get nowhere."""

import ast
import gzip
import json
import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import SimpleITK as sitk
from shared_data import REPOSITORY
from small_pairs import blob_pair, write_preset, write_weights
from test_worker_process import program_after
from worker_fixtures import job_of, temporary, wait  # noqa: F401

from SACBRegistrationLib.imaging.reading import read_volume
from SACBRegistrationLib.registration.staging import staging_folder
from SACBRegistrationLib.settings import RegistrationSettings
from SACBRegistrationLib.worker.folders import make_private_folder
from SACBRegistrationLib.worker.run import WorkerRun

PATIENT = "Mustermann"
NAMED = f"{PATIENT}^Erika"
NETWORK = {
    *("socket", "socketserver", "ssl", "http", "urllib", "urllib3", "requests", "httpx", "aiohttp", "ftplib"),
    *(
        "smtplib",
        "poplib",
        "imaplib",
        "telnetlib",
        "xmlrpc",
        "webbrowser",
        "asyncio",
        "websocket",
        "websockets",
    ),
    *("sentry_sdk", "posthog", "wandb", "mlflow", "huggingface_hub", "torchvision", "analytics", "statsd"),
}
# Ends the process at the first attempt to use the network, whatever the code around it catches.
NO_NETWORK = """
import os, sys
def _watch(event, arguments):
    if event.startswith(("socket.", "urllib.", "http.client", "ftplib.", "smtplib.", "webbrowser.")):
        if event != "socket.gethostname":
            os.write(2, ("NETWORK: " + event).encode())
            os._exit(77)
sys.addaudithook(_watch)
"""


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("files")
    return {"preset": str(write_preset(folder, (32, 32, 32))), "weights": str(write_weights(folder))}


def roots(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            found.add((node.module or "").split(".")[0])
    return found


def test_nothing_in_the_library_can_reach_the_network():
    folders = (REPOSITORY / "SACBRegistrationLib", REPOSITORY / "SACBRegistration")
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    assert len(paths) > 100
    assert {path.name: roots(path) & NETWORK for path in paths if roots(path) & NETWORK} == {}
    addresses = [path.name for path in paths if "http://" in path.read_text(encoding="utf-8")]
    assert not addresses


def test_the_watch_ends_a_process_that_uses_the_network():
    for attempt in (
        "import socket; socket.socket()",
        "import socket; socket.getaddrinfo('localhost', 80)",
        "import urllib.request; urllib.request.urlopen('http://localhost:9')",
    ):
        done = subprocess.run([sys.executable, "-c", NO_NETWORK + attempt], capture_output=True)
        assert done.returncode == 77, attempt


def write_named_dicom(image: sitk.Image, folder: Path) -> Path:
    """Writes a DICOM series of a patient with a name."""
    folder.mkdir()
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    image = sitk.Cast(image, sitk.sitkInt16)
    columns = [image.GetDirection()[3 * row + axis] for axis in (0, 1) for row in range(3)]
    for number in range(image.GetSize()[2]):
        plane = image[:, :, number]
        position = image.TransformIndexToPhysicalPoint((0, 0, number))
        for key, value in {
            "0008|0060": "MR",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.4",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.7.{number + 1}",
            "0010|0010": NAMED,
            "0010|0020": f"{PATIENT}-4711",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.9",
            "0020|000e": "1.2.826.0.1.3680043.2.1125.9.7",
            "0020|0013": str(number + 1),
            "0020|0032": "\\".join(f"{value:.6f}" for value in position),
            "0020|0037": "\\".join(f"{value:.8f}" for value in columns),
            "0018|0050": f"{image.GetSpacing()[2]:.4f}",
        }.items():
            plane.SetMetaData(key, value)
        writer.SetFileName(str(folder / f"{PATIENT}{number:03}.dcm"))
        writer.Execute(plane)
    return folder


def write_named_nrrd(image: sitk.Image, path: Path) -> Path:
    image = sitk.Image(image)
    for key in ("PatientName", "0010|0010", "ITK_InputFilterName", "descrip"):
        image.SetMetaData(key, NAMED)
    sitk.WriteImage(image, str(path))
    return path


def named_pair(folder: Path) -> tuple[Path, Path]:
    fixed, moving = blob_pair()
    paths = write_named_nrrd(fixed, folder / f"{PATIENT}.nrrd"), write_named_dicom(moving, folder / "series")
    assert PATIENT in paths[0].read_text(encoding="latin-1")
    reader = sitk.ImageFileReader()
    reader.SetFileName(str(next(paths[1].iterdir())))
    reader.ReadImageInformation()
    assert PATIENT in reader.GetMetaData("0010|0010")
    return paths


def holds_name(content: bytes) -> bool:
    """Says whether a file's bytes hold the name, also in the packed part of a NRRD file."""
    _, _, packed = content.partition(b"\n\n")
    if packed.startswith(b"\x1f\x8b"):
        content += gzip.decompress(packed)
    return PATIENT.lower().encode() in content.lower()


def test_a_name_in_packed_voxels_would_be_found():
    assert holds_name(b"NRRD0004\n\n" + gzip.compress(NAMED.encode())) and not holds_name(b"NRRD0004\n\nabc")


def test_the_command_writes_no_name_and_uses_no_network(small, tmp_path):
    (tmp_path / "in").mkdir()
    fixed, moving = named_pair(tmp_path / "in")
    code = f"{NO_NETWORK}\nsys.path.insert(0, {str(REPOSITORY)!r})\n"
    code += "import logging\nlogging.basicConfig(level=logging.DEBUG)\n"
    code += "from SACBRegistrationLib.cli.main import main\nsys.exit(main(sys.argv[1:]))"
    command = [sys.executable, "-c", code, "register", str(fixed), str(moving), "-o", str(tmp_path / "out")]
    command += [
        "--preset",
        small["preset"],
        "--weights",
        small["weights"],
        "--refine",
        "1",
        "--device",
        "cpu",
    ]
    command += ["--alignment", "none", "--inverse", "--clusters", "3"]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    assert done.returncode == 0, done.stderr
    said = (done.stdout + done.stderr).lower()
    assert PATIENT.lower() not in said and "debug" in said
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(files) > 10
    assert not [path.name for path in files if PATIENT.lower() in path.name.lower()]
    assert not [path.name for path in files if holds_name(path.read_bytes())]


# And as a machine of its own time: from the start on, its clock runs backwards, years ago.
BACKWARDS = """
import time
_usual = time.time
_begun = _usual()
time.time = lambda: 2 * _begun - _usual() - 1e8
"""


@pytest.mark.usefixtures("temporary")
def test_the_worker_tells_no_name_uses_no_network_and_needs_no_clock(small, tmp_path):
    settings = RegistrationSettings(**small, device="cpu", refine=1, alignment="none", clusters=3)
    files = named_pair(tmp_path)
    images = {role: read_volume(file, role) for role, file in zip(("fixed", "moving"), files, strict=True)}
    (tmp_path / "program").mkdir()
    with WorkerRun(program_after(tmp_path / "program", NO_NETWORK + BACKWARDS)) as run:
        run.launch()
        run.submit(job_of(run.folder, settings, images))
        status = wait(run)
        assert status.state == "done", status.error
        content = {path.name: path.read_bytes() for path in run.folder.rglob("*") if path.is_file()}
    assert all(seconds >= 0 for seconds in status.result.report["seconds"].values())
    told = status.log + status.note + status.stage + json.dumps(dict(status.result.report), default=str)
    assert PATIENT.lower() not in told.lower()
    assert content and not [name for name, data in content.items() if holds_name(data) or PATIENT in name]


@pytest.mark.skipif(
    os.name == "nt", reason="Windows has other permissions; temporary folders are the user's own"
)
def test_temporary_folders_are_private(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    before = os.umask(0)
    try:
        folder = make_private_folder()
        with staging_folder(tmp_path) as parts:
            modes = [stat.S_IMODE(path.stat().st_mode) for path in (folder, parts.parent)]
    finally:
        os.umask(before)
    assert modes == [0o700, 0o700]


def test_temporary_files_are_made_by_the_module_that_makes_them_private():
    for path in (REPOSITORY / "SACBRegistrationLib").rglob("*.py"):
        text = path.read_text(encoding="utf-8")
        assert "tempfile.mktemp(" not in text and "gettempdir" not in text and '"/tmp' not in text, path
