"""Files of every supported kind are read with their geometry; damaged ones are refused in one sentence."""

import os

import numpy as np
import pytest
import SimpleITK as sitk
from oblique import blobs, oblique_grid, points_of

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.reading import read_labels, read_mask, read_transform, read_volume
from SACBRegistrationLib.imaging.tensors import array_to_image

FORMATS = ("nii", "nii.gz", "hdr", "nrrd", "nhdr", "mha", "mhd")


@pytest.fixture(name="folder")
def folder_with_odd_name(tmp_path):
    folder = tmp_path / "Bilder für Łukasz 脳"
    folder.mkdir()
    return folder


def same_grid(image: sitk.Image, grid: Grid) -> bool:
    found = Grid.from_image(image)
    pairs = ((found.spacing, grid.spacing), (found.origin, grid.origin), (found.direction, grid.direction))
    return found.size == grid.size and all(np.allclose(a, b, atol=2e-4) for a, b in pairs)


def write(image: sitk.Image, path, compress: bool = False):
    sitk.WriteImage(image, str(path), compress)
    return path


def cut(path, keep: float):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * keep)])
    return path


def refused(capfd, call, *arguments) -> str:
    """Returns the sentence of a refusal; nothing else may reach the user."""
    capfd.readouterr()
    with pytest.raises(UserError) as caught:
        call(*arguments)
    noise = capfd.readouterr()
    assert noise.out == "" and noise.err == ""
    message = str(caught.value)
    assert "\n" not in message and message.endswith(".")
    return message


@pytest.mark.parametrize("suffix", FORMATS)
def test_formats_keep_voxels_and_geometry(folder, suffix):
    grid = oblique_grid()
    image = sitk.Cast(blobs(grid), sitk.sitkInt16)
    read = read_volume(write(image, folder / f"a scan.{suffix}"), "fixed")
    assert read.GetPixelID() == sitk.sitkInt16
    assert same_grid(read, grid)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("keep", [0.5, 0.995])
@pytest.mark.parametrize("compress", [False, True])
def test_truncated_files_are_refused(tmp_path, capfd, suffix, keep, compress):
    noise = sitk.AdditiveGaussianNoise(blobs(oblique_grid()), 1.0, 0.0, 1)
    path = write(noise, tmp_path / f"scan.{suffix}", compress)
    data = max(tmp_path.iterdir(), key=lambda file: file.stat().st_size)
    cut(data, keep)
    message = refused(capfd, read_volume, path, "moving")
    assert message.startswith(f"The moving image ({path}) ")
    assert "truncated" in message


@pytest.mark.parametrize("suffix", ["nii.gz", "nrrd", "mha", "hdr"])
def test_damaged_headers_are_refused(tmp_path, capfd, suffix):
    path = write(blobs(oblique_grid()), tmp_path / f"scan.{suffix}")
    path.write_bytes(path.read_bytes()[:60])
    message = refused(capfd, read_volume, path, "fixed")
    assert message.startswith(f"The fixed image ({path}) cannot be read")


def test_no_image_at_all(tmp_path, capfd):
    path = tmp_path / "notes.nii.gz"
    path.write_text("no image " * 100)
    assert "no format that SimpleITK knows" in refused(capfd, read_volume, path, "fixed")


def test_missing_and_empty(tmp_path, capfd):
    path = tmp_path / "scan.nrrd"
    assert "does not exist" in refused(capfd, read_volume, path, "fixed")
    path.touch()
    assert "empty file" in refused(capfd, read_volume, path, "fixed")


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="needs a user without all rights")
def test_forbidden(tmp_path, capfd):
    path = write(blobs(oblique_grid()), tmp_path / "scan.nrrd")
    path.chmod(0)
    assert "may not be read" in refused(capfd, read_volume, path, "fixed")


def test_dimensions_and_colour(tmp_path, capfd):
    flat = write(sitk.Image((30, 40), sitk.sitkUInt8), tmp_path / "flat.png")
    assert "2 dimensions" in refused(capfd, read_volume, flat, "fixed")
    series = write(sitk.JoinSeries([blobs(oblique_grid())] * 3), tmp_path / "series.nii.gz")
    assert "4 dimensions" in refused(capfd, read_volume, series, "fixed")
    colour = write(sitk.Image((8, 9, 10), sitk.sitkVectorUInt8, 3), tmp_path / "colour.nrrd")
    assert "3 values per voxel" in refused(capfd, read_volume, colour, "fixed")


