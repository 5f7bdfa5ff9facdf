"""Abdomens read from a scan and its label map: axes, tissues, the chest, and files that do not serve."""

import numpy as np
import pytest
import SimpleITK as sitk
from small_abdomen import small_abdomen, write_small_abdomen

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.training.abdomen_classes import ABDOMEN_CLASSES, NUMBER, compact
from SACBRegistrationLib.training.abdomen_maps import read_abdomens


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return write_small_abdomen(tmp_path_factory.mktemp("abdomen"))


@pytest.fixture(scope="module")
def abdomen(files):
    return read_abdomens(files, "LAS")[0]


def _centroid(abdomen, name):
    return np.argwhere(abdomen.classes == NUMBER[name]).mean(axis=0) * abdomen.spacing


def test_label_values_become_tissues():
    values = np.array([5, 1, 2, 3, 52, 63, 29, 117, 0, 250, 999, -4], dtype=np.float32)
    names = [ABDOMEN_CLASSES[number].name for number in compact(values)]
    assert names[:4] == ["liver", "spleen", "right kidney", "left kidney"]
    assert names[4:8] == ["artery", "vein", "vertebra", "cartilage"]
    assert names[8:] == ["air"] * 4


def test_an_oblique_abdomen_is_read_along_the_wanted_axes_in_mm(abdomen, files):
    statistics = sitk.LabelShapeStatisticsImageFilter()
    labels = sitk.ReadImage(str(files[1]))
    statistics.Execute(labels)
    # LAS: right to left, posterior to anterior, inferior to superior; the image's own axes are L, P, S.
    axes = np.reshape(labels.GetDirection(), (3, 3)) * (1, -1, 1)
    apart = np.subtract(statistics.GetCentroid(1), statistics.GetCentroid(5)) @ axes
    assert _centroid(abdomen, "spleen") - _centroid(abdomen, "liver") == pytest.approx(apart, abs=1.5)
    volume = (abdomen.classes == NUMBER["liver"]).sum() * abdomen.spacing**3
    assert volume == pytest.approx(statistics.GetPhysicalSize(5), rel=0.03)


def test_unlabelled_voxels_of_the_body_get_a_tissue_and_the_table_none(abdomen):
    found = {ABDOMEN_CLASSES[number].name for number in np.unique(abdomen.classes)}
    assert {"air", "skin", "fat", "soft tissue", "cortical bone"} <= found
    behind = abdomen.classes[:, :8]
    assert (behind == NUMBER["air"]).mean() > 0.9, "the table lies there"
    middle = abdomen.classes[:, :, abdomen.classes.shape[2] // 2]
    assert (middle == NUMBER["fat"]).any() and (middle == NUMBER["air"])[[0, -1]].all()


def test_depth_is_the_distance_outside_of_the_muscles(abdomen):
    k = abdomen.classes.shape[2] // 2
    row = int(abdomen.middle[1] / abdomen.spacing)
    body = np.flatnonzero(abdomen.classes[:, row, k] != NUMBER["air"])
    # 140 and 120 mm are the half widths of body and muscles in the scan.
    assert abdomen.depth[body[-1], row, k] == pytest.approx(20, abs=6)
    assert abdomen.depth[int(abdomen.middle[0] / abdomen.spacing), row, k] == 0


def test_a_chest_with_lungs_and_a_closed_liver_is_added_only_where_the_scan_cuts_the_liver(abdomen, tmp_path):
    cut = read_abdomens(write_small_abdomen(tmp_path, lift=75.0), "LAS")[0]
    height = [(a.classes.shape[2] - 2) * a.spacing for a in (abdomen, cut)]
    assert height[1] - height[0] == pytest.approx(105, abs=3)
    assert not (abdomen.classes == NUMBER["left lung"]).any()
    for name in ("left lung", "right lung", "heart"):
        assert (cut.classes == NUMBER[name]).any()
    widths = (cut.classes == NUMBER["liver"]).sum(axis=(0, 1))
    assert widths[-10:].max() == 0, "the liver ends within the chest"
    assert _centroid(cut, "left lung")[0] > _centroid(cut, "right lung")[0]
    assert (cut.classes[:, :, -2] == NUMBER["cortical bone"]).any(), "the spine goes on"


def test_files_that_do_not_serve_are_named(tmp_path):
    scan, labels = small_abdomen(size=(40, 34, 24), spacing=(7.7, 6.6, 9.0))

    def files(name, first, second):
        paths = [tmp_path / f"{name}_ct.nii.gz", tmp_path / f"{name}_seg.nii.gz"]
        sitk.WriteImage(first, str(paths[0]))
        sitk.WriteImage(second, str(paths[1]))
        return paths

    with pytest.raises(UserError, match="no abdominal label map"):
        read_abdomens([tmp_path / "heads.nii.gz"], "LAS")
    with pytest.raises(UserError, match="no scan beside it; put a_ct"):
        read_abdomens(files("a", scan, labels)[1:], "LAS")
    with pytest.raises(UserError, match="holds no liver"):
        read_abdomens(files("b", scan, labels * 0), "LAS")
    with pytest.raises(UserError, match="shows no body"):
        one = sitk.Cast(labels == 5, sitk.sitkUInt8) * 0
        one[20, 17, 12] = 5
        read_abdomens(files("c", scan * 0 - 1000, one), "LAS")
    (tmp_path / "d_seg.nii.gz").write_bytes(b"nothing")
    with pytest.raises(UserError, match="cannot be read"):
        read_abdomens([tmp_path / "d_seg.nii.gz", tmp_path / "a_ct.nii.gz", tmp_path / "d_ct.nii.gz"], "LAS")
