"""Label maps: which voxel of an image is which part of the heart, and how the ids of others become ours.

ACDC and M&Ms number the same three parts 1, 2, 3, with the two bloods the other way round. Ids cannot tell them apart,
so the shape does: the muscle wraps the left ventricle and only lies along the right one.

Units: mm. Frame: LPS patient space.
"""

import gzip
import math
import os
import struct
import zlib
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np
import SimpleITK as sitk  # noqa: N813 - its users know it by this name
from numpy.typing import NDArray
from scipy import ndimage

from anatomy.arrays import Bool, Float, frozen

MIN_VOXEL_MM = 0.1
MAX_VOXEL_MM = 15.0
# No public convention labels the wall of the right ventricle; about 3 mm is our choice.
RV_WALL_MM = 3.0
# With a labelled wall, background meets the right blood at the valves alone (7 % of its surface in a real heart).
MAX_OPEN_RV_SHARE = 0.25
# The left wall is about twice as thick as the right one; a right wall well above the left's means swapped labels.
_MAX_RIGHT_WALL = 1.3
_VOXELS_FOR_WALLS = 250_000


class Label(IntEnum):
    """Our own ids of the parts of a heart."""

    BACKGROUND = 0
    RV_BLOOD = 1
    MYOCARDIUM = 2
    LV_BLOOD = 3
    BORDER_ZONE = 4
    SCAR_CORE = 5


MUSCLE = (Label.MYOCARDIUM, Label.BORDER_ZONE, Label.SCAR_CORE)

_ACDC = {0: Label.BACKGROUND, 1: Label.RV_BLOOD, 2: Label.MYOCARDIUM, 3: Label.LV_BLOOD}
# What each id of a file means. acdc: doi:10.1109/TMI.2018.2837502; crt-twin: our own.
CONVENTIONS: dict[str, dict[int, Label]] = {
    "acdc": _ACDC,
    "crt-twin": {**_ACDC, 4: Label.BORDER_ZONE, 5: Label.SCAR_CORE},
}


@dataclass(frozen=True, kw_only=True, eq=False)
class LabelMap:
    """A voxel image of `Label` ids in patient space; voxel (i, j, k) is centred at `origin_mm + axes_mm @ (i, j, k)`.

    Attributes:
        labels: (nx, ny, nz) uint8, our own ids.
        origin_mm: (3,) centre of voxel (0, 0, 0).
        axes_mm: (3, 3), column k is the step of index k; the columns stand at right angles.

    Raises:
        ValueError: for an image that is not 3-D, unknown ids, implausible voxels, a missing part, or swapped bloods.
    """

    labels: NDArray[np.uint8]
    origin_mm: Float
    axes_mm: Float

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        if np.ndim(self.labels) != 3:
            raise ValueError(
                f"a label map has 3 dimensions, this one has shape {np.shape(self.labels)}: give one volume"
            )
        if not np.issubdtype(np.asarray(self.labels).dtype, np.integer):
            raise ValueError(
                f"labels must be whole numbers, got {np.asarray(self.labels).dtype}: give ids, not intensities"
            )
        unknown = sorted({int(i) for i in np.unique(self.labels)} - {int(i) for i in Label})
        if unknown:
            raise ValueError(f"labels holds the id {unknown[0]}, which is not one of ours (0 to {max(Label):d})")
        set_(self, "labels", frozen(self.labels, np.uint8, name="labels", shape=(None, None, None)))
        set_(self, "origin_mm", frozen(self.origin_mm, np.float64, name="origin_mm", shape=(3,)))
        set_(self, "axes_mm", frozen(self.axes_mm, np.float64, name="axes_mm", shape=(3, 3)))
        _check_voxels(self.spacing_mm, self.axes_mm)
        _check_parts(self.labels)
        _check_bloods(self.labels)

    @property
    def spacing_mm(self) -> Float:
        """(3,) the voxel's size along each index."""
        spacing: Float = np.linalg.norm(self.axes_mm, axis=0)
        return spacing

    @property
    def muscle(self) -> Bool:
        """(nx, ny, nz) true in muscle, scarred or not."""
        return np.isin(self.labels, MUSCLE)

    @property
    def muscle_mm3(self) -> float:
        """Volume of all muscle voxels."""
        return float(self.muscle.sum() * np.prod(self.spacing_mm))


