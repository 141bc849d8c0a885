import numpy as np
import pytest

from tests.planning.virtual_auc import auc
from twin.dyssynchrony import Dyssynchrony
from twin.planning.virtual_rule import RULE, ceiling_auc

MIDDLE = {
    "resynchronisation_ms": 10.0,
    "reserve": 1.0,
    "delivered": 1.0,
    "drift": 0.0,
    "core_percent": 5.0,
    "scar_at_tip": 0.2,
}


def beat(lvat95: float, bivat90: float, interventricular: float) -> Dyssynchrony:
    return Dyssynchrony(
        tat_ms=200.0,
        lvat95_ms=lvat95,
        bivat90_ms=bivat90,
        lv_dispersion_ms=30.0,
        interventricular_ms=interventricular,
    )


def change(**terms: float) -> float:
    return float(RULE.expected_change(**(MIDDLE | terms)))  # type: ignore[arg-type]


def test_a_change_by_hand() -> None:
    expected = -5.0 + 8.0 * 0.5 - 0.9 * 1.2 * 1.0 * 20 + 0.7 * 4 + 12.0 * 0.25
    found = change(resynchronisation_ms=20, reserve=1.2, delivered=0.9, drift=0.5, core_percent=4, scar_at_tip=0.25)
    assert found == pytest.approx(expected)


def test_resynchronisation_is_the_weighted_shortening_of_three_intervals() -> None:
    own, paced = beat(130, 110, 40), beat(100, 90, -10)
    assert RULE.resynchronisation_ms(own, paced) == pytest.approx(0.4 * 30 + 0.2 * 20 + 0.4 * 30)
    assert RULE.resynchronisation_ms(own, own) == 0


@pytest.mark.parametrize(
    ("term", "sign"),
    [
        ("resynchronisation_ms", -1),
        ("reserve", -1),
        ("delivered", -1),
        ("drift", 1),
        ("core_percent", 1),
        ("scar_at_tip", 1),
    ],
)
def test_the_ventricle_shrinks_with_resynchronisation_and_grows_with_scar(term: str, sign: int) -> None:
    more = change(**{term: MIDDLE[term] + 0.1})
    assert sign * (more - change()) > 0
    assert sign * (RULE.probability(np.array(more)) - RULE.probability(np.array(change()))) < 0


def test_women_and_small_hearts_without_ischaemia_have_the_larger_reserve() -> None:
    plain = RULE.reserve(female=False, ischaemic=False, volume=0.0, hidden=0.0)
    assert plain == 1
    assert RULE.reserve(female=True, ischaemic=False, volume=0.0, hidden=0.0) > plain
    assert RULE.reserve(female=False, ischaemic=True, volume=0.0, hidden=0.0) < plain
    assert RULE.reserve(female=False, ischaemic=False, volume=1.0, hidden=0.0) < plain
    assert RULE.reserve(female=False, ischaemic=True, volume=3.0, hidden=-9.0) == 0.1


def test_the_probability_is_the_share_of_outcomes_at_or_below_minus_15() -> None:
    rng = np.random.default_rng(0)
    for expected in (-30.0, -15.0, 0.0):
        changes = [RULE.outcome(expected, rng)["lvesv_change_percent"] for _ in range(4000)]
        p = float(RULE.probability(np.array(expected)))
        assert np.mean(np.array(changes) <= -15) == pytest.approx(p, abs=3.5 * 0.5 / np.sqrt(4000))


def test_lvef_rises_and_events_fall_with_a_smaller_ventricle() -> None:
    rng = np.random.default_rng(1)
    good, bad = ([RULE.outcome(expected, rng) for _ in range(1500)] for expected in (-40.0, 10.0))
    points = [np.mean([one["lvef_change_points"] for one in group]) for group in (good, bad)]
    events = [np.mean([one["hf_event"] for one in group]) for group in (good, bad)]
    assert points[0] - points[1] == pytest.approx(50 * RULE.lvef_per_percent, abs=1.0)
    assert events[0] < events[1]


def test_the_ceiling_is_the_expected_auc_over_all_pairs() -> None:
    p = np.round(np.random.default_rng(2).uniform(size=40), 1)  # with ties
    top = bottom = 0.0
    for i in range(40):
        for j in range(40):
            if i != j:
                weight = p[i] * (1 - p[j])
                bottom += weight
                top += weight * (1.0 if p[i] > p[j] else 0.5 if p[i] == p[j] else 0.0)
    assert ceiling_auc(p) == pytest.approx(top / bottom, rel=1e-12)


def test_an_oracle_reaches_the_ceiling_and_nobody_exceeds_it() -> None:
    rng = np.random.default_rng(3)
    p = rng.beta(1.2, 1.0, 500)
    hidden = rng.normal(size=500)
    oracle, seen = [], []
    for _ in range(200):
        y = rng.random(500) < p
        oracle.append(auc(y, p))
        seen.append(auc(y, p + 0.2 * hidden))
    error = np.std(oracle) / np.sqrt(200)
    assert np.mean(oracle) == pytest.approx(ceiling_auc(p), abs=4 * error)
    assert np.mean(seen) < ceiling_auc(p) - 4 * error
