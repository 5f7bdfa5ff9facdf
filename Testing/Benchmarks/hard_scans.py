"""Real scans made hard to register by script, and what becomes of the known truth.

Every function returns a new image. Where the anatomy moves in space, another one returns the transform that
takes points of the given scan to points of the new one (LPS mm); `moved_truth` composes it with the truth of
an altered copy (see altered.py).
"""

import numpy as np
import SimpleITK as sitk
from Benchmarks.altered import AlteredScan

from SACBRegistrationLib.imaging.grid import Grid

_METAL_HU = 3071


def coarse(scan: sitk.Image, spacing: float | tuple[float, float, float] = 3.0) -> sitk.Image:
    """Returns a scan sampled linearly at another spacing over the same volume, smoothed before; float32.

    A background painted with the darkest value stays painted: smoothing would leave a tail of nothings.
    """
    grid = Grid.from_image(scan)
    spacing = np.broadcast_to(np.asarray(spacing, dtype=float), 3)
    size = np.maximum(np.round(grid.extent / spacing), 4).astype(int)
    origin = grid.center - grid.axes @ ((size - 1) / 2 * spacing)
    target = Grid(tuple(map(int, size)), tuple(map(float, spacing)), tuple(origin.tolist()), grid.direction)
    image = sitk.Cast(scan, sitk.sitkFloat32)
    sigma = np.sqrt(np.maximum(spacing**2 - np.square(grid.spacing), 0) / (8 * np.log(2)))
    if (sigma > 0.05 * np.asarray(grid.spacing)).any():
        image = sitk.SmoothingRecursiveGaussian(image, np.maximum(sigma, 1e-3).tolist())
    low = _darkest(scan)
    painted = target.resample(sitk.Cast(scan == low, sitk.sitkUInt8), None, sitk.sitkNearestNeighbor, 1)
    values = sitk.GetArrayFromImage(target.resample(image, default=low))
    return _like(np.where(sitk.GetArrayViewFromImage(painted) != 0, low, values).astype(np.float32), painted)


def cropped(scan: sitk.Image, code: str, part: tuple[float, float]) -> sitk.Image:
    """Returns the part of a volume between two fractions of its length towards a direction.

    Args:
        scan: The scan.
        code: Direction in which the fractions grow, one of "LRPASI".
        part: First and last fraction, 0 to 1.
    """
    codes = Grid.from_image(scan).axis_codes
    opposite = dict(zip("LRPASI", "RLAPIS", strict=True))
    axis = next(n for n, found in enumerate(codes) if found in (code, opposite[code]))
    low, high = part if codes[axis] == code else (1 - part[1], 1 - part[0])
    size = scan.GetSize()[axis]
    index = [slice(None)] * 3
    index[axis] = slice(round(low * size), round(high * size))
    return scan[tuple(index)]


def left_handed(scan: sitk.Image) -> sitk.Image:
    """Returns the same volume in space, voxels stored the other way round along the first axis alone."""
    grid = Grid.from_image(scan)
    codes = grid.axis_codes
    opposite = dict(zip("LRPASI", "RLAPIS", strict=True))
    target = grid.reoriented(opposite[codes[0]] + codes[1:])
    return target.resample(scan, interpolator=sitk.sitkNearestNeighbor)


def swapped(scan: sitk.Image, code: str) -> sitk.Image:
    """Returns what a wrong header makes of a scan: voxels reversed along an axis, the geometry as before.

    Args:
        scan: The scan.
        code: One of "LRPASI"; names the axis.
    """
    grid = Grid.from_image(scan)
    axis = next(n for n, found in enumerate(grid.axis_codes) if found in _pair(code))
    reversed_axes = [n == axis for n in range(3)]
    flipped = sitk.Flip(scan, reversed_axes)
    flipped.CopyInformation(scan)
    return flipped


def swap_transform(scan: sitk.Image, code: str) -> sitk.AffineTransform:
    """Returns what `swapped` does to the anatomy: points of the scan to points of its result, LPS mm."""
    grid = Grid.from_image(scan)
    axis = next(n for n, found in enumerate(grid.axis_codes) if found in _pair(code))
    normal = grid.axes[:, axis]
    mirror = sitk.AffineTransform(3)
    mirror.SetMatrix((np.eye(3) - 2 * np.outer(normal, normal)).ravel().tolist())
    mirror.SetCenter(tuple(map(float, grid.center)))
    return mirror


def placed(scan: sitk.Image, transform: sitk.Transform) -> sitk.Image:
    """Returns the same voxels elsewhere in space: a rigid transform moves the header.

    Args:
        scan: The scan.
        transform: Takes the scan's points to where they come to lie, LPS mm.
    """
    grid = Grid.from_image(scan)
    origin = transform.TransformPoint(grid.origin)
    axes = [transform.TransformVector(tuple(axis), grid.origin) for axis in grid.axes.T]
    moved = sitk.Image(scan)
    moved.SetOrigin(origin)
    moved.SetDirection(np.stack(axes, axis=1).ravel().tolist())
    return moved


def half_turn(scan: sitk.Image) -> sitk.Euler3DTransform:
    """Returns the turn from lying on the back to lying on the front, about the volume's centre."""
    return sitk.Euler3DTransform(tuple(map(float, Grid.from_image(scan).center)), 0.0, 0.0, np.pi)


