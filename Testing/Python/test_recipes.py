"""The recipes of docs/scripting.md, run in their order as a reader would."""

import json
import os
import re

import numpy as np
import pytest
from mrml_fixtures import RAS, slicer
from shared_data import REPOSITORY
from small_pairs import make_small_pair
from warm_python import WORKER, WarmProcess, warm_python

from SACBRegistrationLib.mrml import SACBRegistrationLogic
from SACBRegistrationLib.mrml.volumes import image_to_volume
from SACBRegistrationLib.resources import resource_folder
from SACBRegistrationLib.worker.process import PopenProcess

DOCUMENT = REPOSITORY / "docs" / "scripting.md"


def recipes() -> list[tuple[str, str]]:
    """Heading and code of every block."""
    found, heading = [], ""
    for part in re.split(
        r"^(## [^\n]*|```python\n.*?^```)$", DOCUMENT.read_text(encoding="utf-8"), flags=re.M | re.S
    ):
        if part.startswith("## "):
            heading = part[3:]
        elif part.startswith("```python"):
            found.append((heading, part.removeprefix("```python\n").removesuffix("```")))
    return found


@pytest.fixture
def scene(monkeypatch):
    scene = slicer.vtkMRMLScene()
    monkeypatch.setattr(slicer, "mrmlScene", scene, raising=False)
    pair = make_small_pair()
    for name, image in (("Fixed", pair.fixed), ("Moving", pair.moving)):
        image_to_volume(image, scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", name))
    for name, image in (("FixedLabels", pair.fixed_labels), ("MovingLabels", pair.moving_labels)):
        image_to_volume(image, scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode", name))
    there = pair.phantom.landmarks[:5]
    for name, points in (("FixedPoints", there), ("MovingPoints", pair.phantom.truth.to_moving(there))):
        node = scene.AddNewNodeByClass("vtkMRMLMarkupsFiducialNode", name)
        for number, point in enumerate(np.asarray(points) * RAS):
            node.AddControlPoint(*point, f"P{number}")
    return scene


def coarse_preset(folder) -> str:
    """Path of the preset "ixi" with voxels of 4 mm, which are about those of the small pair."""
    path = folder / "ixi.json"
    document = json.loads((resource_folder("Presets") / "ixi.json").read_text(encoding="utf-8"))
    coarse = {"size": [48, 48, 64], "spacing": 4.0}
    path.write_text(json.dumps({**document, **coarse}), encoding="utf-8")
    return str(path)


@pytest.fixture
def launch():
    """Makes workers that are forks, which need not import torch anew, where there are forks."""
    if not hasattr(os, "fork"):
        yield PopenProcess
        return
    with warm_python() as python:
        yield lambda: WarmProcess(python, WORKER)


def test_the_recipes_run(scene, launch, capsys, tmp_path):
    """The first registration is done as it stands, the others on a coarser grid and in forks."""
    namespace = {"__name__": "recipes"}
    blocks = recipes()
    assert len(blocks) >= 9
    coarse = f"preset={coarse_preset(tmp_path)!r}"
    for number, (heading, code) in enumerate(blocks):
        if number:
            code = code.replace('preset="ixi"', coarse)
        try:
            exec(compile(code, f"{DOCUMENT.name}: {heading}", "exec"), namespace)
        except Exception as error:
            raise AssertionError(f'the recipe "{heading}" fails: {error}') from error
        if not number:
            namespace["logic"] = SACBRegistrationLogic(launch)
    assert namespace["run"].status.state == "cancelled"
    assert (
        namespace["measured"].report["local_ncc"]["after"]
        > namespace["measured"].report["local_ncc"]["before"]
    )
    before = [node.GetName() for node in namespace["carried"]]
    assert len(before) == 2
    assert "transform" in capsys.readouterr().out