def read_label_map(path: str | os.PathLike[str], convention: str) -> LabelMap:
    """Read a label map (NIfTI, NRRD, MetaImage: what SimpleITK reads) whose ids follow `convention`.

    Args:
        path: the file.
        convention: a key of `CONVENTIONS`.

    Raises:
        ValueError: for an unknown convention, a file that cannot be read, or labels that break the rules of `LabelMap`.
    """
    path = Path(path)
    if convention not in CONVENTIONS:
        raise ValueError(f"unknown label convention {convention!r}; known: {', '.join(sorted(CONVENTIONS))}")
    if not path.is_file():
        raise ValueError(f"{path.name}: no such file")
    if path.name.endswith((".nii", ".nii.gz")):
        _check_complete(path)
    try:
        image = sitk.ReadImage(str(path))
    except RuntimeError as error:
        raise ValueError(f"{path.name} is not an image that SimpleITK reads; it may be empty or truncated") from error
    if image.GetDimension() != 3:
        raise ValueError(f"{path.name} has {image.GetDimension()} dimensions, a label map has 3: give one volume")
    ids = _whole_numbers(sitk.GetArrayFromImage(image), path.name)
    axes = np.array(image.GetDirection()).reshape(3, 3) * np.array(image.GetSpacing())
    try:
        labels = _translate(ids.transpose(2, 1, 0), convention)
        return LabelMap(labels=labels, origin_mm=np.array(image.GetOrigin()), axes_mm=axes)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def write_label_map(path: str | os.PathLike[str], label_map: LabelMap) -> None:
    """Write the map with our own ids (convention "crt-twin"); the ending names the format, such as `.nii.gz`."""
    path = Path(path)
    image = sitk.GetImageFromArray(np.ascontiguousarray(label_map.labels.transpose(2, 1, 0)))
    image.SetOrigin(label_map.origin_mm.tolist())
    image.SetSpacing(label_map.spacing_mm.tolist())
    image.SetDirection((label_map.axes_mm / label_map.spacing_mm).ravel().tolist())
    part = path.with_name(f".part-{path.name}")
    try:
        sitk.WriteImage(image, str(part), useCompression=True)
        part.replace(path)
    except RuntimeError as error:
        raise ValueError(
            f"{path.name} cannot be written as an image; use an ending such as .nii.gz or .nrrd"
        ) from error
    finally:
        part.unlink(missing_ok=True)


def with_rv_wall(label_map: LabelMap, wall_mm: float = RV_WALL_MM) -> tuple[LabelMap, bool]:
    """The map with a wall around the right ventricle, and whether that wall had to be made up.

    A wall counts as labelled where background covers at most a quarter of the right blood's surface. Otherwise
    background within `wall_mm` of the right blood becomes myocardium. Nothing in such a map says where the valves are,
    so the wall stays open at the base: no wall is made beyond the level at which the left blood opens to the
    background, nor within `wall_mm` of the right blood's own basal end.
    """
    labels, spacing = label_map.labels, label_map.spacing_mm
    contacts = _contacts(labels, Label.RV_BLOOD)
    if contacts[Label.BACKGROUND] <= MAX_OPEN_RV_SHARE * sum(contacts.values()):
        return label_map, False
    margin = [int(np.ceil(wall_mm / step)) + 1 for step in spacing]
    labels = np.pad(labels, [(m, m) for m in margin])
    rv, lv, background = labels == Label.RV_BLOOD, labels == Label.LV_BLOOD, labels == Label.BACKGROUND
    opening = _opening(lv, background)
    height = _height_mm(lv, opening, spacing)
    level = min(float(np.quantile(height[opening], 0.05)), height[rv].max() - wall_mm)
    wall = background & (ndimage.distance_transform_edt(~rv, sampling=spacing) <= wall_mm) & (height < level)
    origin = label_map.origin_mm - label_map.axes_mm @ np.array(margin, dtype=np.float64)
    walled = np.where(wall, np.uint8(Label.MYOCARDIUM), labels)
    return LabelMap(labels=walled, origin_mm=origin, axes_mm=label_map.axes_mm), True


