"""Laws of the elastic net: the minimum that another solver finds, its conditions, weights, signs."""

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from ml.response.linear import EXACT, Penalty, fit_path, prior_variance, strongest
from tests.ml.response.patients import Float


def problem(n: int = 120, k: int = 6, seed: int = 0) -> tuple[Float, Float]:
    rng = np.random.default_rng(seed)
    columns = rng.standard_normal((n, k))
    labels = (rng.random(n) < expit(columns[:, 0] - 0.8 * columns[:, 1] + 0.5)).astype(np.float64)
    return columns, labels


FREE = np.zeros(6, dtype=np.int64)


@pytest.mark.parametrize("mix", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("strength", [0.1, 0.03, 0.002])
def test_it_is_the_minimum_that_sag_descent_finds(mix: float, strength: float) -> None:
    columns, labels = problem()
    ours = fit_path(columns, labels, np.ones(120), (Penalty(strength=strength, mix=mix),), FREE, tolerance=1e-9)[0]
    slow = LogisticRegression(
        C=1 / (120 * strength), l1_ratio=mix, solver="saga", tol=1e-10, max_iter=20_000, random_state=0
    ).fit(columns, labels)
    np.testing.assert_allclose(ours, [*slow.coef_[0], slow.intercept_[0]], atol=2e-6)


def test_a_path_is_its_fits_one_by_one() -> None:
    columns, labels = problem()
    penalties = tuple(Penalty(strength=strength, mix=0.5) for strength in (0.2, 0.05, 0.01))
    together = fit_path(columns, labels, np.ones(120), penalties, FREE)
    alone = [fit_path(columns, labels, np.ones(120), (one,), FREE)[0] for one in penalties]
    np.testing.assert_allclose(together, alone, atol=100 * EXACT)


def test_a_weight_is_a_number_of_equal_rows() -> None:
    columns, labels = problem()
    weights = np.random.default_rng(1).integers(0, 4, 120)
    penalty = (Penalty(strength=0.02, mix=0.5),)
    rows = np.repeat(np.arange(120), weights)
    repeated = fit_path(columns[rows], labels[rows], np.ones(len(rows)), penalty, FREE)
    np.testing.assert_allclose(fit_path(columns, labels, weights.astype(float), penalty, FREE), repeated, atol=1e-5)


def test_from_the_strongest_penalty_on_nothing_is_left_and_just_below_something_is() -> None:
    columns, labels = problem()
    columns -= columns.mean(axis=0)
    top = strongest(columns, labels, 0.5)
    above, below = (
        fit_path(columns, labels, np.ones(120), (Penalty(strength=f * top, mix=0.5),), FREE)[0] for f in (1.001, 0.98)
    )
    assert not above[:-1].any()
    assert np.count_nonzero(below[:-1]) == 1
    assert expit(above[-1]) == pytest.approx(labels.mean(), abs=1e-5)


def test_a_coefficient_of_the_wrong_sign_is_0_as_if_the_column_were_not_there() -> None:
    columns, labels = problem()
    signs = np.array([-1, 0, 0, 0, 0, 0])  # the first column truly increases
    penalty = (Penalty(strength=0.01, mix=0.5),)
    held = fit_path(columns, labels, np.ones(120), penalty, signs)[0]
    without = fit_path(np.ascontiguousarray(columns[:, 1:]), labels, np.ones(120), penalty, FREE[1:])[0]
    assert held[0] == 0
    np.testing.assert_allclose(held[1:], without, atol=1e-5)


def test_a_coefficient_of_the_right_sign_is_as_if_free() -> None:
    columns, labels = problem()
    penalty = (Penalty(strength=0.01, mix=0.5),)
    free = fit_path(columns, labels, np.ones(120), penalty, FREE)[0]
    signs = np.sign(free[:-1]).astype(np.int64)
    np.testing.assert_allclose(fit_path(columns, labels, np.ones(120), penalty, signs)[0], free, atol=1e-5)


@pytest.mark.parametrize(("strength", "mix"), [(0.1, 0.1), (0.01, 0.9), (0.3, 0.5)])
def test_the_variance_of_a_penalty_is_that_of_its_density(strength: float, mix: float) -> None:
    n = 100

    def density(b: float) -> float:
        return float(np.exp(-n * strength * (mix * abs(b) + (1 - mix) / 2 * b**2)))

    expected = quad(lambda b: b**2 * density(b), 0, np.inf)[0] / quad(density, 0, np.inf)[0]
    assert prior_variance(Penalty(strength=strength, mix=mix), n) == pytest.approx(expected, rel=1e-6)
