"""Patients of whom something was measured wrongly on purpose: does the model abstain?

They are planned from files like any other patient; what is wrong is said at `twin.planning.virtual_draws.SHIFTED`.
"""

import numpy as np

from ml.evaluation.protocol import fit_clone
from ml.response import ResponseModel
from twin.planning.response_cohort import SHIFT, Bool, Int, ResponseCohort
from twin.planning.response_folds import problem_of

NO_SHIFT = "nothing wrong"


def flagged_when_shifted(model: ResponseModel, cohort: ResponseCohort, fold_of: Int) -> dict[str, Bool]:
    """For each kind of shift, (k,) whether a model abstains for each patient that it has not learnt from.

    With nothing wrong, these are the patients of the first fold.
    """
    fitted = fit_clone(model, problem_of(cohort), np.flatnonzero(fold_of != 0), seed=0)
    names = [one.name for one in cohort.predictors]
    unshifted = cohort.implanted[names].iloc[np.flatnonzero(fold_of == 0)]
    kinds = (
        {str(kind): rows[names] for kind, rows in cohort.shifted.groupby(SHIFT, sort=False)}
        if len(cohort.shifted)
        else {}
    )
    return {kind: ~fitted.answer(rows).supported for kind, rows in {NO_SHIFT: unshifted, **kinds}.items()}