def _opening(lv: Bool, background: Bool) -> Bool:
    """The largest patch of left blood that touches the background: in thick slices the apex may have no cap."""
    patch, count = ndimage.label(lv & ndimage.binary_dilation(background), np.ones((3, 3, 3)))
    if not count:
        raise ValueError("the left ventricle is closed all round: the label map needs an opening at the base")
    return np.asarray(patch == 1 + np.bincount(patch.ravel())[1:].argmax(), dtype=np.bool_)


def _height_mm(lv: Bool, opening: Bool, spacing: Float) -> Float:
    """(nx, ny, nz) how far each voxel lies along the axis from the left blood's centre to its opening."""
    axis = (np.argwhere(opening).mean(axis=0) - np.argwhere(lv).mean(axis=0)) * spacing
    axis /= np.linalg.norm(axis)
    steps = [np.arange(n) * step * along for n, step, along in zip(lv.shape, spacing, axis, strict=True)]
    height: Float = steps[0][:, None, None] + steps[1][None, :, None] + steps[2][None, None, :]
    return height


def _check_complete(path: Path) -> None:
    """Refuse a NIfTI file that ends before its last voxel: SimpleITK would fill the rest with background.

    Fields of the header: https://nifti.nimh.nih.gov/pub/dist/src/niftilib/nifti1.h, nifti2.h.
    """
    with path.open("rb") as raw:
        packed = raw.read(2) == b"\x1f\x8b"
    try:
        with gzip.open(path) if packed else path.open("rb") as file:
            header = file.read(540)
            order = "<" if struct.unpack("<i", header[:4])[0] in (348, 540) else ">"
            (version,) = struct.unpack(f"{order}i", header[:4])
            if version == 348:
                dim, offset = struct.unpack(f"{order}8h", header[40:56]), struct.unpack(f"{order}f", header[108:112])[0]
                (bits,) = struct.unpack(f"{order}h", header[72:74])
            elif version == 540:
                dim, offset = struct.unpack(f"{order}8q", header[16:80]), struct.unpack(f"{order}q", header[168:176])[0]
                (bits,) = struct.unpack(f"{order}h", header[14:16])
            else:
                raise ValueError(f"{path.name} is not an image that SimpleITK reads: it has no NIfTI header")
            needed = int(offset) + math.prod(dim[1 : 1 + dim[0]]) * bits // 8
            found = len(header)
            while found < needed and (part := file.read(min(2**20, needed - found))):
                found += len(part)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise ValueError(f"{path.name} is not an image that SimpleITK reads; it may be empty or truncated") from error
    if found < needed:
        raise ValueError(f"{path.name} is truncated: it holds {found} of {needed} bytes; copy it again")


def _whole_numbers(values: NDArray[np.generic], name: str) -> NDArray[np.int64]:
    if values.ndim != 3:
        raise ValueError(f"{name} holds vectors of {values.shape[-1]} numbers, a label map holds one id per voxel")
    ids = values.astype(np.int64)
    if np.issubdtype(values.dtype, np.floating):
        bad = np.argwhere(ids != values)
        if bad.size:
            raise ValueError(
                f"{name}: voxel {bad[0][::-1].tolist()} holds {values[tuple(bad[0])]:.4g}, labels are whole numbers "
                f"({len(bad)} voxels are not): resample with nearest neighbour, or give the label map, not the image"
            )
    return ids


def _translate(ids: NDArray[np.int64], convention: str) -> NDArray[np.uint8]:
    table = CONVENTIONS[convention]
    labels = np.zeros(ids.shape, dtype=np.uint8)
    unknown = sorted({int(i) for i in np.unique(ids)} - set(table))
    if unknown:
        raise ValueError(
            f"holds the id {unknown[0]}, which convention {convention!r} does not know (ids in the file: "
            f"{np.unique(ids).tolist()[:20]}): choose another convention or remove the label"
        )
    for theirs, ours in table.items():
        labels[ids == theirs] = ours
    return labels


