"""What a registration returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import SimpleITK as sitk

from SACBRegistrationLib.imaging.displacement import as_transform
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.inverse import InverseResult, invert_displacement


@dataclass(frozen=True)
class RegistrationResult:
    """A registered pair; world coordinates are LPS mm.

    Attributes:
        displacement_field: Vector image u over the whole fixed volume: T(x) = x + u(x) takes fixed points to
            moving points, alignment and deformation in one.
        warped: The moving image on the fixed grid: warped(x) = moving(T(x)).
        cluster_maps: (level, role) to the label image of that level's clusters, 1 to N from dark to bright;
            empty when no network ran.
        report: What report.json holds.
        alignment: The rigid or affine part alone, fixed points to moving points.
        fixed: The fixed image.
        moving: The moving image.
        warped_labels: The moving label map on the fixed grid (nearest neighbour), or None.
        jacobian: det(dT/dx) on the displacement field's grid, or None when nobody has computed it yet.
    """

    displacement_field: sitk.Image
    warped: sitk.Image
    cluster_maps: Mapping[tuple[int, str], sitk.Image]
    report: Mapping[str, object]
    alignment: sitk.Transform = field(repr=False)
    fixed: sitk.Image = field(repr=False)
    moving: sitk.Image = field(repr=False)
    warped_labels: sitk.Image | None = field(default=None, repr=False)
    jacobian: sitk.Image | None = field(default=None, repr=False)

    @property
    def transform(self) -> sitk.DisplacementFieldTransform:
        """T as a SimpleITK transform, fixed points to moving points."""
        return as_transform(self.displacement_field)

    def inverse(self) -> InverseResult:
        """Returns the inverse over the moving volume, moving points to fixed points, with its residual.

        It is computed on the first call.
        """
        return self._inverse

    @cached_property
    def _inverse(self) -> InverseResult:
        return invert_displacement(
            self.displacement_field,
            self.alignment,
            Grid.from_image(self.moving),
            Grid.from_image(self.fixed),
            seed=int(self.report["settings"]["seed"]),
        )

    def save(self, folder: str | Path, inverse: bool = False) -> list[Path]:
        """Writes everything into a folder, all or nothing; see `save_result`."""
        from SACBRegistrationLib.registration.saving import save_result

        return save_result(self, Path(folder), inverse)
