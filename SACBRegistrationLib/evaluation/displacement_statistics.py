"""How far a transform moves the points of a volume."""

from dataclasses import asdict, dataclass

import numpy as np
import SimpleITK as sitk


@dataclass(frozen=True)
class DisplacementStatistics:
    """Lengths |u(x)| over a volume, mm.

    Attributes:
        mean_mm: Mean.
        p99_mm: 99th percentile.
        maximum_mm: Largest.
    """

    mean_mm: float
    p99_mm: float
    maximum_mm: float

    def as_dict(self) -> dict[str, float]:
        """Returns the numbers by name."""
        return asdict(self)


def displacement_statistics(displacement_field: sitk.Image, inside: sitk.Image) -> DisplacementStatistics:
    """Returns the lengths of a displacement field's vectors where `inside`, on the same grid, is not 0.

    Raises:
        ValueError: When the two are not on the same grid, or no voxel is inside.
    """
    if displacement_field.GetSize() != inside.GetSize():
        raise ValueError("the displacement field and the region must be on the same grid")
    chosen = sitk.GetArrayViewFromImage(inside) != 0
    lengths = np.linalg.norm(sitk.GetArrayViewFromImage(displacement_field)[chosen], axis=1)
    if not lengths.size:
        raise ValueError("no voxel of the displacement field lies inside the region")
    return DisplacementStatistics(
        mean_mm=float(lengths.mean(dtype=np.float64)),
        p99_mm=float(np.percentile(lengths, 99)),
        maximum_mm=float(lengths.max()),
    )
