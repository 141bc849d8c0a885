"""What the test of a response model is asked for, and what it finds."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ml.evaluation.calibration import CalibrationBin
from ml.evaluation.comparison import McNemar
from ml.evaluation.intervals import Estimate, wilson
from ml.evaluation.leak import LeakTest
from twin.planning.cohort_drift import Drift
from twin.planning.policy import PolicyTest
from twin.planning.response_cohort import Bool
from twin.planning.response_folds import FoldAnswers


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """How much of it; the defaults take minutes on 3,000 patients.

    Attributes:
        repeats, folds: of the random split.
        resamples: of the patients, for intervals.
        curve: patients to train on; what the cohort has not is left out.
        curve_repeats: draws of patients at the smallest size; fewer, down to 2, at larger ones.
        shuffles: of the outcomes, for the leak test.
        shuffled_patients: at most so many take part in it.
        perfect_draws: cohorts drawn to see what calibration a perfect model shows.
    """

    repeats: int = 4
    folds: int = 5
    resamples: int = 1000
    curve: tuple[int, ...] = (30, 74, 150, 300, 600, 1200, 2400)
    curve_repeats: int = 10
    shuffles: int = 5
    shuffled_patients: int = 600
    perfect_draws: int = 1000


@dataclass(frozen=True, kw_only=True)
class Share:
    """So many of so many, with Wilson's 95 % interval."""

    hits: int
    of: int

    @property
    def estimate(self) -> Estimate:
        """The share; nan of nothing."""
        if not self.of:
            return Estimate(value=np.nan, low=np.nan, high=np.nan)
        low, high = wilson(self.hits, self.of)
        return Estimate(value=self.hits / self.of, low=low, high=high)


def share(of: Bool) -> Share:
    """How many are true."""
    return Share(hits=int(of.sum()), of=len(of))


@dataclass(frozen=True, kw_only=True, eq=False)
class Scored:
    """One model on the random split.

    Attributes:
        metrics: by name of `ml.evaluation.metrics.METRICS`.
        ours_minus_this: difference of AUC and of accuracy on the same patients; None for our model.
        mcnemar: who is right where only one is, predictions averaged over the repeats; None for our model.
    """

    metrics: Mapping[str, Estimate]
    ours_minus_this: Mapping[str, Estimate] | None
    mcnemar: McNemar | None


@dataclass(frozen=True, kw_only=True)
class Group:
    """A wall or centre that was held out.

    Attributes:
        patients, responders: how many.
        auc_home, auc_out: with the others of the group in training, and without.
        flagged_home, flagged_out: patients for whom the model abstains.
        sites_flagged_home, sites_flagged_out: of the sites of these patients on the wall; None for centres.
    """

    patients: int
    responders: int
    auc_home: Estimate
    auc_out: Estimate
    flagged_home: Share
    flagged_out: Share
    sites_flagged_home: Share | None
    sites_flagged_out: Share | None


@dataclass(frozen=True, kw_only=True)
class Shifted:
    """Patients of whom something was measured wrongly on purpose.

    Attributes:
        flagged: for whom the model abstains.
        drifts: what is noticed of them as one centre.
    """

    flagged: Share
    drifts: tuple[Drift, ...]


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Leave one wall, or one centre, out.

    Attributes:
        groups: by name.
        auc_home, auc_out, change: over all patients; the change is paired.
        slope, intercept: calibration where held out.
        right_supported, right_flagged: patients called rightly where the model answers, and where it abstains.
    """

    groups: Mapping[str, Group]
    auc_home: Estimate
    auc_out: Estimate
    change: Estimate
    slope: Estimate
    intercept: Estimate
    right_supported: Share
    right_flagged: Share


@dataclass(frozen=True, kw_only=True)
class PerfectModel:
    """Calibration slope that the true probability shows in cohorts of a size: median, 95 % range, share outside 0.9-1.1."""

    patients: int
    median: float
    low: float
    high: float
    outside: float


@dataclass(frozen=True, kw_only=True)
class FamilyGain:
    """AUC won by adding a family of predictors to the clinical ones, and lost by taking it from all; paired."""

    columns: int
    added: Estimate | None
    dropped: Estimate


@dataclass(frozen=True, kw_only=True)
class CurvePoint:
    """AUC after training on so many patients, tested on the others: mean and range over the draws, by model."""

    patients: int
    draws: int
    auc: Mapping[str, tuple[float, float, float]]


@dataclass(frozen=True, kw_only=True, eq=False)
class ResponseEvaluation:
    """All that the protocol found; what the cohort cannot tell is None or empty.

    Attributes:
        models: on the random split, ours first.
        ceiling: AUC of the truth itself; of virtual patients only.
        ceiling_is_exact: the truth is the chance of this very label, and not only ranks like it.
        calibration: curve of our model on the random split.
        home_flagged: patients for whom our model abstains on the random split.
        home_right_supported, home_right_flagged: patients called rightly there.
        walls, centres: held out.
        shifted: what our model says of patients, by what was measured wrongly of them on purpose.
        perfect: what a perfect model would show.
        families: gain of each.
        curve: learning curve.
        leak: our model on shuffled outcomes.
        policy: what choices are worth.
        answers: out-of-fold, of the first repeat.
    """

    protocol: Protocol
    models: Mapping[str, Scored]
    ceiling: Estimate | None
    ceiling_is_exact: bool
    calibration: tuple[CalibrationBin, ...]
    home_flagged: Share
    home_right_supported: Share
    home_right_flagged: Share
    walls: HeldOut | None
    centres: HeldOut | None
    shifted: Mapping[str, Shifted]
    perfect: tuple[PerfectModel, ...]
    families: Mapping[str, FamilyGain]
    curve: tuple[CurvePoint, ...]
    leak: LeakTest
    policy: PolicyTest | None
    answers: FoldAnswers
