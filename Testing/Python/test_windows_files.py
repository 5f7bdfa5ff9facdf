"""What Windows does otherwise with files: letters that ITK cannot open, and folders that stay private."""

import os
import tempfile
import time
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
import torch
from oblique import blobs, oblique_grid
from small_pairs import blob_pair, same_geometry, snapshot
from test_compare import bench, compare, only_first_pair, outcome_of  # noqa: F401
from test_reading import write_dicom
from test_worker_run import script  # noqa: F401
from worker_fixtures import temporary, wait  # noqa: F401

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging import itk_path as itk_path_module
from SACBRegistrationLib.imaging.displacement import compose_displacement
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.itk_path import itk_path
from SACBRegistrationLib.imaging.reading import read_labels, read_transform, read_volume
from SACBRegistrationLib.registration import RegistrationResult, saving, staging
from SACBRegistrationLib.registration.saving import check_output_folder
from SACBRegistrationLib.worker.run import WorkerRun

OPENERS = (
    (sitk.ImageFileReader, "SetFileName"),
    (sitk.ImageFileWriter, "SetFileName"),
    (sitk.ImageFileReader, "GetImageIOFromFileName"),
    (sitk.ImageSeriesReader, "SetFileNames"),
    (sitk, "ReadImage"),
    (sitk, "WriteImage"),
    (sitk, "ReadTransform"),
)


@pytest.fixture
def windows(monkeypatch, tmp_path_factory):
    """ITK opens plain letters alone, as on Windows, and a link stands for a folder's short name."""
    links = tmp_path_factory.mktemp("short")

    def short_name(folder: Path) -> str:
        link = links / f"SHORT~{len(list(links.iterdir()))}"
        link.symlink_to(folder, target_is_directory=True)
        return str(link)

    def plain(function):
        def call(*arguments, **options):
            for names in (*arguments, *options.values()):
                for name in names if isinstance(names, (list, tuple)) else [names]:
                    if isinstance(name, str) and not name.isascii():
                        raise RuntimeError(f"The file {name!r} does not exist.")
            return function(*arguments, **options)

        return call

    for owner, name in OPENERS:
        replaced = plain(getattr(owner, name))
        static = name == "GetImageIOFromFileName"
        monkeypatch.setattr(owner, name, staticmethod(replaced) if static else replaced)
    monkeypatch.setattr(itk_path_module, "_takes_ascii_alone", lambda: True)
    monkeypatch.setattr(itk_path_module, "_short_name", short_name)
    return monkeypatch


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "Müller 脳"
    folder.mkdir()
    return folder


def test_other_programs_below_a_temporary_folder_with_any_letters(windows, folder, bench):  # noqa: F811
    only_first_pair(bench)
    windows.setattr(tempfile, "tempdir", str(folder))
    assert compare(bench, "--methods", "syn") == 0
    assert outcome_of(bench)["pairs"]["one"]["syn"]["labels"] == 3


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mhd"])
def test_volumes_in_folders_with_any_letters(windows, tmp_path, folder, suffix):
    image = sitk.Cast(blobs(oblique_grid()), sitk.sitkInt16)
    sitk.WriteImage(image, str(tmp_path / f"scan.{suffix}"))
    for file in tmp_path.glob("scan.*"):
        file.rename(folder / file.name)
    for read in (
        read_volume(folder / f"scan.{suffix}", "fixed"),
        read_labels(folder / f"scan.{suffix}", "fixed"),
    ):
        assert same_geometry(read, image)
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(read), sitk.GetArrayViewFromImage(image))


def test_transforms_and_series_in_folders_with_any_letters(windows, tmp_path, folder):
    turn = sitk.Euler3DTransform((1.0, 2.0, 3.0), 0.1, 0.2, 0.3, (4.0, 5.0, 6.0))
    sitk.WriteTransform(turn, str(tmp_path / "turn.tfm"))
    (tmp_path / "turn.tfm").rename(folder / "turn.tfm")
    assert read_transform(folder / "turn.tfm").TransformPoint((7.0, 8.0, 9.0)) == turn.TransformPoint(
        (7.0, 8.0, 9.0)
    )
    image = sitk.Cast(blobs(oblique_grid()), sitk.sitkInt16)
    write_dicom(image, tmp_path / "series").rename(folder / "series")
    assert read_volume(folder / "series", "fixed").GetSize() == image.GetSize()


def test_results_in_folders_with_any_letters(windows, folder):
    fixed, moving = blob_pair()
    turn = sitk.Euler3DTransform((12.0, -31.0, 47.0), 0.05, -0.03, 0.08, (2.0, -3.0, 1.5))
    grid = Grid.from_image(fixed)
    field = compose_displacement(torch.zeros(1, 3, *grid.size), grid, turn, grid)
    report = {"seconds": {"total": 1.0}, "settings": {"seed": 0}}
    result = RegistrationResult(field, fixed, {}, report, turn, fixed, moving)
    # Not ITK's work, and the slowest part.
    windows.setattr(saving, "_draw", lambda result, path: None)
    for target in (folder / "new" / "Ergebnis 脳", folder):
        result.save(target, inverse=True)
        read = read_volume(target / "warped.nrrd", "fixed")
        np.testing.assert_array_equal(sitk.GetArrayViewFromImage(read), sitk.GetArrayViewFromImage(fixed))
        for name in ("transform", "inverse"):
            assert read_transform(target / f"{name}.nrrd").GetDimension() == 3
        assert (target / "report.json").is_file()


