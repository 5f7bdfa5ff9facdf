"""Copies of real scans that are altered by script, so that the true transform is known.

The copy is sampled from the scan through the truth T(y) = A(y + d(y)), which takes the copy's points to the
scan's (LPS mm): d is a random field of cubic B-splines, A turns, scales and shifts. With the copy as fixed
image and the scan as moving image, T itself is what a registration should find. SimpleITK evaluates T from
its parameters, never from a sampled field, and interpolates the copy with cubic splines on another grid, to
which noise and another contrast come: nothing is made by the code that is measured.
"""

from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid

# Distance of the points where lengths and folding are looked at, mm.
_CHECKED_EVERY = 4.0
_MOST_DRAWS = 20


@dataclass(frozen=True)
class Alteration:
    """How a scan is altered; the random choices are left to the generator of random numbers.

    Attributes:
        largest: Largest displacement |d| over the anatomy, mm, looked for where the affine map alone would
            leave it; 0 for no field.
        control_spacing: Distance of the control points of the B-splines, mm: the smoothness.
        least_jacobian: Fields whose Jacobian determinant falls below it anywhere are drawn again.
        degrees: Angle of the turn, about any axis.
        scaling: Largest relative change of size along one of the world's axes; the others change by less.
        shift: Length of the translation, mm.
        spacings: Voxel sizes of the copy, mm, in random order.
        tilt: Largest angles between the copy's axes and the scan's, degrees, about each axis.
        margin: Room around the anatomy in the copy, mm.
        gamma: Exponent of the intensity curve.
        noise: Standard deviation of the Rician noise, as part of the anatomy's brightest intensity.
    """

    largest: float
    control_spacing: float = 40.0
    least_jacobian: float = 0.15
    degrees: float = 8.0
    scaling: float = 0.05
    shift: float = 15.0
    spacings: tuple[float, float, float] = (0.9, 1.2, 1.6)
    tilt: float = 15.0
    margin: float = 15.0
    gamma: float = 0.8
    noise: float = 0.03


@dataclass(frozen=True)
class AlteredScan:
    """An altered copy of a scan and the truth about it.

    Attributes:
        image: The copy, float32.
        truth: Takes the copy's points to the scan's points, LPS mm.
        inside: uint8 image on the copy's grid, 1 where the scan's anatomy is.
        least_jacobian: Smallest Jacobian determinant of y -> y + d(y) over the copy's volume.
    """

    image: sitk.Image
    truth: sitk.CompositeTransform
    inside: sitk.Image
    least_jacobian: float


def alter(
    scan: sitk.Image, anatomy: sitk.Image, alteration: Alteration, rng: np.random.Generator
) -> AlteredScan:
    """Returns an altered copy of a scan.

    Args:
        scan: 3D scalar image.
        anatomy: Image on the scan's grid; not 0 is anatomy, which the copy holds completely.
        alteration: What is done.
        rng: Source of every random choice.

    Raises:
        ValueError: When no field of that length and smoothness can be drawn without folding.
    """
    points = _points_of(anatomy)
    affine = _random_affine(points.mean(axis=0), alteration, rng)
    back = affine.GetInverse()
    places = np.asarray([back.TransformPoint(point) for point in points])
    grid = _random_grid(places, Grid.from_image(scan), alteration, rng)
    field, least = _random_field(places, grid, alteration, rng)
    # SimpleITK applies the last transform of a composite first.
    truth = sitk.CompositeTransform([affine, field])
    values = sitk.GetArrayViewFromImage(scan)
    low, high = float(values.min()), float(values.max())
    copy = grid.resample(sitk.Cast(scan, sitk.sitkFloat32), truth, sitk.sitkBSpline, low)
    # Splines swing beyond the values that they interpolate.
    copy = sitk.Clamp(copy, sitk.sitkFloat32, low, high)
    inside = grid.resample(sitk.Cast(anatomy != 0, sitk.sitkUInt8), truth, sitk.sitkNearestNeighbor)
    return AlteredScan(_other_contrast(copy, inside, alteration, rng), truth, inside, least)


def transform_errors(
    found: sitk.Transform, truth: sitk.Transform, inside: sitk.Image, every: int = 2
) -> np.ndarray:
    """Returns the distances |found(x) - truth(x)|, mm, at every n-th voxel along each axis of a mask."""
    coarse = inside[::every, ::every, ::every]
    grid = Grid.from_image(coarse)
    chosen = sitk.GetArrayViewFromImage(coarse) != 0
    one, other = (
        sitk.GetArrayFromImage(
            sitk.TransformToDisplacementField(
                transform, sitk.sitkVectorFloat64, grid.size, grid.origin, grid.spacing, grid.direction
            )
        )[chosen]
        for transform in (found, truth)
    )
    return np.linalg.norm(one - other, axis=1)


