"""Does the protocol leak? With shuffled outcomes nothing can be learnt, so the mean AUC must be 0.5.

Outcomes are shuffled between patients: all rows of a patient get the outcome of one other patient. A model that recognises
a patient of its training set in the test set then still scores, and so does a selection of features that saw the test
rows. What is averaged is the AUC of single folds, which is 0.5 on average whatever the model; the AUC of pooled folds is
not (doi:10.1016/j.csda.2010.11.018). For numbers it is the correlation, and 0.

What it cannot see: an outcome that hides in the features themselves, for shuffling breaks that too.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from ml.evaluation.intervals import Estimate, Int
from ml.evaluation.splits import patient_numbers

# Of the interval: a sound protocol fails one test in a hundred. Our choice.
LEAK_LEVEL = 0.99


@dataclass(frozen=True, slots=True, kw_only=True)
class LeakTest:
    """Scores on shuffled outcomes.

    Attributes:
        scores: one per shuffle.
        mean: with its 99 % t interval over the shuffles.
        chance: what it must hold: 0.5 for an AUC, 0 for a correlation.
    """

    scores: tuple[float, ...]
    mean: Estimate
    chance: float

    @property
    def passed(self) -> bool:
        """Whether chance lies within the interval."""
        return self.mean.low <= self.chance <= self.mean.high


def leak_test(
    score: Callable[[Int, int], float],
    outcome: ArrayLike,
    groups: ArrayLike | None = None,
    *,
    shuffles: int = 10,
    seed: int = 0,
    chance: float = 0.5,
) -> LeakTest:
    """Run a whole protocol on shuffled outcomes.

    Args:
        score: takes for each row the number of the row whose outcome it gets, so that y[rows] are shuffled outcomes,
            and a seed; does all that the protocol does and gives its mean AUC over folds.
        outcome: (n,) true outcomes, the same for all rows of a patient.
        groups: (n,) patient of each row; None: every row is another patient.
        shuffles: how many, 2 at least.
        seed: of the shuffles; the protocol gets seed, seed + 1 and so on.
        chance: expected score without a leak.

    Raises:
        ValueError: if a patient has two outcomes, or for fewer than 2 shuffles.
    """
    if shuffles < 2:
        raise ValueError(f"shuffles = {shuffles}, need 2 at least for an interval")
    patients = patient_numbers(groups, len(np.asarray(outcome)))
    donors = row_of_patients(outcome, patients)
    rng = np.random.default_rng(seed)
    scores = np.array([score(rng.permutation(donors)[patients], seed + i) for i in range(shuffles)])
    mean = float(scores.mean())
    half = float(stats.t.ppf((1 + LEAK_LEVEL) / 2, shuffles - 1) * scores.std(ddof=1) / np.sqrt(shuffles))
    half = max(half, 1e-12)  # a constant prediction scores chance each time, up to rounding
    return LeakTest(
        scores=tuple(scores.tolist()), mean=Estimate(value=mean, low=mean - half, high=mean + half), chance=chance
    )


def row_of_patients(outcome: ArrayLike, patients: Int) -> Int:
    """(patients,) first row of each patient, whose outcome is that of all their rows.

    Raises:
        ValueError: if the rows of a patient differ.
    """
    y = np.asarray(outcome)
    first = np.unique(patients, return_index=True)[1]
    expected = y[first][patients]
    bad = np.flatnonzero(y != expected)
    if bad.size:
        raise ValueError(
            f"row {bad[0]} has outcome {y[bad[0]]!s}, another row of its patient {expected[bad[0]]!s} "
            f"({len(np.unique(patients[bad]))} of {len(first)} patients have rows that differ). Patients need one outcome here."
        )
    return first
