"""Laws of the feature table: drawn waves are read off, units scale as they should, what is missing is NaN."""

from dataclasses import replace

import numpy as np
import pytest

from ml.complexes import QRS_SAMPLES, REST_SAMPLES, Complexes, complexes
from ml.ecg.readers import read_ecg
from ml.ecg.recording import STANDARD_LEADS, Float
from ml.ecg_features import columns, feature_table, turning_points
from ml.vectorcardiogram import vectorcardiogram
from tests.ml.heartbeats import DATA, RATE_HZ, beats, hump

NAMES = [column.name for column in columns()]
V5 = STANDARD_LEADS.index("V5")


def drawn(v5: Float, *, v5_rest: Float | None = None, qrs_ms: float = 100.0) -> Complexes:
    """One ECG whose V5 is drawn; the other leads are a small hump."""
    qrs = np.tile(0.1 * hump(np.arange(QRS_SAMPLES), 0, QRS_SAMPLES - 1), (1, 12, 1))
    rest = np.tile(0.02 * hump(np.arange(REST_SAMPLES), 60, 100), (1, 12, 1))
    qrs[0, V5] = v5
    if v5_rest is not None:
        rest[0, V5] = v5_rest
    one = np.ones(1)
    return Complexes(qrs_mv=qrs, rest_mv=rest, qrs_ms=qrs_ms * one, rest_ms=400 * one, rr_ms=800 * one)


def through(*points: tuple[float, float]) -> Float:
    """Straight lines through (share of the QRS, mV)."""
    return np.interp(np.arange(QRS_SAMPLES) / (QRS_SAMPLES - 1), *np.transpose(points))


def value(measured: Complexes, name: str) -> float:
    return float(feature_table(measured)[0, NAMES.index(name)])


def test_a_drawn_qrs_complex_is_read_off() -> None:
    samples = QRS_SAMPLES - 1
    q, r, s = 20 / samples, 80 / samples, 140 / samples
    measured = drawn(through((0, 0), (q, -0.2), (r, 1.5), (s, -0.5), (1, 0.1)), qrs_ms=120.0)
    expected = {"q_mv": -0.2, "r_mv": 1.5, "s_mv": -0.5, "j_mv": 0.1, "span_mv": 2.0, "r_share": 0.75, "turns": 3}
    expected |= {"r_peak_share": r, "r_peak_ms": 120 * r}
    found = {name: value(measured, f"V5_{name}") for name in expected}
    assert found == pytest.approx(expected, abs=1e-9)


def test_areas_are_time_integrals() -> None:
    measured = drawn(through((0, 0), (0.5, 2.0), (1, 0)), v5_rest=np.full(REST_SAMPLES, -0.25), qrs_ms=90.0)
    # A triangle of odd width on an even number of samples: its tip is cut off by 1 in 200.
    assert value(measured, "V5_qrs_area_uvs") == pytest.approx(90.0, rel=1e-2)
    assert value(measured, "V5_qrs_mean_mv") == pytest.approx(1.0, rel=1e-2)
    assert value(measured, "V5_t_area_uvs") == pytest.approx(-100.0)


def test_a_qs_complex_has_no_r_and_no_q() -> None:
    measured = drawn(through((0, 0), (0.4, -1.8), (1, 0.2)))
    assert np.isnan([value(measured, f"V5_{name}") for name in ("r_mv", "q_mv", "r_peak_ms", "r_peak_share")]).all()
    assert value(measured, "V5_s_mv") == pytest.approx(-1.8, rel=1e-2)


def test_a_notch_adds_two_turns() -> None:
    smooth = through((0, 0), (0.5, 1), (1, 0))
    notched = through((0, 0), (0.4, 1), (0.5, 0.8), (0.6, 1), (1, 0))
    assert value(drawn(notched), "V5_turns") == value(drawn(smooth), "V5_turns") + 2
    slight = through((0, 0), (0.4, 1), (0.5, 0.97), (0.6, 1), (1, 0))
    assert value(drawn(slight), "V5_turns") == value(drawn(smooth), "V5_turns")


@pytest.mark.parametrize("threshold", [0.0, 0.5, 3.0])
def test_turns_are_counted_as_a_slow_plain_loop_does(threshold: float) -> None:
    curves = np.cumsum(np.random.default_rng(4).normal(size=(30, 60)), axis=1)
    assert turning_points(curves, np.full(30, threshold)).tolist() == [plain_turns(c, threshold) for c in curves]


def plain_turns(curve: Float, threshold: float) -> int:
    """Follow the curve: it has turned once it is further from its last extreme than the threshold."""
    turns, rising, extreme = 0, None, None
    first = curve[0]
    low = high = first
    for level in curve:
        if rising is None:
            low, high = min(low, level), max(high, level)
            if high - level > threshold:
                rising, extreme = False, level
            elif level - low > threshold:
                rising, extreme = True, level
        elif (level > extreme) == rising:
            extreme = level
        elif abs(level - extreme) > threshold:
            rising, extreme, turns = not rising, level, turns + 1
    return turns


