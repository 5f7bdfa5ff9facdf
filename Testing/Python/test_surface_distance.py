"""Surface distances and registration errors against shapes of known distance and brute force."""

import numpy as np
import pytest
import SimpleITK as sitk
from field_fixtures import make_case
from oblique import oblique_grid
from structure_fixtures import ball, box, brute_force, surface_points

from SACBRegistrationLib.evaluation.landmarks import target_registration_errors
from SACBRegistrationLib.evaluation.surface_distance import SurfaceDistance, surface_distance, surface_of
from SACBRegistrationLib.imaging.displacement import compose_displacement
from SACBRegistrationLib.imaging.grid import Grid


def distance_of(first, second) -> SurfaceDistance:
    return surface_distance(surface_of(first), surface_of(second))


def random_blob(grid, seed):
    noise = np.random.default_rng(seed).normal(size=grid.size[::-1])
    image = sitk.SmoothingRecursiveGaussian(sitk.GetImageFromArray(noise), 2.0)
    mask = image > 0.02
    mask.SetOrigin(grid.origin)
    mask.SetSpacing(grid.spacing)
    mask.SetDirection(grid.direction)
    return mask


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_parallel_plates_are_as_far_apart_as_they_are(axis):
    grid = oblique_grid()
    first, last = np.array((5, 6, 7)), np.array((20, 18, 16))
    last[axis] = first[axis]
    shift = np.eye(3, dtype=int)[axis] * 4
    found = distance_of(box(grid, first, last), box(grid, first + shift, last + shift))
    expected = 4 * grid.spacing[axis]
    assert found.hd95 == pytest.approx(expected, abs=1e-4)
    assert found.assd == pytest.approx(expected, abs=1e-4)


def test_spheres_within_each_other_lie_as_far_apart_as_their_radii():
    grid = oblique_grid((60, 44, 36), (0.8, 1.0, 1.3))
    found = distance_of(ball(grid, grid.center, 18.0), ball(grid, grid.center, 11.0))
    # Surface voxels lie inside by up to a voxel, at either sphere.
    assert found.assd == pytest.approx(7.0, abs=0.4)
    assert found.hd95 == pytest.approx(7.0, abs=1.3)


@pytest.mark.parametrize("seed", [0, 4])
def test_any_shapes_agree_with_brute_force_and_simpleitk(seed):
    grid = oblique_grid((23, 19, 17))
    first, second = random_blob(grid, seed), random_blob(grid, seed + 1)
    hausdorff, hd95, assd = brute_force(first, second)
    surfaces = surface_of(first), surface_of(second)
    found = surface_distance(*surfaces)
    assert found.hd95 == pytest.approx(hd95, abs=1e-4)
    assert found.assd == pytest.approx(assd, abs=1e-4)
    # SimpleITK measures between whole regions: give it the surfaces.
    images = [sitk.GetImageFromArray(surface.inside.astype(np.uint8)) for surface in surfaces]
    for image in images:
        image.SetSpacing(grid.spacing)
    itk = sitk.HausdorffDistanceImageFilter()
    itk.Execute(*images)
    assert itk.GetHausdorffDistance() == pytest.approx(hausdorff, abs=1e-4)
    directed = [b.distance[a.inside].max() for a, b in (surfaces, surfaces[::-1])]
    assert max(directed) == pytest.approx(hausdorff, abs=1e-4)


def test_order_does_not_matter_and_a_structure_is_no_distance_from_itself():
    grid = oblique_grid((23, 19, 17))
    first, second = random_blob(grid, 0), random_blob(grid, 1)
    there, back = distance_of(first, second), distance_of(second, first)
    assert there.hd95 == back.hd95 and there.assd == pytest.approx(back.assd)
    assert distance_of(first, first) == SurfaceDistance(0.0, 0.0)


def test_hd95_is_the_larger_direction_not_the_percentile_of_all():
    grid = oblique_grid((40, 30, 26), (1.0, 1.0, 1.0))
    small = box(grid, (2, 2, 2), (2, 3, 2))
    large = sitk.Or(small, box(grid, (8, 8, 6), (35, 27, 23)))
    # From the small one everything is at 0; from the large one nearly everything is far.
    assert distance_of(small, large).hd95 == pytest.approx(brute_force(small, large)[1], abs=1e-4)
    assert distance_of(small, large).hd95 > 30


def test_a_structure_at_the_border_has_its_surface_there():
    grid = oblique_grid((9, 7, 5))
    whole = box(grid, (0, 0, 0), (8, 6, 4))
    assert surface_of(whole).inside.sum() == 9 * 7 * 5 - 7 * 5 * 3 == len(surface_points(whole))


def test_any_value_but_zero_counts_as_inside():
    grid = oblique_grid((23, 19, 17))
    mask = random_blob(grid, 0)
    values = sitk.Cast(mask, sitk.sitkFloat32) * -0.25
    assert (surface_of(values).inside == surface_of(mask).inside).all()


def test_nothing_is_no_surface_and_gives_no_distance():
    grid = oblique_grid((9, 7, 5))
    nothing, something = box(grid, (1, 1, 1), (0, 0, 0)), box(grid, (2, 2, 2), (4, 4, 3))
    assert surface_of(nothing) is None
    for pair in ((nothing, something), (something, nothing), (nothing, nothing)):
        found = distance_of(*pair)
        assert np.isnan(found.hd95) and np.isnan(found.assd)


def test_surfaces_of_different_grids_are_refused():
    with pytest.raises(ValueError, match="same grid"):
        distance_of(
            box(oblique_grid((9, 7, 5)), (1, 1, 1), (3, 3, 3)),
            box(oblique_grid((9, 7, 6)), (1, 1, 1), (3, 3, 3)),
        )


def test_registration_errors_of_points_vanish_where_the_field_is_right():
    case = make_case()
    field = compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid)
    # Field nodes, where nothing is interpolated.
    index = np.random.default_rng(5).integers(3, np.subtract(field.GetSize(), 3), (6, 3))
    points = Grid.from_image(field).to_lps(index)
    names = [f"P{number}" for number in range(6)]
    fixed = dict(zip(names, map(tuple, points), strict=True))
    moving = dict(zip(names, map(tuple, case.mapped(points)), strict=True))
    moving["P5"] = tuple(np.add(moving["P5"], (3.0, 0.0, 4.0)))
    moving.pop("P1")
    moving["other"] = (0.0, 0.0, 0.0)
    errors = target_registration_errors(fixed, moving, field)
    assert list(errors) == ["P0", "P2", "P3", "P4", "P5"]
    for name, (before, after) in errors.items():
        assert before == pytest.approx(np.linalg.norm(np.subtract(fixed[name], moving[name])))
        assert after == pytest.approx(5.0 if name == "P5" else 0.0, abs=0.05)


def test_a_point_outside_the_field_has_no_error_after():
    case = make_case()
    field = compose_displacement(case.phi(), case.network_grid, case.alignment, case.fixed_grid)
    far = tuple(case.fixed_grid.center + 1000)
    ((before, after),) = target_registration_errors({"a": far}, {"a": (0.0, 0.0, 0.0)}, field).values()
    assert before == pytest.approx(np.linalg.norm(far)) and np.isnan(after)
    assert target_registration_errors({"a": far}, {"b": far}, field) == {}
