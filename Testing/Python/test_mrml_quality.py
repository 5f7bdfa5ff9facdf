"""The quality table in real MRML, and what its file keeps of it."""

import math

import pytest
from mrml_fixtures import saved_and_loaded, slicer

from SACBRegistrationLib.mrml.quality import fill_quality_table

REPORT = {
    "local_ncc": {"before": 0.214999, "aligned": 0.4, "after": 0.8123},
    "jacobian": {"folding_percent": 0.000123, "minimum": -0.25, "p01": 0.6, "mean": 1.0, "maximum": 3.5},
    "displacement_mm": {"mean_mm": 4.25, "p99_mm": 9.0, "maximum_mm": 12.3456},
}
QUALITY = {
    "structures": {
        'left "big"\tlobe': {"dice": [0.5, 0.9], "hd95": [None, 2.5], "assd": [float("nan"), 0.75]},
        "Leber, äußere": {"dice": [0.25, 0.8], "hd95": [10.0, 4.0], "assd": [5.0, 1.0]},
    },
    "points": {"carina": [8.0, 1.5], "apex": (6.0, None), "hilum": (4.0, 0.5)},
}
EXPECTED = [
    ("Similarity (local NCC)", "0.215", "0.812", ""),
    ("Folding", "", "0.00012", "%"),
    ("Jacobian determinant, smallest", "", "-0.250", ""),
    ("Jacobian determinant, largest", "", "3.500", ""),
    ("Displacement, mean", "", "4.250", "mm"),
    ("Displacement, largest", "", "12.346", "mm"),
    ("Dice, left 'big' lobe", "0.500", "0.900", ""),
    ("HD95, left 'big' lobe", "", "2.500", "mm"),
    ("ASSD, left 'big' lobe", "", "0.750", "mm"),
    ("Dice, Leber, äußere", "0.250", "0.800", ""),
    ("HD95, Leber, äußere", "10.000", "4.000", "mm"),
    ("ASSD, Leber, äußere", "5.000", "1.000", "mm"),
    ("Dice, mean of 2 structures", "0.375", "0.850", ""),
    ("HD95, mean of 1 of 2 structures", "10.000", "4.000", "mm"),
    ("ASSD, mean of 1 of 2 structures", "5.000", "1.000", "mm"),
    ("Target registration error, carina", "8.000", "1.500", "mm"),
    ("Target registration error, apex", "6.000", "", "mm"),
    ("Target registration error, hilum", "4.000", "0.500", "mm"),
    ("Target registration error, mean of 2 of 3 points", "6.000", "1.000", "mm"),
]


@pytest.fixture
def scene():
    return slicer.vtkMRMLScene()


def filled(scene, report, quality):
    node = scene.AddNewNodeByClass("vtkMRMLTableNode", "quality")
    fill_quality_table(node, report, quality)
    return node


def cells(node):
    return [
        tuple(node.GetCellText(row, column) for column in range(node.GetNumberOfColumns()))
        for row in range(node.GetNumberOfRows())
    ]


def test_table_says_what_was_measured(scene):
    node = filled(scene, REPORT, QUALITY)
    names = [node.GetColumnName(column) for column in range(node.GetNumberOfColumns())]
    assert names == ["Measure", "Before", "After", "Unit"]
    assert cells(node) == EXPECTED
    numbers = [cell for row in cells(node) for cell in row[1:3] if cell]
    assert all(math.isfinite(float(number)) for number in numbers)


def test_table_survives_its_file(scene, tmp_path):
    filled(scene, REPORT, QUALITY)
    loaded = saved_and_loaded(scene, tmp_path / "scene").GetFirstNodeByName("quality")
    assert loaded.GetNumberOfRows() > 0
    assert cells(loaded) == EXPECTED
    assert loaded.GetLocked() and loaded.GetUseFirstColumnAsRowHeader()


def test_without_structures_and_points_the_rest_stays(scene):
    node = filled(scene, REPORT, {"structures": {}, "points": {}})
    assert cells(node) == EXPECTED[:6]
    assert cells(filled(scene, REPORT, {})) == EXPECTED[:6]


def test_a_report_without_figures_leaves_the_cells_empty(scene):
    rows = cells(filled(scene, {"displacement_mm": None}, {}))
    assert [row[0] for row in rows] == [row[0] for row in EXPECTED[:4]]
    assert all(row[1:3] == ("", "") for row in rows)


def test_one_structure_and_one_point_need_no_mean(scene):
    quality = {
        "structures": {"a": {"dice": [0.5, 1.0], "hd95": [3.0, 0.0], "assd": [2.0, 0.0]}},
        "points": {"b": [3.0, 0.0]},
    }
    rows = cells(filled(scene, REPORT, quality))
    assert not [row for row in rows if "mean of" in row[0]]
    assert ("HD95, a", "3.000", "0.000", "mm") in rows


def test_what_the_table_held_goes(scene):
    node = filled(scene, REPORT, QUALITY)
    fill_quality_table(node, REPORT, {})
    assert cells(node) == EXPECTED[:6]


def test_a_mean_of_nothing_known_is_empty(scene):
    missing = {"dice": [0.0, 0.0], "hd95": [None, None], "assd": [None, None]}
    rows = cells(filled(scene, {}, {"structures": {"a": missing, "b": missing}, "points": {}}))
    assert ("HD95, mean of 0 of 2 structures", "", "", "mm") in rows
    assert ("Dice, mean of 2 structures", "0.000", "0.000", "") in rows
