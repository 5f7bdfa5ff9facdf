"""Scans on the grid of a training: read, aligned where asked for, intensities in [0, 1], kept in memory."""

import logging
import threading
from collections import OrderedDict
from dataclasses import dataclass

import numpy as np
import SimpleITK as sitk
import torch

from SACBRegistrationLib.errors import UserError
from SACBRegistrationLib.imaging.alignment import AlignmentKind, align
from SACBRegistrationLib.imaging.arrays import array_to_image
from SACBRegistrationLib.imaging.foreground import bounding_box
from SACBRegistrationLib.imaging.grid import Grid
from SACBRegistrationLib.imaging.network_grid import network_grid
from SACBRegistrationLib.imaging.normalization import foreground, normalize
from SACBRegistrationLib.imaging.reading import read_labels, read_volume
from SACBRegistrationLib.imaging.resampling import resample, resample_labels
from SACBRegistrationLib.imaging.tensors import image_to_tensor
from SACBRegistrationLib.presets import Preset
from SACBRegistrationLib.training.published_pickle import read_published_pickle
from SACBRegistrationLib.training.split import Subject
from SACBRegistrationLib.training.synthesis import grid_size

logger = logging.getLogger(__name__)

_ROLE = "training"
# Headers round; a label map further off than this part of a voxel belongs to another grid.
_SAME_PLACE = 0.05


@dataclass(frozen=True)
class Volume:
    """One scan on the grid of the training.

    Attributes:
        image: [1, 1, D, H, W] float32 in [0, 1].
        labels: [1, 1, D, H, W] int16 or int32, or None.
    """

    image: torch.Tensor
    labels: torch.Tensor | None

    @property
    def bytes(self) -> int:
        """Memory that it takes."""
        return sum(t.numel() * t.element_size() for t in (self.image, self.labels) if t is not None)


@dataclass(frozen=True)
class _Scan:
    """A scan as its file holds it; LPS mm."""

    image: sitk.Image
    labels: sitk.Image | None


