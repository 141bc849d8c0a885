"""What a response model owes to chance, to its predictors and to the number of patients.

* A perfect model, one that knows the true chance of each patient, is not perfectly calibrated in a small cohort.
* Families of predictors are added to the clinical ones and taken from all of them, on the same folds.
* The learning curve trains on n patients and tests on the others.
* With shuffled outcomes nothing can be learnt: the mean AUC over folds must be 0.5.
"""

from collections.abc import Mapping

import numpy as np

from ml.evaluation.calibration import recalibration
from ml.evaluation.intervals import Float, Resampled
from ml.evaluation.leak import LeakTest, leak_test
from ml.evaluation.metrics import auc
from ml.evaluation.protocol import FitCounter, Model, Problem, fit_clone, folds_of, out_of_fold, predictions
from ml.response import ResponseModel
from twin.planning.response_cohort import TRUE_PROBABILITY, Int, ResponseCohort
from twin.planning.response_folds import problem_of, restricted
from twin.planning.response_metrics import drawn_metrics
from twin.planning.response_models import CURVE_MODELS, OURS
from twin.planning.response_results import CurvePoint, FamilyGain, PerfectModel, Protocol

CLINICAL = "clinical"
_PERFECT_SIZES = (74, 285, 741, 3000)
_SLOPES = (0.9, 1.1)


def perfect_models(cohort: ResponseCohort, protocol: Protocol) -> tuple[PerfectModel, ...]:
    """Calibration slope of the true probability in cohorts of patients drawn with replacement, each outcome drawn anew.

    Empty where the truth is not the chance of the label.
    """
    if not cohort.has_truth or cohort.label != "lvesv15":
        return ()
    truth, n = cohort.implanted[TRUE_PROBABILITY].to_numpy(np.float64), len(cohort.outcome)
    rng = np.random.default_rng(0)
    found = []
    for size in _PERFECT_SIZES:
        slopes = []
        for _ in range(protocol.perfect_draws):
            chance = truth[rng.integers(n, size=size)]
            outcome = (rng.random(size) < chance).astype(np.int64)
            slopes.append(recalibration(outcome, chance, np.ones((1, size)))[1][0])
        slope = np.array(slopes)[np.isfinite(slopes)]
        low, median, high = np.quantile(slope, [0.025, 0.5, 0.975])
        outside = float(np.mean((slope < _SLOPES[0]) | (slope > _SLOPES[1])))
        found.append(
            PerfectModel(patients=size, median=float(median), low=float(low), high=float(high), outside=outside)
        )
    return tuple(found)


def family_gains(
    cohort: ResponseCohort, model: ResponseModel, fold_of: Int, whole: Float, protocol: Protocol, done: FitCounter
) -> dict[str, FamilyGain]:
    """Gain of each family of predictors.

    Args:
        cohort: n patients.
        model: of all predictors.
        fold_of: (n,) folds that all share.
        whole: (n,) out-of-fold probability of the model of all predictors, on these folds.
        protocol: number of resamples.
        done: called after each fit.
    """
    problem, families = problem_of(cohort), _families(cohort)

    def drawn(of: tuple[str, ...]) -> Float:
        return out_of_fold(restricted(model, of), problem, fold_of, seed=0, name="families", done=done)[:, 1]

    def measured(probability: Float) -> Resampled:
        return drawn_metrics(cohort.outcome, probability, protocol.resamples)

    everything, clinical = measured(whole), measured(drawn((CLINICAL,)))
    gains = {}
    for family in families:
        others = tuple(one for one in families if one != family)
        gains[family] = FamilyGain(
            columns=sum(one.family == family for one in cohort.predictors),
            added=None if family == CLINICAL else measured(drawn((CLINICAL, family))).difference(clinical, "auc"),
            dropped=everything.difference(measured(drawn(others)), "auc"),
        )
    return gains


