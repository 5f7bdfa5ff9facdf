"""The library as a new interpreter sees it that knows of one folder only."""

import json
import subprocess
import sys
from pathlib import Path

_LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import SACBRegistrationLib
from SACBRegistrationLib.presets import list_presets
from SACBRegistrationLib.resources import icon_file, ui_file
presets = list_presets()
weights = {str(preset.weights_path) for preset in presets if preset.weights and preset.weights_path.is_file()}
print(json.dumps({
    "package": SACBRegistrationLib.__file__,
    "presets": [preset.name for preset in presets],
    "weights": sorted(weights),
    "ui": str(ui_file("SACBRegistration.ui")),
    "icon": str(icon_file("SACBRegistration.png")),
}))
"""


def resources_seen_from(folder: Path, working_folder: Path) -> dict:
    """Returns what a new Python finds when `folder` is the one path it was given.

    Args:
        folder: Goes onto sys.path.
        working_folder: Where it is started; must hold nothing that could be imported instead.
    """
    # Isolated: neither the working folder nor PYTHONPATH leads to the source tree.
    command = [sys.executable, "-I", "-c", _LOOK, str(folder)]
    done = subprocess.run(command, cwd=working_folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def check_resources(seen: dict, root: Path) -> None:
    """Asserts that everything was found, and inside `root` alone."""
    root = root.resolve()
    assert {"abdomen-ct", "ixi", "lpba"} <= set(seen["presets"])
    assert {Path(path).name for path in seen["weights"]} == {"abdomen.pt", "brain.pt"}
    for path in (seen["package"], *seen["weights"], seen["ui"], seen["icon"]):
        assert Path(path).resolve().is_relative_to(root), f"{path} is not in {root}"
        assert Path(path).stat().st_size > 0
