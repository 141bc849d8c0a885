from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ml.ecg.recording import STANDARD_LEADS, Ecg
from twin.planning.report.figures import bullseye_figure, ecg_figure, png, segment_geometry, svg


def beat(peak_mv: float = 1.0, n: int = 600) -> Ecg:
    """A bump of 100 ms in each lead, all of the same height."""
    bump = np.exp(-(((np.arange(n) - 300) / 50.0) ** 2))
    signal = np.tile(bump, (12, 1)) * peak_mv
    return Ecg(leads=STANDARD_LEADS, signal_mv=signal, rate_hz=1000.0)


def line(figure: Figure, gid: str) -> Line2D:
    """The first line of that name."""
    return next(item for item in figure.axes[0].lines if item.get_gid() == gid)


def text_of(figure: Figure) -> list[str]:
    return [item.get_text() for axes in figure.axes for item in axes.texts] + [item.get_text() for item in figure.texts]


def test_one_axis_unit_is_one_millimetre_of_paper_both_ways() -> None:
    figure = ecg_figure([("recorded", beat())])
    axes = figure.axes[0]
    a, b = axes.transData.transform([[0.0, 0.0], [10.0, 10.0]])
    np.testing.assert_allclose((b - a) / figure.dpi * 25.4, [10.0, 10.0], rtol=1e-12)


def test_time_runs_at_25_mm_per_s_and_voltage_at_10_mm_per_mv() -> None:
    curve = line(ecg_figure([("recorded", beat())]), "recorded-V5")
    x, y = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
    np.testing.assert_allclose(np.diff(x), 25.0 / 1000.0, rtol=1e-9)
    np.testing.assert_allclose(np.ptp(y), 10.0 * np.ptp(beat().lead("V5")), rtol=1e-12)


def test_the_calibration_mark_is_1_mv_high_and_200_ms_wide() -> None:
    mark = line(ecg_figure([("recorded", beat())]), "calibration")
    assert np.ptp(np.asarray(mark.get_ydata())) == pytest.approx(10.0)
    x, y = np.asarray(mark.get_xdata()), np.asarray(mark.get_ydata())
    assert np.ptp(x[y == y.max()]) == pytest.approx(25.0 * 0.2)


def test_large_amplitudes_halve_the_gain_and_the_paper_says_so() -> None:
    assert any("10 mm/mV" in text for text in text_of(ecg_figure([("recorded", beat(peak_mv=1.0))])))
    large = ecg_figure([("recorded", beat(peak_mv=6.0))])
    assert any("25 mm/s" in text and "5 mm/mV" in text and "10 mm" not in text for text in text_of(large))
    assert np.ptp(np.asarray(line(large, "calibration").get_ydata())) == pytest.approx(5.0)


def test_every_lead_is_labelled_and_every_trace_is_in_the_legend() -> None:
    figure = ecg_figure([("recorded", beat()), ("simulated", beat(0.8))], qrs=(250.0, 350.0))
    assert set(STANDARD_LEADS) <= set(text_of(figure))
    legend = figure.axes[0].get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()][:2] == ["recorded", "simulated"]
    assert line(figure, "recorded-I").get_color() == "#000000"
    assert line(figure, "simulated-I").get_color() != "#000000"


def test_curves_stay_on_the_paper_and_long_recordings_are_cut_at_2500_ms() -> None:
    rng = np.random.default_rng(3)
    ecg = Ecg(leads=STANDARD_LEADS, signal_mv=rng.normal(scale=0.7, size=(12, 5000)), rate_hz=500.0)
    axes = ecg_figure([("recorded", ecg)]).axes[0]
    for curve in axes.lines:
        x, y = np.asarray(curve.get_xdata()), np.asarray(curve.get_ydata())
        assert x.min() >= 0
        assert x.max() <= axes.get_xlim()[1]
        assert y.min() >= 0
        assert y.max() <= axes.get_ylim()[1]
        assert np.ptp(x) <= 62.5 + 1e-9


def test_traces_without_any_standard_lead_are_refused() -> None:
    other = Ecg(leads=("X",), signal_mv=np.ones((1, 100)), rate_hz=500.0)
    with pytest.raises(ValueError, match="none of the 12 standard leads"):
        ecg_figure([("frank", other)])
    with pytest.raises(ValueError, match="1 to 4 traces"):
        ecg_figure([])


