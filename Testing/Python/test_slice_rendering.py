"""What Slicer's slice views show of a registration, looked at pixel by pixel."""

import numpy as np
import pytest
import SimpleITK as sitk
from mrml_fixtures import slicer
from oblique import oblique_grid, points_of
from Pictures.offscreen import SliceViews
from rendering import pixel_points, places_in, require_rendering

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.tensors import array_to_image
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.mrml.cluster_maps import cluster_map_to_volume, fill_cluster_colors
from SACBRegistrationLib.mrml.field_view import FieldView, show_field
from SACBRegistrationLib.mrml.slice_views import show_volumes
from SACBRegistrationLib.mrml.transforms import displacement_to_grid_transform
from SACBRegistrationLib.mrml.volumes import image_to_volume
from SACBRegistrationLib.pictures.style import tissue_colors

CENTER = np.array([12.0, -31.0, 47.0])
SIZE = (200, 160)
MM_PER_PIXEL = 0.35
FIXED = oblique_grid((64, 52, 40), (1.1, 1.4, 1.9))
MOVING = oblique_grid((70, 66, 60), (1.3, 1.2, 1.6), (16, -34, 49), (-9, 14, 31), left_handed=True)
FIELD = oblique_grid((50, 46, 40), (2.0, 2.2, 2.6), (13, -30, 46), (5, 8, -12))


@pytest.fixture(scope="module")
def views():
    require_rendering()
    with SliceViews() as views:
        yield views


@pytest.fixture(autouse=True)
def clean(request):
    if "views" not in request.fixturenames:
        yield
        return
    views = request.getfixturevalue("views")
    before = {node.GetID() for node in nodes(views.scene)}
    yield
    show_volumes(views.scene, None)
    for node in nodes(views.scene):
        if node.GetID() not in before:
            views.scene.RemoveNode(node)


def nodes(scene) -> list:
    return [scene.GetNthNode(n) for n in range(scene.GetNumberOfNodes())]


def displacement(points: np.ndarray) -> np.ndarray:
    """u(x), LPS mm, a few mm, with no component across an axial view."""
    local = (points - CENTER) / 9.0
    x, y, z = np.moveaxis(local, -1, 0)
    bump = np.exp(-(x**2 + y**2) / 8)
    return np.stack([1.5 + 2.5 * np.sin(y) * bump, 2.5 * np.cos(x + 0.3 * z) * bump, 0 * x], axis=-1)


def to_fixed(points: np.ndarray) -> np.ndarray:
    """T^-1(y), by iteration."""
    x = points
    for _ in range(60):
        x = points - displacement(x)
    return x


def texture(grid: Grid) -> sitk.Image:
    """Smooth, without any symmetry."""
    x, y, z = np.moveaxis((points_of(grid) - CENTER) / 7.0, -1, 0)
    values = 100 + 40 * np.sin(x + 0.4 * y) + 30 * np.cos(1.3 * y - z) + 20 * np.sin(0.7 * z + x * y / 9)
    return array_to_image(values.astype(np.float32), grid)


def add_volume(scene, image: sitk.Image, low: float = 0.0, high: float = 200.0):
    node = scene.AddNewNodeByClass("vtkMRMLScalarVolumeNode")
    image_to_volume(image, node)
    node.CreateDefaultDisplayNodes()
    node.GetDisplayNode().SetAutoWindowLevel(False)
    node.GetDisplayNode().SetWindowLevelMinMax(low, high)
    return node


def add_field(scene, field=displacement):
    node = scene.AddNewNodeByClass("vtkMRMLGridTransformNode")
    vectors = np.moveaxis(field(points_of(FIELD)), (0, 1, 2), (2, 1, 0))
    image = sitk.GetImageFromArray(vectors, isVector=True)
    image.SetOrigin(FIELD.origin)
    image.SetSpacing(FIELD.spacing)
    image.SetDirection(FIELD.direction)
    displacement_to_grid_transform(image, node)
    return node, image


def add_black(scene):
    return add_volume(scene, array_to_image(np.zeros(FIXED.size, np.float32), FIXED))


def rendered(views, plane="Axial", center=CENTER) -> np.ndarray:
    view = views.views[plane]
    view.look_at(center, MM_PER_PIXEL, SIZE)
    return view.pixels()


def inside(grid: Grid, points: np.ndarray, margin: float) -> np.ndarray:
    index = grid.to_index(points)
    return ((index > margin) & (index < np.array(grid.size) - 1 - margin)).all(axis=-1)