@pytest.mark.parametrize("suffix", ["nii", "nrrd"])
def test_fourth_axis_of_one_is_dropped(tmp_path, suffix):
    path = write(sitk.JoinSeries([blobs(oblique_grid())]), tmp_path / f"one.{suffix}")
    assert same_grid(read_volume(path, "fixed"), oblique_grid())


def test_sheared_files_are_refused_with_the_reason(tmp_path, capfd):
    image = blobs(oblique_grid(degrees=(0, 0, 0)))
    path = write(image, tmp_path / "sheared.nii")
    header = bytearray(path.read_bytes())
    header[252:256] = np.array([0, 1], "<i2").tobytes()
    header[280:328] = np.array([1, 0.3, 0, 0, 0, 1, 0, 0, 0, 0, 1, 0], "<f4").tobytes()
    path.write_bytes(header)
    assert "orthonormal" in refused(capfd, read_volume, path, "fixed")
    image.SetDirection((1, 0.3, 0, 0, 1, 0, 0, 0, 1))
    assert "orthonormal" in refused(capfd, read_volume, write(image, tmp_path / "sheared.mha"), "fixed")


def write_dicom(image: sitk.Image, folder, series: int = 1, skip: tuple[int, ...] = (), tilt: float = 0.0):
    folder.mkdir(exist_ok=True)
    writer = sitk.ImageFileWriter()
    writer.KeepOriginalImageUIDOn()
    axes = np.asarray(image.GetDirection()).reshape(3, 3)
    for number in range(image.GetSize()[2]):
        if number in skip:
            continue
        one = image[:, :, number]
        slide = np.tan(np.radians(tilt)) * number * image.GetSpacing()[2]
        position = image.TransformIndexToPhysicalPoint((0, 0, number)) + slide * axes[:, 1]
        for key, value in {
            "0008|0060": "CT",
            "0008|0016": "1.2.840.10008.5.1.4.1.1.2",
            "0008|0018": f"1.2.826.0.1.3680043.2.1125.{series}.{number + 1}",
            "0020|000d": "1.2.826.0.1.3680043.2.1125.9",
            "0020|000e": f"1.2.826.0.1.3680043.2.1125.9.{series}",
            "0020|0013": str(number + 1),
            "0020|0032": "\\".join(f"{v:.6f}" for v in position),
            "0020|0037": "\\".join(f"{v:.8f}" for v in axes[:, :2].T.ravel()),
            "0018|0050": f"{image.GetSpacing()[2]:.4f}",
        }.items():
            one.SetMetaData(key, value)
        # Names in reverse order show that the positions decide.
        writer.SetFileName(str(folder / f"s{series}-{900 - number}.dcm"))
        writer.Execute(one)
    return folder


def test_dicom_folder_keeps_voxels_and_geometry(folder):
    grid = oblique_grid(size=(20, 26, 11))
    image = sitk.Cast(blobs(grid), sitk.sitkInt16) - 1000
    read = read_volume(write_dicom(image, folder / "series 1"), "fixed")
    assert same_grid(read, grid)
    np.testing.assert_array_equal(sitk.GetArrayFromImage(read), sitk.GetArrayFromImage(image))


def test_dicom_folder_refusals(tmp_path, capfd):
    image = sitk.Cast(blobs(oblique_grid(size=(20, 26, 11))), sitk.sitkInt16)
    gap = write_dicom(image, tmp_path / "gap", skip=(5,))
    assert "missing, repeated or unevenly spaced slices" in refused(capfd, read_volume, gap, "fixed")
    two = write_dicom(image, tmp_path / "two")
    write_dicom(image, tmp_path / "two", series=2)
    assert "2 DICOM series" in refused(capfd, read_volume, two, "fixed")
    one = write_dicom(image[:, :, :1], tmp_path / "one")
    assert "20 x 26 x 1 voxels" in refused(capfd, read_volume, one, "fixed")
    (tmp_path / "none").mkdir()
    assert "without a DICOM series" in refused(capfd, read_volume, tmp_path / "none", "fixed")
    same = sitk.Image(image)
    same.SetSpacing((*image.GetSpacing()[:2], 1e-7))
    repeated = write_dicom(same, tmp_path / "repeated")
    assert "missing, repeated or unevenly spaced slices" in refused(capfd, read_volume, repeated, "fixed")
    broken = write_dicom(image, tmp_path / "broken")
    cut(broken / "s1-897.dcm", 0.6)
    assert "broken" in refused(capfd, read_volume, broken, "moving")


