"""Patients of whom something was measured wrongly on purpose: does the model abstain, and is their centre noticed?

They are planned from files like any other patient; what is wrong is said at `twin.planning.virtual_draws.SHIFTED`.
"""

import numpy as np

from ml.evaluation.protocol import fit_clone
from ml.response import ResponseModel
from twin.planning.cohort_drift import drifts
from twin.planning.response_cohort import SHIFT, Int, ResponseCohort
from twin.planning.response_folds import problem_of
from twin.planning.response_results import Shifted, share

NO_SHIFT = "nothing wrong"


def shifted_patients(model: ResponseModel, cohort: ResponseCohort, fold_of: Int) -> dict[str, Shifted]:
    """For each kind of shift, what the model says of patients that it has not learnt from, one by one and together.

    With nothing wrong, these are the patients of the first fold.
    """
    fitted = fit_clone(model, problem_of(cohort), np.flatnonzero(fold_of != 0), seed=0)
    groups = {NO_SHIFT: cohort.implanted.iloc[np.flatnonzero(fold_of == 0)]}
    if len(cohort.shifted):
        groups |= {str(kind): rows for kind, rows in cohort.shifted.groupby(SHIFT, sort=False)}
    return {
        kind: Shifted(
            flagged=share(~fitted.answer(rows).supported), drifts=tuple(drifts(rows.assign(centre=kind), fitted))
        )
        for kind, rows in groups.items()
    }
