"""Renders the module's icon and the sample data's thumbnail into Resources/Icons.

python Testing/Pictures/icons.py
"""

import sys
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from PySide6.QtGui import QImage, QPainter
from PySide6.QtSvg import QSvgRenderer

REPOSITORY = Path(__file__).resolve().parents[2]
ICONS = REPOSITORY / "Resources" / "Icons"
ICON_SIZE = 128
THUMBNAIL_SIZE = 256
FIXED_COLOR = np.array([0.05, 0.58, 0.72])
MOVING_COLOR = np.array([0.9, 0.42, 0.1])


def main() -> None:
    """Writes both pictures."""
    icon = draw_icon(ICONS / "SACBRegistration.svg", ICON_SIZE)
    save(icon, ICONS / "SACBRegistration.png")
    save(draw_pair(THUMBNAIL_SIZE), ICONS / "SACBPhantomPair.png")


def draw_icon(path: Path, size: int) -> QImage:
    """Returns an SVG file drawn on a transparent square."""
    renderer = QSvgRenderer(str(path))
    if not renderer.isValid():
        raise ValueError(f"{path} is not a drawing that Qt can read.")
    picture = QImage(size, size, QImage.Format.Format_ARGB32)
    picture.fill(0)
    painter = QPainter(picture)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    renderer.render(painter)
    painter.end()
    return picture


def draw_pair(size: int) -> QImage:
    """Returns one axial slice of the phantom pair, unregistered, each image in a colour of its own."""
    sys.path.insert(0, str(REPOSITORY))
    from SACBRegistrationLib.imaging.phantom import make_phantom_pair

    pair = make_phantom_pair()
    center = pair.landmarks.mean(axis=0)
    colors = (
        slice_through(pair.fixed, center, size)[..., None] * FIXED_COLOR
        + slice_through(pair.moving, center, size)[..., None] * MOVING_COLOR
    )
    pixels = np.ascontiguousarray((np.clip(colors, 0, 1) * 255).round().astype(np.uint8))
    return QImage(pixels.data, size, size, 3 * size, QImage.Format.Format_RGB888).copy()


def slice_through(image: sitk.Image, center: np.ndarray, size: int, extent: float = 210.0) -> np.ndarray:
    """Returns the axial slice [size, size] of `extent` mm through a point, LPS mm, between 0 and 1."""
    spacing = extent / size
    corner = (center - [extent / 2, extent / 2, 0]).tolist()
    plane = sitk.Image([size, size, 1], sitk.sitkFloat32)
    plane.SetOrigin(corner)
    plane.SetSpacing([spacing, spacing, spacing])
    values = sitk.GetArrayFromImage(sitk.Resample(sitk.Cast(image, sitk.sitkFloat32), plane))[0]
    # The power keeps bright tissue of both images from adding up to white.
    low, high = np.percentile(sitk.GetArrayViewFromImage(image), [50, 99.95])
    return np.clip((values - low) / (high - low), 0, 1) ** 1.5


def save(picture: QImage, path: Path) -> None:
    """Writes a PNG file."""
    if not picture.save(str(path)):
        raise OSError(f"{path} cannot be written.")


if __name__ == "__main__":
    main()
