"""Laws of label maps and of their files."""

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk  # noqa: N813
from numpy.typing import NDArray

from anatomy.labels import MUSCLE, Label, LabelMap, read_label_map, with_rv_wall, write_label_map

PATIENT = Path(__file__).parents[2] / "../shared/data/patients/cine-lbbb/labels.nii.gz"


def toy_labels(*, rv_wall: bool = True) -> NDArray[np.uint8]:
    """Two half eggs at 2 mm, open at the top: the left one thick-walled, the right one beside it."""
    x, y, z = np.meshgrid(np.arange(-40, 54, 2.0), np.arange(-36, 38, 2.0), np.arange(-50, 12, 2.0), indexing="ij")
    below = z <= 0
    labels = np.zeros(x.shape, dtype=np.uint8)
    if rv_wall:
        labels[below & (((x + 12) / 26) ** 2 + (y / 32) ** 2 + (z / 40) ** 2 < 1)] = Label.MYOCARDIUM
    labels[below & (((x + 12) / 21) ** 2 + (y / 27) ** 2 + (z / 35) ** 2 < 1)] = Label.RV_BLOOD
    labels[below & (((x - 18) / 28) ** 2 + (y / 28) ** 2 + (z / 46) ** 2 < 1)] = Label.MYOCARDIUM
    labels[below & (((x - 18) / 18) ** 2 + (y / 18) ** 2 + (z / 36) ** 2 < 1)] = Label.LV_BLOOD
    return labels


def toy_map(*, rv_wall: bool = True) -> LabelMap:
    return LabelMap(labels=toy_labels(rv_wall=rv_wall), origin_mm=np.array([5.0, -7, 11]), axes_mm=np.eye(3) * 2)


def write_ids(path: Path, ids: NDArray[np.generic]) -> Path:
    image = sitk.GetImageFromArray(np.ascontiguousarray(ids.T))
    image.SetSpacing([2.0] * ids.ndim)
    sitk.WriteImage(image, str(path))
    return path


def test_a_written_map_reads_back_the_same_in_any_frame(tmp_path: Path) -> None:
    turn = np.array([[0.0, -1, 0], [0.6, 0, -0.8], [0.8, 0, 0.6]])
    one = LabelMap(labels=toy_labels(), origin_mm=np.array([1.5, -2, 3]), axes_mm=turn * [2, 2, 2.5])
    write_label_map(tmp_path / "labels.nii.gz", one)
    back = read_label_map(tmp_path / "labels.nii.gz", "crt-twin")
    np.testing.assert_array_equal(back.labels, one.labels)
    np.testing.assert_allclose(back.origin_mm, one.origin_mm, atol=1e-5)
    np.testing.assert_allclose(back.axes_mm, one.axes_mm, atol=1e-5)
    assert [p.name for p in tmp_path.iterdir()] == ["labels.nii.gz"]


def test_bloods_that_are_swapped_are_refused(tmp_path: Path) -> None:
    swapped = np.array([0, 3, 2, 1, 4, 5], dtype=np.uint8)
    for wall in (True, False):
        path = write_ids(tmp_path / f"{wall}.nii.gz", swapped[toy_labels(rv_wall=wall)])
        with pytest.raises(ValueError, match="swapped"):
            read_label_map(path, "acdc")


def test_a_missing_part_is_named_with_the_ids_that_are_there(tmp_path: Path) -> None:
    labels = toy_labels()
    labels[labels == Label.RV_BLOOD] = 0
    with pytest.raises(ValueError, match=r"no voxel is RV blood .* \[0, 2, 3\]"):
        read_label_map(write_ids(tmp_path / "a.nii.gz", labels), "acdc")


def test_an_id_that_the_convention_lacks_is_refused(tmp_path: Path) -> None:
    labels = toy_labels()
    labels[0, 0, 0] = 4
    with pytest.raises(ValueError, match=r"holds the id 4.*acdc"):
        read_label_map(write_ids(tmp_path / "a.nii.gz", labels), "acdc")


def test_intensities_are_not_labels(tmp_path: Path) -> None:
    path = write_ids(tmp_path / "a.nii.gz", toy_labels().astype(np.float32) * 1.5)
    with pytest.raises(ValueError, match="whole numbers"):
        read_label_map(path, "acdc")


def test_a_slice_is_not_a_label_map(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 dimensions"):
        read_label_map(write_ids(tmp_path / "a.nii.gz", toy_labels()[:, :, 10]), "acdc")


@pytest.mark.parametrize("content", [b"", b"not an image"])
def test_a_damaged_file_is_a_value_error(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.nii.gz"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a\.nii\.gz"):
        read_label_map(path, "acdc")


def test_an_unknown_convention_is_answered_with_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="acdc, crt-twin"):
        read_label_map(tmp_path / "a.nii.gz", "mine")


def test_voxels_in_metres_are_refused() -> None:
    with pytest.raises(ValueError, match="spacing"):
        LabelMap(labels=toy_labels(), origin_mm=np.zeros(3), axes_mm=np.eye(3) * 0.002)


def test_a_labelled_wall_is_left_alone() -> None:
    one = toy_map()
    same, made = with_rv_wall(one)
    assert not made
    assert same is one


def test_a_missing_wall_is_made_around_the_right_blood_alone_and_left_open_at_the_base() -> None:
    one = toy_map(rv_wall=False)
    walled, made = with_rv_wall(one, wall_mm=4.0)
    assert made
    shift = np.rint((one.origin_mm - walled.origin_mm) / 2).astype(int)
    part = tuple(slice(s, s + n) for s, n in zip(shift, one.labels.shape, strict=True))
    kept = one.labels > 0
    np.testing.assert_array_equal(walled.labels[part][kept], one.labels[kept])
    new = np.isin(walled.labels, MUSCLE).sum() - one.muscle.sum()
    # Half an egg of 21 x 27 x 35 mm has about 5,300 mm2 of which the septum covers a part; the wall is 4 mm thick.
    assert 5000 < new * 8 < 22000
    top = np.argwhere(walled.labels == Label.RV_BLOOD)[:, 2].max()
    assert (walled.labels[:, :, top + 1 :] == Label.BACKGROUND).all()


def test_the_real_patient_has_a_wall_and_the_stated_volumes() -> None:
    if not PATIENT.exists():
        pytest.skip("needs ../shared/data/patients/cine-lbbb")
    one = read_label_map(PATIENT, "acdc")
    assert one.muscle_mm3 == pytest.approx(177.9e3, rel=1e-3)
    assert not with_rv_wall(one)[1]