def _points_of(anatomy: sitk.Image) -> np.ndarray:
    """Returns some voxel centres of a mask, about 4 mm apart, [n, 3] LPS mm."""
    steps = [max(1, round(_CHECKED_EVERY / spacing)) for spacing in anatomy.GetSpacing()]
    coarse = anatomy[:: steps[0], :: steps[1], :: steps[2]]
    index = np.argwhere(sitk.GetArrayViewFromImage(coarse).transpose(2, 1, 0) != 0)
    if not len(index):
        raise ValueError("the mask of the anatomy is empty")
    return Grid.from_image(coarse).to_lps(index)


def _random_affine(
    center: np.ndarray, alteration: Alteration, rng: np.random.Generator
) -> sitk.AffineTransform:
    axis, way = (v / np.linalg.norm(v) for v in rng.normal(size=(2, 3)))
    stretch = rng.uniform(-1, 1, 3)
    stretch *= alteration.scaling / np.abs(stretch).max()
    turn = sitk.VersorTransform(axis.tolist(), float(np.radians(alteration.degrees)))
    affine = sitk.AffineTransform(3)
    affine.SetMatrix((np.reshape(turn.GetMatrix(), (3, 3)) @ np.diag(1 + stretch)).ravel().tolist())
    affine.SetCenter(center.tolist())
    affine.SetTranslation((alteration.shift * way).tolist())
    return affine


def _random_grid(places: np.ndarray, scan: Grid, alteration: Alteration, rng: np.random.Generator) -> Grid:
    """Returns a turned grid of unequal spacings around points and as far as the field can move them."""
    turn = sitk.Euler3DTransform()
    turn.SetRotation(*np.radians(rng.uniform(-alteration.tilt, alteration.tilt, 3)).tolist())
    axes = np.reshape(turn.GetMatrix(), (3, 3)) @ scan.axes
    spacing = rng.permutation(alteration.spacings)
    along = places @ axes
    room = alteration.margin + alteration.largest
    low = along.min(axis=0) - room - rng.uniform(0, spacing)
    size = np.ceil((along.max(axis=0) + room - low) / spacing) + 1
    return Grid(
        tuple(map(int, size)), tuple(map(float, spacing)), tuple(axes @ low), tuple(axes.ravel().tolist())
    )


def _random_field(
    places: np.ndarray, grid: Grid, alteration: Alteration, rng: np.random.Generator
) -> tuple[sitk.BSplineTransform, float]:
    """Returns y -> y + d(y) with the wanted |d| over points, and its least Jacobian determinant on a grid."""
    corners = grid.corners(margin=1.0)
    middle = (corners.min(axis=0) + corners.max(axis=0)) / 2
    extent = np.ptp(corners, axis=0)
    mesh = np.ceil(extent / alteration.control_spacing).astype(int)
    domain = mesh * alteration.control_spacing
    field = sitk.BSplineTransform(3, 3)
    field.SetTransformDomainMeshSize(mesh.tolist())
    field.SetTransformDomainPhysicalDimensions(domain.tolist())
    field.SetTransformDomainOrigin((middle - domain / 2).tolist())
    for _ in range(_MOST_DRAWS):
        weights = rng.standard_normal(len(field.GetParameters()))
        field.SetParameters(weights.tolist())
        moved = np.asarray([field.TransformPoint(place) for place in places.tolist()])
        longest = np.linalg.norm(moved - places, axis=1).max()
        field.SetParameters((weights * alteration.largest / longest).tolist())
        least = _least_jacobian(field, middle, extent)
        if least >= alteration.least_jacobian:
            return field, least
    raise ValueError(
        f"displacements of {alteration.largest:g} mm fold with control points "
        f"{alteration.control_spacing:g} mm apart"
    )


def _least_jacobian(field: sitk.BSplineTransform, middle: np.ndarray, extent: np.ndarray) -> float:
    # On the world's own axes, where SimpleITK's determinant is right.
    size = np.floor(extent / _CHECKED_EVERY).astype(int)
    origin = middle - (size - 1) / 2 * _CHECKED_EVERY
    sampled = sitk.TransformToDisplacementField(
        field, sitk.sitkVectorFloat64, size.tolist(), origin.tolist(), [_CHECKED_EVERY] * 3
    )
    return float(sitk.GetArrayFromImage(sitk.DisplacementFieldJacobianDeterminant(sampled)).min())


def _other_contrast(
    copy: sitk.Image, inside: sitk.Image, alteration: Alteration, rng: np.random.Generator
) -> sitk.Image:
    values = sitk.GetArrayFromImage(copy)
    low = float(values.min())
    top = float(np.percentile(values[sitk.GetArrayViewFromImage(inside) != 0], 99.5)) - low
    values = top * ((values - low) / top) ** alteration.gamma
    if alteration.noise:
        noise = rng.normal(scale=alteration.noise * top, size=(2, *values.shape))
        values = np.hypot(values + noise[0], noise[1])
    other = sitk.GetImageFromArray((values + low).astype(np.float32))
    other.CopyInformation(copy)
    return other
