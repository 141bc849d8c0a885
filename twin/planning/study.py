"""A published study, repeated many times over on virtual patients: which numbers could it have seen by chance?

Each repeat draws a cohort of the study's size from a pool, without replacement, and does what the study did, as far as that
is known (`twin.planning.study_plans`). Only virtual patients know what would have become of them at another site.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np

from ml.baselines import GuidelineClass, NineVariableNaiveBayes
from ml.evaluation.intervals import resample
from ml.evaluation.metrics import auc, measure
from ml.evaluation.protocol import Model, Problem, fit_clone, predictions
from ml.evaluation.splits import PatientFolds
from ml.response import ResponseModel
from twin.planning.errors import InputError
from twin.planning.policy import best_site
from twin.planning.response_cohort import TRUE_CHANGE, TRUE_PROBABILITY, Bool, Float, Int, ResponseCohort, truth_score
from twin.planning.response_folds import problem_of
from twin.planning.response_metrics import TASK
from twin.planning.study_plans import Arm, Study

Told = Callable[[int, int, str], None]
POSITIVE = 0.5  # predicted chance from which on a site is promising
_BOOTSTRAP = 200
_TESTED = 5  # an 80/20 split tests one of so many


@dataclass(frozen=True, kw_only=True, eq=False)
class Pilot:
    """Non-responders of the pilot cohorts, one row each, over all repeats.

    Attributes:
        repeat: (k,) number of the repeat.
        promising: (k,) whether some reachable site has a predicted chance of `POSITIVE` or more.
        chance_here, chance_there, chance_best: (k,) true chance of response where the lead was put, at the model's site
            and at the best reachable one.
            (nan where no lead reaches any).
        moved_percent: (k,) true change of LV end-systolic volume at the model's site minus where the lead was put.
    """

    repeat: Int
    promising: Bool
    chance_here: Float
    chance_there: Float
    chance_best: Float
    moved_percent: Float


@dataclass(frozen=True, kw_only=True, eq=False)
class StudyResult:
    """What the repeats saw.

    Attributes:
        study: the recipe.
        repeats: how many.
        pool: virtual patients drawn from.
        arms: by name, each metric as (repeats,); `bootstrap_auc` is the mean AUC over resamples of the patients.
        responders: (repeats,) share of responders.
        ceiling: (repeats,) AUC of the truth itself.
        pilot: None without one.
    """

    study: Study
    repeats: int
    pool: int
    arms: Mapping[str, Mapping[str, Float]]
    responders: Float
    ceiling: Float
    pilot: Pilot | None

    @property
    def majority(self) -> Float:
        """(repeats,) accuracy of always calling the commoner outcome."""
        return np.maximum(self.responders, 1 - self.responders)


def repeat_study(study: Study, pool: ResponseCohort, *, repeats: int, seed: int, told: Told) -> StudyResult:
    """Draw, fit and measure, again and again.

    Args:
        study: the recipe.
        pool: virtual patients with their truth, read with the label of the study.
        repeats: how many cohorts.
        seed: of the draws, the splits and the models.
        told: called with repeats done, repeats in all, and what is going on.

    Raises:
        InputError: if the pool is too small, or does not know the truth.
    """
    needed = study.patients + study.pilot
    truth = truth_score(pool)
    if truth is None:
        raise InputError(
            f"{pool.name}: knows no truth (columns {TRUE_PROBABILITY}, {TRUE_CHANGE}); a study is repeated on virtual patients"
        )
    if len(pool.outcome) < needed:
        raise InputError(f"{pool.name}: has {len(pool.outcome)} patients, the study needs {needed}")
    problem = problem_of(pool)
    estimators = {arm.name: _estimator(arm, pool) for arm in study.arms}
    measured: dict[str, list[dict[str, float]]] = {arm.name: [] for arm in study.arms}
    shares, ceilings, pilots = [], [], []
    rng = np.random.default_rng(seed)
    for repeat in range(repeats):
        cohort, pilot = _draw(pool.outcome, study, rng)
        for name, estimator in estimators.items():
            measured[name].append(_measured(study, estimator, problem, cohort, seed + repeat))
        shares.append(pool.outcome[cohort].mean())
        ceilings.append(auc(pool.outcome[cohort], truth[cohort], np.ones((1, study.patients)))[0])
        if study.pilot:
            fitted = fit_clone(estimators[study.arms[0].name], problem, cohort, seed=seed + repeat)
            pilots.append(_piloted(pool, fitted, pilot, repeat))
        told(repeat + 1, repeats, "cohorts")
    return StudyResult(
        study=study,
        repeats=repeats,
        pool=len(pool.outcome),
        arms={
            name: {metric: np.array([one[metric] for one in each]) for metric in each[0]}
            for name, each in measured.items()
        },
        responders=np.array(shares),
        ceiling=np.array(ceilings),
        pilot=_together(pilots) if pilots else None,
    )


def _estimator(arm: Arm, pool: ResponseCohort) -> Model:
    if arm.model == "nine-variable naive Bayes":
        return NineVariableNaiveBayes()
    if arm.model == "guideline":
        return GuidelineClass("esc-2021")
    offered = tuple(
        one
        for one in pool.predictors
        if (one.name in arm.names if arm.names else not arm.families or one.family in arm.families)
    )
    return ResponseModel(offered, member="linear", refits=0, neighbours=0)


def _draw(outcome: Int, study: Study, rng: np.random.Generator) -> tuple[Int, Int]:
    """Row numbers of a cohort, with enough of each outcome for the folds, and of its pilot."""
    while True:
        rows = rng.permutation(len(outcome))[: study.patients + study.pilot]
        if np.bincount(outcome[rows[: study.patients]], minlength=2).min() >= _TESTED:
            return rows[: study.patients], rows[study.patients :]


def _measured(study: Study, estimator: Model, problem: Problem, cohort: Int, seed: int) -> dict[str, float]:
    """Metrics of one cohort, mean over the seeds; 80/20 tests the first of five folds."""
    outcome = problem.truth.astype(np.int64)[cohort]
    found = []
    for one in range(study.seeds):
        splits = list(PatientFolds(_TESTED, random_state=seed * study.seeds + one).split(None, outcome))
        if study.split == "80/20":
            splits = splits[:1]
        parts = [
            (test, predictions(fit_clone(estimator, problem, cohort[train], seed=seed), problem, cohort[test]))
            for train, test in splits
        ]
        if study.over_folds:
            found += [_metrics(outcome[test], predicted) for test, predicted in parts]
        else:
            tested = np.concatenate([test for test, _ in parts])
            found.append(_metrics(outcome[tested], np.concatenate([predicted for _, predicted in parts])))
    return {name: _mean(np.array([one[name] for one in found])) for name in found[0]}


def _metrics(outcome: Int, predicted: Float) -> dict[str, float]:
    one = np.ones((1, len(outcome)))
    metrics = {
        name: float(value[0]) for name, value in measure(TASK, outcome, predicted, one, calibration=False).items()
    }
    drawn = resample(
        lambda weights: {"auc": auc(outcome, predicted[:, 1], weights)}, np.arange(len(outcome)), resamples=_BOOTSTRAP
    )
    return metrics | {"bootstrap_auc": _mean(drawn.draws["auc"])}


def _mean(values: Float) -> float:
    """Mean of what is defined; nan of nothing."""
    finite = values[np.isfinite(values)]
    return float(finite.mean()) if len(finite) else np.nan


def _piloted(pool: ResponseCohort, fitted: ResponseModel, pilot: Int, repeat: int) -> Pilot:
    """The non-responders of one pilot: what the model says of their sites, and what the truth says."""
    names = [one.name for one in fitted.predictors]
    failed = np.sort(pilot[pool.outcome[pilot] == 0])
    rows = np.flatnonzero(np.isin(pool.sites["patient_row"].to_numpy(), failed))
    patient = pool.sites["patient_row"].to_numpy()[rows]
    chance = pool.sites[TRUE_PROBABILITY].to_numpy(float)[rows]
    change = pool.sites[TRUE_CHANGE].to_numpy(float)[rows]
    predicted = fitted.predict_proba(pool.sites[names].iloc[rows])[:, 1] if len(rows) else np.empty(0)
    best, oracle = best_site(patient, predicted), best_site(patient, chance)
    reached = np.isin(failed, patient)

    def filled(values: Float) -> Float:
        full = np.full(len(failed), np.nan)
        full[reached] = values
        return full

    here = pool.implanted.iloc[failed]
    there = filled(predicted[best])
    return Pilot(
        repeat=np.full(len(failed), repeat),
        promising=there >= POSITIVE,
        chance_here=here[TRUE_PROBABILITY].to_numpy(float),
        chance_there=filled(chance[best]),
        chance_best=filled(chance[oracle]),
        moved_percent=filled(change[best]) - here[TRUE_CHANGE].to_numpy(float),
    )


def _together(pilots: list[Pilot]) -> Pilot:
    names = [field.name for field in fields(Pilot)]
    return Pilot(**{name: np.concatenate([getattr(one, name) for one in pilots]) for name in names})
