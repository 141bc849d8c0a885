"""What there is to say of groups that were found without outcomes: their sizes, and how their hazards compare.

Written like an evaluation of `ml.evaluation`, but nothing is cross-validated: no outcome was learnt that could leak.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike, NDArray

from ml.evaluation import PUBLISHED, hazard_ratio
from ml.evaluation.survival import HazardRatio
from twin.planning.ecg_case import Case


@dataclass(frozen=True, kw_only=True, eq=False)
class EcgGroups:
    """Groups 0 and 1 of the ECGs that a `QrsPca` was fitted to.

    Attributes:
        population: "patients" or "virtual patients".
        patients: how many.
        rows: file and line of each ECG.
        labels: (n,) group of each.
        scores: (n, 2) components of each.
        explained_share: (2,) of the variance.
        hazard: of group 1 relative to group 0, or why there is none.
    """

    population: str
    patients: int
    rows: tuple[str, ...]
    labels: NDArray[np.int64]
    scores: NDArray[np.float64]
    explained_share: NDArray[np.float64]
    hazard: HazardRatio | str

    def table(self) -> str:
        """All of it as markdown, the published ratio beside ours."""
        sizes, shares = np.bincount(self.labels, minlength=2), 100 * self.explained_share
        if isinstance(self.hazard, str):
            hazard = f"no hazard ratio: {self.hazard}"
        else:
            ratio = self.hazard.ratio
            hazard = (
                f"hazard of group 1 relative to group 0: {ratio.value:.2f} [{ratio.low:.2f}, {ratio.high:.2f}], "
                f"{self.hazard.events} events"
            )
        lines = [
            f"{sizes[0]} ECGs in group 0, {sizes[1]} in group 1, whose QRS lies higher on the first component",
            f"the components explain {shares[0]:.1f} % and {shares[1]:.1f} % of the variance",
            hazard,
            *(
                f"published ({one.study}, {one.patients} real patients): hazard ratio {one.values['hazard_ratio']:g}, "
                f"{one.remark}; those groups are numbered by outcome, ours by shape"
                for one in PUBLISHED["qrs-pca"]
            ),
        ]
        head = (
            f"{self.patients} {self.population}, {len(self.rows)} ECGs. The groups were found in all of them, without "
            "outcomes. Research use only."
        )
        return f"# Groups\n\n{head}\n\n" + "".join(f"- {line}.\n" for line in lines)

    def to_json(self) -> dict[str, Any]:
        """All numbers, and the group of every ECG."""
        ratio = None if isinstance(self.hazard, str) else self.hazard.ratio
        return {
            "format": 1,
            "intended_use": "research",
            "population": self.population,
            "patients": self.patients,
            "explained_share": self.explained_share.tolist(),
            "hazard_ratio": None if ratio is None else {"value": ratio.value, "low": ratio.low, "high": ratio.high},
            "rows": [
                {"row": row, "group": int(group), "components": scores.tolist()}
                for row, group, scores in zip(self.rows, self.labels, self.scores, strict=True)
            ],
        }

    def write(self, folder: Path) -> None:
        """Write table.md, figure.png and evaluation.json into a folder."""
        (folder / "table.md").write_text(self.table(), encoding="utf-8")
        (folder / "evaluation.json").write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        figure = Figure(figsize=(6, 5), layout="constrained")
        axes = figure.add_subplot(xlabel="component 1", ylabel="component 2")
        axes.set_title(f"{self.patients} {self.population}. Research use only.")
        for group, marker in enumerate("os"):
            axes.scatter(*self.scores[self.labels == group].T, marker=marker, label=f"group {group}")
        axes.legend()
        figure.savefig(folder / "figure.png", dpi=120)


def groups_of(model: Any, case: Case, population: str) -> EcgGroups:
    """The groups of a fitted `QrsPca` in what it was fitted to."""
    return EcgGroups(
        population=population,
        patients=case.n_patients,
        rows=case.sources,
        labels=model.labels_,
        scores=model.transform(case.samples),
        explained_share=model.explained_share_,
        hazard=hazard_of(model.labels_, case.patients, case.times, case.events),
    )


def hazard_of(
    score: ArrayLike,
    patients: NDArray[np.generic],
    times: NDArray[np.float64] | None,
    events: NDArray[np.int64] | None,
    *,
    per: float = 1.0,
) -> HazardRatio | str:
    """The hazard ratio of a score of each ECG, see `ml.evaluation.hazard_ratio`, or why there is none."""
    if times is None or events is None or len(np.unique(patients)) < len(patients):
        return "it needs the columns time and event, and one ECG per patient"
    try:
        return hazard_ratio(score, times, events, per=per)
    except ValueError as fault:  # no event, or events in one group alone
        return str(fault).rstrip(".")