def other_contrast(scan: sitk.Image, anatomy: sitk.Image) -> sitk.Image:
    """Returns a T1 scan as T2 shows it: fluid bright, white matter darker than grey, background black.

    A mapping of intensities of the real scan; it is neither its inverse nor monotonic at the dark end.
    """
    values = sitk.GetArrayFromImage(sitk.Cast(scan, sitk.sitkFloat32))
    inside = sitk.GetArrayViewFromImage(anatomy) != 0
    low, high = np.percentile(values[inside], (1, 99))
    level = np.clip((values - low) / (high - low), 0, 1)
    # T1: fluid 0.1, grey 0.45, white 0.8. T2: fluid brightest, grey medium, white dark; vessels black again.
    mapped = np.interp(level, (0.0, 0.08, 0.2, 0.45, 0.8, 1.0), (0.2, 0.9, 1.0, 0.62, 0.35, 0.25))
    return _like(np.where(inside, 1000 * mapped, 0).astype(np.float32), scan)


def with_metal(scan: sitk.Image, rng: np.random.Generator, pieces: int = 4) -> sitk.Image:
    """Returns a CT with balls of metal in the body and the dark and bright bands that they throw.

    Args:
        scan: CT in HU.
        rng: Where the balls lie.
        pieces: How many.
    """
    values = sitk.GetArrayFromImage(sitk.Cast(scan, sitk.sitkFloat32))
    grid = Grid.from_image(scan)
    body = np.argwhere(values > -200)
    index = np.indices(values.shape).transpose(1, 2, 3, 0)
    spacing = np.asarray(grid.spacing)[::-1]
    for center in body[rng.integers(len(body), size=pieces)]:
        offset = (index - center) * spacing
        distance = np.linalg.norm(offset, axis=-1)
        angle = np.arctan2(offset[..., 1], offset[..., 2])
        near = np.exp(-np.linalg.norm(offset[..., 1:], axis=-1) / 60) * (abs(offset[..., 0]) < 6)
        values += 600 * near * np.sin(9 * angle)
        values[distance < 10] = _METAL_HU
    return _like(np.clip(values, -1024, _METAL_HU), scan)


def zero_bordered(scan: sitk.Image, voxels: int = 6) -> sitk.Image:
    """Returns a scan whose outermost voxels hold 0, as after a correction; a CT's air is -1000 beside it."""
    values = sitk.GetArrayFromImage(scan)
    border = np.ones(values.shape, bool)
    border[(slice(voxels, -voxels),) * 3] = False
    return _like(np.where(border, 0, values).astype(values.dtype), scan)


def with_head(brain: sitk.Image, anatomy: sitk.Image, rng: np.random.Generator) -> sitk.Image:
    """Returns a stripped brain with fluid, skull, scalp, neck and noisy air put around it.

    Layers follow the brain's own outline: 3 mm of dark fluid, 7 mm of darker bone, 8 mm of bright scalp, and
    below the brain a neck of muscle with a spine.

    Args:
        brain: Stripped T1 scan.
        anatomy: Mask of the brain on its grid.
        rng: Source of the noise.
    """
    grid = Grid.from_image(brain)
    room = [int(np.ceil(40 / s)) for s in grid.spacing]
    down = next(n for n, code in enumerate(grid.axis_codes) if code in "SI")
    low, high = list(room), list(room)
    (low if grid.axis_codes[down] == "S" else high)[down] += int(np.ceil(70 / grid.spacing[down]))
    larger = grid.padded(tuple(low), tuple(high))
    nearest = sitk.sitkNearestNeighbor
    inside = larger.resample(sitk.Cast(anatomy != 0, sitk.sitkUInt8), interpolator=nearest)
    distance = sitk.GetArrayFromImage(
        sitk.SignedMaurerDistanceMap(inside, squaredDistance=False, useImageSpacing=True)
    )
    values = sitk.GetArrayFromImage(larger.resample(sitk.Cast(brain, sitk.sitkFloat32)))
    mask = sitk.GetArrayViewFromImage(inside) != 0
    top = float(np.percentile(values[mask], 99))
    points = _points(larger)
    center = points[mask].mean(axis=0)
    across, height = points[..., :2] - center[:2], points[..., 2] - center[2]
    bottom = height[mask].min()
    neck = (np.hypot(across[..., 0], across[..., 1] - 15) < 58) & (height < bottom + 35)
    spine = np.hypot(across[..., 0], across[..., 1] - 25) < 16
    outer = distance > 0
    head = np.zeros_like(values)
    head[neck] = 0.45 * top
    head[neck & spine] = 0.25 * top
    for depth, level in ((18.0, 0.95), (10.0, 0.08), (3.0, 0.15)):
        head[outer & (distance <= depth) & ~(neck & (depth > 10))] = level * top
    head[mask] = values[mask]
    noise = rng.normal(scale=0.03 * top, size=(2, *head.shape))
    return _like(np.hypot(head + noise[0], noise[1]).astype(np.float32), inside)


def moved_truth(copy: AlteredScan, after: sitk.Transform) -> sitk.CompositeTransform:
    """Returns the truth of a copy whose scan was moved: the copy's points to points of the moved scan."""
    # SimpleITK applies the last transform of a composite first.
    return sitk.CompositeTransform([after, copy.truth])


def _pair(code: str) -> str:
    return next(pair for pair in ("LR", "PA", "SI") if code in pair)


def _darkest(scan: sitk.Image) -> float:
    return float(sitk.GetArrayViewFromImage(scan).min())


def _like(values: np.ndarray, image: sitk.Image) -> sitk.Image:
    made = sitk.GetImageFromArray(values)
    made.CopyInformation(image)
    return made


def _points(grid: Grid) -> np.ndarray:
    """Returns the voxel centres, [z, y, x, 3] LPS mm."""
    index = np.indices(grid.size[::-1]).transpose(1, 2, 3, 0)[..., ::-1]
    return grid.to_lps(index)
