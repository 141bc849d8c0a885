"""What each feature adds to the answer of boosted trees: exact SHAP values (Lundberg 2018, arXiv:1802.03888).

Per ECG, the contributions and a constant add up to the raw answer, in log-odds of a class. They say how this model adds up,
not what would happen if a feature changed: features that go together share what they have in common.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from ml.ecg.recording import STANDARD_LEADS, Float
from ml.ecg_features import Column
from ml.explain.figures import GREY, panels, write
from ml.lightgbm_classifier import LightGbmClassifier

WHOLE = "whole ECG"
_SHOWN = 15


@dataclass(frozen=True, kw_only=True, eq=False)
class Contributions:
    """Log-odds of one class, taken apart.

    Attributes:
        columns: the features.
        values: (n, columns) what was measured; NaN for what an ECG does not have.
        added: (n, columns) what each feature adds.
        constant: (n,) what holds without any feature.
    """

    columns: tuple[Column, ...]
    values: Float
    added: Float
    constant: Float

    @property
    def raw(self) -> Float:
        """(n,) the raw answers."""
        total: Float = self.constant + self.added.sum(axis=1)
        return total

    def strongest(self) -> list[int]:
        """Numbers of the columns that add anything, the largest mean magnitude first."""
        mean = np.abs(self.added).mean(axis=0)
        return [int(i) for i in np.argsort(-mean, kind="stable") if mean[i] > 0]

    def by_lead(self) -> dict[str, Float]:
        """(n,) sums over the features of each lead, and over those of the whole ECG."""
        leads = np.array([lead_of(column) for column in self.columns])
        return {lead: self.added[:, leads == lead].sum(axis=1) for lead in (*STANDARD_LEADS, WHOLE)}


def contributions(model: LightGbmClassifier, X: ArrayLike, target: int) -> Contributions:  # noqa: N803
    """Contributions to class number `target` of `classes_`; of two classes, the first has the second's with minus."""
    parts = model.contributions(X)
    chosen = parts[:, target] if parts.shape[1] > 1 else parts[:, 0] * (1.0 if target else -1.0)
    return Contributions(columns=model.columns_, values=model.table(X), added=chosen[:, :-1], constant=chosen[:, -1])


def lead_of(column: Column) -> str:
    """The lead that a feature is measured in."""
    lead = column.name.partition("_")[0]
    return lead if lead in STANDARD_LEADS else WHOLE


def draw_contributions(found: Contributions, path: Path) -> None:
    """Picture of the strongest features, a dot per ECG coloured by its value, and of the leads."""
    figure, (left, right) = panels(1, 2, width=6.4, height=5.2)
    _features(left, found)
    leads = found.by_lead()
    means = [float(np.abs(values).mean()) for values in leads.values()]
    right.barh(list(leads), means, color=GREY)
    right.invert_yaxis()
    right.set(xlabel="mean magnitude, log-odds", title="Sum over the features of a lead")
    write(figure, path)


def write_table(found: Contributions, names: Sequence[str], path: Path) -> None:
    """CSV: a row per ECG, what each feature adds in log-odds; `constant` and all features add up to `raw`."""
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ecg", "raw", "constant", *(column.name for column in found.columns)])
        for name, raw, constant, added in zip(names, found.raw, found.constant, found.added, strict=True):
            rows.writerow([name, repr(float(raw)), repr(float(constant)), *map(repr, added.tolist())])


def _features(axes: Axes, found: Contributions) -> None:
    shown = found.strongest()[:_SHOWN]
    jitter = np.random.default_rng(0).uniform(-0.25, 0.25, len(found.added))
    for row, i in enumerate(shown):
        value = found.values[:, i]
        # Ranks, since one outlier would leave the others one colour; grey is "does not have it".
        has = np.isfinite(value)
        rank = (value[has, None] > value[None, has]).sum(axis=1) / max(has.sum() - 1, 1)
        axes.scatter(found.added[has, i], row + jitter[has], c=rank, cmap="cividis", vmin=0, vmax=1, s=9)
        axes.scatter(found.added[~has, i], row + jitter[~has], color="#bbbbbb", s=9)
        mean = float(np.abs(found.added[:, i]).mean())
        axes.barh(row, mean, height=0.8, color=GREY, alpha=0.18, zorder=0)
    axes.axvline(0, color=GREY, linewidth=0.8)
    axes.set_yticks(range(len(shown)), [found.columns[i].name for i in shown], fontsize=8)
    axes.set_ylim(max(len(shown), 1) - 0.5, -0.5)
    axes.set(xlabel="added to the log-odds (bar: mean magnitude)", title="Strongest features")
