"""The fit of both members and of their blend: everything is chosen on inner folds of the patients that `fit` got.

1. Five folds of patients (fewer where a class has fewer). Both members predict each fold from the others, the linear one
   under every penalty, the trees after every number of rounds.
2. The penalty and the number of rounds with the least log loss are kept, and their out-of-fold log-odds give the blend.
3. Both members are fitted to all patients.

Medians, scales and LightGBM's bins are those of all patients that `fit` got, also inside these inner folds; no label has
a part in them.
"""

from dataclasses import dataclass
from typing import Literal

import lightgbm
import numpy as np

from ml.evaluation.splits import PatientFolds
from ml.response.blend import Blend, best_share, calibrate, log_loss
from ml.response.design import Design, fit_design
from ml.response.linear import CHOOSING, Penalty, fit_path, strongest
from ml.response.predictors import Float, Int
from ml.response.trees import TreeFitter, log_odds, settings_for, tree_contributions

Member = Literal["ensemble", "linear", "trees"]

_FOLDS = 5
_MIXES = (0.1, 0.9)  # nearly ridge, nearly lasso; our choice
_STRENGTHS = 8
_LEAST_STRENGTH = 0.01  # of the strongest penalty, where no column says anything
_FEW_ROWS = 500
_WEAKEST = {True: 2e-2, False: 1e-3}  # share of the strongest penalty, for few rows and for many


@dataclass(frozen=True, kw_only=True, eq=False)
class Members:
    """The fitted members.

    Attributes:
        design: of their columns.
        coefficients: (k + 1,) of the linear member, the intercept last.
        booster: the trees; None where the blend has no share of them.
        blend: of the two.
    """

    design: Design
    coefficients: Float
    booster: lightgbm.Booster | None
    blend: Blend

    def log_odds(self, numbers: Float) -> Float:
        """(n,) calibrated log-odds of (n, c) encoded rows."""
        return self.blend.log_odds(*self._both(numbers))

    def disagreement(self, numbers: Float) -> Float:
        """(n,) variance of the calibrated log-odds between the members, each with its share."""
        linear, trees = self._both(numbers)
        return self.blend.slope**2 * self.blend.share * (1 - self.blend.share) * (linear - trees) ** 2

    def _both(self, numbers: Float) -> tuple[Float, Float]:
        """(n,) log-odds of the linear member and of the trees, not calibrated."""
        linear = self.design.for_linear(numbers) @ self.coefficients[:-1] + self.coefficients[-1]
        if self.booster is None:
            return linear, np.zeros_like(linear)
        return linear, log_odds(self.booster, self.design.for_trees(numbers))

    def contributions(self, numbers: Float, predictors: int) -> tuple[Float, float]:
        """(n, predictors) additions to the calibrated log-odds, and what holds without any (of no rows: not all of it).

        Of the linear member: coefficient times the difference from the mean of training; of the trees: SHAP values.
        """
        blend = self.blend
        found = np.zeros((len(numbers), predictors))
        scaled = blend.slope * blend.share * self.coefficients[:-1] * self.design.for_linear(numbers)
        np.add.at(found.T, self.design.owners, scaled.T)
        base = blend.intercept + blend.slope * blend.share * self.coefficients[-1]
        if self.booster is not None and len(numbers):  # LightGBM divides by the number of rows
            shap = blend.slope * (1 - blend.share) * tree_contributions(self.booster, self.design.for_trees(numbers))
            np.add.at(found.T, self.design.owner, shap[:, :-1].T)
            base += shap[0, -1]
        return found, float(base)


@dataclass(frozen=True, kw_only=True, eq=False)
class Fit:
    """Members and what refits of them need.

    Attributes:
        members: on all rows.
        penalty: chosen.
        rounds: chosen.
        linear_columns: (n, k) what the linear member sees.
        signs: (k,) of its coefficients.
        fitter: of the trees; None where the blend has no share of them.
        unseen: (n,) uncalibrated blend of the out-of-fold log-odds.
    """

    members: Members
    penalty: Penalty
    rounds: int
    linear_columns: Float
    signs: Int
    fitter: TreeFitter | None
    unseen: Float


