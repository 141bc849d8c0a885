"""The printed page and the model image: scale, time, place, and the raster under both."""

from io import BytesIO
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from ml.ecg.readers import read_ecg
from ml.ecg.recording import STANDARD_LEADS, Ecg, Float
from ml.page_image import MODEL_ROWS, Page, clipped_samples, draw_page, model_image, write_page
from ml.palette_png import palette_png
from ml.trace_raster import Pixels, draw_trace

CHALLENGE = Path(__file__).parents[2] / "../shared/data/ecg/challenge"
# 80 x 60 mm at exactly 10 px per mm; the strip takes 60 of the 80 mm, the pulse field 10.
SMALL = Page(rows=(("I",),), strip_s=2.4, width_px=800, height_px=600, dpi=254)


def smooth(seed: int, seconds: float, rate_hz: float, leads: int = 12) -> Float:
    """(leads, t) a sum of slow sines: the same function of time at every rate."""
    rng = np.random.default_rng(seed)
    time_s = np.arange(round(seconds * rate_hz)) / rate_hz
    height, frequency, phase = rng.uniform((0.02, 0.3, 0), (0.2, 12, 6.28), (leads, 6, 3)).transpose(2, 0, 1)
    return (height[..., None] * np.sin(2 * np.pi * frequency[..., None] * time_s + phase[..., None])).sum(axis=1)


def of_lead(name: str, values: Float) -> Float:
    """(1, 12, t) one recording that is flat but for one lead."""
    signals = np.zeros((1, 12, len(values)))
    signals[0, STANDARD_LEADS.index(name)] = values
    return signals


def ink_of(picture: Pixels) -> NDArray[np.bool_]:
    """Where the page is dark: paper and grid have red 236 or more, full ink has 0."""
    return picture[..., 0] < 118


def plain_cover(shape: tuple[int, int], points: Float, width_px: float) -> Float:
    """The module's formula, said once per pixel and segment."""
    rows, columns = np.mgrid[: shape[0], : shape[1]] + 0.5
    centres = np.stack([columns, rows], axis=-1)
    distance = np.full(shape, np.inf)
    for a, b in pairwise(points):
        along = b - a
        t = np.clip((centres - a) @ along / max(along @ along, 1e-30), 0, 1)
        distance = np.minimum(distance, np.linalg.norm(centres - a - t[..., None] * along, axis=-1))
    return 255 * np.clip(width_px / 2 + 0.5 - distance, 0, 1)


# The raster


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), width=st.floats(1, 4), step=st.floats(0, 9), scale=st.floats(0.01, 200))
def test_the_raster_is_the_distance_to_the_polyline(seed: int, width: float, step: float, scale: float) -> None:
    values = np.random.default_rng(seed).standard_normal(12)
    canvas = np.zeros((40, 50), dtype=np.uint8)
    draw_trace(canvas, values, -3.3, step, 20.2, scale, width)
    points = np.column_stack([-3.3 + step * np.arange(12), 20.2 - scale * values])
    np.testing.assert_allclose(canvas, plain_cover(canvas.shape, points, width), atol=0.51)


@given(slope=st.floats(-20, 20), width=st.floats(1, 4))
@settings(max_examples=40, deadline=None)
def test_a_line_has_the_ink_of_its_width_however_steep(slope: float, width: float) -> None:
    inside = []
    for offset in np.arange(8) / 8:
        canvas = np.zeros((2200, 200), dtype=np.uint8)
        draw_trace(canvas, np.array([0.0, slope]), -10.0, 220.0, 1100 + offset + 110 * slope, 220.0, width)
        inside.append(canvas[:, 80:120].sum(dtype=np.int64) / 255)
    assert np.mean(inside) == pytest.approx(width * 40 * np.hypot(1, slope), rel=0.01)


def test_drawing_twice_adds_no_ink() -> None:
    canvas = np.zeros((40, 50), dtype=np.uint8)
    values = np.random.default_rng(0).standard_normal(30)
    draw_trace(canvas, values, 0.0, 1.7, 20.0, 6.0, 1.5)
    once = canvas.copy()
    draw_trace(canvas, values, 0.0, 1.7, 20.0, 6.0, 1.5)
    np.testing.assert_array_equal(canvas, once)


# The model image