@pytest.mark.parametrize("degrees", [-20.0, 3.0, 12.0])
def test_a_tilted_gantry_is_refused_with_its_angle(tmp_path, capfd, degrees):
    image = sitk.Cast(blobs(oblique_grid(size=(20, 26, 11))), sitk.sitkInt16)
    tilted = write_dicom(image, tmp_path / "tilted", tilt=degrees)
    message = refused(capfd, read_volume, tilted, "moving")
    assert f"tilted by {abs(degrees):.0f} degrees" in message and "right-angled grid" in message


def test_positions_rounded_by_the_scanner_are_no_tilt(tmp_path):
    grid = oblique_grid(size=(20, 26, 40), spacing=(1.1, 1.2, 0.8))
    image = sitk.Cast(blobs(grid), sitk.sitkInt16)
    assert same_grid(read_volume(write_dicom(image, tmp_path / "thin", tilt=0.3), "fixed"), grid)


def test_labels_and_masks(tmp_path, capfd):
    path = write(blobs(oblique_grid()), tmp_path / "labels.nii.gz")
    assert read_labels(path, "fixed").GetPixelID() == sitk.sitkInt32
    assert same_grid(
        read_mask(path, "fixed", oblique_grid(size=(12, 13, 14))), oblique_grid(size=(12, 13, 14))
    )
    message = refused(capfd, read_labels, tmp_path / "gone.nrrd", "moving")
    assert message.startswith("The moving label map (")
    message = refused(capfd, read_mask, tmp_path / "gone.nrrd", "moving", oblique_grid())
    assert message.startswith("The moving mask (")


@pytest.mark.parametrize("suffix", ["tfm", "txt", "h5", "mat"])
def test_itk_transforms(folder, suffix):
    path = folder / f"start here.{suffix}"
    truth = sitk.Euler3DTransform((1, 2, 3), 0.1, -0.2, 0.3, (4, 5, 6))
    sitk.WriteTransform(truth, str(path))
    point = (12.0, -7.0, 31.0)
    np.testing.assert_allclose(
        read_transform(path).TransformPoint(point), truth.TransformPoint(point), atol=1e-6
    )


@pytest.mark.parametrize("suffix", ["nrrd", "nii.gz", "mha"])
def test_displacement_fields(folder, suffix):
    grid = oblique_grid()
    field = array_to_image(0.05 * np.moveaxis(points_of(grid), -1, 0).astype(np.float32), grid)
    path = write(field, folder / f"field.{suffix}")
    transform = read_transform(path)
    inside = grid.center + np.array((3, 4, -5))
    np.testing.assert_allclose(transform.TransformPoint(tuple(inside)), 1.05 * inside, atol=1e-3)


def test_transform_refusals(tmp_path, capfd):
    assert "does not exist" in refused(capfd, read_transform, tmp_path / "gone.tfm")
    path = tmp_path / "text.tfm"
    path.write_text("not a transform")
    assert "no ITK transform" in refused(capfd, read_transform, path)
    path = tmp_path / "flat.tfm"
    sitk.WriteTransform(sitk.Euler2DTransform(), str(path))
    assert "2 dimensions" in refused(capfd, read_transform, path)
    path = tmp_path / "singular.tfm"
    sitk.WriteTransform(sitk.AffineTransform((1, 0, 0, 0, 1, 0, 0, 0, 0), (0, 0, 0)), str(path))
    assert "cannot be inverted" in refused(capfd, read_transform, path)
    scalar = write(blobs(oblique_grid()), tmp_path / "scalar.nrrd")
    assert "no displacement field" in refused(capfd, read_transform, scalar)
    endless = sitk.Image((8, 9, 10), sitk.sitkVectorFloat32, 3)
    endless[1, 1, 1] = (float("nan"), 0, 0)
    assert "NaN" in refused(capfd, read_transform, write(endless, tmp_path / "nan.nrrd"))