def test_letters_without_a_way_around_are_told(windows, tmp_path, folder):
    image = sitk.Cast(blobs(oblique_grid()), sitk.sitkInt16)
    sitk.WriteImage(image, str(tmp_path / "scan.nrrd"))
    named = (tmp_path / "scan.nrrd").rename(folder / "köpf.nrrd")
    with pytest.raises(
        UserError, match=r"köpf\.nrrd has letters that SimpleITK cannot open on Windows; use plain"
    ):
        read_volume(named, "fixed")
    # A disk that keeps no short names.
    windows.setattr(itk_path_module, "_short_name", str)
    before = snapshot(tmp_path)
    for target in (folder, folder / "new" / "result"):
        with pytest.raises(UserError, match="cannot open on Windows"):
            check_output_folder(target)
    assert snapshot(tmp_path) == before


def test_paths_stay_where_itk_opens_them():
    assert itk_path("a/scan.nrrd") == "a/scan.nrrd"
    if os.name == "posix":
        assert itk_path(Path("Müller/köpf.nrrd")) == "Müller/köpf.nrrd"


def test_results_are_as_readable_as_their_folder(monkeypatch, tmp_path):
    """On Windows a folder made private keeps whatever is made in it private, also where that is moved to."""
    private: set[Path] = set()
    make = os.mkdir

    def mkdir(path, mode=0o777, **options):
        make(path, mode, **options)
        path = Path(path).absolute()
        if mode == 0o700 or path.parent in private:
            private.add(path)

    monkeypatch.setattr(os, "mkdir", mkdir)
    monkeypatch.setattr(staging, "_STAGE_MODE", 0o777)
    with staging.staging_folder(tmp_path) as parts:
        assert parts.is_dir() and not private
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(os.name == "nt", reason="needs the permissions of POSIX")
def test_unfinished_results_are_private(tmp_path):
    with staging.staging_folder(tmp_path) as parts:
        assert parts.parent.stat().st_mode & 0o777 == 0o700
        (tmp_path / "usual").mkdir()
        assert parts.stat().st_mode == (tmp_path / "usual").stat().st_mode


class Scanner:
    """A virus scanner on Windows, which holds files that were just written open for a while."""

    def __init__(self, monkeypatch, times: int) -> None:
        self.left = times
        for name in ("rename", "replace"):
            monkeypatch.setattr(os, name, self.holding(getattr(os, name)))

    def holding(self, move):
        def call(source, target):
            if self.left:
                self.left -= 1
                raise PermissionError(13, "used by another process", str(source))
            move(source, target)

        return call


@pytest.mark.parametrize("new", [True, False])
def test_a_result_waits_for_who_holds_it_open(monkeypatch, tmp_path, new):
    monkeypatch.setattr(staging, "_PATIENCE_SECONDS", 5.0)
    folder, names = tmp_path / "result", ("transform.nrrd", "report.json")
    if not new:
        folder.mkdir()
        for name in names:
            (folder / name).write_text("old", encoding="utf-8")
    scanner = Scanner(monkeypatch, times=4)
    with staging.staging_folder(tmp_path if new else folder) as parts:
        for name in names:
            (parts / name).write_text("new", encoding="utf-8")
        if new:
            staging.show_new(parts, folder)
        else:
            staging.replace_parts(parts, folder, names)
    assert snapshot(folder) == dict.fromkeys(names, b"new") and not scanner.left


def test_a_result_that_is_held_for_good_is_refused_in_time(monkeypatch, tmp_path):
    monkeypatch.setattr(staging, "_PATIENCE_SECONDS", 0.2)
    (tmp_path / "report.json").write_text("old", encoding="utf-8")
    Scanner(monkeypatch, times=10**9)
    begun = time.monotonic()
    with staging.staging_folder(tmp_path) as parts, pytest.raises(PermissionError):
        (parts / "report.json").write_text("new", encoding="utf-8")
        staging.replace_parts(parts, tmp_path, ("report.json",))
    assert snapshot(tmp_path) == {"report.json": b"old"} and 0.2 < time.monotonic() - begun < 5


@pytest.mark.usefixtures("temporary")
@pytest.mark.skipif(os.name == "nt", reason="stands for Windows elsewhere")
def test_letting_go_of_a_run_waits_for_files_that_are_held_open(request, monkeypatch):
    """The Python behind a launcher ends a moment after it, and holds what it writes until then."""
    process = request.getfixturevalue("script")("write(); done(FIELD); sys.stdin.read()")
    with WorkerRun(process) as run:
        run.launch()
        assert wait(run).state == "done"
        folder, held_until, remove = run.folder, time.monotonic() + 0.6, os.unlink

        def unlink(path, **options):
            if Path(path).name == "messages.jsonl" and time.monotonic() < held_until:
                raise PermissionError(13, "used by another process", str(path))
            remove(path, **options)

        monkeypatch.setattr(os, "unlink", unlink)
        for _ in run.release():
            time.sleep(0.01)
        # `close`, during which the window stands still, has nothing left to wait for.
        assert not folder.exists() and time.monotonic() >= held_until
