"""The command that makes the pictures of the documentation: what it draws, and what it says without files."""

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid, points_of
from rendering import require_rendering
from shared_data import REPOSITORY

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import array_to_image
from SACBRegistrationLib.imaging.warping import warp_volume

pytest.importorskip("PIL", reason="Pillow is not installed: run.py setup installs it")
from Pictures import cases, make
from Pictures.offscreen import SliceViews
from Pictures.page import WIDTH, Page
from Pictures.pictures import PICTURES
from Pictures.stage import set_stage
from PIL import Image

GRID = oblique_grid((60, 50, 44), (1.1, 1.4, 1.7))
LEVELS = (5, 4, 3, 2)


def small_case() -> cases.RegisteredCase:
    fixed = blobs(GRID)
    field = np.zeros((*GRID.size, 3), np.float32)
    field[..., 0] = 3 * np.sin(points_of(GRID)[..., 1] / 12)
    deformation = sitk.GetImageFromArray(np.moveaxis(field, (0, 1, 2), (2, 1, 0)), isVector=True)
    deformation.CopyInformation(fixed)
    coarse = Grid((7, 6, 5), (8.0, 8.0, 9.0), tuple(GRID.corners()[0]), GRID.direction)
    generator = np.random.default_rng(0)
    maps = {
        (level, role): array_to_image(generator.integers(1, 5, coarse.size, np.uint8), coarse)
        for level in LEVELS
        for role in ("fixed", "moving")
    }
    low, high = cases.anatomy_box(sitk.Cast(fixed > 0, sitk.sitkUInt8))
    case = cases.Case("small", "Three ellipsoids", "Nobody's.", "ixi", lambda: (fixed, fixed))
    warped = warp_volume(fixed, deformation, GRID)
    return cases.RegisteredCase(case, fixed, fixed, fixed, warped, deformation, maps, 4, 1.0, 3.0, low, high)


@pytest.fixture(scope="module")
def stage():
    require_rendering()
    with SliceViews() as views:
        yield set_stage(small_case(), views)


@pytest.mark.parametrize("name", PICTURES)
def test_picture_shows_anatomy_and_fits_a_page(stage, tmp_path, name):
    path = tmp_path / f"{name}.png"
    PICTURES[name](stage, path)
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("RGB")).astype(int)
    assert pixels.shape[1] == WIDTH and 400 < pixels.shape[0] < 2000
    assert path.stat().st_size < 600_000
    # Thirds of the page's width hold one view or more each; none is empty.
    for third in np.array_split(pixels[150:400], 3, axis=1):
        assert (third.max(axis=2) > 60).mean() > 0.1


def test_pictures_leave_the_scene_as_they_found_it(stage, tmp_path):
    draw = [PICTURES[name] for name in ("grid", "before_after", "overlay")]
    first, again = tmp_path / "first.png", tmp_path / "again.png"
    draw[0](stage, first)
    for other in draw[1:]:
        other(stage, tmp_path / "other.png")
    draw[0](stage, again)
    assert first.read_bytes() == again.read_bytes()


def test_line_that_does_not_fit_is_noticed():
    page = Page("title", "subtitle", ("Axial",), 1.0, 50.0)
    with pytest.raises(ValueError, match="does not fit"):
        page.note("very long " * 50)


def test_deformation_without_its_alignment():
    alignment = sitk.AffineTransform(3)
    alignment.SetMatrix((1.02, 0.05, 0, -0.04, 0.97, 0.02, 0, 0.01, 1.04))
    alignment.SetTranslation((12.0, -7.0, 30.0))
    points = points_of(GRID)
    deformation = 2 * np.sin(points[..., ::-1] / 15)
    reached = np.array([alignment.TransformPoint(p) for p in (points + deformation).reshape(-1, 3).tolist()])
    field = sitk.GetImageFromArray(
        np.moveaxis(reached.reshape(points.shape) - points, (0, 1, 2), (2, 1, 0)), isVector=True
    )
    field.CopyInformation(blobs(GRID))
    found = sitk.GetArrayFromImage(cases.without_alignment(field, alignment))
    np.testing.assert_allclose(found, np.moveaxis(deformation, (0, 1, 2), (2, 1, 0)), atol=1e-4)


def test_without_shared_files_one_sentence_says_so_and_the_phantom_is_drawn(monkeypatch, tmp_path, capsys):
    made = []
    monkeypatch.setattr(cases, "SHARED", tmp_path)
    monkeypatch.setattr(make, "make_pictures", lambda case, output: made.append((case.name, output)))
    monkeypatch.setattr(make, "draw_panel", lambda output: made.append(("panel", output)))
    assert make.main(["--output", str(tmp_path)]) == 0
    assert made == [("panel", tmp_path), ("phantom", tmp_path)]
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and "brain-oasis/1000_t1.nii.gz" in lines[0] and lines[0].endswith(".")


def test_unknown_pair_is_refused(capsys):
    assert make.main(["--only", "knee", "brain"]) == 2
    assert "no pictures of knee" in capsys.readouterr().err


def test_images_that_must_not_be_published_go_where_git_ignores_them():
    ignored = (REPOSITORY / ".gitignore").read_text(encoding="utf-8").splitlines()
    assert f"docs/pictures/{make.UNPUBLISHED}/" in ignored
    licences = {case.name: case.publishable for case in cases.CASES}
    assert [name for name, publishable in licences.items() if not publishable] == ["abdomen"]
    assert all("ND" not in case.credit for case in cases.CASES if case.publishable)
