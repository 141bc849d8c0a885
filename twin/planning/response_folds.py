"""Answers of models that have not seen the patient: in random folds, or with a whole wall or centre held out.

Each fold fits a clone of the model to the implanted leads of the other patients, and asks it about the leads, and if
wanted all sites, of the patients of the fold. No outcome of a patient is ever in the training of what answers for them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.protocol import FitCounter, Problem, fit_clone, folds_of, state_problem
from ml.response import ResponseModel
from twin.planning.errors import InputError
from twin.planning.response_cohort import ELSEWHERE, EXTERNAL, Bool, Float, Int, ResponseCohort

LEAST_HELD_OUT = 30  # patients of a wall or centre that is held out alone, with five of each outcome; our choice
_LEAST_OF_CLASS = 5


@dataclass(frozen=True, kw_only=True, eq=False)
class FoldAnswers:
    """Out-of-fold answers.

    Attributes:
        fold_of: (n,) fold of each patient.
        probability: (n,) of response at the implanted lead.
        supported: (n,) False where the model abstains.
        site_probability, site_supported: (m,) the same at each of `cohort.sites`; empty if not asked for.
    """

    fold_of: Int
    probability: Float
    supported: Bool
    site_probability: Float
    site_supported: Bool


def need_both_outcomes(cohort: ResponseCohort, folds: int) -> None:
    """Raises InputError if there are fewer patients of an outcome than folds."""
    fewest = int(np.bincount(cohort.outcome, minlength=2).min())
    if fewest < folds:
        raise InputError(
            f"{cohort.name}: {fewest} patients of one outcome, need {folds} of each at least to test a model"
        )


def problem_of(cohort: ResponseCohort, outcome: Int | None = None) -> Problem:
    """The implanted leads as `ml.evaluation` takes them, each row a patient; with other outcomes for a leak test."""
    names = [one.name for one in cohort.predictors]
    further = [name for name in (EXTERNAL,) if name in cohort.implanted]
    # Only these columns: whatever a model does, it cannot look at outcomes or at the truth.
    return state_problem(
        [ResponseModel(cohort.predictors)],
        cohort.implanted[names + further],
        cohort.outcome if outcome is None else outcome,
        None,
    )


def random_folds(cohort: ResponseCohort, folds: int, seed: int) -> Int:
    """(n,) fold of each patient, both outcomes spread evenly."""
    return folds_of(problem_of(cohort), folds, seed)


def held_out_folds(groups: NDArray[np.str_], outcome: Int) -> tuple[tuple[str, ...], Int]:
    """Each group a fold of its own; groups with too few patients, or of no name, are one fold together.

    Returns:
        The names of the folds, and (n,) the fold of each patient; no name if there are not two.
    """
    named = np.where(groups == "", ELSEWHERE, groups).astype(object)
    for name in np.unique(named):
        inside = named == name
        if inside.sum() < LEAST_HELD_OUT or np.bincount(outcome[inside], minlength=2).min() < _LEAST_OF_CLASS:
            named[inside] = ELSEWHERE
    names, fold_of = np.unique(named.astype(str), return_inverse=True)
    return (tuple(names) if len(names) > 1 else ()), fold_of.astype(np.int64)


def fold_answers(
    model: ResponseModel, cohort: ResponseCohort, fold_of: Int, *, seed: int, sites: bool = False, done: FitCounter
) -> FoldAnswers:
    """Fit and ask a clone for each fold.

    Args:
        model: left as it is.
        cohort: n patients.
        fold_of: (n,) from `random_folds` or `held_out_folds`.
        seed: becomes the `random_state` of the clones.
        sites: also ask about every site of the patients.
        done: called after each fit.
    """
    problem = problem_of(cohort)
    names = [one.name for one in cohort.predictors]
    patient = cohort.sites["patient_row"].to_numpy()
    n, m = len(cohort.outcome), len(patient) if sites else 0
    probability, supported = np.empty(n), np.empty(n, dtype=np.bool_)
    site_probability, site_supported = np.empty(m), np.empty(m, dtype=np.bool_)
    for fold in np.unique(fold_of):
        test = np.flatnonzero(fold_of == fold)
        fitted = fit_clone(model, problem, np.flatnonzero(fold_of != fold), seed=seed)
        at_lead = fitted.answer(cohort.implanted[names].iloc[test])
        probability[test], supported[test] = at_lead.probability, at_lead.supported
        if sites:
            rows = np.flatnonzero(fold_of[patient] == fold)
            at_sites = fitted.answer(cohort.sites[names].iloc[rows])
            site_probability[rows], site_supported[rows] = at_sites.probability, at_sites.supported
        done()
    return FoldAnswers(
        fold_of=fold_of,
        probability=probability,
        supported=supported,
        site_probability=site_probability,
        site_supported=site_supported,
    )


def restricted(model: ResponseModel, families: Sequence[str]) -> ResponseModel:
    """The same model, not fitted, offered some families of predictors only."""
    settings = model.get_params(deep=False)
    settings["predictors"] = tuple(one for one in model.predictors if one.family in families)
    return ResponseModel(**settings)
