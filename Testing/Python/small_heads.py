"""Label maps of simple heads, small enough to train on in a test."""

import numpy as np
import SimpleITK as sitk

# (FreeSurfer value, centre and radii in mm along left, posterior, superior from the head's middle)
_PARTS = [
    (507, (0, 0, 0), (75, 90, 80)),
    (24, (0, 0, 0), (68, 80, 70)),
    (3, (31, -2, 8), (31, 70, 52)),
    (42, (-31, -2, 8), (31, 70, 52)),
    (2, (31, -2, 8), (24, 60, 43)),
    (41, (-31, -2, 8), (24, 60, 43)),
    (4, (12, 0, 14), (6, 28, 9)),
    (43, (-12, 0, 14), (6, 28, 9)),
    (10, (12, 8, 0), (9, 14, 9)),
    (49, (-12, 8, 0), (9, 14, 9)),
    (12, (26, -10, 2), (7, 16, 11)),
    (51, (-26, -10, 2), (7, 16, 11)),
    (17, (27, 15, -14), (8, 18, 8)),
    (53, (-27, 15, -14), (8, 18, 8)),
    (16, (0, 18, -36), (12, 12, 26)),
    (8, (22, 45, -40), (22, 20, 18)),
    (47, (-22, 45, -40), (22, 20, 18)),
    (7, (18, 42, -40), (9, 9, 8)),
    (46, (-18, 42, -40), (9, 9, 8)),
]

DIRECTION_LIA = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0, 0.0, -1.0, 0.0)


def small_head(
    to_head: sitk.Transform | None = None,
    size: tuple[int, int, int] = (64, 60, 70),
    spacing: tuple[float, float, float] = (2.9, 3.1, 3.0),
    direction: tuple[float, ...] = DIRECTION_LIA,
) -> sitk.Image:
    """Returns a label map (int32); `to_head` takes its LPS points (mm, 0 in its middle) to the head's.

    Structures are ellipsoids, later ones painted over earlier ones.
    """
    axes = np.reshape(direction, (3, 3)) * np.asarray(spacing)
    index = np.stack(np.meshgrid(*(np.arange(n) - (n - 1) / 2 for n in size), indexing="ij"), axis=-1)
    points = index @ axes.T
    if to_head is not None:
        moved = np.array([to_head.TransformPoint(p) for p in (np.zeros(3), *np.eye(3))])
        points = points @ (moved[1:] - moved[0]) + moved[0]
    labels = np.zeros(size, dtype=np.int32)
    for value, center, radii in _PARTS:
        labels[(((points - center) / np.asarray(radii, dtype=float)) ** 2).sum(axis=-1) < 1] = value
    image = sitk.GetImageFromArray(np.ascontiguousarray(labels.transpose(2, 1, 0)))
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    image.SetOrigin([float(v) for v in -axes @ ((np.asarray(size) - 1) / 2)])
    return image
