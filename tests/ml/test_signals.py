from pathlib import Path

import numpy as np
import pytest

from ml.ecg.readers import read_ecg
from ml.ecg.recording import STANDARD_LEADS, Ecg
from ml.signals import Float32, as_signals, resampled

CHALLENGE = Path(__file__).parents[2] / "../shared/data/ecg/challenge"


def twelve_leads(n: int = 3, samples: int = 80, seed: int = 0) -> Float32:
    """(n, 12, samples) mV: smooth noise whose limb leads fit together."""
    rng = np.random.default_rng(seed)
    eight = np.cumsum(rng.normal(scale=0.1, size=(n, 8, samples)), axis=2)
    names = ("I", "II", *STANDARD_LEADS[6:])
    ecgs = [Ecg(leads=names, signal_mv=signal, rate_hz=250.0).twelve_leads().signal_mv for signal in eight]
    return np.stack(ecgs).astype(np.float32)


def test_standard_leads_pass_unchanged() -> None:
    signals = twelve_leads()
    np.testing.assert_array_equal(as_signals(signals, STANDARD_LEADS, 250.0), signals)


def test_the_order_and_case_of_the_leads_do_not_matter() -> None:
    signals = twelve_leads()
    order = np.random.default_rng(1).permutation(12)
    names = [STANDARD_LEADS[k].upper() for k in order]
    np.testing.assert_array_equal(as_signals(signals[:, order], names, 250.0), signals)


@pytest.mark.parametrize("pair", [("I", "II"), ("III", "aVR"), ("aVL", "aVF")])
def test_limb_leads_follow_from_any_two(pair: tuple[str, str]) -> None:
    signals = twelve_leads()
    names = (*STANDARD_LEADS[6:], *pair)
    given = signals[:, [STANDARD_LEADS.index(name) for name in names]]
    np.testing.assert_allclose(as_signals(given, names, 250.0), signals, atol=1e-5)


def test_leads_beyond_the_standard_ones_are_left_out() -> None:
    signals = twelve_leads()
    more = np.concatenate([signals, np.zeros_like(signals[:, :1])], axis=1)
    np.testing.assert_array_equal(as_signals(more, (*STANDARD_LEADS, "VX"), 250.0), signals)


def test_the_callers_array_is_neither_changed_nor_shared() -> None:
    signals = twelve_leads()
    assert not np.shares_memory(as_signals(signals, STANDARD_LEADS, 250.0), signals)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[0], "shape"),
        (lambda x: x[:, :11], "shape"),
        (lambda x: x[:0], "at least 1 ECG"),
        (lambda x: 1000 * x, "microvolts: divide by 1000"),
        (lambda x: x / 1000, "volts: multiply by 1000"),
        (lambda x: np.where(np.arange(12)[:, None] == 7, 0.5, x), r"lead V2 of X\[0\] is flat: 0.5 mV.*3 of 36"),
        (lambda x: np.where(np.arange(80) == 9, np.nan, x), r"X\[0\] has nan in lead I at sample 9 \(36 of 2880"),
        (lambda x: np.where(np.arange(80) == 9, np.inf, x), "not finite"),
        (lambda x: x[:, [1, 0, *range(2, 12)]], "different orders"),
        (lambda x: x[:, ::-1], "different orders"),
        (lambda x: x[:, [6, *range(1, 6), 0, *range(7, 12)]], "different orders"),
    ],
)
def test_what_would_end_in_a_silent_number_is_refused(change: object, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        as_signals(change(twelve_leads()), STANDARD_LEADS, 250.0)  # type: ignore[operator]
    assert "\n" not in str(caught.value)


def test_a_lead_that_cannot_be_derived_is_named() -> None:
    with pytest.raises(ValueError, match="missing V4"):
        as_signals(np.delete(twelve_leads(), 9, axis=1), STANDARD_LEADS[:9] + STANDARD_LEADS[10:], 250.0)


@pytest.mark.parametrize("rate_hz", [40.0, 0.0, float("nan")])
def test_an_implausible_rate_is_refused(rate_hz: float) -> None:
    with pytest.raises(ValueError, match="sampling_hz"):
        as_signals(twelve_leads(), STANDARD_LEADS, rate_hz)


def test_a_slow_wave_keeps_its_shape_at_another_rate() -> None:
    def wave(rate_hz: float) -> Float32:
        return np.sin(2 * np.pi * 3 * np.arange(round(rate_hz)) / rate_hz).astype(np.float32)[None, None].repeat(2, 1)

    for from_hz, to_hz in ((500.0, 250.0), (250.0, 500.0), (360.0, 500.0)):
        made = resampled(wave(from_hz), from_hz, to_hz)
        n = min(made.shape[2], round(to_hz))
        inner = slice(n // 10, n - n // 10)
        np.testing.assert_allclose(made[:, :, inner], wave(to_hz)[:, :, inner], atol=2e-3)


def test_real_recordings_pass() -> None:
    if not CHALLENGE.is_dir():
        pytest.skip("needs ../shared/data/ecg/challenge")
    headers = sorted(CHALLENGE.rglob("*.hea"))[:8]
    for header in headers:
        try:
            ecg = read_ecg(header)
        except ValueError:  # flat leads: refused while reading
            continue
        as_signals(ecg.signal_mv[None], ecg.leads, ecg.rate_hz)
