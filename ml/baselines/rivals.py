"""The baselines that a table allows, by the names that reports give them."""

from collections.abc import Collection

from sklearn.base import BaseEstimator
from sklearn.dummy import DummyClassifier

from ml.baselines.guideline import COLUMNS, GuidelineClass
from ml.baselines.naive_bayes import CATEGORIES, GAUSSIAN, NineVariableNaiveBayes
from ml.baselines.one_column import ExternalScore, OneColumn

_SCORE = "external_score"
_OF_NINE = (*GAUSSIAN, *CATEGORIES)
# name -> columns that it needs, all of them, and the classifier
_RIVALS: tuple[tuple[str, tuple[str, ...], BaseEstimator], ...] = (
    ("most common outcome", (), DummyClassifier(strategy="prior")),
    ("guideline class, ESC 2021", COLUMNS, GuidelineClass("esc-2021")),
    ("guideline class, HRS 2023", COLUMNS, GuidelineClass("hrs-2023")),
    ("QRS duration", ("ecg_qrs_ms",), OneColumn("ecg_qrs_ms")),
    ("QRS area", ("ecg_qrs_area_uvs",), OneColumn("ecg_qrs_area_uvs")),
    ("Q-LV, simulated", ("q_lv_ms",), OneColumn("q_lv_ms")),
    ("electrical resynchronisation, simulated", ("delta_index_ms",), OneColumn("delta_index_ms")),
    (
        "nine-variable naive Bayes (refit)",
        tuple(name for name in _OF_NINE if name != "epicardial_lead"),
        NineVariableNaiveBayes(),
    ),
    ("external score", (_SCORE,), ExternalScore(_SCORE)),
)


def rivals(columns: Collection[str]) -> dict[str, BaseEstimator]:
    """Unfitted baselines for a table with these columns; those that need others are left out.

    Naive Bayes needs eight of its nine columns: tables of sites seldom say whether a lead was epicardial.
    """
    return {name: rival for name, needed, rival in _RIVALS if set(needed) <= set(columns)}
