"""An evaluation as JSON: every number and every out-of-fold prediction; null where a number does not exist."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import sklearn

from ml.evaluation.metrics import METRICS

if TYPE_CHECKING:
    from ml.evaluation.result import Evaluation, ModelResult

Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
FORMAT = 1


def as_json(evaluation: Evaluation) -> dict[str, Json]:
    """The evaluation as plain lists and dictionaries."""
    problem = evaluation.problem
    names = evaluation.models[0].metrics
    return {
        "format": FORMAT,
        "intended_use": "research",
        "population": "virtual patients" if evaluation.virtual else "patients",
        "task": plain(asdict(problem.task)),
        "patients": problem.n_patients,
        "rows": len(problem.truth),
        "protocol": {
            "folds": evaluation.folds,
            "seeds": list(range(len(evaluation.fold_of))),
            "resamples": evaluation.resamples,
            "interval": "BCa, 95 %, patients resampled, fitted models held fixed",
            "scikit_learn": sklearn.__version__,
        },
        "definitions": {name: METRICS[name].definition for name in names},
        "models": {model.name: _model(model) for model in evaluation.models},
        "treat_everybody": {threshold: plain(asdict(one)) for threshold, one in evaluation.treat_everybody.items()},
        "comparisons": [plain(asdict(one)) for one in evaluation.comparisons],
        "subgroups": [plain(asdict(one)) for one in evaluation.subgroups],
        "published": [plain(asdict(one)) for one in evaluation.published],
        "predictions": {
            "patient": [problem.names[i] for i in problem.patients],
            "truth": plain(problem.truth),
            "fold": plain(evaluation.fold_of),
            "predicted": {model.name: plain(model.predicted) for model in evaluation.models},
        },
    }


def write_json(evaluation: Evaluation, path: Path) -> None:
    """Write the JSON file; the same evaluation gives the same bytes."""
    path.write_text(json.dumps(as_json(evaluation), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def plain(value: object) -> Json:
    """Dictionaries, sequences, arrays and numbers as JSON has them; what is not finite is null."""
    if isinstance(value, dict):
        return {str(key): plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray | np.generic):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(one) for one in value]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    raise TypeError(f"{type(value).__name__} has no place in JSON")


def _model(model: ModelResult) -> Json:
    return {
        "settings": model.settings,
        "metrics": {name: plain(asdict(one)) for name, one in model.metrics.items()},
        "by_repeat": plain(dict(model.by_repeat)),
        "by_fold": plain(dict(model.by_fold)),
        "auc_delong": None if model.auc_delong is None else plain(asdict(model.auc_delong)),
        "calibration": [plain(asdict(one)) for one in model.calibration],
        "net_benefit": {threshold: plain(asdict(one)) for threshold, one in model.net_benefit.items()},
        "brier_parts": None if model.brier_parts is None else plain(asdict(model.brier_parts)),
        "corrected": None
        if model.corrected is None
        else {name: plain({**asdict(one), "corrected": one.corrected}) for name, one in model.corrected.items()},
        "leak": None if model.leak is None else plain({**asdict(model.leak), "passed": model.leak.passed}),
    }
