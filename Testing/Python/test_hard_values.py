"""Number types, byte orders, axis orders, slice thicknesses and sizes of real scans: the result stays."""

import numpy as np
import pytest
import SimpleITK as sitk
from Benchmarks.hard_cases import BRAIN
from Benchmarks.hard_scans import coarse, left_handed
from hard_fixtures import brain_scene, run, start_near

from SACBRegistrationLib.imaging.displacement import MAX_FIELD_VOXELS, displacement_grid
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.reading import read_volume
from SACBRegistrationLib.network.precision import Precision
from SACBRegistrationLib.presets import load_preset
from SACBRegistrationLib.registration.inference import place_grid
from SACBRegistrationLib.registration.pair import prepare_image
from SACBRegistrationLib.registration.placement import CPU, Budget, make_plan, most_voxels

TYPES = {
    "12-bit": (sitk.sitkUInt16, 0, 4095),
    "12-bit signed": (sitk.sitkInt16, -1024, 3071),
    "8-bit": (sitk.sitkUInt8, 0, 255),
    "16-bit unsigned": (sitk.sitkUInt16, 0, 65535),
    "32-bit signed": (sitk.sitkInt32, -(2**30), 2**30),
    "double": (sitk.sitkFloat64, -1.0, 1.0),
}


def as_type(scan: sitk.Image, name: str) -> sitk.Image:
    pixel, low, high = TYPES[name]
    return sitk.Cast(sitk.RescaleIntensity(sitk.Cast(scan, sitk.sitkFloat64), low, high), pixel)


def normalized(image: sitk.Image) -> np.ndarray:
    how = load_preset("ixi").normalization
    return sitk.GetArrayFromImage(prepare_image(image, "moving", how, None, None).normalized)


def big_endian(path, image: sitk.Image):
    """Writes a NIfTI, MetaImage or NRRD file whose numbers have their highest byte first."""
    values = sitk.GetArrayFromImage(image)
    swapped = values.astype(values.dtype.newbyteorder(">")).tobytes()
    little = path.with_name("little" + "".join(path.suffixes))
    sitk.WriteImage(image, str(little), useCompression=False)
    content = little.read_bytes()
    head = content[: len(content) - len(swapped)]
    if path.suffix == ".mha":
        head = head.replace(b"BinaryDataByteOrderMSB = False", b"BinaryDataByteOrderMSB = True")
    elif path.suffix == ".nrrd":
        head = head.replace(b"endian: little", b"endian: big")
    else:
        head = swapped_nifti_header(head)
    path.write_bytes(head + swapped)
    return path


def swapped_nifti_header(head: bytes) -> bytes:
    """Returns a NIfTI-1 header with every number's bytes reversed; offsets and types as in nifti1.h."""
    result = bytearray(head)
    fields = ((0, "i4", 1), (32, "i4", 1), (36, "i2", 1), (40, "i2", 8), (56, "f4", 3), (68, "i2", 4))
    fields += ((76, "f4", 8), (108, "f4", 3), (120, "i2", 1), (124, "f4", 4), (140, "i4", 2))
    fields += ((252, "i2", 2), (256, "f4", 6), (280, "f4", 12))
    for start, kind, count in fields:
        part = np.frombuffer(head, f"<{kind}", count, start)
        result[start : start + part.nbytes] = part.astype(f">{kind}").tobytes()
    return bytes(result)


@pytest.mark.parametrize("name", TYPES)
def test_every_number_type_gives_the_same_intensities(name):
    scan = brain_scene().scan
    # Eight bits hold steps of 1/255, which round up or down.
    allowed = 1.5 / 255 if name == "8-bit" else 1e-3
    assert np.abs(normalized(as_type(scan, name)) - normalized(scan)).max() < allowed


@pytest.mark.parametrize("suffix", ["nii", "mha", "nrrd"])
@pytest.mark.parametrize("name", ["12-bit signed", "16-bit unsigned", "double"])
def test_byte_order_changes_nothing(tmp_path, suffix, name):
    image = as_type(brain_scene().scan, name)
    read = read_volume(big_endian(tmp_path / f"big.{suffix}", image), "moving")
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))
    for found, wanted in (
        (read.GetSpacing(), image.GetSpacing()),
        (read.GetOrigin(), image.GetOrigin()),
        (read.GetDirection(), image.GetDirection()),
    ):
        np.testing.assert_allclose(found, wanted, atol=1e-3)


def test_left_handed_axes_give_the_same_transform():
    scene = brain_scene()
    other = left_handed(scene.scan)
    grids = [Grid.from_image(image) for image in (scene.scan, other)]
    determinants = [np.linalg.det(grid.axes) for grid in grids]
    assert determinants[0] * determinants[1] < 0
    point = grids[0].to_lps((20.0, 31.0, 17.0)).tolist()
    assert scene.scan.EvaluateAtPhysicalPoint(point) == pytest.approx(other.EvaluateAtPhysicalPoint(point))
    options = {"alignment": "none", "initial_transform": start_near(scene)}
    copy = scene.copy
    usual = run(BRAIN, copy.image, scene.scan, copy.truth, copy.inside, **options)
    assert usual.error < 3 and not usual.report["self_check"]["facts"]["mirrored"]
    found = run(BRAIN, copy.image, other, copy.truth, copy.inside, **options)
    places = [
        copy.inside.TransformIndexToPhysicalPoint(p) for p in ((20, 25, 20), (30, 30, 25), (25, 40, 30))
    ]
    for place in places:
        distance = np.subtract(found.transform.TransformPoint(place), usual.transform.TransformPoint(place))
        assert np.linalg.norm(distance) < 0.05
    fixed = run(BRAIN, left_handed(copy.image), scene.scan, copy.truth, copy.inside, **options)
    assert fixed.error == pytest.approx(usual.error, abs=0.1)


@pytest.mark.parametrize("thickness", [0.5, 6.0])
def test_thin_and_thick_slices(thickness):
    scene = brain_scene()
    axis = next(n for n, code in enumerate(Grid.from_image(scene.scan).axis_codes) if code in "SI")
    spacing = [3.0, 3.0, 3.0]
    spacing[axis] = thickness
    moving = coarse(scene.scan, tuple(spacing))
    assert moving.GetSpacing()[axis] == thickness
    found = run(
        BRAIN, scene.copy.image, moving, scene.copy.truth, scene.copy.inside, alignment="none",
        initial_transform=start_near(scene),
    )  # fmt: skip
    assert found.error < 3


def test_a_ct_of_512x512x900_stays_within_bounds():
    """Its header alone: what is computed on grids of the program's own must not grow with it."""
    large = Grid((512, 512, 900), (0.78, 0.78, 1.0), (-200.0, -200.0, -450.0), tuple(np.eye(3).ravel()))
    preset = load_preset("abdomen-ct")
    nodes = displacement_grid(large, preset.spacing)
    assert np.prod(nodes.size, dtype=float) <= 1.1 * MAX_FIELD_VOXELS
    assert all(nodes.extent >= large.extent)
    image = sitk.Image([n // 4 for n in large.size], sitk.sitkUInt8) + 1
    image.SetSpacing([4 * s for s in large.spacing])
    image.SetOrigin(large.origin)
    budgets = [Budget(CPU, 8 * 10**9)]

    class Fixed:
        grid, foreground = Grid.from_image(image), image

    most = most_voxels(budgets, Precision.FLOAT32)
    placed = place_grid(Fixed, preset, {}, most)
    assert np.prod(placed.grid.size, dtype=float) <= most
    plan = make_plan(placed.grid.size, Precision.FLOAT32, budgets)
    assert plan.places[0].memory <= 8 * 10**9