def fit_members(
    numbers: Float,
    labels: Float,
    patients: Int,
    *,
    owner: Int,
    increases: Int,
    member: Member,
    random_state: int,
) -> Fit:
    """Choose, blend and fit.

    Args:
        numbers: (n, c) encoded.
        labels: (n,) 0 or 1.
        patients: (n,) number of the patient.
        owner: (c,) number of the predictor of each column.
        increases: (predictors,) +1, -1 or 0.
        member: "ensemble", or the one member that gets the whole share.
        random_state: of folds and trees.

    Raises:
        ValueError: if a class has fewer than two patients.
    """
    design = fit_design(numbers, owner)
    columns = design.for_linear(numbers)
    # A value that is missing has no direction.
    signs = np.concatenate([increases[owner], np.zeros(len(design.gaps), dtype=np.int64)])
    settings = settings_for(len(labels))
    fitter = TreeFitter(
        design.for_trees(numbers),
        labels,
        increases[owner],
        settings=settings,
        random_state=random_state,
    )
    folds = _folds(labels, patients, random_state)
    everyone = np.ones(len(labels))
    penalties = _penalties(columns, labels)
    linear_unseen = np.empty((len(penalties), len(labels)))
    tree_unseen = np.zeros((len(settings.rounds), len(labels)))
    trees = design.for_trees(numbers)
    for train, test in folds:
        weights = np.zeros(len(labels))
        weights[train] = 1
        for mix in range(len(_MIXES)):
            part = slice(mix * _STRENGTHS, (mix + 1) * _STRENGTHS)
            fits = fit_path(columns, labels, weights, penalties[part], signs, tolerance=CHOOSING)
            linear_unseen[part, test] = fits[:, :-1] @ columns[test].T + fits[:, -1:]
        if member != "linear":
            for i, found in enumerate(fitter.path(weights, settings.rounds, trees[test])):
                tree_unseen[i, test] = found
    penalty = int(np.argmin([log_loss(labels, found) for found in linear_unseen]))
    rounds = int(np.argmin([log_loss(labels, found) for found in tree_unseen]))
    share = {"linear": 1.0, "trees": 0.0}.get(member)
    if share is None:
        share = best_share(labels, linear_unseen[penalty], tree_unseen[rounds])
    unseen = share * linear_unseen[penalty] + (1 - share) * tree_unseen[rounds]
    intercept, slope = calibrate(labels, unseen, everyone)
    booster = fitter.fit(everyone, settings.rounds[rounds]) if share < 1 else None
    members = Members(
        design=design,
        coefficients=fit_path(columns, labels, everyone, (penalties[penalty],), signs)[0],
        booster=booster,
        blend=Blend(share=share, intercept=intercept, slope=slope),
    )
    return Fit(
        members=members,
        penalty=penalties[penalty],
        rounds=settings.rounds[rounds],
        linear_columns=columns,
        signs=signs,
        fitter=None if booster is None else fitter,
        unseen=unseen,
    )


def _penalties(columns: Float, labels: Float) -> tuple[Penalty, ...]:
    """From strong to weak, mix by mix."""
    steps = np.geomspace(1, _WEAKEST[len(labels) < _FEW_ROWS], _STRENGTHS)
    top = {mix: max(strongest(columns, labels, mix), _LEAST_STRENGTH) for mix in _MIXES}
    return tuple(Penalty(strength=float(top[mix] * step), mix=mix) for mix in _MIXES for step in steps)


def _folds(labels: Float, patients: Int, random_state: int) -> list[tuple[Int, Int]]:
    rarest = min(len(np.unique(patients[labels == label])) for label in (0, 1))
    if rarest < 2:
        raise ValueError(
            f"a class has {rarest} patients, need two of each class at least to choose a penalty; add patients"
        )
    folds = PatientFolds(min(_FOLDS, rarest), random_state=random_state)
    return list(folds.split(None, labels, patients))
