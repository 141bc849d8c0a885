"""Laws of the QRS bounds: known complexes are found, at any scale, shift and rate; real ones are as wide as they should be."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from ml.ecg.beats import median_beat
from ml.ecg.measure import measure, qrs_bounds
from ml.ecg.readers import read_ecg
from ml.ecg.recording import Ecg

DATA = Path(__file__).parents[3] / "../shared/data"
LEADS = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")


def hump(times_ms: NDArray[np.float64], start_ms: float, length_ms: float) -> NDArray[np.float64]:
    """A raised cosine, exactly 0 before its start and after its end."""
    x = np.clip((times_ms - start_ms) / length_ms, 0, 1)
    return 0.5 * (1 - np.cos(2 * np.pi * x))


def beat(
    *,
    onset_ms: float = 250.0,
    qrs_ms: float = 100.0,
    rate_hz: float = 1000.0,
    p_mv: float = 0.0,
    t_mv: float = 0.0,
    noise_mv: float = 0.0,
    duration_ms: float = 900.0,
) -> Ecg:
    """Each lead has the first half, the whole and the second half of the QRS in its own shares; P before, T after."""
    rng = np.random.default_rng(3)
    shares = rng.normal(size=(8, 3))
    times_ms = np.arange(0, duration_ms, 1000 / rate_hz)
    parts = [hump(times_ms, onset_ms, qrs_ms / 2), hump(times_ms, onset_ms, qrs_ms)]
    parts.append(hump(times_ms, onset_ms + qrs_ms / 2, qrs_ms / 2))
    signal = shares @ np.array(parts)
    signal = signal + p_mv * rng.normal(size=(8, 1)) * hump(times_ms, onset_ms - 180, 90)
    signal = signal + t_mv * rng.normal(size=(8, 1)) * hump(times_ms, onset_ms + qrs_ms + 80, 200)
    signal = signal + noise_mv * rng.normal(size=signal.shape)
    return Ecg(leads=LEADS, signal_mv=signal, rate_hz=rate_hz)


@pytest.mark.parametrize("qrs_ms", [70.0, 100.0, 140.0, 180.0])
@pytest.mark.parametrize("rest", [{}, {"t_mv": 0.4}, {"p_mv": 0.1, "t_mv": 0.4, "noise_mv": 0.01}])
def test_a_known_complex_is_found(qrs_ms: float, rest: dict[str, float]) -> None:
    bounds = qrs_bounds(beat(qrs_ms=qrs_ms, **rest))
    # The smoothing puts the bounds of sharp ends outside by up to 1.6 of its standard deviations of 4 ms.
    assert bounds.onset_ms == pytest.approx(250, abs=6.5)
    assert bounds.end_ms == pytest.approx(250 + qrs_ms, abs=6.5)


@settings(deadline=None, max_examples=30)
@given(exponent=st.floats(-6, 6))
def test_bounds_do_not_depend_on_amplitude(exponent: float) -> None:
    ecg = beat(t_mv=0.4, noise_mv=0.01)
    scaled = qrs_bounds(Ecg(leads=LEADS, signal_mv=10**exponent * ecg.signal_mv, rate_hz=ecg.rate_hz))
    bounds = qrs_bounds(ecg)
    assert scaled.onset_ms == pytest.approx(bounds.onset_ms, abs=1e-6)
    assert scaled.end_ms == pytest.approx(bounds.end_ms, abs=1e-6)


@settings(deadline=None, max_examples=30)
@given(shift_ms=st.floats(-60, 150))
def test_bounds_move_with_the_beat(shift_ms: float) -> None:
    bounds, moved = qrs_bounds(beat(t_mv=0.4)), qrs_bounds(beat(t_mv=0.4, onset_ms=250 + shift_ms))
    assert moved.onset_ms - bounds.onset_ms == pytest.approx(shift_ms, abs=0.1)
    assert moved.end_ms - bounds.end_ms == pytest.approx(shift_ms, abs=0.1)


@settings(deadline=None, max_examples=30)
@given(qrs_ms=st.floats(70, 190))
def test_one_ms_more_qrs_measures_one_ms_more(qrs_ms: float) -> None:
    shorter, longer = (qrs_bounds(beat(qrs_ms=length, t_mv=0.3)).duration_ms for length in (qrs_ms, qrs_ms + 1))
    assert 0.8 < longer - shorter < 1.1


@pytest.mark.parametrize("rate_hz", [200.0, 250.0, 360.0, 500.0, 2000.0, 5000.0])
def test_bounds_do_not_depend_on_the_sampling_rate(rate_hz: float) -> None:
    bounds, other = qrs_bounds(beat(t_mv=0.4)), qrs_bounds(beat(t_mv=0.4, rate_hz=rate_hz))
    assert other.onset_ms == pytest.approx(bounds.onset_ms, abs=1)
    assert other.end_ms == pytest.approx(bounds.end_ms, abs=1)


def test_leads_that_follow_from_others_change_nothing() -> None:
    ecg = beat(t_mv=0.4)
    assert qrs_bounds(ecg.twelve_leads()) == qrs_bounds(ecg)


def test_a_steep_t_wave_after_a_flat_st_changes_little() -> None:
    bare, with_t = qrs_bounds(beat(qrs_ms=150)), qrs_bounds(beat(qrs_ms=150, t_mv=1.0))
    assert with_t.end_ms == pytest.approx(bare.end_ms, abs=1)


def test_a_complex_does_not_end_at_its_notch() -> None:
    times_ms = np.arange(0, 800, 1.0)
    # Two humps with 25 ms of rest between them in every lead, as in a fragmented bundle branch block.
    signal = np.ones((2, 1)) * (hump(times_ms, 200, 70) + 0.6 * hump(times_ms, 295, 75))
    bounds = qrs_bounds(Ecg(leads=("I", "V5"), signal_mv=signal, rate_hz=1000))
    assert bounds.onset_ms == pytest.approx(200, abs=6)
    assert bounds.end_ms == pytest.approx(370, abs=6)


def test_a_steep_st_segment_is_not_counted_as_qrs() -> None:
    times_ms = np.arange(0, 900, 1.0)
    shapes = np.array([hump(times_ms, 250, 160), hump(times_ms, 250, 80)])
    ramp = np.clip(times_ms - 410, 0, 250) * 0.002  # mV: half a mV in 250 ms from the J point on
    signal = np.array([[1.5, 0.3], [-2.0, 0.8], [1.0, -0.9]]) @ shapes + np.array([[1.0], [-1.0], [0.5]]) * ramp
    bounds = qrs_bounds(Ecg(leads=("I", "V1", "V5"), signal_mv=signal, rate_hz=1000))
    assert bounds.end_ms == pytest.approx(410, abs=6)


def test_a_beat_that_begins_and_ends_with_its_qrs_is_all_qrs() -> None:
    ecg = beat(onset_ms=0, qrs_ms=120, duration_ms=121)
    bounds = qrs_bounds(ecg)
    assert bounds.onset_ms == pytest.approx(0, abs=6)
    assert bounds.end_ms == pytest.approx(120, abs=6)


def test_an_electrode_offset_changes_nothing() -> None:
    ecg = beat(t_mv=0.4)
    shifted = qrs_bounds(Ecg(leads=LEADS, signal_mv=ecg.signal_mv + 5.0, rate_hz=ecg.rate_hz))
    assert shifted.duration_ms == pytest.approx(qrs_bounds(ecg).duration_ms, abs=1e-6)


def test_a_recording_is_refused_as_a_beat() -> None:
    with pytest.raises(ValueError, match="this ECG lasts 5000 ms; take its median_beat"):
        qrs_bounds(beat(duration_ms=5000))


def test_a_flat_beat_is_refused() -> None:
    with pytest.raises(ValueError, match="every lead is flat"):
        qrs_bounds(Ecg(leads=("I",), signal_mv=np.ones((1, 500)), rate_hz=500))


def test_the_heart_rate_is_that_of_the_beats() -> None:
    one = beat(p_mv=0.1, t_mv=0.4, duration_ms=750)
    row = Ecg(leads=LEADS, signal_mv=np.tile(one.signal_mv, 12), rate_hz=1000)
    assert measure(row).heart_rate_bpm == pytest.approx(80, abs=0.5)
    assert measure(one).heart_rate_bpm is None
    assert measure(row).qrs_duration_ms == pytest.approx(measure(one).qrs_duration_ms, abs=3)


def challenge() -> dict[str, tuple[set[str], float]]:
    """SNOMED codes and QRS duration of every readable record."""
    folder = DATA / "ecg/challenge"
    if not folder.is_dir():
        pytest.skip("shared/data/ecg/challenge is not here")
    found = {}
    for header in sorted(folder.glob("*.hea")):
        dx = next(line for line in header.read_text().splitlines() if line.startswith("# Dx:"))
        try:
            ecg = read_ecg(header)
        except ValueError:
            continue  # two records have leads off
        found[header.stem] = (set(dx[5:].strip().split(",")), qrs_bounds(median_beat(ecg)).duration_ms)
    return found


def test_real_qrs_durations_agree_with_the_diagnoses() -> None:
    records = challenge()
    assert len(records) >= 40
    right_block = [ms for codes, ms in records.values() if "59118001" in codes]
    others = [ms for codes, ms in records.values() if not codes & {"59118001", "713427006", "713426002"}]
    assert min(right_block) >= 120
    assert max(others) < 120
    assert 75 < np.median(others) < 100
    assert min(others) > 60


def test_a_real_lbbb_beat_is_bounded_where_its_makers_put_it() -> None:
    path = DATA / "patients/cine-lbbb/ecg.csv"
    if not path.is_file():
        pytest.skip("shared/data/patients is not here")
    bounds = qrs_bounds(read_ecg(path))
    assert bounds.onset_ms == pytest.approx(315, abs=8)
    assert bounds.end_ms == pytest.approx(490, abs=12)


def test_lbbb_widens_a_canine_qrs() -> None:
    folder = DATA / "canine-lbbb"
    if not folder.is_dir():
        pytest.skip("shared/data/canine-lbbb is not here")
    before, after = (qrs_bounds(read_ecg(folder / f"beat_{name}.csv")) for name in ("baseline", "lbbb"))
    # By their makers 96 and 170 ms, from the first sample on; the latter takes in the first slope of the ST segment.
    assert before.duration_ms == pytest.approx(96, abs=10)
    assert after.duration_ms == pytest.approx(160, abs=16)