def family_fits(cohort: ResponseCohort, protocol: Protocol) -> int:
    """How many fits that takes."""
    return 2 * len(_families(cohort)) * protocol.folds


def learning_curve(
    cohort: ResponseCohort,
    model: ResponseModel,
    others: Mapping[str, Model],
    protocol: Protocol,
    done: FitCounter,
) -> tuple[CurvePoint, ...]:
    """AUC on the patients that were not drawn, for growing draws; each draw keeps the shares of the outcomes."""
    problem = problem_of(cohort)
    estimators = {OURS: model} | {name: others[name] for name in CURVE_MODELS}
    rng = np.random.default_rng(0)
    points = []
    for size, draws in _curve(cohort, protocol):
        areas: dict[str, list[float]] = {name: [] for name in estimators}
        for seed in range(draws):
            train = _stratified_draw(cohort.outcome, size, rng)
            test = np.setdiff1d(np.arange(len(cohort.outcome)), train)
            for name, estimator in estimators.items():
                probability = predictions(fit_clone(estimator, problem, train, seed=seed), problem, test)[:, 1]
                areas[name].append(float(auc(cohort.outcome[test], probability, np.ones((1, len(test))))[0]))
                done()
        points.append(
            CurvePoint(
                patients=size,
                draws=draws,
                auc={name: (float(np.mean(one)), min(one), max(one)) for name, one in areas.items()},
            )
        )
    return tuple(points)


def curve_fits(cohort: ResponseCohort, protocol: Protocol) -> int:
    """How many fits that takes."""
    return sum(draws for _, draws in _curve(cohort, protocol)) * (1 + len(CURVE_MODELS))


def shuffled(cohort: ResponseCohort, model: ResponseModel, protocol: Protocol, done: FitCounter) -> LeakTest:
    """The leak test of `mean_fold_auc`, on at most so many patients as the protocol says."""
    some = cohort.take(_stratified_draw(cohort.outcome, protocol.shuffled_patients, np.random.default_rng(0)))

    def score(donors: Int, seed: int) -> float:
        return mean_fold_auc(model, problem_of(some, some.outcome[donors]), protocol.folds, seed, done)

    return leak_test(score, some.outcome, shuffles=protocol.shuffles)


def mean_fold_auc(
    model: ResponseModel, problem: Problem, folds: int, seed: int, done: FitCounter | None = None
) -> float:
    """AUC of single folds on average, which is 0.5 where nothing can be learnt."""
    fold_of, truth = folds_of(problem, folds, seed), problem.truth.astype(np.int64)
    predicted = out_of_fold(model, problem, fold_of, seed=seed, name=OURS, done=done)[:, 1]
    tests = [fold_of == fold for fold in range(folds)]
    return float(np.mean([auc(truth[test], predicted[test], np.ones((1, int(test.sum()))))[0] for test in tests]))


def _families(cohort: ResponseCohort) -> tuple[str, ...]:
    """In the order of the table."""
    return tuple(dict.fromkeys(one.family for one in cohort.predictors))


def _curve(cohort: ResponseCohort, protocol: Protocol) -> list[tuple[int, int]]:
    """Sizes, and the draws of each: small draws vary more. A fifth of the patients is left to be tested on."""
    sizes = [size for size in protocol.curve if size <= 0.8 * len(cohort.outcome)]
    return [
        (size, max(2, round(protocol.curve_repeats * (1 - i / max(1, len(sizes) - 1))))) for i, size in enumerate(sizes)
    ]


def _stratified_draw(outcome: Int, size: int, rng: np.random.Generator) -> Int:
    """Row numbers of a draw without replacement with the outcomes' shares, two of each at least."""
    drawn = []
    for one in (0, 1):
        rows = np.flatnonzero(outcome == one)
        drawn.append(rng.choice(rows, min(len(rows), max(2, round(size * len(rows) / len(outcome)))), replace=False))
    return np.sort(np.concatenate(drawn))
