"""The evaluation of size and function of the right ventricle: both numbers, their published limits, and survival.

A model answers with several numbers at once and is fitted once per fold; each number then has an evaluation of its own, made
of what that fit said. As Duong 2024 [doi:10.1161/JAHA.123.031671]: AUROC of RVEF <= 40 % and RVEDV > 120 mL/m2 by the
predicted number, and Cox's hazard ratio per 10 % lower predicted RVEF; our choice are its score (the mean of a patient's
out-of-fold predictions) and its 95 % Wald interval.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ml.evaluation import Evaluation, Published
from ml.evaluation.intervals import Estimate, resample
from ml.evaluation.metrics import auc
from ml.evaluation.report import RESEARCH_ONLY, text
from ml.evaluation.several import evaluate_each
from ml.evaluation.survival import HazardRatio
from twin.planning.ecg_groups import hazard_of

Float = NDArray[np.float64]

# Of the columns that `ml.rv_function` learns, in its order, the names under which results are published.
_TITLES = {"rvef_percent": "RVEF in %", "rvedv_ml_per_m2": "RVEDV in mL/m2"}
_SURVIVAL, _PER_PERCENT = "rvef_percent", -10.0


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluatedNumbers:
    """What was found.

    Attributes:
        each: the evaluation of each number, by the name of its column.
        limits: AUROC of each limit, by its name, or why there is none.
        hazard: per 10 % lower predicted RVEF, or why there is none.
        published: to stand beside.
    """

    each: Mapping[str, Evaluation]
    limits: Mapping[str, Estimate | str]
    hazard: HazardRatio | str
    published: Sequence[Published]

    def table(self) -> str:
        """All pages as one, in markdown, the headlines first."""
        any_of_them = next(iter(self.each.values()))
        whose = "virtual patients" if any_of_them.virtual else "patients"
        rows = [
            (f"MAE of {_TITLES.get(name, name)}", text(one.models[0].metrics["mae"]), self._said(name, "mae"))
            for name, one in self.each.items()
        ]
        rows += [(f"AUROC of {name}", _cell(found), self._said(name, "auc")) for name, found in self.limits.items()]
        hazard = self.hazard if isinstance(self.hazard, str) else self.hazard.ratio
        if _SURVIVAL in self.each:
            said = self._said(_SURVIVAL, "hazard_ratio")
            rows.append(("hazard ratio per 10 % lower predicted RVEF", _cell(hazard), said))
        lines = [f"| {' | '.join(row)} |" for row in (("", f"ours, {whose}", "published, real patients"), *rows)]
        page = f"# Right ventricle\n\n{any_of_them.problem.n_patients} {whose}. {RESEARCH_ONLY}\n\n"
        page += "\n".join([lines[0], "| --- | --- | --- |", *lines[1:]])
        pages = [one.table().replace("# Evaluation\n", f"# {name}\n", 1) for name, one in self.each.items()]
        return "\n\n## Each number\n\n".join([page, "\n".join(pages)])

    def to_json(self) -> dict[str, Any]:
        """Every evaluation as JSON, by column; `limits` and `hazard_ratio`, null where there is none."""
        limits = {name: _json(found) for name, found in self.limits.items()}
        hazard = None if isinstance(self.hazard, str) else _json(self.hazard.ratio)
        return {name: one.to_json() for name, one in self.each.items()} | {"limits": limits, "hazard_ratio": hazard}

    def write(self, folder: Path) -> None:
        """Write table.md, evaluation.json and a figure per number into a folder."""
        (folder / "table.md").write_text(self.table(), encoding="utf-8")
        (folder / "evaluation.json").write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        for name, one in self.each.items():
            one.figure(folder / f"figure_{name}.png")

    def _said(self, name: str, metric: str) -> str:
        title = _TITLES.get(name, name)
        values = [one.values[metric] for one in self.published if one.model.startswith(title) and metric in one.values]
        return ", ".join(f"{value:g}" for value in values) or "-"


def evaluate_numbers(
    name: str,
    model: Any,
    samples: NDArray[np.float32],
    numbers: Mapping[str, Float],
    *,
    groups: NDArray[np.generic],
    times: Float | None = None,
    events: NDArray[np.int64] | None = None,
    published: Sequence[Published] = (),
    **options: Any,
) -> EvaluatedNumbers:
    """Cross-validate a regressor of several numbers.

    Args:
        name: of the model.
        model: its `fit` takes (n, numbers), its `predict` gives that.
        samples: (n, ...) its input.
        numbers: (n,) by name of the column, in the order of the model.
        groups: (n,) patient of each row.
        times: (n,) follow-up, or None.
        events: (n,) whether it ended with the event, or None.
        published: to stand beside.
        options: of `ml.evaluation.several.evaluate_each`.

    Raises:
        ValueError: as `evaluate_each`.
    """
    each = evaluate_each(
        name,
        model,
        samples,
        numbers,
        groups=groups,
        published={
            column: [one for one in published if one.model.startswith(_TITLES.get(column, column))]
            for column in numbers
        },
        **options,
    )
    limits: dict[str, Estimate | str] = {}
    hazard: HazardRatio | str = "no RVEF"
    if list(numbers) == list(_TITLES):
        from ml.rv_function import is_dilated, is_dysfunction  # needs torch, as its model does

        measured = np.column_stack(list(numbers.values()))
        rvef, rvedv = (one.models[0].predicted for one in each.values())
        people = each[_SURVIVAL].problem.patients
        limits = {
            "RVEF <= 40 %": _auroc(is_dysfunction(measured), -rvef, people),
            "RVEDV > 120 mL/m2": _auroc(is_dilated(measured), rvedv, people),
        }
        hazard = hazard_of(rvef.mean(axis=0), groups, times, events, per=_PER_PERCENT)
    return EvaluatedNumbers(each=each, limits=limits, hazard=hazard, published=published)


def _auroc(meant: NDArray[np.bool_], scores: Float, patients: NDArray[np.int64]) -> Estimate | str:
    """Mean over the (repeats, n) scores, with the BCa interval over patients."""
    if meant.all() or not meant.any():
        return f"{'all' if meant.any() else 'none'} of the {len(meant)} rows are so"
    labels = meant.astype(np.int64)
    drawn = resample(lambda weights: {"auc": np.mean([auc(labels, one, weights) for one in scores], axis=0)}, patients)
    return drawn.estimate("auc")


def _cell(found: Estimate | str) -> str:
    return f"none: {found}" if isinstance(found, str) else text(found)


def _json(found: Estimate | str) -> dict[str, float | None] | None:
    if isinstance(found, str):
        return None
    numbers = {"value": found.value, "low": found.low, "high": found.high}
    return {name: value if np.isfinite(value) else None for name, value in numbers.items()}
