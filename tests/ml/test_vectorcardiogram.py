"""Laws of the vectorcardiogram: linear, agrees with a measured one, areas and angles by closed form."""

import numpy as np
import pytest

from ml.ecg.recording import STANDARD_LEADS
from ml.vectorcardiogram import angle_deg, area_uvs, vectorcardiogram
from tests.ml.heartbeats import DATA


def test_each_lead_counts_with_its_published_weights() -> None:
    # Kors 1990, one column per lead that is used; the other four follow from I and II and have no weight.
    weights = {
        "I": (0.38, -0.07, 0.11),
        "II": (-0.07, 0.93, -0.23),
        "V1": (-0.13, 0.06, -0.43),
        "V2": (0.05, -0.02, -0.06),
        "V3": (-0.01, -0.05, -0.14),
        "V4": (0.14, 0.06, -0.20),
        "V5": (0.06, -0.17, -0.11),
        "V6": (0.54, 0.13, 0.31),
    }
    expected = [weights.get(name, (0.0, 0.0, 0.0)) for name in STANDARD_LEADS]
    np.testing.assert_array_equal(vectorcardiogram(np.eye(12)).T, expected)


def test_it_agrees_with_frank_leads_that_were_measured() -> None:
    wfdb = pytest.importorskip("wfdb")
    if not (DATA / "ptb/s0010_re.hea").is_file():
        pytest.skip("shared/data/ecg/ptb is not here")
    record = wfdb.rdrecord(str(DATA / "ptb/s0010_re"), sampto=10_000)
    rows = {name.lower(): signal for name, signal in zip(record.sig_name, record.p_signal.T, strict=True)}
    found = vectorcardiogram([rows[name.lower()] for name in STANDARD_LEADS])
    agreement = [np.corrcoef(mine, rows[axis])[0, 1] for mine, axis in zip(found, ("vx", "vy", "vz"), strict=True)]
    # One infarct patient; the regression is known to be weakest to the back.
    assert min(agreement[:2]) > 0.9
    assert agreement[2] > 0.6


@pytest.mark.parametrize("samples", [2, 5, 301])
def test_the_area_of_a_ramp_is_half_height_times_length(samples: int) -> None:
    ramp = np.linspace(0, [[2.0], [-1.0], [0.5]], samples, axis=-1)[:, 0]
    np.testing.assert_allclose(area_uvs(ramp, 120.0), [120.0, -60.0, 30.0])


def test_each_wave_has_its_own_duration() -> None:
    ones = np.ones((2, 3, 9))
    np.testing.assert_allclose(area_uvs(ones, [80.0, 160.0]), np.repeat([[80.0], [160.0]], 3, axis=1))


@pytest.mark.parametrize("angle", [0.0, 1e-6, 30.0, 90.0, 180.0])
def test_the_angle_between_two_directions_is_found(angle: float) -> None:
    turned = np.array([np.cos(np.radians(angle)), 0.0, np.sin(np.radians(angle))])
    assert angle_deg(np.array([3.0, 0.0, 0.0]), 0.1 * turned) == pytest.approx(angle, rel=1e-9, abs=1e-12)


def test_a_vector_without_length_has_no_angle() -> None:
    assert np.isnan(angle_deg(np.zeros(3), np.ones(3)))


def test_other_than_12_leads_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(8, 100\), need"):
        vectorcardiogram(np.zeros((8, 100)))
