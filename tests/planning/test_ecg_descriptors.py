"""What is read of ECGs: the form to which recorded and simulated beats are brought, the area, frozen curves and net."""

import sys

import numpy as np
import pytest

from ml.ecg.measure import QrsBounds
from ml.ecg.recording import STANDARD_LEADS, Ecg
from ml.fpca import FunctionalPca
from ml.vectorcardiogram import vectorcardiogram
from twin.planning import ecg_descriptors
from twin.planning.ecg_descriptors import (
    CURVE_SAMPLES,
    i_v6_correlation,
    network_features,
    qrs_area_uvs,
    qrs_curves,
    recorded_features,
    recorded_over_simulated,
)

QRS = QrsBounds(onset_ms=100.0, end_ms=260.0)
SIZES = np.linspace(-1.0, 1.2, 12)


def beat(*, size: float = 1.0, level: float = 0.0, t_wave: float = 0.0, width_ms: float = 160.0) -> Ecg:
    """A half wave of a sine in every lead, from 100 ms on; limb leads that do not agree do not matter here."""
    time = np.arange(600.0)
    inside = (time >= 100) & (time <= 100 + width_ms)
    wave = np.where(inside, np.sin(np.pi * (time - 100) / width_ms), 0.0)
    late = t_wave * np.exp(-0.5 * np.square((time - 430) / 40))
    return Ecg(leads=STANDARD_LEADS, signal_mv=np.outer(SIZES * size, wave) + late + level, rate_hz=1000.0)


def test_curves_are_the_qrs_in_the_middle_and_nothing_around() -> None:
    curves = qrs_curves(beat(), QRS)
    times = np.arange(CURVE_SAMPLES) - (CURVE_SAMPLES - 1) / 2
    expected = np.where(np.abs(times) <= 80, np.cos(np.pi * times / 160), 0.0)
    np.testing.assert_allclose(curves, np.outer(SIZES, expected), atol=2e-3)


def test_curves_know_neither_level_nor_t_wave_nor_where_the_beat_lies() -> None:
    plain = qrs_curves(beat(), QRS)
    np.testing.assert_allclose(qrs_curves(beat(level=0.4, t_wave=0.3), QRS), plain, atol=2e-3)
    moved = beat()
    later = Ecg(leads=moved.leads, signal_mv=np.roll(moved.signal_mv, 50, axis=1), rate_hz=1000.0)
    np.testing.assert_allclose(qrs_curves(later, QrsBounds(onset_ms=150.0, end_ms=310.0)), plain, atol=1e-12)


def test_the_area_of_a_half_sine_is_that_of_its_vector_times_its_width() -> None:
    """The integral of sin over its half wave is 2 / pi of its width."""
    height = np.linalg.norm(vectorcardiogram(SIZES[:, None])[:, 0])
    for level in (0.0, 0.7):
        assert qrs_area_uvs(beat(level=level), QRS) == pytest.approx(height * 160 * 2 / np.pi, rel=1e-3)


def test_scores_are_those_of_functional_pca(monkeypatch: pytest.MonkeyPatch) -> None:
    curves = np.random.default_rng(0).normal(size=(9, 12, CURVE_SAMPLES))
    pca = FunctionalPca(4).fit(curves)
    monkeypatch.setattr(ecg_descriptors, "_curves", lambda: (pca.mean_, pca.components_))
    np.testing.assert_allclose(ecg_descriptors._curve_scores(curves), pca.transform(curves), rtol=1e-9, atol=1e-9)


def test_exchanged_arms_turn_the_correlation_of_i_and_v6_over() -> None:
    right = beat()
    exchanged = right.signal_mv.copy()
    exchanged[STANDARD_LEADS.index("I")] *= -1
    wrong = Ecg(leads=STANDARD_LEADS, signal_mv=exchanged, rate_hz=1000.0)
    assert i_v6_correlation(right, QRS) == pytest.approx(-1)  # SIZES: I is below 0, V6 above
    assert i_v6_correlation(wrong, QRS) == pytest.approx(1)
    exchanged[STANDARD_LEADS.index("I")] = 0
    assert i_v6_correlation(Ecg(leads=STANDARD_LEADS, signal_mv=exchanged, rate_hz=1000.0), QRS) is None


def test_the_gain_of_a_recorder_is_seen_against_the_simulated_beat() -> None:
    assert recorded_over_simulated((beat(size=2.0, level=0.3), QRS), (beat(size=0.5), QRS)) == pytest.approx(4)


def test_the_recorded_beat_is_measured() -> None:
    found = recorded_features(beat(), QRS)
    assert (found["ecg_qrs_ms"], found["ecg_pattern"]) == (160.0, "rbbb" if SIZES[6] > 0 else "lbbb")
    assert found["ecg_qrs_area_uvs"] == qrs_area_uvs(beat(), QRS)
    assert all(np.isfinite(found[f"ecg_fpca_{k}"]) for k in range(1, 5))


def paced(size: float) -> list[tuple[Ecg, QrsBounds]]:
    return [(beat(size=size * k, width_ms=120.0), QrsBounds(onset_ms=100.0, end_ms=220.0)) for k in (1, -1)]


def test_the_amplitude_of_simulated_beats_is_taken_from_the_recorded_one() -> None:
    pytest.importorskip("torch")
    recorded = (beat(), QRS)
    small = network_features(recorded, (beat(size=0.1), QRS), paced(0.1))
    assert small is not None
    large = network_features(recorded, (beat(), QRS), paced(1.0))
    assert large is not None
    for one, other in zip(small, large, strict=True):
        assert one == pytest.approx(other, abs=1e-4)
    assert small[0]["net_own"] == small[1]["net_own"]
    assert small[0]["net_both"] != small[1]["net_both"]


def test_without_a_recorded_beat_only_the_paced_one_is_read() -> None:
    pytest.importorskip("torch")
    found = network_features(None, (beat(), QRS), paced(1.0))
    assert found is not None
    assert [set(row) for row in found] == [{"net_paced"}] * 2


def test_without_the_extra_the_net_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ml.beat_pairs", None)
    ecg_descriptors._net.cache_clear()
    try:
        assert network_features(None, (beat(), QRS), paced(1.0)) is None
    finally:
        ecg_descriptors._net.cache_clear()
    assert network_features(None, (beat(), QRS), []) == []


def test_the_files_of_the_package_are_small() -> None:
    folder = ecg_descriptors.files("twin.planning") / "data"
    sizes = [len((folder / name).read_bytes()) for name in (ecg_descriptors.CURVES_FILE, ecg_descriptors.NET_FILE)]
    assert sum(sizes) < 3e6