def _check_voxels(spacing: Float, axes: Float) -> None:
    if spacing.min() < MIN_VOXEL_MM or spacing.max() > MAX_VOXEL_MM:
        raise ValueError(
            f"voxels measure {spacing[0]:.4g} x {spacing[1]:.4g} x {spacing[2]:.4g} mm, need {MIN_VOXEL_MM:g} to "
            f"{MAX_VOXEL_MM:g} mm: check the spacing in the image's header"
        )
    slant = np.abs(axes.T @ axes / np.outer(spacing, spacing) - np.eye(3)).max()
    if slant > 1e-3:
        raise ValueError(
            f"the image's axes are not at right angles (cosine {slant:.3g}): resample it onto a straight grid"
        )


def _check_parts(labels: NDArray[np.uint8]) -> None:
    present = np.unique(labels).tolist()
    for part in (Label.RV_BLOOD, Label.MYOCARDIUM, Label.LV_BLOOD):
        if part not in present:
            name = part.name.replace("_", " ").replace("BLOOD", "blood").replace("MYOCARDIUM", "myocardium")
            raise ValueError(
                f"no voxel is {name} (our id {part:d}); the map holds our ids {present}. Check the label "
                "convention, and that both ventricles are labelled"
            )


def _check_bloods(labels: NDArray[np.uint8]) -> None:
    """Muscle wraps the left ventricle in every convention, also where the right wall has no label."""
    shares = []
    for blood in (Label.LV_BLOOD, Label.RV_BLOOD):
        contacts = _contacts(labels, blood)
        shares.append(sum(contacts[part] for part in MUSCLE) / max(sum(contacts.values()), 1))
    left, right = shares
    if left < 0.5:
        cause = "the two bloods look swapped (M&Ms order?)" if right > left else "the labels are not those of a heart"
        raise ValueError(
            f"muscle covers {left:.0%} of the left ventricle's blood and {right:.0%} of the right one's, and it should "
            f"wrap the left: {cause}; check the label convention"
        )
    if _wall(labels, Label.RV_BLOOD) > _MAX_RIGHT_WALL * _wall(labels, Label.LV_BLOOD):
        raise ValueError(
            "the muscle is thicker around the right ventricle than around the left: the two bloods look swapped "
            "(ACDC has 1 right, 3 left; M&Ms the reverse); check the label convention"
        )


def _contacts(labels: NDArray[np.uint8], part: Label) -> dict[Label, int]:
    """How many voxel faces `part` shares with each other label; beyond the image lies background."""
    counts = np.zeros(len(Label), dtype=np.int64)
    padded = np.pad(labels, 1)
    for axis in range(3):
        one, other = np.moveaxis(padded, axis, 0)[:-1], np.moveaxis(padded, axis, 0)[1:]
        for here, there in ((one, other), (other, one)):
            counts += np.bincount(there[(here == part) & (there != part)], minlength=len(Label))
    return {label: int(counts[label]) for label in Label}


def _wall(labels: NDArray[np.uint8], blood: Label) -> float:
    """Muscle that lies nearer to this blood than to the other, per face of this blood's surface: about its wall's thickness.

    Measured on every n-th voxel of large maps: the comparison of two walls needs no more.
    """
    stride = int(np.ceil((labels.size / _VOXELS_FOR_WALLS) ** (1 / 3)))
    coarse = labels[::stride, ::stride, ::stride]
    other = Label.RV_BLOOD if blood is Label.LV_BLOOD else Label.LV_BLOOD
    to_blood = ndimage.distance_transform_edt(coarse != blood)
    to_other = ndimage.distance_transform_edt(coarse != other)
    nearer = (np.isin(coarse, MUSCLE) & (to_blood < to_other)).sum()
    return float(nearer / max(sum(_contacts(coarse, blood).values()), 1))