def near(mask: np.ndarray, places: np.ndarray, most: float) -> np.ndarray:
    """Whether a pixel of the mask is within a distance (pixels) of every place (column, row)."""
    image = sitk.GetImageFromArray((~mask).astype(np.uint8))
    distance = sitk.GetArrayFromImage(sitk.SignedMaurerDistanceMap(sitk.Equal(image, 0), False, False, False))
    columns, rows = np.round(places).astype(int).T
    return distance[rows, columns] <= most


def on_screen(places: np.ndarray, margin: int = 3) -> np.ndarray:
    return ((places >= margin) & (places < np.array(SIZE) - margin)).all(axis=1)


@pytest.mark.parametrize("plane", ["Axial", "Coronal", "Sagittal"])
def test_moving_volume_under_the_transform_looks_like_the_warped_volume(views, plane):
    moving = texture(MOVING)
    transform, field = add_field(views.scene)
    moving_node = add_volume(views.scene, moving)
    warped_node = add_volume(views.scene, warp_volume(moving, field, FIXED))
    show_volumes(views.scene, warped_node)
    warped = rendered(views, plane).astype(float)
    show_volumes(views.scene, moving_node)
    unmoved = rendered(views, plane).astype(float)
    moving_node.SetAndObserveTransformNodeID(transform.GetID())
    moved = rendered(views, plane).astype(float)
    points = pixel_points(views.views[plane])
    both = inside(FIXED, points, 1) & inside(MOVING, points + displacement(points), 1)
    assert both.mean() > 0.5
    assert np.percentile(abs(moved - warped)[both], 99) <= 4
    assert np.percentile(abs(unmoved - warped)[both], 50) > 5


@pytest.mark.parametrize("plane", ["Axial", "Coronal", "Sagittal"])
def test_view_shows_the_patient_as_a_radiologist_expects(views, plane):
    node = add_volume(views.scene, texture(FIXED))
    show_volumes(views.scene, node)
    shown = rendered(views, plane)
    points = pixel_points(views.views[plane])
    right, down = points[80, -1] - points[80, 0], points[-1, 100] - points[0, 100]
    left, posterior, superior = np.eye(3)
    expected = {
        "Axial": (left, posterior),
        "Coronal": (left, -superior),
        "Sagittal": (posterior, -superior),
    }
    for found, wanted in zip((right, down), expected[plane], strict=True):
        np.testing.assert_allclose(found / np.linalg.norm(found), wanted, atol=1e-6)
    sampled = sitk.Resample(texture(FIXED), plane_image(points), sitk.Transform(), sitk.sitkLinear)
    values = np.clip(sitk.GetArrayFromImage(sampled)[0] / 200 * 255, 0, 255)
    inner = inside(FIXED, points, 1)
    assert np.percentile(abs(shown[..., 0] - values)[inner], 99) <= 2


def plane_image(points: np.ndarray) -> sitk.Image:
    """An empty image whose voxels lie at the pixels of a view."""
    height, width = points.shape[:2]
    image = sitk.Image(width, height, 1, sitk.sitkFloat32)
    steps = np.stack([points[0, 1] - points[0, 0], points[1, 0] - points[0, 0]])
    spacing = np.linalg.norm(steps, axis=1)
    axes = steps / spacing[:, None]
    image.SetOrigin(points[0, 0].tolist())
    image.SetSpacing((*spacing.tolist(), 1.0))
    image.SetDirection(np.stack([*axes, np.cross(*axes)], axis=1).ravel().tolist())
    return image


def test_grid_lines_land_where_the_transform_takes_them(views):
    black = add_black(views.scene)
    show_volumes(views.scene, black)
    still, _ = add_field(views.scene, lambda points: 0 * points)
    show_field(still, FieldView.GRID, black)
    straight = rendered(views).max(axis=2) > 60
    show_field(still, FieldView.OFF)
    assert not (rendered(views).max(axis=2) > 60).any()
    transform, _ = add_field(views.scene)
    show_field(transform, FieldView.GRID, black)
    bent = rendered(views).max(axis=2) > 60
    assert 0.05 < straight.mean() < 0.4 and 0.05 < bent.mean() < 0.4
    view = views.views["Axial"]
    places = places_in(view, to_fixed(pixel_points(view)[straight]))
    places = places[on_screen(places)]
    assert len(places) > 1500
    assert near(bent, places, 1.5).mean() > 0.98
    # The lines of the straight grid are elsewhere, or the check above would show nothing.
    assert near(straight, places, 1.5).mean() < 0.8


