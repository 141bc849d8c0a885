from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import brentq

from anatomy.heart import Heart
from anatomy.torso import electrodes_by_rule
from ml.ecg.measure import QrsBounds, qrs_bounds
from ml.ecg.recording import Ecg
from twin.activation import Activation
from twin.conduction import Conduction
from twin.dyssynchrony import DyssynchronyMeter
from twin.eikonal import Eikonal
from twin.leadfield import LeadField
from twin.personalise import FitRules, Twin, _fit_factor, fast_layer_hypotheses, fit_twins, lead_correlation
from twin.rhythm import RHYTHMS, start_nodes

PRIOR = Conduction()
RULES = FitRules()
LBBB = RHYTHMS["lbbb"]


@pytest.fixture(scope="module")
def field(small_heart: Heart) -> LeadField:
    return LeadField(small_heart, electrodes_by_rule(small_heart))


def recorded_beat(heart: Heart, field: LeadField, assumed: Conduction) -> Ecg:
    times = Eikonal(heart, assumed).solve(*start_nodes(heart, LBBB.starts))
    return field.ecg(Activation(times_ms=times))


def fitted(heart: Heart, field: LeadField, recorded: Ecg | None, rules: FitRules = RULES) -> dict[str, Twin]:
    twins = fit_twins(heart, field, LBBB, recorded, conduction=PRIOR, rules=rules)
    return {twin.name: twin for twin in twins}


@pytest.fixture(scope="module")
def truth() -> Conduction:
    return fast_layer_hypotheses(LBBB, PRIOR, RULES)["right only"].scaled(1.23)


@pytest.fixture(scope="module")
def recorded(small_heart: Heart, field: LeadField, truth: Conduction) -> Ecg:
    return recorded_beat(small_heart, field, truth)


@pytest.fixture(scope="module")
def family(small_heart: Heart, field: LeadField, recorded: Ecg) -> dict[str, Twin]:
    return fitted(small_heart, field, recorded)


def factor_by_scanning_everything(
    prior: Activation, field: LeadField, target: QrsBounds, assumed: Conduction
) -> tuple[float, bool]:
    """The whole range of speeds first, then the slowest crossing that comes near the recorded duration."""

    def error_ms(factor: float) -> float:
        return qrs_bounds(field.ecg(prior.scaled(factor))).duration_ms - target.duration_ms

    speeds = np.geomspace(RULES.slowest_m_per_s, RULES.fastest_m_per_s, 40) / assumed.fibre_m_per_s
    errors = np.array([error_ms(factor) for factor in speeds])
    for left in np.flatnonzero(np.sign(errors[:-1]) * np.sign(errors[1:]) <= 0):
        root = brentq(error_ms, speeds[left], speeds[left + 1], xtol=1e-4)
        if abs(error_ms(root)) <= RULES.tolerance_ms:
            return root, False
    nearest = int(np.abs(errors).argmin())
    return speeds[nearest], nearest in (0, 39)


def of_qrs(beat: Ecg, duration_ms: float) -> Ecg:
    """The same shapes, slower or faster, until the QRS lasts that long."""
    return replace(beat, rate_hz=beat.rate_hz * qrs_bounds(beat).duration_ms / duration_ms)


def test_the_speed_behind_an_ecg_is_found_again_under_the_true_hypothesis(
    family: dict[str, Twin], truth: Conduction
) -> None:
    found = family["right only"]
    assert found.conduction.fibre_m_per_s == pytest.approx(truth.fibre_m_per_s, rel=0.01)
    assert found.conduction.rv_endocardium_m_per_s == pytest.approx(truth.rv_endocardium_m_per_s, rel=0.01)
    assert found.correlation == pytest.approx(1, abs=1e-3)
    assert not found.at_bound


def test_every_twin_that_fits_has_the_recorded_qrs_duration(family: dict[str, Twin], recorded: Ecg) -> None:
    """Measured anew, on the ECG of the twin's own activation."""
    assert any(twin.fits for twin in family.values())
    for twin in family.values():
        error = twin.qrs.duration_ms - qrs_bounds(recorded).duration_ms
        assert twin.qrs_error_ms == pytest.approx(error)
        assert twin.fits == (abs(error) <= RULES.tolerance_ms)


def test_a_fitted_twin_is_what_a_solver_at_its_speeds_gives(
    small_heart: Heart, field: LeadField, family: dict[str, Twin]
) -> None:
    for twin in family.values():
        solver = Eikonal(small_heart, twin.conduction)
        nodes, times = start_nodes(small_heart, LBBB.starts)
        np.testing.assert_allclose(twin.intrinsic.times_ms, solver.solve(nodes, times), rtol=1e-5)
        later = times + np.array([0.0, 9.0])
        np.testing.assert_allclose(twin.started(nodes, later).times_ms, solver.solve(nodes, later), rtol=1e-5)
        np.testing.assert_allclose(twin.paced(nodes), solver.solve_each(nodes), rtol=1e-5)
        np.testing.assert_array_equal(twin.ecg.signal_mv, field.ecg(twin.intrinsic).signal_mv)


