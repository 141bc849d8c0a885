"""The rule of the ranks on tables of indices; what the ranks mean on a heart is tested in test_plan."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from twin.planning.features import Value
from twin.planning.target_map import _best_delays, _rank

TIE_MS = 5.0
# Whole milliseconds: sums and differences are exact.
INDICES = arrays(np.float64, st.tuples(st.integers(1, 4), st.integers(2, 9)), elements=st.integers(60, 120).map(float))


def ranked(index: np.ndarray, reachable: np.ndarray | None = None) -> list[dict[str, Value]]:
    rows: list[dict[str, Value]] = [{"rank": None, "tie_share": None} for _ in range(index.shape[1])]
    _rank(rows, index, np.ones(index.shape[1], dtype=bool) if reachable is None else reachable, TIE_MS)
    return rows


@given(INDICES)
def test_the_rank_is_one_more_than_the_number_of_sites_better_by_more_than_the_tie_zone(index: np.ndarray) -> None:
    mean = index.mean(axis=0)
    for row, own in zip(ranked(index), mean, strict=True):
        assert row["rank"] == 1 + sum(other < own - TIE_MS for other in mean)


@given(INDICES)
def test_the_best_site_is_first_and_the_tie_share_counts_twins(index: np.ndarray) -> None:
    rows = ranked(index)
    assert rows[int(index.mean(axis=0).argmin())]["rank"] == 1
    for k, row in enumerate(rows):
        assert row["tie_share"] == np.mean([twin[k] <= twin.min() + TIE_MS for twin in index])


@given(INDICES, st.randoms(use_true_random=False))
def test_ranks_do_not_depend_on_the_order_of_the_sites(index: np.ndarray, random: object) -> None:
    order = list(range(index.shape[1]))
    random.shuffle(order)  # type: ignore[attr-defined]
    assert [row["rank"] for row in ranked(index[:, order])] == [ranked(index)[k]["rank"] for k in order]


@given(INDICES)
def test_what_no_lead_reaches_takes_no_rank_and_from_no_one(index: np.ndarray) -> None:
    reachable = np.ones(index.shape[1], dtype=bool)
    reachable[0] = False
    rows = ranked(index, reachable)
    assert rows[0]["rank"] is None
    assert [row["rank"] for row in rows[1:]] == [row["rank"] for row in ranked(index[:, 1:])]


def test_nothing_reachable_gives_no_rank() -> None:
    assert [row["rank"] for row in ranked(np.ones((2, 3)), np.zeros(3, dtype=bool))] == [None] * 3


def test_among_equal_delays_the_one_nearest_to_zero_is_taken() -> None:
    mean = np.array([[70.0, 70, 70, 70], [70, 60, 70, 60], [80, 70, 90, 60]])
    assert _best_delays(mean, (-40, -20, 0, 10)).tolist() == [2, 3, 3]
