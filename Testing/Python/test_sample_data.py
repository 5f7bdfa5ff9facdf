"""The phantom pair in a scene, as Slicer's Sample Data module puts it there."""

import sys
import types

import numpy as np
import pytest
from mrml_fixtures import slicer

from SACBRegistrationLib.imaging.phantom import make_phantom_pair
from SACBRegistrationLib.mrml.points import points_of
from SACBRegistrationLib.mrml.structures import structures_of
from SACBRegistrationLib.mrml.volumes import volume_to_image
from SACBRegistrationLib.ui import sample_data


@pytest.fixture(scope="module")
def pair():
    return make_phantom_pair(landmarks=100)


def test_pair_in_a_scene(pair):
    scene = slicer.vtkMRMLScene()
    fixed, moving, fixed_labels, moving_labels, fixed_points, moving_points = sample_data.add_phantom_pair(
        scene, pair
    )
    for node, image in ((fixed, pair.fixed), (moving, pair.moving)):
        assert volume_to_image(node).GetDirection() == pytest.approx(image.GetDirection())
    names = {structure.name for structure in structures_of(fixed_labels)}
    assert "Left hippocampus" in names
    assert names == {structure.name for structure in structures_of(moving_labels)}
    here, there = points_of(fixed_points), points_of(moving_points)
    assert here.keys() == there.keys() and len(here) == sample_data.LANDMARKS
    for name, point in here.items():
        assert pair.truth.to_moving(np.array(point)[None])[0] == pytest.approx(there[name], abs=1e-3)


def test_registers_once_under_our_name(monkeypatch):
    sources = []

    class SampleDataLogic:
        @staticmethod
        def registerCustomSampleDataSource(**arguments):  # noqa: N802
            sources.append(arguments)

    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    monkeypatch.setitem(sys.modules, "SampleData", module)
    sample_data.register_sample_data()
    (source,) = sources
    assert source["sampleName"] == "SACB phantom pair"
    assert source["customDownloader"] is sample_data.add_to_window
    # Sample Data refuses lists of different length.
    lengths = {len(source[key]) for key in ("uris", "fileNames", "nodeNames", "loadFileType")}
    assert lengths == {2}


def test_slicer_without_sample_data(monkeypatch):
    monkeypatch.setitem(sys.modules, "SampleData", None)
    sample_data.register_sample_data()
