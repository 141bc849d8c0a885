"""Laws of the ECG type: leads follow from leads, rates can change, bad arrays are refused."""

import itertools
import subprocess
import sys

import numpy as np
import pytest

from ml.ecg.recording import LIMB_LEADS, STANDARD_LEADS, Ecg


def standard_ecg(seed: int = 0, n: int = 50) -> Ecg:
    """Noise in I, II and the chest leads; the other limb leads by Einthoven and Goldberger, written out."""
    one, two, *chest = np.random.default_rng(seed).normal(size=(8, n))
    limb = [one, two, two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    return Ecg(leads=STANDARD_LEADS, signal_mv=np.array([*limb, *chest]), rate_hz=500)


def without(ecg: Ecg, *names: str) -> Ecg:
    kept = [i for i, name in enumerate(ecg.leads) if name not in names]
    return Ecg(leads=tuple(ecg.leads[i] for i in kept), signal_mv=ecg.signal_mv[kept], rate_hz=ecg.rate_hz)


@pytest.mark.parametrize("pair", list(itertools.combinations(LIMB_LEADS, 2)))
def test_any_two_limb_leads_give_the_other_four(pair: tuple[str, str]) -> None:
    ecg = standard_ecg()
    derived = without(ecg, *(set(LIMB_LEADS) - set(pair))).twelve_leads()
    assert derived.leads == STANDARD_LEADS
    np.testing.assert_allclose(derived.signal_mv, ecg.signal_mv, atol=1e-12)


def test_leads_in_another_order_come_back_in_the_standard_order() -> None:
    ecg = standard_ecg()
    turned = Ecg(leads=ecg.leads[::-1], signal_mv=ecg.signal_mv[::-1], rate_hz=500)
    np.testing.assert_array_equal(turned.twelve_leads().signal_mv, ecg.signal_mv)


def test_leads_that_do_not_follow_from_others_are_named() -> None:
    with pytest.raises(ValueError, match="missing V3, V5: "):
        without(standard_ecg(), "V3", "V5").twelve_leads()
    with pytest.raises(ValueError, match="missing II, III, aVR, aVL, aVF: "):
        without(standard_ecg(), "II", "III", "aVR", "aVL", "aVF").twelve_leads()


def test_time_starts_at_zero_and_duration_is_samples_times_step() -> None:
    ecg = standard_ecg(n=50)
    np.testing.assert_allclose(ecg.time_ms, 2.0 * np.arange(50))
    assert ecg.duration_ms == pytest.approx(100)
    assert ecg.is_beat
    assert not standard_ecg(n=750).is_beat


@pytest.mark.parametrize("rate_hz", [200.0, 360.0, 1000.0])
def test_a_slow_sine_survives_resampling(rate_hz: float) -> None:
    times_ms = np.arange(1000) * 2.0
    ecg = Ecg(leads=("I",), signal_mv=np.sin(2 * np.pi * times_ms / 250)[None], rate_hz=500)
    again = ecg.resampled(rate_hz)
    inside = (again.time_ms > 200) & (again.time_ms < 1800)
    np.testing.assert_allclose(again.lead("I")[inside], np.sin(2 * np.pi * again.time_ms / 250)[inside], atol=1e-3)
    assert again.duration_ms == pytest.approx(ecg.duration_ms, abs=1000 / rate_hz + 2)


def test_what_a_lower_rate_cannot_carry_is_removed_not_folded_back() -> None:
    times_ms = np.arange(2000) * 1.0
    hum = Ecg(leads=("I",), signal_mv=np.sin(2 * np.pi * times_ms * 0.17)[None], rate_hz=1000)
    assert np.abs(hum.resampled(200).lead("I")[50:-50]).max() < 0.01


def test_the_signal_is_a_read_only_copy() -> None:
    signal = np.ones((1, 5))
    ecg = Ecg(leads=("I",), signal_mv=signal, rate_hz=500)
    signal[0, 0] = 7
    assert ecg.signal_mv[0, 0] == 1
    with pytest.raises(ValueError, match="read-only"):
        ecg.signal_mv[0, 0] = 2


@pytest.mark.parametrize(
    ("leads", "signal", "rate_hz", "message"),
    [
        (("I", "I"), np.ones((2, 5)), 500, "lead I occurs twice"),
        (("I", "II"), np.ones((1, 5)), 500, "need \\(2 leads"),
        (("I",), np.ones((1, 0)), 500, "need \\(1 leads"),
        ((), np.ones((0, 5)), 500, "at least 1 lead"),
        (("I", "V1"), [[0, 1, 2], [0, 1, np.nan]], 500, "lead V1 has nan at sample 2 \\(1 of 6"),
        (("I",), np.ones((1, 5)), 0.5, "rate_hz is 0.5, need 50"),
        (("I",), np.ones((1, 5)), float("nan"), "rate_hz is nan"),
    ],
)
def test_what_is_no_ecg_is_refused(leads: tuple[str, ...], signal: object, rate_hz: float, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Ecg(leads=leads, signal_mv=np.asarray(signal), rate_hz=rate_hz)


def test_an_unknown_lead_is_named_with_those_that_are_there() -> None:
    with pytest.raises(ValueError, match="no lead 'V9'; there are I, II"):
        standard_ecg().lead("V9")


def test_importing_the_package_loads_nothing_heavy() -> None:
    code = (
        "import sys, ml.ecg, ml.ecg.recording, ml.ecg.readers, ml.ecg.beats, ml.ecg.measure; "
        "print(sorted({'torch', 'sklearn', 'pandas', 'wfdb', 'sleepecg'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert done.stdout.strip() == "[]"