def test_arrows_have_true_length_and_point_to_the_fixed_place(views):
    black = add_black(views.scene)
    show_volumes(views.scene, black)
    shift = np.array([6.0, 0.0, 0.0])
    transform, _ = add_field(views.scene, lambda points: np.broadcast_to(shift, points.shape))
    show_field(transform, FieldView.GLYPHS, black)
    # Far enough apart to be told from each other.
    transform.GetDisplayNode().SetGlyphSpacingMm(9.0)
    shown = rendered(views).max(axis=2) > 60
    arrows = sitk.ConnectedComponent(sitk.GetImageFromArray(shown.astype(np.uint8)), True)
    shapes = sitk.LabelShapeStatisticsImageFilter()
    shapes.Execute(arrows)
    lengths, heads = [], []
    for label in shapes.GetLabels():
        left, top, width, height = shapes.GetBoundingBox(label)
        if on_screen(np.array([[left, top], [left + width, top + height]])).all():
            arrow = shown[top : top + height, left : left + width]
            lengths.append(width * MM_PER_PIXEL)
            heads.append(arrow[:, : width // 2].sum() > arrow[:, width // 2 :].sum())
    assert len(lengths) >= 12
    assert np.median(lengths) == pytest.approx(6.0, abs=3 * MM_PER_PIXEL)
    # T takes a fixed point 6 mm to the patient's left; back is to the right, which is left in the view.
    assert np.mean(heads) > 0.9


def test_contours_lie_where_the_displacement_has_their_length(views):
    black = add_black(views.scene)
    show_volumes(views.scene, black)
    slope = 0.1
    transform, _ = add_field(views.scene, lambda points: slope * (points - CENTER) * (1, 0, 0))
    show_field(transform, FieldView.CONTOURS, black)
    shown = rendered(views).max(axis=2) > 60
    view = views.views["Axial"]
    levels = [float(n) for n in transform.GetDisplayNode().GetContourLevelsMmAsString().split()]
    points = pixel_points(view)
    lengths = abs(points[..., 0] - CENTER[0]) * slope / (1 + slope)
    step = MM_PER_PIXEL * slope / (1 + slope)
    drawn = lengths[shown]
    assert np.min(abs(drawn[:, None] - levels), axis=1).max() < 3 * step
    visible = [level for level in levels if level < lengths.max() - 5 * step]
    assert visible
    for level in visible:
        assert (abs(drawn - level) < 2 * step).sum() > 0.8 * 2 * SIZE[1]


def test_clusters_appear_in_their_colours_where_they_lie(views):
    clusters = 4
    grid = oblique_grid((16, 14, 12), (4.0, 4.5, 5.0))
    labels = np.random.default_rng(3).integers(0, clusters + 1, grid.size).astype(np.uint8)
    image = array_to_image(labels, grid)
    colors = views.scene.AddNewNodeByClass("vtkMRMLColorTableNode")
    fill_cluster_colors(clusters, colors)
    node = views.scene.AddNewNodeByClass("vtkMRMLLabelMapVolumeNode")
    cluster_map_to_volume(image, node, colors)
    grey = add_volume(views.scene, array_to_image(np.full(FIXED.size, 100, np.float32), FIXED))
    show_volumes(views.scene, grey, label=node, label_opacity=1.0)
    shown = rendered(views).astype(float)
    points = pixel_points(views.views["Axial"])
    index = grid.to_index(points)
    wanted_index = np.round(index).astype(int)
    # Half a pixel beside an edge either neighbour may be shown.
    clear = (abs(index - np.floor(index) - 0.5) > 0.1).all(axis=-1)
    clear &= inside(grid, points, 0) & inside(FIXED, points, 1)
    assert clear.mean() > 0.2
    found = labels[tuple(np.moveaxis(np.where(clear[..., None], wanted_index, 0), -1, 0))]
    table = np.vstack([np.full((1, 3), 100 / 200), tissue_colors(clusters)]) * 255
    difference = abs(shown - table[found]).max(axis=-1)[clear]
    assert set(found[clear]) == set(range(clusters + 1))
    assert (difference <= 3).mean() > 0.99


def test_foreground_is_mixed_with_the_background_in_all_views(views):
    dark = add_volume(views.scene, array_to_image(np.full(FIXED.size, 40, np.float32), FIXED))
    bright = add_volume(views.scene, array_to_image(np.full(FIXED.size, 160, np.float32), FIXED))
    show_volumes(views.scene, dark, bright, foreground_opacity=0.25)
    expected = (0.75 * 40 + 0.25 * 160) / 200 * 255
    for plane in views.views:
        assert rendered(views, plane)[80, 100] == pytest.approx([expected] * 3, abs=2)
    show_volumes(views.scene, None)
    assert not rendered(views)[80, 100].any()
    assert slicer.vtkMRMLSliceCompositeNode.Alpha == views.views["Axial"].composite.GetCompositing()