def test_the_t_wave_is_its_level_of_largest_magnitude() -> None:
    rest = -0.4 * hump(np.arange(REST_SAMPLES), 70, 80)
    rest[:20] = 1.0  # the ST segment: before the T wave is sought
    measured = drawn(through((0, 0), (0.5, 1), (1, 0)), v5_rest=rest)
    assert value(measured, "V5_t_mv") == pytest.approx(-0.4, rel=1e-3)
    assert value(measured, "qrs_to_t_peak_ms") == pytest.approx(100 + 110 * 400 / (REST_SAMPLES - 1), abs=1)


def test_a_known_heart_vector_is_read_off() -> None:
    vector = np.array([0.6, -0.3, 1.2])  # mV to the left, up and to the back
    leads = np.linalg.pinv(vectorcardiogram(np.eye(12))) @ vector
    measured = drawn(through((0, 0), (0.5, 1), (1, 0)), qrs_ms=80.0)
    rise_and_fall = hump(np.arange(QRS_SAMPLES), 0, QRS_SAMPLES - 1)
    measured = replace(
        measured, qrs_mv=leads[None, :, None] * rise_and_fall, rest_mv=leads[None, :, None] * -rise_and_fall / 4
    )
    length = float(np.linalg.norm(vector))
    expected = dict(zip(("qrs_left", "qrs_down", "qrs_back"), vector / length, strict=True))
    expected |= {"qrs_peak_mv": length, "t_peak_mv": length / 4, "qrs_t_angle_deg": 180.0}
    expected |= {"qrs_area_uvs": 40 * length, "t_area_uvs": 50 * length}
    assert {name: value(measured, name) for name in expected} == pytest.approx(expected, rel=1e-3)


def test_a_t_wave_that_follows_the_qrs_makes_no_angle_and_an_opposite_one_180_degrees() -> None:
    measured = complexes(beats(1)[0].astype(np.float32), RATE_HZ)
    same, opposite = replace(measured, rest_mv=measured.qrs_mv), replace(measured, rest_mv=-measured.qrs_mv)
    assert value(same, "qrs_t_angle_deg") == pytest.approx(0, abs=1e-6)
    assert value(opposite, "qrs_t_angle_deg") == pytest.approx(180, abs=1e-6)


@pytest.mark.parametrize("scale", [0.5, 2.0])
def test_amplitudes_scale_and_times_and_shapes_stay(scale: float) -> None:
    signals = beats(6)[0]
    plain, scaled = (feature_table(complexes((k * signals).astype(np.float32), RATE_HZ)) for k in (1.0, scale))
    grows = np.array([column.unit in ("mV", "uV s") for column in columns()])
    np.testing.assert_allclose(scaled, plain * np.where(grows, scale, 1.0), atol=1e-3, rtol=1e-4)


def test_a_beat_without_t_wave_lacks_what_is_measured_of_it_and_nothing_else() -> None:
    signals = beats(4)[0]
    whole, cut = (complexes(signals[..., :n].astype(np.float32), RATE_HZ) for n in (200, 112))
    lost = np.isnan(feature_table(cut)).all(axis=0) & ~np.isnan(feature_table(whole)).all(axis=0)
    of_t = {"qrs_to_t_peak_ms", "t_area_uvs", "qrs_t_angle_deg", "t_peak_mv"}
    of_t |= {f"{lead}_{name}" for lead in STANDARD_LEADS for name in ("t_mv", "t_area_uvs")}
    assert {name for name, gone in zip(NAMES, lost, strict=True) if gone} == of_t


def test_every_column_has_its_own_name_and_ends_in_its_unit() -> None:
    assert len(set(NAMES)) == len(NAMES)
    endings = {"ms": "_ms", "mV": "_mv", "uV s": "_uvs", "degrees": "_deg"}
    for column in columns():
        if column.unit != "1":
            assert column.name.endswith(endings[column.unit]), column.name


def test_a_warped_time_axis_leaves_out_times_and_areas_and_keeps_the_rest() -> None:
    measured = complexes(beats(3)[0].astype(np.float32), RATE_HZ)
    kept = columns(real_time=False)
    assert not {column.unit for column in kept} & {"ms", "uV s"}
    picked = feature_table(measured)[:, [NAMES.index(column.name) for column in kept]]
    np.testing.assert_array_equal(feature_table(measured, real_time=False), picked)


def test_real_recordings_have_values_in_the_range_of_people() -> None:
    folder = DATA / "challenge"
    if not folder.is_dir():
        pytest.skip("shared/data/ecg/challenge is not here")
    ecgs = [read_ecg(path).twelve_leads() for path in sorted(folder.glob("E0750*.hea"))]
    signals = np.stack([ecg.signal_mv[:, :3000] for ecg in ecgs]).astype(np.float32)
    table = feature_table(complexes(signals, ecgs[0].rate_hz))
    ranges = {"rr_ms": (400, 1500), "qrs_ms": (60, 180), "qrs_to_t_peak_ms": (140, 450), "qrs_area_uvs": (5, 150)}
    ranges |= {"qrs_t_angle_deg": (0, 180), "V5_span_mv": (0.1, 5), "V5_r_peak_ms": (10, 110)}
    for name, (low, high) in ranges.items():
        found = table[:, NAMES.index(name)]
        assert np.isfinite(found).all(), name
        assert low < found.min() <= found.max() < high, name
