"""The overview picture: what lies where, and that it can be drawn for any run."""

import struct
import subprocess
import sys

import numpy as np
import pytest
import SimpleITK as sitk
from field_fixtures import make_case, oblique_grid, rotation, smooth_image

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.displacement import compose_displacement
from SACBRegistrationLib.imaging.jacobian import jacobian_determinant
from SACBRegistrationLib.imaging.tensors import array_to_image
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.pictures.overview import draw_overview
from SACBRegistrationLib.pictures.planes import anatomical_planes


@pytest.fixture(scope="module")
def parts():
    pytest.importorskip("matplotlib", reason="matplotlib is not installed: it is in the cli extra")
    case = make_case()
    fixed, moving = smooth_image(case.fixed_grid, 1), smooth_image(case.moving_grid, 2)
    field = compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid)
    before = case.fixed_grid.resample(moving, case.alignment)
    warped = warp_volume(moving, field, case.fixed_grid)
    return fixed, before, warped, field, jacobian_determinant(field)


def png_size(path):
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    return struct.unpack(">II", data[16:24])


def test_a_run_without_network_has_no_cluster_columns(parts, tmp_path):
    clusters = sitk.Cast(parts[0] / 200, sitk.sitkUInt8) + 1
    draw_overview(tmp_path / "without.png", *parts)
    draw_overview(tmp_path / "with.png", *parts, clusters={"fixed": clusters, "moving": clusters})
    narrow, wide = png_size(tmp_path / "without.png"), png_size(tmp_path / "with.png")
    assert narrow[1] == wide[1]
    assert narrow[0] > 1500
    assert wide[0] - narrow[0] == pytest.approx(narrow[0] * 2 / 7, rel=0.1)


def test_the_picture_shows_the_images(parts, tmp_path):
    draw_overview(tmp_path / "first.png", *parts, title="A", subtitle="B")
    flat = sitk.Image(parts[2]) * 0
    draw_overview(tmp_path / "second.png", parts[0], parts[1], flat, *parts[3:], title="A", subtitle="B")
    first, second = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(tmp_path / n))) for n in ("first.png", "second.png")
    )
    assert first.shape == second.shape
    changed = (first != second).any(axis=-1).any(axis=0)
    # The third and the fifth of seven columns, those that show the warped image, and no others.
    columns = [part.mean() > 0.5 for part in np.array_split(changed[50:-30], 7)]
    assert columns == [False, False, True, False, True, False, False]


def test_constant_images_and_folds_can_be_drawn(parts, tmp_path):
    fixed, before, warped, field, jacobian = parts
    draw_overview(tmp_path / "o.png", fixed * 0, before * 0, warped * 0, field, jacobian * 0 - 1)
    assert png_size(tmp_path / "o.png")[0] > 1500


@pytest.mark.parametrize("flips", [(1, 1, 1), (-1, 1, -1), (-1, -1, 1)])
def test_planes_are_the_right_way_up(flips):
    turn = rotation(9, -12, 14) @ np.array([[0, 1, 0], [0, 0, 1], [1, 0, 0]]) @ np.diag(flips)
    grid = oblique_grid((44, 30, 90), (1.5, 2.4, 1.1), (20, -30, 40), turn.astype(float))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in grid.size), indexing="ij"), -1)
    offset = grid.to_lps(index) - grid.center
    # A wide dim body, and bright lumps to the left, in front and on top of its centre.
    values = 100.0 * (np.linalg.norm(offset / (28, 40, 25), axis=-1) < 1)
    for direction in ((18, 0, 0), (0, -24, 0), (0, 0, 15)):
        values[np.linalg.norm(offset - direction, axis=-1) < 6] = 1000
    planes = anatomical_planes(array_to_image(values.astype(np.float32), grid))
    axial, coronal, sagittal = (
        plane.sample(array_to_image(values.astype(np.float32), grid)) for plane in planes
    )
    assert [plane.letters for plane in planes] == [
        ("R", "L", "A", "P"), ("R", "L", "S", "I"), ("A", "P", "S", "I"),
    ]  # fmt: skip
    for picture, wanted in (
        (axial, ("right", "top")),
        (coronal, ("right", "top")),
        (sagittal, ("left", "top")),
    ):
        rows, columns = np.nonzero(picture > 500)
        x, y = columns - picture.shape[1] / 2, rows - picture.shape[0] / 2
        sideways, upward = x[np.abs(y) < np.abs(x)], y[np.abs(y) > np.abs(x)]
        assert (sideways.mean() > 0) == (wanted[0] == "right")
        assert upward.mean() < 0
    # Square pixels: the body keeps its proportions though the voxels are anything but cubes.
    body = axial > 50
    height, width = np.ptp(np.nonzero(body.any(1))[0]), np.ptp(np.nonzero(body.any(0))[0])
    assert height / width == pytest.approx(40 / 28, rel=0.08)


def test_drawing_keeps_out_of_matplotlibs_global_state(parts):
    code = "import sys, SACBRegistrationLib.pictures.overview; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert "matplotlib.pyplot" not in sys.modules


def test_without_matplotlib_the_sentence_says_what_to_install(parts, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UserError, match="matplotlib"):
        draw_overview(tmp_path / "o.png", *parts)
    assert not (tmp_path / "o.png").exists()