def middle(segment: int) -> tuple[float, float]:
    """Where a segment's middle lies: right is positive x, up is positive y."""
    start, end, inner, outer = segment_geometry()[segment]
    angle, radius = np.radians((start + end) / 2), (inner + outer) / 2
    return radius * np.cos(angle), radius * np.sin(angle)


def test_segments_lie_as_the_aha_draws_them() -> None:
    for ring in (1, 7):
        assert middle(ring)[1] > 0.99 * np.hypot(*middle(ring)), "anterior stands on top"
        assert middle(ring)[0] == pytest.approx(0)
        assert middle(ring + 1)[0] < 0 < middle(ring + 1)[1], "anteroseptal: upper left"
        assert max(middle(ring + 2)) < 0, "inferoseptal: lower left"
        assert middle(ring + 3)[1] < 0, "inferior: bottom"
        assert middle(ring + 4)[1] < 0 < middle(ring + 4)[0], "inferolateral: lower right"
        assert min(middle(ring + 5)) > 0, "anterolateral: upper right"
    assert middle(13)[1] > 0
    assert middle(14)[0] < 0
    assert middle(15)[1] < 0
    assert middle(16)[0] > 0
    assert segment_geometry()[17][2] == 0, "the apex is the middle"


def test_the_seventeen_segments_tile_the_disc() -> None:
    areas = [
        (end - start) / 360 * np.pi * (outer**2 - inner**2) for start, end, inner, outer in segment_geometry().values()
    ]
    assert len(areas) == 17
    assert sum(areas) == pytest.approx(np.pi * 4.0**2)


def test_a_segment_that_is_never_reached_is_hatched_and_shows_no_number() -> None:
    values = np.arange(17.0)
    values[4], values[11] = np.inf, np.nan
    patches = {patch.get_gid(): patch for patch in bullseye_figure(values, label="time", unit="ms").axes[0].patches}
    hatched = {gid for gid, patch in patches.items() if patch.get_hatch()}
    assert hatched == {"segment-5", "segment-12"}
    texts = text_of(bullseye_figure(values, label="time", unit="ms"))
    assert not {"inf", "nan"} & set(texts)


def test_a_bullseye_without_any_reached_segment_can_be_drawn() -> None:
    figure = bullseye_figure(np.full(17, np.inf), label="time", unit="ms")
    assert all(patch.get_hatch() for patch in figure.axes[0].patches)


def test_equal_limits_give_equal_colours_in_two_bullseyes() -> None:
    a, b = np.linspace(0, 50, 17), np.linspace(0, 100, 17)
    a[0] = b[0] = 30.0
    colours = []
    for values in (a, b):
        figure = bullseye_figure(values, label="time", unit="ms", limits=(0, 100))
        colours.append(figure.axes[0].patches[0].get_facecolor())
    assert colours[0] == colours[1]


def test_marks_are_written_and_a_mark_outside_1_to_17_is_refused() -> None:
    assert "S3" in text_of(bullseye_figure(np.arange(17.0), label="time", unit="ms", marks={5: "S3"}))
    with pytest.raises(ValueError, match="marks\\[18\\]"):
        bullseye_figure(np.arange(17.0), label="time", unit="ms", marks={18: "S3"})
    with pytest.raises(ValueError, match="17 values"):
        bullseye_figure(np.arange(16.0), label="time", unit="ms")


def test_the_same_figure_gives_the_same_svg_bytes_without_date_or_prolog() -> None:
    drawings = [svg(bullseye_figure(np.arange(17.0), label="time", unit="ms")) for _ in range(2)]
    assert drawings[0] == drawings[1]
    assert drawings[0].startswith("<svg")
    assert drawings[0].endswith("</svg>")
    assert "metadata" not in drawings[0]


def test_drawing_leaves_the_settings_of_matplotlib_alone(tmp_path: Path) -> None:
    before = dict(mpl.rcParams)
    figure = bullseye_figure(np.arange(17.0), label="time", unit="ms")
    svg(figure)
    png(figure, tmp_path / "a.png", dpi=50)
    assert dict(mpl.rcParams) == before
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
