"""Output into a pipe or file on Windows: its code page lacks most letters, which must not end a command."""

import importlib.util
import io
import sys

import pytest
from shared_data import REPOSITORY
from small_pairs import write_preset

from SACBRegistrationLib.cli.main import main
from SACBRegistrationLib.study.tables import plain_text

in_any_code_page = pytest.mark.parametrize("code_page", ["cp1252", "cp437", "ascii"])


def pipe(code_page: str, monkeypatch) -> io.TextIOWrapper:
    """Makes standard output what Python opens for a pipe there: a code page, and nothing but its letters."""
    stream = io.TextIOWrapper(io.BytesIO(), encoding=code_page, errors="strict", newline="\r\n")
    monkeypatch.setattr(sys, "stdout", stream)
    return stream


def written(stream: io.TextIOWrapper) -> str:
    stream.flush()
    return stream.buffer.getvalue().decode(stream.encoding)


@in_any_code_page
def test_commands_print_what_the_code_page_has(tmp_path, monkeypatch, code_page):
    output = pipe(code_page, monkeypatch)
    path = write_preset(tmp_path)
    text = path.read_text(encoding="utf-8").replace('"name"', '"title": "Łukasz 脳 ↑", "name"')
    path.write_text(text, encoding="utf-8")
    assert main(["presets", str(path)]) == 0
    assert "?ukasz ? ?: 48x48x48" in written(output)


@in_any_code_page
def test_the_table_of_a_study_can_be_printed(monkeypatch, code_page):
    output = pipe(code_page, monkeypatch)
    assert main(["presets"]) == 0
    print(plain_text([("SACB-Net",) + ("0.7 ± 0.1",) * 8]))
    assert "Dice?" in written(output) and "SACB-Net" in written(output)


@in_any_code_page
def test_the_script_of_the_setup_names_any_folder(tmp_path, monkeypatch, code_page):
    output = pipe(code_page, monkeypatch)
    folder = tmp_path / "Łukasz 脳"
    folder.mkdir()
    (folder / "run.py").write_bytes((REPOSITORY / "run.py").read_bytes())
    spec = importlib.util.spec_from_file_location("run_elsewhere", folder / "run.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    monkeypatch.setattr(script, "ensure_environment", lambda: None)
    assert script.main(["setup"]) == 0
    assert "?ukasz ?" in written(output)