@pytest.mark.parametrize("duration_ms", [60.0, 120.0, 150.0, 480.0])
def test_the_speed_is_that_of_scanning_the_whole_range(
    small_heart: Heart, field: LeadField, recorded: Ecg, truth: Conduction, duration_ms: float
) -> None:
    prior = Activation(times_ms=Eikonal(small_heart, truth).solve(*start_nodes(small_heart, LBBB.starts)))
    target = qrs_bounds(of_qrs(recorded, duration_ms))
    found, at_bound = _fit_factor(prior, field, target, truth, RULES)
    plain = factor_by_scanning_everything(prior, field, target, truth)
    assert (found, at_bound) == (pytest.approx(plain[0], rel=1e-9), plain[1])


def test_a_qrs_too_long_for_any_speed_ends_at_the_bound_and_is_not_kept(
    small_heart: Heart, field: LeadField, recorded: Ecg
) -> None:
    found = fitted(small_heart, field, of_qrs(recorded, 480.0))
    for name in ("right only", "both"):
        assert found[name].conduction.fibre_m_per_s == pytest.approx(RULES.slowest_m_per_s)
        assert found[name].at_bound
        assert not found[name].fits
        assert found[name].qrs_error_ms is not None
        assert found[name].qrs_error_ms < -RULES.tolerance_ms


def test_a_qrs_too_short_for_any_speed_ends_at_the_other_bound(
    small_heart: Heart, field: LeadField, recorded: Ecg
) -> None:
    found = fitted(small_heart, field, of_qrs(recorded, 60.0))
    for twin in found.values():
        assert twin.conduction.fibre_m_per_s == pytest.approx(RULES.fastest_m_per_s)
        assert twin.at_bound
        assert not twin.fits


def test_without_a_recording_every_hypothesis_stays_at_the_prior(small_heart: Heart, field: LeadField) -> None:
    for twin in fitted(small_heart, field, None).values():
        assert twin.conduction.fibre_m_per_s == PRIOR.fibre_m_per_s
        assert (twin.qrs_error_ms, twin.correlation, twin.at_bound, twin.fits) == (None, None, False, True)


@pytest.mark.parametrize(
    ("rhythm", "names"),
    [("normal", ["both", "none"]), ("lbbb", ["right only", "both", "none"]), ("rbbb", ["left only", "both", "none"])],
)
def test_a_rhythm_comes_with_its_hypotheses_the_likeliest_first(rhythm: str, names: list[str]) -> None:
    found = fast_layer_hypotheses(RHYTHMS[rhythm], PRIOR, RULES)
    assert list(found) == names
    for name, assumed in found.items():
        assert (assumed.lv_endocardium_m_per_s is not None) == (name in ("both", "left only"))
        assert (assumed.rv_endocardium_m_per_s is not None) == (name in ("both", "right only"))


def test_normal_conduction_through_both_fast_layers_is_quick(small_heart: Heart, field: LeadField) -> None:
    """Not as quick as in a healthy heart: this one is dilated, and its base lies beyond the fast layer."""
    twins = {
        name: fit_twins(small_heart, field, RHYTHMS[name], None, conduction=PRIOR, rules=RULES)[0]
        for name in ("normal", "lbbb")
    }
    qrs = {name: twin.qrs.duration_ms for name, twin in twins.items()}
    assert 70 < qrs["normal"] < 145
    assert qrs["lbbb"] > qrs["normal"] + 30
    lvat95 = {name: DyssynchronyMeter(small_heart).measure(twin.intrinsic).lvat95_ms for name, twin in twins.items()}
    assert lvat95["lbbb"] > 2 * lvat95["normal"]


def test_correlation_does_not_see_amplitude_or_the_moment_of_recording(recorded: Ecg) -> None:
    qrs = qrs_bounds(recorded)
    doubled = replace(recorded, signal_mv=np.roll(2 * recorded.signal_mv, 30, axis=1))
    assert lead_correlation(doubled, qrs_bounds(doubled), recorded, qrs) == pytest.approx(1, abs=1e-3)
    upside_down = replace(recorded, signal_mv=-recorded.signal_mv)
    assert lead_correlation(upside_down, qrs, recorded, qrs) == pytest.approx(-1)


def test_a_flat_lead_agrees_with_nothing(recorded: Ecg) -> None:
    qrs, signal = qrs_bounds(recorded), recorded.signal_mv.copy()
    signal[recorded.leads.index("V4")] = 0
    assert lead_correlation(replace(recorded, signal_mv=signal), qrs, recorded, qrs) == pytest.approx(11 / 12)


@pytest.mark.parametrize(
    "wrong", [{"slowest_m_per_s": 1.0}, {"slowest_m_per_s": 0.0}, {"endocardium_m_per_s": 0.0}, {"tolerance_ms": -1.0}]
)
def test_rules_that_leave_nothing_to_fit_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"need|must"):
        FitRules(**wrong)
