"""Laws of support: rows left out, shifts found where they are, units without meaning; neighbours are near."""

import numpy as np
import pytest

from ml.response.design import Design, fit_design
from ml.response.neighbours import neighbours_of
from ml.response.support import fit_support, left_out_squares, standardised
from tests.ml.response.patients import Float

FAMILIES = ("place", "place", "ecg", "ecg", "ecg", "scar")


def rows(n: int = 400, seed: int = 0) -> Float:
    rng = np.random.default_rng(seed)
    mixed = rng.standard_normal((6, 6))
    return rng.standard_normal((n, 6)) @ (np.eye(6) + 0.3 * mixed / np.linalg.norm(mixed))


def design_of(numbers: Float) -> Design:
    return fit_design(numbers, np.arange(numbers.shape[1]))


def test_distances_of_rows_left_out_are_those_of_the_slow_way() -> None:
    scaled = standardised(rows(12), design_of(rows(12)))
    slow = []
    for i in range(12):
        others = np.delete(scaled, i, axis=0)
        d = scaled[i] - others.mean(axis=0)
        covariance = np.cov(others.T, bias=True) + 0.1 * 12 / 11 * np.eye(6)
        slow.append(d @ np.linalg.inv(covariance) @ d)
    np.testing.assert_allclose(left_out_squares(scaled, scaled.T @ scaled / 12), slow, rtol=1e-9)


def test_about_one_in_twenty_like_the_training_rows_lies_outside() -> None:
    numbers = rows(3000)
    support = fit_support(numbers, design_of(numbers), FAMILIES)
    distance, _ = support.distance(rows(20_000, seed=1), design_of(numbers))
    assert 0.03 < (distance > 1).mean() < 0.07


@pytest.mark.parametrize("share", [0.03, 0.049, 0.051])
def test_a_rare_value_does_not_move_the_border_for_others(share: float) -> None:
    def with_rare(n: int, seed: int) -> Float:
        numbers = rows(n, seed)
        numbers[:, 5] = np.random.default_rng(seed).permutation(np.arange(n) < share * n)
        return numbers

    numbers = with_rare(3000, 0)
    support = fit_support(numbers, design_of(numbers), FAMILIES)
    like, odd = with_rare(4000, 1), rows(100, 2)
    odd[:, 5], odd[:, 0] = 0, 4.5
    assert 0.02 < (support.distance(like, design_of(numbers))[0] > 1).mean() < 0.08
    assert (support.distance(odd, design_of(numbers))[0] > 1).mean() > 0.95


@pytest.mark.parametrize(("column", "family"), [(0, "place"), (3, "ecg"), (5, "scar")])
def test_a_shift_of_one_column_is_found_and_its_family_named(column: int, family: str) -> None:
    numbers, moved = rows(), rows(50, seed=1)
    moved[:, column] += 8
    distance, furthest = fit_support(numbers, design_of(numbers), FAMILIES).distance(moved, design_of(numbers))
    assert (distance > 1).all()
    assert np.mean(np.array(furthest) == family) > 0.9


def test_a_pair_of_common_values_that_never_occur_together_is_found() -> None:
    numbers = rows()
    numbers[:, 5] = numbers[:, 0] + 0.1 * numbers[:, 5]  # in two families
    moved = np.zeros((1, 6))
    moved[0, [0, 5]] = [2, -2]
    distance, furthest = fit_support(numbers, design_of(numbers), FAMILIES).distance(moved, design_of(numbers))
    assert distance[0] > 1.5
    assert furthest == ("all",)


def test_in_a_skewed_column_half_of_the_usual_is_noticed_as_twice_is() -> None:
    numbers = rows(4000)
    numbers[:, 5] = np.exp(0.2 * numbers[:, 5])
    moved = np.zeros((2, 6))
    moved[:, 5] = np.median(numbers[:, 5]) * np.array([0.5, 2.0])
    distance, _ = fit_support(numbers, design_of(numbers), FAMILIES).distance(moved, design_of(numbers))
    assert (distance > 1).all()


def test_units_have_no_meaning() -> None:
    numbers, asked, units = rows(), rows(30, seed=1), np.array([1, 1e3, 1e-3, 2, 60, 0.1])
    plain = fit_support(numbers, design_of(numbers), FAMILIES).distance(asked, design_of(numbers))
    other = design_of(numbers * units)
    scaled = fit_support(numbers * units, other, FAMILIES).distance(asked * units, other)
    np.testing.assert_allclose(scaled[0], plain[0], rtol=1e-6)  # powers are found by search
    assert scaled[1] == plain[1]


def test_another_value_where_training_never_had_one_is_infinitely_far() -> None:
    numbers = rows()
    numbers[:, 5] = 0.1
    asked = numbers[:2].copy()
    asked[1, 5] = 0.2
    distance, furthest = fit_support(numbers, design_of(numbers), FAMILIES).distance(asked, design_of(numbers))
    assert np.isfinite(distance[0])
    assert (distance[1], furthest[1]) == (np.inf, "scar")


def test_a_column_that_training_never_knew_has_no_say() -> None:
    numbers = rows()
    numbers[:, 5] = np.nan
    asked = rows(5, seed=1)
    without = asked.copy()
    without[:, 5] = np.nan
    support = fit_support(numbers, design_of(numbers), FAMILIES)
    np.testing.assert_array_equal(
        support.distance(asked, design_of(numbers))[0], support.distance(without, design_of(numbers))[0]
    )


def test_a_row_that_lacks_most_of_what_training_always_had_is_infinitely_far() -> None:
    numbers = rows()
    asked = numbers[:2].copy()
    asked[0, :3], asked[1, :4] = np.nan, np.nan
    distance, furthest = fit_support(numbers, design_of(numbers), FAMILIES).distance(asked, design_of(numbers))
    assert np.isfinite(distance[0])
    assert (distance[1], furthest[1]) == (np.inf, "missing")


def test_neighbours_are_the_nearest_of_the_slow_way_and_a_training_row_is_its_own() -> None:
    scaled = rows(60)
    known = neighbours_of(scaled, np.arange(60) % 2.0, tuple(f"p{i}" for i in range(60)))
    asked = rows(10, seed=1)
    slow = np.sqrt(((asked[:, None] - scaled) ** 2).mean(axis=2))
    for found, distances in zip(known.nearest(asked, 3), slow, strict=True):
        assert [one.distance for one in found] == pytest.approx(np.sort(distances)[:3], abs=0.03)
        for one in found:
            i = int(one.patient[1:])
            assert one.outcome == i % 2
            assert one.distance == pytest.approx(distances[i], abs=0.03)
    assert [one[0].patient for one in known.nearest(scaled, 1)] == list(known.patients)
    assert known.nearest(asked, 0) == ((),) * 10
    assert {len(one) for one in known.nearest(asked, 100)} == {60}
