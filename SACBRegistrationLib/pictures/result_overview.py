"""The overview picture of a registration result."""

from pathlib import Path

import SimpleITK as sitk

from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.jacobian import jacobian_determinant
from SACBRegistrationLib.imaging.warping import warp_volume
from SACBRegistrationLib.pictures.overview import draw_overview

_SOFT_TISSUE_HU = (-160.0, 240.0)
_FINEST_SACB_LEVEL = 2


def draw_result(result, path: Path) -> None:
    """Draws `RegistrationResult` as overview.png; "before" is the moving image after alignment alone.

    Args:
        result: The result.
        path: PNG file to write.

    Raises:
        UserError: When matplotlib is not installed.
    """
    report = result.report
    background = float(sitk.GetArrayViewFromImage(result.moving).min())
    before = warp_volume(result.moving, result.alignment, Grid.from_image(result.fixed), default=background)
    jacobian = result.jacobian
    if jacobian is None:
        jacobian = jacobian_determinant(result.displacement_field)
    clusters = {
        role: image for (level, role), image in result.cluster_maps.items() if level == _FINEST_SACB_LEVEL
    }
    draw_overview(
        path,
        result.fixed,
        before,
        result.warped,
        result.displacement_field,
        jacobian,
        clusters,
        title=f"{'SACB-Net' if report['weights'] else 'No network'}, {report['preset']['title']}",
        subtitle=_numbers(report),
        window=_SOFT_TISSUE_HU if report["preset"]["modality"] == "ct" else None,
    )


def _numbers(report) -> str:
    ncc, seconds = report["local_ncc"], report["seconds"]["total"]
    parts = [
        f"local NCC {ncc['aligned']:.3f} to {ncc['after']:.3f}",
        f"folding {report['jacobian']['folding_percent']:.3f} %",
        f"{seconds:.0f} s",
    ]
    if report.get("dice"):
        dice = report["dice"]
        parts.insert(1, f"mean Dice {dice['mean_aligned']:.3f} to {dice['mean_after']:.3f}")
    return ", ".join(parts)
