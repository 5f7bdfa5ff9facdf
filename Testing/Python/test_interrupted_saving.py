"""Killed between any two steps of writing a result: the folder shows the old result, the new one, or none."""

import os
import signal
import threading
from pathlib import Path

import pytest
import torch
from small_pairs import snapshot

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.network import SACBNet, load_checkpoint, save_checkpoint
from SACBRegistrationLib.registration import saving, staging
from SACBRegistrationLib.registration.saving import check_output_folder, save_result

posix = pytest.mark.skipif(os.name == "nt", reason="needs fork and SIGKILL")

OLD = {"transform.nrrd": b"old", "inverse.nrrd": b"old", "clusters/a.nrrd": b"old", "report.json": b"old"}
NEW = {"transform.nrrd": b"new", "warped.nrrd": b"new", "clusters/b.nrrd": b"new", "report.json": b"new"}
STRANGER = {"notes.txt": b"mine"}


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def contents(folder: Path) -> dict[str, bytes]:
    """Returns the files in a folder and below it that the user sees."""
    return {
        name: content
        for name, content in snapshot(folder).items()
        if content is not None and not name.startswith(staging.PREFIX)
    }


def remains(folder: Path) -> list[str]:
    return [path.name for path in folder.rglob(staging.PREFIX + "*")]


@pytest.fixture(autouse=True)
def small_result(monkeypatch):
    """A result is some bytes, so that only what becomes of them is tested."""

    def write(result, folder: Path, inverse: bool) -> list[Path]:
        put(folder, result)
        return sorted(map(Path, result))

    monkeypatch.setattr(saving, "_write", write)


STEPS = ("rename", "replace", "mkdir", "unlink", "rmdir")


def killed_at(step: int, action) -> bool:
    """Runs an action in a child that dies at its n-th change of a folder; returns whether it came so far."""
    child = os.fork()
    if child == 0:
        left = [step]

        def dying(original):
            def call(*arguments, **options):
                if left[0] == 0:
                    os.kill(os.getpid(), signal.SIGKILL)
                left[0] -= 1
                return original(*arguments, **options)

            return call

        try:
            for name in STEPS:
                setattr(os, name, dying(getattr(os, name)))
            action()
            os._exit(0)
        except BaseException:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or os.WEXITSTATUS(status) == 0, "the child failed otherwise"
    return os.WIFSIGNALED(status)


def every_step(action_of, most: int = 60):
    """Yields after every kill; action_of(step) returns the action and prepares its folder."""
    for step in range(most):
        if not killed_at(step, action_of(step)):
            assert step > 5, "there were hardly any steps to be killed at"
            return
        yield step
    pytest.fail("the action never ends")


@posix
def test_a_new_folder_appears_whole_or_not_at_all(tmp_path):
    def action_of(step):
        return lambda: save_result(NEW, tmp_path / str(step) / "out")

    for step in every_step(action_of):
        folder = tmp_path / str(step) / "out"
        assert contents(folder) in ({}, NEW) and folder.exists() == bool(contents(folder))
        save_result(NEW, folder)
        assert contents(folder) == NEW and not remains(tmp_path / str(step))


@posix
def test_an_older_result_is_there_or_the_new_one_after_the_next_look(tmp_path):
    def action_of(step):
        folder = tmp_path / str(step)
        put(folder, {**OLD, **STRANGER})
        return lambda: save_result(NEW, folder)

    seen = set()
    for step in every_step(action_of):
        folder = tmp_path / str(step)
        shown = contents(folder)
        # A report is there only beside all of its result.
        if "report.json" in shown:
            assert shown in ({**OLD, **STRANGER}, {**NEW, **STRANGER})
        check_output_folder(folder)
        after = contents(folder)
        assert after in ({**OLD, **STRANGER}, {**NEW, **STRANGER}) and not remains(folder)
        seen.add((shown.get("report.json"), after["report.json"]))
        save_result(NEW, folder)
        assert contents(folder) == {**NEW, **STRANGER} and not remains(folder)
    assert {(b"old", b"old"), (None, b"old"), (b"new", b"new")} <= seen


@posix
def test_putting_back_may_be_interrupted_too(tmp_path):
    def action_of(step):
        folder = tmp_path / str(step)
        put(folder, {"transform.nrrd": b"new", "warped.nrrd": b"new"})
        stage = folder / f"{staging.PREFIX}dead"
        put(stage, {"lock": b"", "placing": b"", "result/report.json": b"new"})
        put(stage / "old", OLD)
        return lambda: check_output_folder(folder)

    for step in every_step(action_of):
        folder = tmp_path / str(step)
        check_output_folder(folder)
        assert contents(folder) == OLD and not remains(folder)


def test_a_run_that_is_still_writing_is_left_alone(tmp_path):
    put(tmp_path, OLD)
    with staging.staging_folder(tmp_path) as parts:
        put(parts, NEW)
        check_output_folder(tmp_path)
        assert contents(parts) == NEW
        staging.replace_parts(parts, tmp_path, saving._NAMES)
    assert contents(tmp_path) == NEW and not remains(tmp_path)


def test_the_new_folder_is_as_open_as_any_other(tmp_path):
    (tmp_path / "usual").mkdir()
    save_result(NEW, tmp_path / "out")
    assert (tmp_path / "out").stat().st_mode == (tmp_path / "usual").stat().st_mode


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_may_not_be_written_is_left_alone(tmp_path):
    put(tmp_path / "out", OLD)
    (tmp_path / "out").chmod(0o500)
    try:
        with pytest.raises(UserError, match="cannot be written"):
            save_result(NEW, tmp_path / "out")
        assert contents(tmp_path / "out") == OLD
    finally:
        (tmp_path / "out").chmod(0o700)


def test_two_that_write_the_same_weights_never_spoil_them(tmp_path):
    torch.manual_seed(0)
    path, networks = tmp_path / "shared.pt", [SACBNet(), SACBNet()]
    save_checkpoint(path, networks[0], {"steps": 0})
    failures: list[Exception] = []

    def write(which: int) -> None:
        try:
            for _ in range(6):
                save_checkpoint(path, networks[which], {"steps": which})
        except Exception as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(which,)) for which in (0, 1)]
    for writer in writers:
        writer.start()
    reads = 0
    while any(writer.is_alive() for writer in writers) or reads < 2:
        network = load_checkpoint(path)
        own = networks[network.info["steps"]].state_dict()
        assert all(torch.equal(value, own[key]) for key, value in network.state_dict().items())
        reads += 1
    assert not failures and os.listdir(tmp_path) == ["shared.pt"]
