"""Stand-ins for the other registration programs, which the tests do not install.

Each offers what SACBRegistrationLib.comparison.peers asks of the real one; SyN's result is given to it.
"""

import textwrap
from pathlib import Path

ANTS = """
import os
import SimpleITK as sitk

__version__ = "0.6.3"

def image_read(path):
    return sitk.ReadImage(path)

def image_write(image, path):
    sitk.WriteImage(image, path)

def registration(fixed, moving, type_of_transform, outprefix):
    assert type_of_transform == "SyN" and os.environ["OMP_NUM_THREADS"] == "1"
    field = sitk.ReadImage(os.environ["FAKE_FIELD"], sitk.sitkVectorFloat64)
    path = outprefix + "1Warp.nii.gz"
    sitk.WriteImage(field, path)
    with open(os.environ["FAKE_LOG"], "a") as log:
        log.write("syn\\n")
    return {"fwdtransforms": [path]}

def apply_transforms(fixed, moving, transforms, interpolator=None, compose=None, whichtoinvert=None):
    field = sitk.ReadImage(transforms[0], sitk.sitkVectorFloat64)
    if compose:
        field.CopyInformation(fixed)
        sitk.WriteImage(field, compose + "comptx.nrrd")
        return compose + "comptx.nrrd"
    assert interpolator == "genericLabel"
    return sitk.Image(fixed) * 0
"""
GREEDY = """
import os

class Greedy3D:
    def execute(self, command, **given):
        with open(os.environ["FAKE_LOG"], "a") as log:
            log.write(command + "\\n")
        raise RuntimeError("the images\\ndo not please me")
"""


def write_fake_programs(folder: Path) -> None:
    """Writes a SyN that reads its result from $FAKE_FIELD, and a greedy that fails; both log to $FAKE_LOG."""
    for module, distribution, version, source in (
        ("ants", "antspyx", "0.6.3", ANTS),
        ("picsl_greedy", "picsl_greedy", "1.4.0.3", GREEDY),
    ):
        (folder / f"{module}.py").write_text(textwrap.dedent(source), encoding="utf-8")
        metadata = folder / f"{distribution}-{version}.dist-info"
        metadata.mkdir()
        text = f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n"
        (metadata / "METADATA").write_text(text, encoding="utf-8")