class VolumeReader:
    """Reads scans onto one grid, the reference's: all scans must lie alike in space, or be aligned to it.

    A scan whose values lie in [0, 1] is taken as it is; others are scaled as the preset says. Pickles have no
    geometry: their arrays are taken to have the preset's axes and spacing, and all must have one shape.

    Args:
        preset: Axes, intensities, and the geometry of pickles.
        reference: The atlas or any scan; the grid lies on its anatomy.
        spacing: Voxel size of the grid, mm.
        extent: Length of the grid along the preset's axes, mm.
        alignment: How every scan is aligned to the reference before: "none", "rigid" or "affine".
        most_bytes: Memory for scans that are kept.

    Raises:
        UserError: When the reference cannot be read.
    """

    def __init__(
        self,
        preset: Preset,
        reference: Subject,
        spacing: float,
        extent: tuple[float, float, float],
        alignment: AlignmentKind = "none",
        most_bytes: int = 2**32,
    ) -> None:
        self._preset, self._alignment, self._most_bytes = preset, alignment, most_bytes
        self._kept: OrderedDict[Subject, Volume] = OrderedDict()
        self._transforms: dict[Subject, sitk.Transform] = {}
        self._busy: dict[Subject, threading.Lock] = {}
        self._lock, self._reading = threading.Lock(), threading.Lock()
        self._reference_subject = reference
        self._reference = self._scan(reference)
        self.grid = self._place(self._reference.image, spacing, extent)

    def read(self, subject: Subject) -> Volume:
        """Returns a scan on the grid; from any thread.

        Raises:
            UserError: When a file cannot be read, or image and labels, or two pickles, differ in shape.
        """
        with self._lock:
            own = self._busy.setdefault(subject, threading.Lock())
        # A second thread that wants the scan waits for the first instead of reading it again.
        with own:
            with self._lock:
                if subject in self._kept:
                    self._kept.move_to_end(subject)
                    return self._kept[subject]
            volume = self._read(subject)
            with self._lock:
                self._kept[subject] = volume
                while (
                    sum(each.bytes for each in self._kept.values()) > self._most_bytes and len(self._kept) > 1
                ):
                    self._kept.popitem(last=False)
        return volume

    def _read(self, subject: Subject) -> Volume:
        scan = self._scan(subject)
        self._check_shape(subject, scan)
        transform = self._aligned(subject, scan)
        image = image_to_tensor(resample(self._scaled(scan.image), self.grid, transform)).clamp_(0, 1)
        if scan.labels is None:
            return Volume(image, None)
        labels = sitk.GetArrayFromImage(resample_labels(scan.labels, self.grid, transform))
        if not labels.any():
            raise UserError(
                f"The labels of {subject.image} lie outside the training grid; check that all scans lie "
                "alike in space, or give --align affine."
            )
        labels = np.ascontiguousarray(labels.transpose(2, 1, 0))
        small = int(labels.min()) >= -(2**15) and int(labels.max()) < 2**15
        tensor = torch.from_numpy(labels.astype(np.int16 if small else np.int32))
        return Volume(image, tensor[None, None])

    def _scan(self, subject: Subject) -> _Scan:
        if subject.pickled:
            image, labels = read_published_pickle(subject.image)
            grid = self._pickle_grid(image.shape)
            own = None if labels is None else array_to_image(labels, grid)
            if subject.labels is not None:
                raise UserError(
                    f"The pickle {subject.image} holds its labels itself; leave the other file out."
                )
            return _Scan(array_to_image(image, grid), own)
        # What ITK's readers print is caught from the process's standard error: one thread at a time.
        with self._reading:
            image = sitk.Cast(read_volume(subject.image, _ROLE), sitk.sitkFloat32)
            labels = None if subject.labels is None else read_labels(subject.labels, _ROLE)
        if labels is None:
            return _Scan(image, None)
        _check_same_grid(subject, image, labels)
        return _Scan(image, labels)

    def _pickle_grid(self, shape: tuple[int, int, int]) -> Grid:
        spacing = (self._preset.spacing,) * 3
        axes = Grid((2, 2, 2), spacing, (0.0, 0.0, 0.0), (1, 0, 0, 0, 1, 0, 0, 0, 1)).reoriented(
            self._preset.axes
        )
        grid = Grid(tuple(shape), spacing, (0.0, 0.0, 0.0), axes.direction)
        # Centred, so that an odd crop of all scans does not move them against each other.
        return Grid(grid.size, spacing, tuple(float(v) for v in -grid.center), axes.direction)

    def _check_shape(self, subject: Subject, scan: _Scan) -> None:
        ours, theirs = (s.pickled for s in (subject, self._reference_subject))
        if ours != theirs:
            raise UserError(
                f"The scans {self._reference_subject.image} and {subject.image} cannot be mixed: pickles "
                "have no place in space; give pickles alone or images alone."
            )
        first, own = self._reference.image.GetSize(), scan.image.GetSize()
        if ours and first != own:
            raise UserError(
                f"The pickle {subject.image} holds {_sides(own)} voxels and {self._reference_subject.image} "
                f"{_sides(first)}; crop all scans alike."
            )

    def _scaled(self, image: sitk.Image) -> sitk.Image:
        values = sitk.GetArrayViewFromImage(image)
        if float(values.min()) >= 0 and float(values.max()) <= 1:
            return image
        return normalize(image, self._preset.normalization)

    def _place(self, image: sitk.Image, spacing: float, extent: tuple[float, float, float]) -> Grid:
        wanted, own = grid_size(extent, spacing), Grid.from_image(image).reoriented(self._preset.axes)
        if own.size == wanted and np.allclose(own.spacing, spacing, rtol=1e-3):
            return own
        low, high = bounding_box(foreground(image, self._preset.normalization))
        middle = (np.asarray(low) + np.asarray(high)) / 2
        # A box without width is centred on and never makes the grid grow.
        placed = network_grid(
            Grid.from_image(image),
            (middle + 0.5, middle - 0.5),
            tuple(side * spacing / self._preset.spacing for side in wanted),
            self._preset.spacing,
            self._preset.axes,
            2**62,
            spacing,
        )
        return placed.grid

    def _aligned(self, subject: Subject, scan: _Scan) -> sitk.Transform | None:
        if self._alignment == "none" or subject == self._reference_subject:
            return None
        if subject not in self._transforms:
            logger.info("aligning %s", subject.image.name)
            masks = [
                foreground(image, self._preset.normalization) for image in (self._reference.image, scan.image)
            ]
            found = align(
                self._reference.image,
                scan.image,
                self._alignment,
                fixed_foreground=masks[0],
                moving_foreground=masks[1],
            )
            self._transforms[subject] = found.transform
        return self._transforms[subject]


def _check_same_grid(subject: Subject, image: sitk.Image, labels: sitk.Image) -> None:
    ours, theirs = Grid.from_image(image), Grid.from_image(labels)
    if ours.size != theirs.size:
        raise UserError(
            f"The image {subject.image} has {_sides(ours.size)} voxels and its labels {subject.labels} "
            f"{_sides(theirs.size)}; give labels on the image's grid."
        )
    apart = np.abs(ours.corners() - theirs.corners()).max()
    if apart > _SAME_PLACE * min(ours.spacing):
        raise UserError(
            f"The image {subject.image} and its labels {subject.labels} lie {apart:.3g} mm apart in space; "
            "repair the header of one."
        )


def _sides(size: tuple[int, ...]) -> str:
    return "x".join(str(side) for side in size)
