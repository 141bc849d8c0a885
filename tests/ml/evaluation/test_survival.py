import numpy as np
import pytest
from lifelines.utils import concordance_index

from ml.evaluation.survival import concordance, hazard_ratio
from tests.ml.evaluation.plain import Float


def cohort(seed: int, n: int = 80) -> tuple[Float, Float, np.ndarray]:
    """Score, follow-up with ties, whether the event came."""
    rng = np.random.default_rng(seed)
    score = np.round(rng.normal(size=n), 1)
    return score, np.ceil(10 * rng.exponential(np.exp(-score))), rng.random(n) < 0.7


def test_two_groups_of_exponential_follow_up_have_the_ratio_of_their_rates() -> None:
    rng = np.random.default_rng(0)
    group = np.repeat([0.0, 1.0], 1500)
    got = hazard_ratio(group, rng.exponential(1 / (1 + group)), np.ones(3000))
    assert got.ratio.value == pytest.approx(2, rel=0.06)
    assert got.ratio.low < 2 < got.ratio.high


def test_the_ratio_per_ten_is_the_tenth_power_and_per_decrease_the_inverse() -> None:
    score, time, event = cohort(0)
    one, ten, less = (hazard_ratio(score, time, event, per=per).ratio for per in (1.0, 10.0, -1.0))
    assert ten.value == pytest.approx(one.value**10, rel=1e-6)
    assert less.value == pytest.approx(1 / one.value, rel=1e-6)
    assert less.low == pytest.approx(1 / one.high, rel=1e-6)


def test_the_unit_of_the_score_does_not_matter() -> None:
    score, time, event = cohort(0)
    assert hazard_ratio(score / 1e6, time, event, per=1e-6).ratio.value == pytest.approx(
        hazard_ratio(score, time, event).ratio.value, rel=1e-6
    )


def test_adjusting_for_the_confounder_takes_its_effect_away() -> None:
    rng = np.random.default_rng(0)
    cause = rng.normal(size=400)
    score, time = cause + 0.5 * rng.normal(size=400), rng.exponential(np.exp(-cause))
    alone = hazard_ratio(score, time, np.ones(400))
    adjusted = hazard_ratio(score, time, np.ones(400), adjust={"cause": cause})
    assert alone.ratio.low > 1.3
    assert adjusted.ratio.low < 1 < adjusted.ratio.high
    assert adjusted.adjusted_for == ("cause",)


@pytest.mark.parametrize("seed", range(4))
def test_concordance_agrees_with_lifelines_also_for_ties(seed: int) -> None:
    score, time, event = cohort(seed)
    assert concordance(score, time, event).value == pytest.approx(concordance_index(time, -score, event), rel=1e-12)


def test_the_interval_of_concordance_is_that_of_a_plain_jackknife() -> None:
    score, time, event = cohort(1, n=30)
    keep = [np.arange(30) != i for i in range(30)]
    left_out = np.array([concordance_index(time[k], -score[k], event[k]) for k in keep])
    error = np.sqrt(29 / 30 * np.sum((left_out - left_out.mean()) ** 2))
    got = concordance(score, time, event)
    c = got.value
    logit_width = np.log(got.high / (1 - got.high)) - np.log(got.low / (1 - got.low))
    assert logit_width == pytest.approx(2 * 1.959964 * error / (c * (1 - c)), rel=1e-5)


def test_reversing_the_score_turns_concordance_round() -> None:
    score, time, event = cohort(2)
    one, other = concordance(score, time, event), concordance(-score, time, event)
    assert one.value == pytest.approx(1 - other.value)
    assert one.low == pytest.approx(1 - other.high)


@pytest.mark.parametrize(
    ("score", "time", "event", "message"),
    [
        ([1, 2, 3], [1, 2, 3], [0, 0, 0], "none of the 3 patients had the event"),
        ([1, 1, 1], [1, 2, 3], [0, 1, 0], "the score is 1 for all 3 patients"),
        ([1, 2, np.nan], [1, 2, 3], [0, 1, 0], r"score\[2\] = nan \(1 of 3 are missing\)"),
        ([1, 2, 3], [1, 0, 3], [0, 1, 0], r"time\[1\] = 0, need > 0"),
        ([1, 2, 3], [1, 2, 3], [0, 2, 0], r"event\[1\] = 2, need 0 or 1"),
        ([1, 2], [1, 2, 3], [0, 1, 0], r"score has shape \(2,\), need \(3,\)"),
    ],
)
def test_follow_up_that_says_nothing_is_refused(
    score: list[float], time: list[float], event: list[int], message: str
) -> None:
    for question in (hazard_ratio, concordance):
        with pytest.raises(ValueError, match=message):
            question(score, time, event)


def test_a_score_that_separates_the_events_has_no_finite_ratio() -> None:
    with pytest.raises(ValueError, match="no finite answer"):
        hazard_ratio([0, 0, 0, 0, 1, 1, 1, 1], np.arange(8, 0, -1), [0, 0, 0, 0, 1, 1, 1, 1])


def test_events_after_all_other_follow_up_have_no_order() -> None:
    with pytest.raises(ValueError, match="no pair of patients has a known order"):
        concordance([1, 2, 3], [1, 2, 9], [0, 0, 1])
