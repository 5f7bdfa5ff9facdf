"""Paths in folders that may not be entered, for which pathlib raises instead of saying "no"."""

import os

import pytest

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.reading import read_transform, read_volume
from SACBRegistrationLib.network import load_checkpoint
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.registration import saving


@pytest.mark.skipif(not hasattr(os, "seteuid"), reason="needs a folder that may not be entered")
def test_folders_that_may_not_be_entered(tmp_path):
    locked = tmp_path / "locked"
    locked.mkdir(mode=0o000)
    # Root may enter every folder, and tests in containers run as root.
    user = os.geteuid()
    os.seteuid(user or 65534)
    try:
        for attempt in (
            lambda: saving.check_output_folder(locked / "new" / "result"),
            lambda: read_volume(locked / "scan.nrrd", "fixed"),
            lambda: read_transform(locked / "start.tfm"),
            lambda: load_checkpoint(locked / "weights.pt"),
            lambda: load_preset(locked / "mine.json"),
            lambda: load_preset(locked / "mine"),
        ):
            with pytest.raises(UserError, match="locked"):
                attempt()
    finally:
        os.seteuid(user)
