"""Class of recommendation for CRT after a guideline, as a classifier: rules as data, read from top to bottom.

guidelines.json names each guideline with its DOI, says which rules we could check and where, and lists them; the first
rule that holds gives the class, and where none holds the class is III. A rule may ask for QRS duration (`qrs_from`
included, `qrs_below` not), left bundle branch block or its absence (`lbbb`), LVEF (`lvef_to` included), NYHA class,
atrial fibrillation and sex. Indications that have nothing to do with conduction delay are left out.

Our choice: without QRS duration or pattern there is no class; a missing LVEF or NYHA class counts as fulfilled, since
the table is of patients chosen for CRT; unknown rhythm counts as sinus rhythm and unknown sex as male.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ml.baselines.one_column import LogisticCurve, labels_of, numbers_of, two_columns
from ml.response.predictors import Float, Int

CLASSES = ("III", "IIb", "IIa", "I")
COLUMNS = ("ecg_qrs_ms", "ecg_pattern", "lvef_percent", "nyha", "af", "sex")


@dataclass(frozen=True, kw_only=True)
class Rule:
    """All that is not None must hold; see the module.

    Attributes:
        recommended: class of recommendation.
        verified: whether we have read it anywhere.
        qrs_from, qrs_below: ms.
        lbbb, lvef_to, nyha, af, sex: of the patient.
    """

    recommended: str
    verified: bool
    qrs_from: float | None = None
    qrs_below: float | None = None
    lbbb: bool | None = None
    lvef_to: float | None = None
    nyha: tuple[int, ...] | None = None
    af: bool | None = None
    sex: str | None = None

    def holds(self, *, qrs_ms: float, lbbb: bool, lvef_percent: float, nyha: float, af: bool, sex: str | None) -> bool:
        """Whether it holds for a patient; LVEF and NYHA class may be nan."""
        return (
            (self.qrs_from is None or qrs_ms >= self.qrs_from)
            and (self.qrs_below is None or qrs_ms < self.qrs_below)
            and (self.lbbb is None or lbbb == self.lbbb)
            and (self.lvef_to is None or not lvef_percent > self.lvef_to)
            and (self.nyha is None or np.isnan(nyha) or nyha in self.nyha)
            and (self.af is None or af == self.af)
            and (self.sex is None or sex == self.sex)
        )


@dataclass(frozen=True, kw_only=True)
class Guideline:
    """A guideline as far as CRT for conduction delay goes.

    Attributes:
        title, doi: of the document.
        checked: what we could check, and where.
        rules: the first that holds counts.
    """

    title: str
    doi: str
    checked: str
    rules: tuple[Rule, ...]


def _read(entry: dict[str, Any]) -> Guideline:
    rules = []
    for row in entry.pop("rules"):
        nyha = row.pop("nyha", None)
        rules.append(Rule(recommended=row.pop("class"), nyha=None if nyha is None else tuple(nyha), **row))
    return Guideline(**entry, rules=tuple(rules))


@cache
def guidelines() -> Mapping[str, Guideline]:
    """The guidelines by name: esc-2021, hrs-2023."""
    text = Path(__file__).with_name("guidelines.json").read_text(encoding="utf-8")
    return {name: _read(entry) for name, entry in json.loads(text).items()}


def guideline_class(table: pd.DataFrame, guideline: str) -> tuple[str | None, ...]:
    """(n,) class of recommendation of each row, one of `CLASSES`, or None without QRS duration or pattern.

    Args:
        table: (n, ...) with the columns `COLUMNS`.
        guideline: "esc-2021" or "hrs-2023".

    Raises:
        ValueError: for another guideline, columns that are missing, or text where numbers should be.
    """
    if guideline not in guidelines():
        raise ValueError(f"no guideline {guideline!r}; there are {', '.join(guidelines())}")
    missing = [name for name in COLUMNS if name not in table.columns]
    if missing:
        raise ValueError(f"the table lacks {', '.join(missing)}")
    numbers = [numbers_of(table, name) for name in ("ecg_qrs_ms", "lvef_percent", "nyha")]
    flags = [table[name].astype(object).to_numpy() for name in ("ecg_pattern", "af", "sex")]
    found: list[str | None] = []
    for qrs_ms, lvef, nyha, pattern, af, sex in zip(*numbers, *flags, strict=True):
        if np.isnan(qrs_ms) or pd.isna(pattern):
            found.append(None)
            continue
        known = {
            "qrs_ms": qrs_ms,
            "lbbb": pattern == "lbbb",
            "lvef_percent": lvef,
            "nyha": nyha,
            # bool(nan) is True: unknown rhythm must not become fibrillation.
            "af": not pd.isna(af) and bool(af),
            "sex": None if pd.isna(sex) else sex,
        }
        holding = (rule.recommended for rule in guidelines()[guideline].rules if rule.holds(**known))
        found.append(next(holding, "III"))
    return tuple(found)


class GuidelineClass(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The class of recommendation as a number, 0 (III) to 3 (I), with a logistic curve fitted to the training rows.

    Args:
        guideline: "esc-2021" or "hrs-2023".
    """

    def __init__(self, guideline: str = "esc-2021") -> None:
        self.guideline = guideline

    def fit(self, X: pd.DataFrame, y: ArrayLike) -> Self:  # noqa: N803 (as scikit-learn)
        """Learn what the classes are worth.

        Raises:
            ValueError: as `guideline_class`, or if the outcomes are not 0 and 1.
        """
        self._curve = LogisticCurve().fit(self._ranks(X), labels_of(y))
        self.classes_ = np.array([0, 1])
        return self

    def predict_proba(self, X: pd.DataFrame) -> Float:  # noqa: N803
        """(n, 2) probabilities of 0 and 1."""
        check_is_fitted(self, "classes_")
        return two_columns(self._curve.chance(self._ranks(X)))

    def predict(self, X: pd.DataFrame) -> Int:  # noqa: N803
        """(n,) 1 where the probability is at least one half."""
        return (self.predict_proba(X)[:, 1] >= 0.5).astype(np.int64)

    def _ranks(self, table: pd.DataFrame) -> Float:
        classes = guideline_class(table, self.guideline)
        return np.array([np.nan if one is None else CLASSES.index(one) for one in classes])
