"""Laws of LGE slices: however a heart lies in its image, the common frame shows it the same way."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.datasets import read_drawn, read_lge, read_slices, read_table
from ml.lge_slices import PIXEL_MM, LgeSlices, bright_scar, lge_slices, myocardium_between

Float = NDArray[np.float64]
MIDDLE = 63.5
INNER_MM, OUTER_MM, SCAR_MM = 20.0, 32.0, 28.0
# Of the scar around the ring, from the insertion point towards where a patient's left is when that looks down.
SCAR_ANGLES = (0.3, 1.5)


def heart(
    turn: float = 0.0,
    shift_mm: tuple[float, float] = (0.0, 0.0),
    pixel_mm: tuple[float, float] = (1.4, 1.4),
    slices: int = 2,
) -> dict[str, Any]:
    """A ring with a wedge of bright scar in a bright cavity, its insertion point `turn` away from straight down."""
    size = (180, 160)
    centre = np.array(size) / 2 * pixel_mm + shift_mm
    places = np.moveaxis(np.indices(size), 0, -1) * np.array(pixel_mm) - centre
    distance, angle = np.hypot(*places.T).T, np.arctan2(places[..., 1], places[..., 0]) - turn
    myocardium = (distance > INNER_MM) & (distance <= OUTER_MM)
    angle = np.mod(angle, 2 * np.pi)
    scar = (distance <= SCAR_MM) & myocardium & (angle > SCAR_ANGLES[0]) & (angle < SCAR_ANGLES[1])
    image = 300 + 40 * np.cos(angle) + 5 * distance + 400 * scar + 2000 * (distance <= INNER_MM)
    point = (centre + OUTER_MM * np.array([np.cos(turn), np.sin(turn)])) / pixel_mm
    stack = {"image": image, "myocardium": myocardium, "scar": scar}
    return {name: np.repeat(each[None], slices, axis=0) for name, each in stack.items()} | {
        "insertion_point": point,
        "pixel_mm": pixel_mm,
    }


def overlap(one: NDArray[np.bool_], two: NDArray[np.bool_]) -> float:
    return float(2 * (one & two).sum() / (one.sum() + two.sum()))


UPRIGHT = lge_slices(**heart())


@settings(deadline=None, max_examples=25)
@given(
    turn=st.floats(-4, 4),
    shift=st.tuples(st.floats(-15, 15), st.floats(-15, 15)),
    pixel=st.tuples(st.floats(0.8, 1.6), st.floats(0.8, 1.6)),
)
def test_how_the_heart_lies_in_its_image_does_not_matter(
    turn: float, shift: tuple[float, float], pixel: tuple[float, float]
) -> None:
    found = lge_slices(**heart(turn, shift, pixel, slices=1))
    assert found.scar is not None
    assert UPRIGHT.scar is not None
    assert overlap(found.myocardium[0], UPRIGHT.myocardium[0]) > 0.95
    assert overlap(found.scar[0], UPRIGHT.scar[0]) > 0.9
    both = found.myocardium[0] & UPRIGHT.myocardium[0]
    assert np.abs(found.image[0] - UPRIGHT.image[0])[both].mean() < 0.03


@settings(deadline=None, max_examples=10)
@given(a=st.floats(0.01, 100), b=st.floats(-1e3, 1e3))
def test_brightness_and_contrast_do_not_matter(a: float, b: float) -> None:
    given = heart(turn=1.0)
    found = lge_slices(**given | {"image": a * given["image"] + b})
    np.testing.assert_allclose(found.image, lge_slices(**given).image, atol=1e-5)


def test_what_lies_outside_the_myocardium_does_not_matter() -> None:
    given = heart(turn=1.0)
    darker = np.where(given["myocardium"], given["image"], -1e6)
    np.testing.assert_array_equal(lge_slices(**given | {"image": darker}).image, lge_slices(**given).image)
    assert not UPRIGHT.image[~UPRIGHT.myocardium].any()


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_a_quarter_turn_of_image_masks_and_point_changes_nothing(quarters: int) -> None:
    given = heart(turn=0.7, shift_mm=(3.1, -2.3))
    turned = {name: np.rot90(given[name], quarters, axes=(1, 2)) for name in ("image", "myocardium", "scar")}
    row, column = given["insertion_point"]
    for before in range(quarters):
        row, column = given["image"].shape[2 - before % 2] - 1 - column, row
    one, two = lge_slices(**given), lge_slices(**given | turned | {"insertion_point": (row, column)})
    np.testing.assert_allclose(one.image, two.image, atol=1e-5)
    np.testing.assert_array_equal(one.myocardium, two.myocardium)


@pytest.mark.parametrize("turn", [0.0, 0.9, 2.5, -1.6])
def test_the_insertion_point_ends_below_the_centre_and_left_stays_left(turn: float) -> None:
    scar = lge_slices(**heart(turn, shift_mm=(9.0, -7.0))).scar
    assert scar is not None
    row, column = np.argwhere(scar[0]).mean(axis=0) - MIDDLE
    # The scar's middle lies at the same angle from straight down, on the same side: turned, not mirrored.
    assert np.arctan2(column, row) == pytest.approx(np.mean(SCAR_ANGLES), abs=0.03)


def test_a_mirrored_heart_stays_mirrored() -> None:
    given = heart(turn=0.7)
    mirrored = {name: given[name][:, :, ::-1] for name in ("image", "myocardium", "scar")}
    row, column = given["insertion_point"]
    found = lge_slices(**given | mirrored | {"insertion_point": (row, given["image"].shape[2] - 1 - column)})
    np.testing.assert_allclose(found.image, lge_slices(**given).image[:, :, ::-1], atol=1e-5)


@pytest.mark.parametrize("pixel_mm", [(0.6, 0.6), (1.9, 1.9), (1.0, 1.7)])
def test_areas_in_square_mm_are_kept(pixel_mm: tuple[float, float]) -> None:
    given = heart(turn=0.4, pixel_mm=pixel_mm, slices=1)
    found = lge_slices(**given)
    assert found.scar is not None
    for name, mask in (("myocardium", found.myocardium), ("scar", found.scar)):
        assert mask.sum() * PIXEL_MM**2 == pytest.approx(given[name].sum() * np.prod(pixel_mm), rel=0.02)
    assert np.hypot(*(np.argwhere(found.myocardium[0]) - MIDDLE).T).max() == pytest.approx(OUTER_MM, abs=1)


def test_a_gap_in_the_ring_hardly_moves_the_centre() -> None:
    given = heart(slices=1)
    rows, columns = given["image"].shape[1:]
    angle = np.arctan2(*(np.indices((rows, columns)) - np.array([rows, columns])[:, None, None] / 2)[::-1])
    gap = np.abs(angle + 2) < 0.35
    found = lge_slices(**given | {"myocardium": given["myocardium"] & ~gap})
    places = np.argwhere(found.myocardium[0]) - MIDDLE
    assert np.hypot(*places.T).max() == pytest.approx(OUTER_MM, abs=2)
    assert np.hypot(*places.T).min() == pytest.approx(INNER_MM, abs=2)


def test_each_slice_is_normalised_and_turned_by_itself() -> None:
    one, two = heart(turn=0.5, slices=1), heart(turn=-2.0, shift_mm=(5, 5), slices=1)
    both = {name: np.concatenate([one[name], two[name]]) for name in ("image", "myocardium", "scar")}
    both["image"][1] *= 7
    found = lge_slices(**both, insertion_point=[one["insertion_point"], two["insertion_point"]], pixel_mm=1.4)
    for i, each in enumerate((one, two)):
        np.testing.assert_allclose(found.image[i], lge_slices(**each).image[0], atol=1e-5)


def test_channels_for_the_networks_are_those_they_read() -> None:
    assert UPRIGHT.scar is not None
    np.testing.assert_array_equal(UPRIGHT.for_segmenter(), np.stack([UPRIGHT.image, UPRIGHT.myocardium], axis=1))
    np.testing.assert_array_equal(UPRIGHT.for_sliding_scar(), np.stack([UPRIGHT.myocardium, UPRIGHT.scar], axis=1))


def test_scar_that_is_not_given_is_drawn_within_the_myocardium() -> None:
    bare = LgeSlices(image=UPRIGHT.image, myocardium=UPRIGHT.myocardium, scar=None)
    found = bare.for_sliding_scar(lambda slices: np.ones_like(slices[:, 0], dtype=bool))
    np.testing.assert_array_equal(found[:, 1], UPRIGHT.myocardium)
    with pytest.raises(ValueError, match="no scar; add its masks, or say what draws it"):
        bare.for_sliding_scar()
    with pytest.raises(ValueError, match=r"the scar drawn has shape \(2, 128\)"):
        bare.for_sliding_scar(lambda slices: np.ones_like(slices[:, 0, 0], dtype=bool))


def noisy(scar_shade: float, seed: int = 0) -> tuple[LgeSlices, dict[str, Any]]:
    given = heart(slices=4)
    noise = np.random.default_rng(seed).normal(0, 10, given["image"].shape)
    image = 100 + noise + scar_shade * given["scar"] + 500 * ~given["myocardium"]
    return lge_slices(**given | {"image": image}), given


def test_bright_scar_finds_what_is_bright_and_nothing_where_all_is_remote() -> None:
    lge, _ = noisy(200.0)
    assert lge.scar is not None
    slices = lge.for_segmenter()
    slices[:, 0][~lge.myocardium] = 9  # bright, but no muscle
    assert overlap(bright_scar(slices), lge.scar) > 0.9
    without, _ = noisy(0.0)
    assert bright_scar(without.for_segmenter()).sum() < 1e-3 * without.myocardium.sum()


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1), deviations=st.floats(1, 6))
def test_bright_scar_cuts_at_as_many_deviations_of_remote_muscle_as_asked_for(seed: int, deviations: float) -> None:
    # Muscle of mean 5 and deviation 2; a few very bright pixels do not move the cut.
    rng = np.random.default_rng(seed)
    values = rng.normal(5, 2, 20_000)
    probes = 5 + 2 * (deviations + np.array([-0.3, 0.3]))
    image = np.concatenate([np.full(200, 1e4), values, probes]).reshape(1, -1)
    slices = np.stack([image, np.ones_like(image)])[None].astype(np.float32)
    assert bright_scar(slices, deviations)[0, 0, -2:].tolist() == [False, True]


def test_myocardium_between_circles_has_the_area_between_them() -> None:
    around = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    circle = np.stack([np.sin(around), np.cos(around)], axis=1)
    mask = myocardium_between([50, 40] + 30 * circle, [50, 40] + 20 * circle, (100, 90))
    polygon = 30 * np.sin(2 * np.pi / 60)  # of radius 1
    assert mask.sum() == pytest.approx(polygon * (30**2 - 20**2), rel=0.01)
    assert not mask[50, 40]
    assert mask[50, 65]
    assert not mask[50, 75]


def test_a_contour_takes_the_pixels_whose_middle_it_encloses() -> None:
    mask = myocardium_between(
        [(0.5, 0.5), (0.5, 5.5), (4.5, 5.5), (4.5, 0.5)], [(1.6, 2.4), (2.4, 2.4), (2, 3.4)], (6, 8)
    )
    wanted = np.zeros((6, 8), dtype=bool)
    wanted[1:5, 1:6] = True
    wanted[2, 3] = False
    np.testing.assert_array_equal(mask, wanted)


@pytest.mark.parametrize(
    ("outer", "inner", "message"),
    [
        ([(1, 1), (5, 5)], [(2, 2), (2, 4), (4, 3)], r"epicardium has shape \(2, 2\)"),
        (
            [(1, 1), (1, 9), (9, 1)],
            [(2, 2), (2, 40), (4, 3)],
            r"endocardium: corner \[2.0, 40.0\] lies outside.*1 of 3",
        ),
        ([(2, 2), (2, 4), (4, 3)], [(1, 1), (1, 9), (9, 1)], "are they swapped"),
    ],
)
def test_contours_that_cannot_be_are_refused(outer: Any, inner: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        myocardium_between(outer, inner, (12, 12))


def _without_muscle(given: dict[str, Any]) -> dict[str, Any]:
    given["myocardium"][1] = False
    return given


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (_without_muscle, "slice 1 has no myocardium; leave out"),
        (lambda given: given | {"image": given["image"][0]}, r"image has shape \(180, 160\), need \(slices"),
        (lambda given: given | {"myocardium": given["myocardium"][:, 1:]}, r"need \(2, 180, 160\), that of the image"),
        (lambda given: given | {"myocardium": 255 * given["myocardium"]}, r"myocardium\[0, .*is 255, need 0 or 1"),
        (lambda given: given | {"scar": 0.5 * given["scar"]}, r"scar\[0, .*is 0.5, need 0 or 1"),
        (lambda given: given | {"image": 0 * given["image"]}, "slice 0 is flat within the myocardium"),
        (lambda given: given | {"image": np.nan * given["image"]}, "slice 0 has .* not finite"),
        (lambda given: given | {"insertion_point": (170, 190)}, r"slice 0, \[170.0, 190.0\], lies outside.*2 of 2"),
        (lambda given: given | {"insertion_point": [(90, 120), (np.nan, np.nan)]}, "slice 1.*outside.*1 of 2"),
        (lambda given: given | {"insertion_point": (90, 120, 3)}, r"insertion_point has shape \(3,\)"),
        (lambda given: given | {"insertion_point": (91, 82)}, "slice 0.* within the cavity"),
        (lambda given: given | {"pixel_mm": np.nan}, "pixel_mm is nan"),
        (lambda given: given | {"pixel_mm": 0.0014}, "pixel_mm is 0.0014"),
        (lambda given: given | {"pixel_mm": (1, 1, 8)}, r"pixel_mm is \[1.0, 1.0, 8.0\]"),
        (lambda given: given | {"pixel_mm": 4.0}, "slice 0 reaches 9. mm from its centre, the common frame 64 mm"),
    ],
)
def test_what_cannot_be_slices_is_refused_in_one_line(
    change: Callable[[dict[str, Any]], dict[str, Any]], message: str
) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        lge_slices(**change(heart()))
    assert "\n" not in str(caught.value)


def test_muscle_in_one_line_is_refused() -> None:
    line = np.zeros((1, 60, 60), dtype=bool)
    line[0, 20, 10:40] = True
    image = np.random.default_rng(0).normal(size=line.shape)
    with pytest.raises(ValueError, match="30 pixels in one line"):
        lge_slices(image, line, (30, 30), 1.0)


def test_files_give_what_the_arrays_give(tmp_path: Path) -> None:
    given = heart(turn=1.0, slices=3)
    np.savez(tmp_path / "all.npz", **given)
    np.savez(tmp_path / "bare.npz", **{name: each for name, each in given.items() if name != "scar"})
    wanted = lge_slices(**given)
    np.testing.assert_array_equal(read_slices(tmp_path / "all.npz"), wanted.for_sliding_scar())
    np.testing.assert_array_equal(read_lge(tmp_path / "bare.npz").image, wanted.image)
    with pytest.raises(ValueError, match=r"^bare.npz: no scar"):
        read_slices(tmp_path / "bare.npz")
    drawn = read_slices(tmp_path / "bare.npz", bright_scar)
    np.testing.assert_array_equal(drawn[:, 1], bright_scar(wanted.for_segmenter()))
    (tmp_path / "table.csv").write_text("patient,scar,label\na,bare.npz,1\n")
    table = read_table(tmp_path / "table.csv", draw=bright_scar)
    assert table.slices is not None
    np.testing.assert_array_equal(table.slices[0], drawn)


def test_drawn_slices_of_a_table_are_those_of_its_files(tmp_path: Path) -> None:
    for i, slices in enumerate((3, 4)):
        np.savez(tmp_path / f"{i}.npz", **heart(turn=i, slices=slices))
    (tmp_path / "table.csv").write_text("patient,scar\na,0.npz\nb,1.npz\n")
    drawn = read_drawn(tmp_path / "table.csv")
    assert drawn.patients.tolist() == ["a"] * 3 + ["b"] * 4
    last = read_lge(tmp_path / "1.npz")
    np.testing.assert_array_equal(drawn.slices[3:], last.for_segmenter())
    np.testing.assert_array_equal(drawn.masks[3:], last.scar)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("patient,ecg\na,a.csv\n", "no column scar"),
        ("patient,scar\n,bare.npz\n", r"table.csv line 2 \(bare.npz\): the cell of patient or scar is empty"),
        ("patient,scar\na,bare.npz\n", r"table.csv line 2 \(bare.npz\): bare.npz: no array scar"),
        ("patient,scar\na,text.npz\n", r"text.npz: could not convert"),
        ("patient,scar\na,other.npz\n", r"other.npz: no array image, myocardium, insertion_point, pixel_mm"),
        ("patient,scar\n", "no lines"),
    ],
)
def test_tables_without_drawn_slices_are_refused(tmp_path: Path, table: str, message: str) -> None:
    given = heart(slices=3)
    del given["scar"]
    np.savez(tmp_path / "bare.npz", **given)
    np.savez(tmp_path / "text.npz", **given | {"pixel_mm": "one"})
    np.savez(tmp_path / "other.npz", slices=np.zeros((3, 2, 8, 8)))
    (tmp_path / "table.csv").write_text(table)
    with pytest.raises(ValueError, match=message) as caught:
        read_drawn(tmp_path / "table.csv")
    assert "\n" not in str(caught.value)