def test_flat_leads_are_one_line_per_row_at_its_baseline() -> None:
    image = model_image(np.zeros((1, 12, 5000)), 500)[0, 0]
    inked = np.flatnonzero(image.any(axis=1))
    np.testing.assert_array_equal(inked, [63, 64, 111, 112, 159, 160])
    np.testing.assert_array_equal(image[inked, :-1], 128)


@pytest.mark.parametrize("size", [112, 224, 448])
def test_one_mv_is_a_fourteenth_of_the_height(size: int) -> None:
    signals = smooth(1, 10, 500)[None]
    low, high = (model_image(signals + shift, 500, size=size)[0, 0] for shift in (0, 1))
    np.testing.assert_array_equal(high[: -size // 14], low[size // 14 :])


def test_a_recording_shifted_in_time_is_a_picture_shifted_sideways() -> None:
    signals = smooth(2, 11, 448)[None]  # 20 samples to the pixel
    early, late = (model_image(part, 448)[0, 0].reshape(224, 4, 56) for part in (signals[..., 20:], signals[..., :-20]))
    np.testing.assert_allclose(late[:, :, 3:-2].astype(int), early[:, :, 2:-3], atol=1)
    assert np.abs(late.astype(int) - early).mean() > 1


@pytest.mark.parametrize("rate_hz", [100, 257, 1000, 4000])
def test_the_rate_does_not_matter_for_a_slow_signal(rate_hz: float) -> None:
    at_500 = model_image(smooth(3, 10, 500)[None], 500).astype(float)
    other = model_image(smooth(3, 10, rate_hz)[None], rate_hz).astype(float)
    assert np.abs(other - at_500).mean() < 0.01 * at_500.mean() * (1 + (500 / rate_hz) ** 2)


def test_the_picture_of_one_recording_does_not_depend_on_the_others() -> None:
    signals = np.stack([smooth(seed, 10, 250) for seed in range(3)])
    together = model_image(signals, 250)
    for one, image in zip(signals, together, strict=True):
        np.testing.assert_array_equal(model_image(one[None], 250)[0], image)


@pytest.mark.parametrize("name", STANDARD_LEADS)
def test_each_lead_is_drawn_in_its_own_panel_alone(name: str) -> None:
    changed = model_image(of_lead(name, np.full(5000, 0.5)), 500) != model_image(of_lead(name, np.zeros(5000)), 500)
    rows, columns = np.nonzero(changed[0, 0])
    ((row, column),) = [(r, names.index(name)) for r, names in enumerate(MODEL_ROWS) if name in names]
    assert rows.min() == 63 + 48 * row - 8
    assert rows.max() == 64 + 48 * row
    assert 56 * column - 1 <= columns.min() < columns.max() <= 56 * column + 56


def test_a_column_shows_its_own_quarter_of_ten_seconds() -> None:
    spike = np.zeros(5000)
    spike[3000] = 1.0  # 6 s: in the third column, at 1 s of 2.5
    for name in STANDARD_LEADS:
        changed = model_image(of_lead(name, spike), 500) != model_image(of_lead(name, 0 * spike), 500)
        columns = np.flatnonzero(changed[0, 0].any(axis=0))
        if name in ("V1", "V2", "V3"):
            assert np.abs(columns + 0.5 - (112 + 56 / 2.5)).max() < 2
        else:
            assert len(columns) == 0


def test_a_short_recording_fills_every_panel_with_its_latest_part_that_is_due() -> None:
    signals = smooth(5, 3, 500)[None]
    image = model_image(signals, 500)[0, 0].reshape(224, 4, 56)
    first, last = (model_image(part, 500)[0, 0].reshape(224, 4, 56) for part in (signals, signals[..., -1250:]))
    np.testing.assert_array_equal(image[:, 0], first[:, 0])
    np.testing.assert_allclose(image[:, 1:, 1:-1].astype(int), last[:, 1:, 1:-1], atol=1)


def test_a_beat_starts_every_panel_and_leaves_the_rest_blank() -> None:
    beat = smooth(6, 1.25, 1000)[None]
    panels = model_image(beat, 1000)[0, 0].reshape(224, 4, 56)
    assert not panels[:, :, 29:-1].any()
    assert panels[:, :, :28].any(axis=0).all()
    wide = model_image(beat, 1000, panel_s=1.25)[0, 0]
    assert wide.any(axis=0).all()


def test_a_panel_that_starts_between_two_samples_is_not_shifted() -> None:
    slow, fast = (np.tile(np.arange(5 * rate) / rate - 2.5, (1, 12, 1)) for rate in (40, 4000))
    images = [model_image(ramp, rate, panel_s=1.26)[0, 0] for ramp, rate in ((slow, 40), (fast, 4000))]
    inside = [image.reshape(224, 4, 56)[:, :, 3:-3].astype(int) for image in images]
    np.testing.assert_allclose(inside[0], inside[1], atol=1)


def test_forty_hz_is_drawn() -> None:
    slow, fast = (model_image(0.3 * smooth(7, 10, rate)[None] ** 2, rate)[0, 0].astype(float) for rate in (40, 640))
    assert np.corrcoef(slow.ravel(), fast.ravel())[0, 1] > 0.9


@pytest.mark.parametrize("height_mv", [50.0, 1e5, -1e300])
def test_a_huge_spike_stays_where_it_is_and_runs_to_the_edge(height_mv: float) -> None:
    signals = smooth(8, 10, 500)[None]
    spiked = signals.copy()
    spiked[0, 0, 600] = height_mv
    image = model_image(spiked, 500)[0, 0]
    columns = np.flatnonzero((image != model_image(signals, 500)[0, 0]).any(axis=0))
    assert np.abs(columns + 0.5 - 600 / 1250 * 56).max() < 2
    assert image[0 if height_mv > 0 else -1, columns].sum(dtype=int) == pytest.approx(255, abs=30)


def test_clipped_samples_are_those_beyond_the_edge() -> None:
    signals = np.zeros((2, 12, 6000))
    for name, value in (("I", 4.1), ("III", -4.1), ("II", 6.9), ("aVF", 4.1)):
        signals[1, STANDARD_LEADS.index(name), 1000:2000] = value
    signals[1, STANDARD_LEADS.index("V1"), :] = 9
    counts = clipped_samples(signals, 500)
    expected = np.zeros((2, 12), dtype=int)
    expected[1, [0, 2, 6]] = [251, 251, 1251]  # 2 to 2.5 s of the first column; the whole of the third
    np.testing.assert_array_equal(counts, expected)


def test_a_missing_sample_is_refused_by_name() -> None:
    signals = smooth(9, 10, 100)[None].repeat(3, axis=0)
    signals[2, 7, 40:42] = np.nan
    with pytest.raises(ValueError, match=r"recording 2, lead V2 has nan at sample 40 \(2 of"):
        model_image(signals, 100)


@pytest.mark.parametrize(
    ("shape", "rate_hz", "panel_s", "message"),
    [
        ((12, 100), 100, 2.5, r"signals\[None\]"),
        ((1, 8, 100), 100, 2.5, r"\(1, 8, 100\)"),
        ((1, 12, 1), 100, 2.5, "2 samples"),
        ((1, 12, 100), 0, 2.5, "sampling_hz is 0"),
        ((1, 12, 100), 100, np.nan, "panel_s is nan"),
    ],
)
def test_what_cannot_be_drawn_is_refused(shape: tuple[int, ...], rate_hz: float, panel_s: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        model_image(np.zeros(shape), rate_hz, panel_s=panel_s)


# The page


def test_one_mv_is_ten_mm_high_and_one_second_25_mm_wide() -> None:
    time_s = np.arange(1200) / 500
    ecg = Ecg(leads=("I",), signal_mv=((time_s >= 0.6) & (time_s < 1.4)).astype(float)[None], rate_hz=500)
    ink = ink_of(draw_page(ecg, SMALL))
    ink[: round(10 * SMALL.top_mm)] = False
    left, baseline = 10 * SMALL.left_mm, 10 * SMALL.baseline_mm(0)
    for second, up_px in ((0.3, 0), (1.0, 100), (2.0, 0)):
        middle = np.flatnonzero(ink[:, int(left + 250 * second)]).mean() + 0.5
        assert middle == pytest.approx(baseline - up_px, abs=0.6)
    flanks = np.flatnonzero(ink[int(baseline - 50), int(left) :]) + 0.5
    assert flanks[flanks < 250].mean() == pytest.approx(150, abs=1)
    assert flanks[flanks > 250].mean() == pytest.approx(350, abs=1)


def test_the_calibration_pulse_is_one_mv_for_a_fifth_of_a_second() -> None:
    ecg = Ecg(leads=("I",), signal_mv=np.ones((1, 1200)), rate_hz=500)
    ink = ink_of(draw_page(ecg, SMALL))
    left, baseline = round(10 * SMALL.left_mm), round(10 * SMALL.baseline_mm(0))
    np.testing.assert_array_equal(
        ink[baseline - 120 : baseline - 80, left - 50], ink[baseline - 120 : baseline - 80, left + 50]
    )
    edges = np.flatnonzero(ink[baseline - 50, left - 100 : left]) + 0.5
    assert edges[edges > 50].mean() - edges[edges < 50].mean() == pytest.approx(50, abs=1.1)


def test_the_grid_has_a_line_every_mm_and_a_strong_one_every_five_through_the_baseline() -> None:
    green = draw_page(Ecg(leads=("I",), signal_mv=np.zeros((1, 100)), rate_hz=500), SMALL)[..., 1]
    down = green[round(10 * SMALL.top_mm) :, round(10 * SMALL.left_mm) + 255]
    strong, any_line = np.flatnonzero(down == 130), np.flatnonzero(down < 255)
    assert set(np.diff(strong)) == {1, 49}
    assert set(np.diff(any_line)) == {1, 9, 10}
    assert np.abs(strong + 0.5 - 10 * (SMALL.baseline_mm(0) - SMALL.top_mm)).min() < 1


def test_a_print_of_another_speed_and_gain_is_stretched_alike() -> None:
    ecg = Ecg(leads=("I",), signal_mv=0.5 * smooth(4, 2.4, 500, leads=1), rate_hz=500)
    fast = Page(rows=(("I",),), strip_s=1.2, speed_mm_per_s=50, gain_mm_per_mv=20, width_px=850, height_px=600, dpi=254)
    for second in (0.2, 0.55, 1.1):
        up = []
        for page in (SMALL, fast):
            ink = ink_of(draw_page(ecg, page))
            ink[: round(10 * page.top_mm)] = False
            column = ink[:, int(10 * (page.left_mm + second * page.speed_mm_per_s))]
            up.append(10 * page.baseline_mm(0) - 0.5 - np.flatnonzero(column).mean())
        assert up[1] == pytest.approx(2 * up[0], abs=3)


def test_leads_are_found_by_name_and_limb_leads_derived() -> None:
    signals = smooth(10, 10, 500)
    whole = Ecg(
        leads=("I", "II", *STANDARD_LEADS[6:]), signal_mv=signals[[0, 1, *range(6, 12)]], rate_hz=500
    ).twelve_leads()
    picture = draw_page(whole)
    order = np.random.default_rng(0).permutation(12)
    mixed = Ecg(leads=tuple(np.array(STANDARD_LEADS)[order].tolist()), signal_mv=whole.signal_mv[order], rate_hz=500)
    np.testing.assert_array_equal(draw_page(mixed), picture)
    eight = Ecg(leads=(*STANDARD_LEADS[6:], "II", "I"), signal_mv=signals[[*range(6, 12), 1, 0]], rate_hz=500)
    np.testing.assert_array_equal(draw_page(eight), picture)


def test_a_lead_that_is_not_there_is_named() -> None:
    with pytest.raises(ValueError, match="missing V6"):
        draw_page(Ecg(leads=STANDARD_LEADS[:-1], signal_mv=np.zeros((11, 500)), rate_hz=500))


def test_the_rhythm_strip_shows_what_the_panel_shows_and_goes_on() -> None:
    ecg = Ecg(leads=("I", "II"), signal_mv=smooth(11, 10, 500, leads=2), rate_hz=500)
    page = Page(rows=(("II", "I"), ("II",)), strip_s=8)
    ink = ink_of(draw_page(ecg, page))
    scale = page.px_per_mm
    columns = slice(round((page.left_mm + 15) * scale), round((page.left_mm + page.strip_mm / 2 - 1) * scale))
    panel, strip = (ink[round((page.baseline_mm(row) - 12) * scale) :, columns][: round(24 * scale)] for row in (0, 1))
    assert (panel != strip).mean() < 0.002  # the rows lie 80 mm apart, not a whole number of pixels
    assert ink[round((page.baseline_mm(1) - 12) * scale) :, round((page.left_mm + page.strip_mm - 1) * scale)].any()


def test_a_png_is_the_picture_with_its_size_on_paper_and_the_same_bytes_twice(tmp_path: Path) -> None:
    ecg = Ecg(leads=STANDARD_LEADS, signal_mv=smooth(12, 10, 500), rate_hz=500)
    for name in ("a.png", "b.png"):
        write_page(ecg, tmp_path / name)
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()
    with Image.open(tmp_path / "a.png") as image:
        np.testing.assert_array_equal(np.array(image.convert("RGB")), draw_page(ecg))
        assert image.info["dpi"] == pytest.approx((200, 200), abs=0.01)


@pytest.mark.parametrize("shape", [(7, 9), (8, 10), (1, 1)])
def test_a_png_of_any_shape_and_16_colours_is_read_back(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(0)
    colours, palette = rng.integers(0, 16, shape, dtype=np.uint8), rng.integers(0, 256, (16, 3), dtype=np.uint8)
    with Image.open(BytesIO(palette_png(colours, palette, 100))) as image:
        np.testing.assert_array_equal(np.array(image.convert("RGB")), palette[colours])


def test_the_page_is_white_at_its_corner_and_full_ink_on_its_traces() -> None:
    picture = draw_page(Ecg(leads=("I",), signal_mv=np.zeros((1, 1200)), rate_hz=500), SMALL)
    np.testing.assert_array_equal(picture[0, 0], 255)
    np.testing.assert_array_equal(picture.min(axis=(0, 1)), (0, 0, 25))
    np.testing.assert_array_equal(picture[round(10 * SMALL.baseline_mm(0)), 300], (0, 0, 25))


def test_a_lead_name_stands_in_the_upper_left_corner_of_its_panel() -> None:
    flat = Ecg(leads=("I", "II", "III"), signal_mv=np.zeros((3, 500)), rate_hz=500)
    pages = [Page(rows=(("I",), ("I", name)), strip_s=8) for name in ("II", "III")]
    rows, columns = np.nonzero((draw_page(flat, pages[0]) != draw_page(flat, pages[1])).any(axis=2))
    corner_mm = pages[0].left_mm + 100, pages[0].top_mm + pages[0].row_mm
    for place, corner in zip((columns, rows), corner_mm, strict=True):
        assert corner < place.min() / pages[0].px_per_mm < place.max() / pages[0].px_per_mm < corner + 8


def test_the_header_tells_speed_and_gain() -> None:
    flat = Ecg(leads=("I",), signal_mv=np.zeros((1, 1200)), rate_hz=500)
    pages = [
        Page(rows=(("I",),), strip_s=2.4, gain_mm_per_mv=gain, width_px=800, height_px=600, dpi=254) for gain in (5, 10)
    ]
    five, ten = (ink_of(draw_page(flat, page))[: round(10 * page.top_mm) - 5] for page in pages)
    assert five.any()
    assert (five != ten).any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"strip_s": 11.0}, "275 mm wide, the page has room for 259.4 mm"),
        ({"speed_mm_per_s": 50.0}, "shorten strip_s"),
        ({"height_px": 400}, "no room for 4 rows"),
        ({"gain_mm_per_mv": 0.0}, "gain_mm_per_mv is 0.0"),
        ({"dpi": float("nan")}, "dpi is nan"),
        ({"rows": ("II",)}, "a tuple of rows"),
        ({"rows": ((),)}, "a tuple of rows"),
    ],
)
def test_a_page_that_cannot_be_is_refused(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Page(**wrong)


@pytest.mark.skipif(not CHALLENGE.exists(), reason="needs ../shared/data/ecg/challenge")
@pytest.mark.parametrize("name", ["E07500", "HR06002", "JS20005"])
def test_a_real_recording_looks_the_same_at_half_its_rate(name: str) -> None:
    ecg = read_ecg(CHALLENGE / f"{name}.hea").twelve_leads()
    images = [model_image(e.signal_mv[None], e.rate_hz)[0, 0].astype(float) for e in (ecg, ecg.resampled(250))]
    assert np.corrcoef(images[0].ravel(), images[1].ravel())[0, 1] > 0.95
    assert images[0].reshape(224, 4, 56)[:, :, 1:-1].any(axis=0).all()
