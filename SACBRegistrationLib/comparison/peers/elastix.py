"""elastix: its default affine map, then its default B-spline map (itk-elastix)."""

import importlib.metadata
import time
from collections.abc import Callable
from pathlib import Path

from SACBRegistrationLib.comparison.program import TRANSFORM

RESOLUTIONS = 4
THREADS = 1
"""With more, itk-elastix 0.25.4 crashes now and then in the B-spline map, whose measure has two parts."""


def run(job: dict) -> tuple[dict, Callable[[], None]]:
    """Registers one pair; see `SACBRegistrationLib.comparison.program.run_job`."""
    started = time.perf_counter()
    import itk

    parameters = itk.ParameterObject.New()
    for kind in ("affine", "bspline"):
        parameters.AddParameterMap(parameters.GetDefaultParameterMap(kind, RESOLUTIONS))
    imported = time.perf_counter()
    fixed, moving = (itk.imread(job[role], itk.F) for role in ("fixed", "moving"))
    begun = time.perf_counter()
    _, found = itk.elastix_registration_method(
        fixed,
        moving,
        parameter_object=parameters,
        number_of_threads=THREADS,
        log_to_console=False,
    )
    seconds = time.perf_counter() - begun
    folder = Path(job["folder"])

    def finish() -> None:
        _set_grid(found, itk.imread(job["reference"], itk.F))
        field = itk.transformix_deformation_field(moving, found, log_to_console=False)
        itk.imwrite(field, str(folder / TRANSFORM))

    version = importlib.metadata.version("itk-elastix")
    return {"seconds": seconds, "import_seconds": imported - started, "version": version}, finish


def _set_grid(parameters, reference) -> None:
    """Makes the displacement field come out on the grid of an ITK image."""
    import itk

    # elastix writes the direction matrix column by column.
    direction = itk.array_from_matrix(reference.GetDirection()).T.ravel()
    values = {
        "Size": [str(int(n)) for n in itk.size(reference)],
        "Index": ["0", "0", "0"],
        "Spacing": [repr(float(s)) for s in reference.GetSpacing()],
        "Origin": [repr(float(v)) for v in reference.GetOrigin()],
        "Direction": [repr(float(v)) for v in direction],
    }
    for number in range(parameters.GetNumberOfParameterMaps()):
        for key, value in values.items():
            parameters.SetParameter(number, key, value)
