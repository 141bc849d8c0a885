"""Patients shifted on purpose: does the model abstain where a measurement is not what it learnt from?

Each shift is a mistake or a difference that happens between centres, made in the columns of patients that the model has
not seen. Sizes are our choice: large enough that an answer would not be worth having.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from ml.evaluation.protocol import fit_clone
from ml.response import ResponseModel
from twin.planning.features import BY_NAME
from twin.planning.response_cohort import Bool, Int, ResponseCohort
from twin.planning.response_folds import problem_of

# Columns that grow with the amplitude of the recorder; simulated beats are scaled to the recorded one.
_AMPLITUDES = ("ecg_qrs_area_uvs", "paced_qrs_area_uvs", "delta_qrs_area_uvs", *(f"ecg_fpca_{k}" for k in range(1, 5)))
NO_SHIFT = "none"
_LENGTHS = ("lvedd_mm", "rv_lv_distance_mm", "late_distance_mm", "scar_distance_mm")


def _scaled(table: pd.DataFrame, factors: Mapping[str, float]) -> pd.DataFrame:
    """Columns times their factor, kept within their range."""
    shifted = table.copy()
    for name, factor in factors.items():
        feature = BY_NAME[name]
        if name in shifted:
            shifted[name] = (shifted[name].astype(float) * factor).clip(feature.low, feature.high)
    return shifted


def _times(table: pd.DataFrame) -> tuple[str, ...]:
    return tuple(name for name in table if name.endswith("_ms"))


SHIFTS: Mapping[str, Callable[[pd.DataFrame], pd.DataFrame]] = {
    NO_SHIFT: lambda table: table,
    "ECG at twice its gain": lambda table: _scaled(table, dict.fromkeys(_AMPLITUDES, 2.0)),
    "ECG at half its gain": lambda table: _scaled(table, dict.fromkeys(_AMPLITUDES, 0.5)),
    "all times 40 % longer": lambda table: _scaled(table, dict.fromkeys(_times(table), 1.4)),
    "hearts of 60 % of their length": lambda table: _scaled(
        table, dict.fromkeys(_LENGTHS, 0.6) | {"lvedv_ml": 0.6**3} | dict.fromkeys(_times(table), 0.6)
    ),
}


def flagged_when_shifted(model: ResponseModel, cohort: ResponseCohort, fold_of: Int) -> dict[str, Bool]:
    """For each shift, (k,) whether a model abstains for each patient of the first fold, who was not learnt from."""
    fitted = fit_clone(model, problem_of(cohort), np.flatnonzero(fold_of != 0), seed=0)
    table = cohort.implanted[[one.name for one in cohort.predictors]].iloc[np.flatnonzero(fold_of == 0)]
    return {name: ~fitted.answer(shift(table)).supported for name, shift in SHIFTS.items()}
