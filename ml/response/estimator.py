"""Will this patient respond to this site? Chance, interval, abstention and reasons from one table.

Two members read the same columns, an elastic-net logistic regression and boosted trees; a blend of their log-odds is
calibrated. What they are is said in `linear`, `trees`, `blend`; how all of it is chosen inside `fit` in `members`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any, Self, TypeVar, cast

import lightgbm
import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, ndtr
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ml.evaluation.splits import patient_numbers
from ml.model_store import JSON, ModelParts, from_settings
from ml.response.answers import ResponseAnswers
from ml.response.blend import Blend
from ml.response.design import Design, owner_of_columns
from ml.response.forest import Forest
from ml.response.members import Member, Members, fit_members
from ml.response.neighbours import Neighbours, neighbours_of
from ml.response.predictors import Float, Int, Predictor, encode
from ml.response.refits import Refits, refit
from ml.response.support import Support, fit_support, standardised

_Part = TypeVar("_Part", Design, Forest)


class ResponseModel(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Chance of response from a pandas table with one row per patient: the site where the lead was put.

    A row for another site of a known patient is a counterfactual: nobody saw its outcome. `answer` says how far each
    row lies from the training rows and abstains outside.

    Where a predictor `increases` (or falls), the chance never falls (or grows) with it while it is known.

    Args:
        predictors: what to read; leave a family out by leaving its predictors out.
        member: "ensemble", or one member alone.
        refits: behind each interval, two at least; 0: no intervals, in about a fifth of the time.
        neighbours: training patients named beside each answer.
        random_state: of inner folds, trees and resamples.

    Attributes:
        classes_: 0 and 1.
        base_log_odds_: what `contributions` add to.
    """

    classes_: Int
    base_log_odds_: float

    def __init__(
        self,
        predictors: Sequence[Predictor],
        *,
        member: Member = "ensemble",
        refits: int = 30,
        neighbours: int = 5,
        random_state: int = 0,
    ) -> None:
        self.predictors = predictors
        self.member = member
        self.refits = refits
        self.neighbours = neighbours
        self.random_state = random_state

    def fit(self, X: pd.DataFrame, y: ArrayLike, groups: ArrayLike | None = None) -> Self:  # noqa: N803 (scikit-learn)
        """Learn from (n, ...) rows and (n,) outcomes.

        Args:
            X: table with the predictors among its columns, in any order.
            y: 1 responded, 0 did not.
            groups: (n,) patient of each row; they stay together in inner folds and are named as neighbours, also in a
                saved model. The same rows in another order then give the same model. None: every row is another one.

        Raises:
            TypeError: if X is no table.
            ValueError: for columns that are missing or out of range (see `encode`), outcomes other than 0 and 1, fewer
                than two patients of a class, or settings that cannot be.
        """
        self._check_settings()
        numbers = encode(X, self.predictors)
        labels = _checked_labels(y, len(numbers))
        patients = patient_numbers(groups, len(labels))
        names = np.arange(len(labels)) if groups is None else np.asarray(groups)
        order = np.argsort(patients, kind="stable")
        numbers, labels, patients = numbers[order], labels[order], patients[order]
        owner = owner_of_columns(self.predictors)
        fitted = fit_members(
            numbers,
            labels,
            patients,
            owner=owner,
            increases=np.array([predictor.increases for predictor in self.predictors]),
            member=self.member,
            random_state=self.random_state,
        )
        self._members = fitted.members
        self._refits = None
        if self.refits:
            self._refits = refit(fitted, labels, patients, refits=self.refits, random_state=self.random_state)
        design = self._members.design
        self._support = fit_support(numbers, design, tuple(self.predictors[i].family for i in owner))
        self._neighbours = neighbours_of(
            standardised(numbers, design), labels, tuple(str(name) for name in names[order].tolist())
        )
        self.classes_ = np.array([0, 1])
        self.base_log_odds_ = self._members.contributions(numbers[:1], len(self.predictors))[1]
        return self

    def predict_proba(self, X: pd.DataFrame) -> Float:  # noqa: N803
        """(n, 2) probabilities of 0 and 1, also outside the training data."""
        numbers = self._encoded(X)
        chance = expit(self._members.log_odds(numbers))
        return np.column_stack([1 - chance, chance])

    def predict(self, X: pd.DataFrame) -> Int:  # noqa: N803
        """(n,) 1 where the probability is at least one half."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)

    def answer(self, X: pd.DataFrame) -> ResponseAnswers:  # noqa: N803
        """Probability, interval, support and neighbours of each row; see `refits` and `support` for what they mean."""
        numbers = self._encoded(X)
        log_odds = self._members.log_odds(numbers)
        design = self._members.design
        half = np.full(len(numbers), np.nan)
        if self._refits is not None:
            half = self._refits.half_width(numbers, self._members)
        distance, furthest = self._support.distance(numbers, design)
        return ResponseAnswers(
            probability=expit(log_odds),
            low=expit(log_odds - half),
            high=expit(log_odds + half),
            supported=distance <= 1,
            distance=distance,
            furthest=furthest,
            nearest=self._neighbours.nearest(standardised(numbers, design), self.neighbours),
        )

    def drift(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803
        """How far rows lie from the training rows as a group: what one patient cannot tell, a centre's patients can.

        One patient with a doubled gain looks like a person with high voltages; forty of them do not.

        Args:
            X: one row per patient, of one centre for example.

        Returns:
            For each encoded column that is known: `predictor`, `column`, `shift` (the mean, in about standard deviations
            of the training rows) and `p` (two-sided, normal, times the number of columns as by Bonferroni), least first.
        """
        numbers = self._encoded(X)
        shift, error = self._support.drift(numbers, self._members.design)
        p = np.minimum(2 * ndtr(-np.abs(shift) / error) * np.isfinite(shift).sum(), 1.0)
        columns = [(one.name, column) for one in self.predictors for column in one.columns]
        found = pd.DataFrame(columns, columns=["predictor", "column"]).assign(shift=shift, p=p)
        return found[np.isfinite(shift)].sort_values("p", kind="stable").reset_index(drop=True)

    def contributions(self, X: pd.DataFrame) -> pd.DataFrame:  # noqa: N803
        """(n, predictors) what each predictor adds to the log-odds; with `base_log_odds_` they are logit p."""
        numbers = self._encoded(X)
        found, _ = self._members.contributions(numbers, len(self.predictors))
        return pd.DataFrame(found, index=X.index, columns=[predictor.name for predictor in self.predictors])

    def parts(self) -> ModelParts:
        """The fitted model as data."""
        check_is_fitted(self, "classes_")
        members, refits, support, known = self._members, self._refits, self._support, self._neighbours
        arrays: dict[str, NDArray[Any]] = {
            **_arrays_of(members.design),
            "coefficients": members.coefficients,
            "support.family_of": support.family_of,
            "support.powers": support.powers,
            "support.centre": support.centre,
            "support.scale": support.scale,
            "support.covariance": support.covariance,
            "support.limits": support.limits,
            "neighbours.rows": known.rows,
            "neighbours.outcomes": known.outcomes,
        }
        if refits is not None:
            arrays |= {"refits.coefficients": refits.coefficients, "refits.calibration": refits.calibration}
            arrays["refits.shrinkage"] = refits.shrinkage
            arrays |= _arrays_of(refits.forest) if refits.forest is not None else {}
        state = {
            "blend": asdict(members.blend),
            "base_log_odds": self.base_log_odds_,
            "families": list(support.families),
            "limit": support.limit,
            "patients": list(known.patients),
        }
        settings = self.get_params(deep=False) | {"predictors": [asdict(predictor) for predictor in self.predictors]}
        texts = {} if members.booster is None else {"trees": members.booster.model_to_string()}
        return ModelParts(
            settings=cast(dict[str, JSON], settings), state=cast(dict[str, JSON], state), arrays=arrays, texts=texts
        )

    @classmethod
    def from_parts(cls, parts: ModelParts) -> Self:
        """The fitted model again.

        Raises:
            ValueError: if the parts do not belong together.
        """
        settings, state, arrays = parts.settings, cast(dict[str, Any], parts.state), parts.arrays
        predictors = tuple(
            Predictor(**(one | {"choices": tuple(one["choices"])})) for one in cast(Any, settings["predictors"])
        )
        model = from_settings(cls, settings)
        model.predictors = predictors
        design = _from_arrays(Design, arrays)
        owner = owner_of_columns(predictors)
        if design.owner.tolist() != owner.tolist() or len(design.centre) + 1 != len(arrays["coefficients"]):
            raise ValueError("its columns are not those of its predictors")
        model._members = Members(
            design=design,
            coefficients=arrays["coefficients"],
            booster=lightgbm.Booster(model_str=parts.texts["trees"]) if "trees" in parts.texts else None,
            blend=Blend(**state["blend"]),
        )
        model._refits = None
        if model.refits:
            model._refits = Refits(
                coefficients=arrays["refits.coefficients"],
                forest=_from_arrays(Forest, arrays) if "forest.feature" in arrays else None,
                calibration=arrays["refits.calibration"],
                shrinkage=arrays["refits.shrinkage"],
            )
        model._support = Support(
            families=tuple(state["families"]),
            family_of=arrays["support.family_of"],
            powers=arrays["support.powers"],
            centre=arrays["support.centre"],
            scale=arrays["support.scale"],
            covariance=arrays["support.covariance"],
            limits=arrays["support.limits"],
            limit=state["limit"],
        )
        model._neighbours = Neighbours(
            rows=arrays["neighbours.rows"],
            outcomes=arrays["neighbours.outcomes"],
            patients=tuple(state["patients"]),
        )
        model.classes_ = np.array([0, 1])
        model.base_log_odds_ = state["base_log_odds"]
        return model

    def _encoded(self, table: pd.DataFrame) -> Float:
        check_is_fitted(self, "classes_")
        return encode(table, self.predictors)

    def _check_settings(self) -> None:
        names = [predictor.name for predictor in self.predictors]
        if not names or len(set(names)) < len(names):
            raise ValueError(f"predictors {names} must be at least one, all different")
        if self.refits < 0 or self.refits == 1 or self.neighbours < 0:
            raise ValueError(
                f"refits = {self.refits}, neighbours = {self.neighbours}; need 0, or 2 and more, and 0 or more"
            )
        if self.member not in ("ensemble", "linear", "trees"):
            raise ValueError(f"member = {self.member!r}, need ensemble, linear or trees")


def _checked_labels(y: ArrayLike, n: int) -> Float:
    labels = np.asarray(y)
    if labels.shape != (n,):
        raise ValueError(f"y has shape {labels.shape}, need ({n},): one outcome per row")
    wrong = np.flatnonzero(~np.isin(labels, (0, 1)))
    if wrong.size:
        raise ValueError(
            f"y[{wrong[0]}] = {labels[wrong[0]]} ({wrong.size} of {n} are neither 0 nor 1); leave them out"
        )
    found = labels.astype(np.float64)
    if np.ptp(found) == 0:
        raise ValueError(f"all {n} outcomes are {found[0]:g}; need responders and non-responders")
    return found


def _arrays_of(part: Design | Forest) -> dict[str, NDArray[Any]]:
    """Its fields by name; a number is an array without axes."""
    prefix = type(part).__name__.lower()
    return {f"{prefix}.{field.name}": np.asarray(getattr(part, field.name)) for field in fields(part)}


def _from_arrays(kind: type[_Part], arrays: Mapping[str, NDArray[Any]]) -> _Part:
    found: dict[str, Any] = {field.name: arrays[f"{kind.__name__.lower()}.{field.name}"] for field in fields(kind)}
    return kind(**{name: array if array.ndim else array.item() for name, array in found.items()})
