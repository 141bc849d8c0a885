"""Gradient-boosted trees on measurements of the ECG: from signals to probabilities.

Signals -> measured table (`ml.ecg_features`) and functional principal components of the QRS (`ml.fpca`, fitted on the
training ECGs) -> LightGBM. Mori 2025 [doi:10.1111/jce.70212] names LightGBM on time-series data and neither features nor
settings: all of them are our choice.

`fit_trees` is the same learner for tables of any kind.

Units: mV, Hz.
"""

from collections.abc import Sequence
from typing import Any, Self, TypeAlias, cast

import lightgbm
import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.validation import check_is_fitted

from ml.complexes import QRS_SAMPLES, Complexes, complexes
from ml.ecg.recording import CHEST_LEADS, STANDARD_LEADS, Float
from ml.ecg_features import Column, columns, feature_table
from ml.fpca import FunctionalPca
from ml.model_store import JSON, ModelParts, from_settings, settings_of
from ml.signals import as_signals

Labels: TypeAlias = NDArray[Any]

# The other four limb leads follow from these: they would only count the same curves twice.
_FPCA_LEADS = [STANDARD_LEADS.index(name) for name in ("I", "II", *CHEST_LEADS)]

# For tables of tens to hundreds of rows (our choice): small trees, coarse bins and a tenth of the columns per tree. On
# 285 x 500 they take a fourth of the time of LightGBM's own settings or less, and separate as well.
_SETTINGS: dict[str, object] = {
    "learning_rate": 0.05,
    "num_leaves": 8,
    "min_data_in_leaf": 5,
    "max_bin": 31,
    "verbosity": -1,
    # Without the choice of a layout by timing, and with sums in a fixed order: the same bits each time.
    "deterministic": True,
    "force_row_wise": True,
}
_COLUMN_SHARE = 0.1
_LEAST_COLUMNS = 10


def fit_trees(
    table: Float, classes: NDArray[np.int64], *, names: Sequence[str], trees: int, threads: int, random_state: int
) -> lightgbm.Booster:
    """LightGBM with settings for few rows.

    Args:
        table: (n, columns); NaN is "missing" and has its own way down each tree.
        classes: (n,) 0, 1, ... without gaps, at least two.
        names: of the columns.
        trees: boosting rounds.
        threads: of LightGBM; they change the time alone.
        random_state: which columns each tree sees.
    """
    number = int(classes.max()) + 1
    settings = {
        **_SETTINGS,
        **({"objective": "binary"} if number == 2 else {"objective": "multiclass", "num_class": number}),
        "feature_fraction": min(1.0, max(_COLUMN_SHARE, _LEAST_COLUMNS / table.shape[1])),
        "num_threads": threads,
        "seed": random_state,
    }
    data = lightgbm.Dataset(table, classes, feature_name=list(names), params=settings)
    return lightgbm.train(settings, data, num_boost_round=trees)


class LightGbmClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Two or more classes from 12-lead recordings or averaged beats, by measurements and boosted trees.

    With fewer than 10 ECGs no tree can split, and every probability is the share of its class.

    Args:
        sampling_hz: of the signals.
        leads: names of the rows of each ECG.
        real_time: False for beats with a warped time axis: every feature that needs real time is left out.
        components: functional principal components of the QRS; fewer where there are fewer ECGs.
        trees: boosting rounds.
        threads: of LightGBM; they change the time alone.
        random_state: which columns each tree sees.

    Attributes:
        classes_: (classes,) labels, sorted.
        columns_: what the trees see.
    """

    classes_: Labels
    columns_: tuple[Column, ...]

    def __init__(
        self,
        sampling_hz: float = 500.0,
        *,
        leads: tuple[str, ...] = STANDARD_LEADS,
        real_time: bool = True,
        components: int = 10,
        trees: int = 200,
        threads: int = 1,
        random_state: int = 0,
    ) -> None:
        self.sampling_hz = sampling_hz
        self.leads = leads
        self.real_time = real_time
        self.components = components
        self.trees = trees
        self.threads = threads
        self.random_state = random_state

    def check_settings(self) -> None:
        """Find what no data could make right; `fit` does so, too.

        Raises:
            ValueError: naming the setting.
        """
        for name, least in (("trees", 1), ("components", 1), ("threads", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} is {getattr(self, name)}, need at least {least}")

    def fit(self, X: ArrayLike, y: ArrayLike) -> Self:  # noqa: N803 (as scikit-learn)
        """Learn from (n, leads, samples) mV and (n,) labels.

        Raises:
            ValueError: if the signals do not pass `as_signals` or hold no heartbeat, the labels are too few or all the
                same, or a setting is impossible.
        """
        self.check_settings()
        signals, labels = as_signals(X, self.leads, self.sampling_hz), np.asarray(y)
        if labels.shape != (len(signals),):
            raise ValueError(f"y has shape {labels.shape}, need one label for each of the {len(signals)} ECGs")
        missing = np.flatnonzero(labels != labels)  # NaN differs from itself
        if missing.size:
            raise ValueError(
                f"y[{missing[0]}] is {labels[missing[0]]} ({missing.size} of {len(labels)} labels are missing); leave those "
                "ECGs out"
            )
        self.classes_, classes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"every label is {self.classes_[0]}; a classifier needs at least two classes")
        measured = complexes(signals, self.sampling_hz)
        components = min(self.components, len(measured) - 1)
        self._fpca = FunctionalPca(components, step=1 / (QRS_SAMPLES - 1)).fit(measured.qrs_mv[:, _FPCA_LEADS])
        self.columns_ = _columns(self.real_time, components)
        self._booster = fit_trees(
            self._table(measured),
            classes.astype(np.int64),
            names=[column.name for column in self.columns_],
            trees=self.trees,
            threads=self.threads,
            random_state=self.random_state,
        )
        return self

    def predict_proba(self, X: ArrayLike) -> Float:  # noqa: N803
        """(n, classes) probabilities."""
        table = self.table(X)
        found = cast(Float, self._booster.predict(table, num_threads=self.threads))
        return np.stack([1 - found, found], axis=1) if found.ndim == 1 else found

    def predict(self, X: ArrayLike) -> Labels:  # noqa: N803
        """(n,) the label of the largest probability."""
        most = self.predict_proba(X).argmax(axis=1)
        found: Labels = self.classes_[most]
        return found

    def table(self, X: ArrayLike) -> Float:  # noqa: N803
        """(n, columns) what the trees see: `columns_` says what is what."""
        check_is_fitted(self)
        return self._table(complexes(as_signals(X, self.leads, self.sampling_hz), self.sampling_hz))

    def contributions(self, X: ArrayLike) -> Float:  # noqa: N803
        """What each column adds to each ECG's log-odds: exact SHAP values of trees (Lundberg 2018, arXiv:1802.03888).

        Returns:
            (n, outputs, columns + 1): the last is what holds without any column, and the sum over all is the output.
            Two classes have one output, the log-odds of the second; more have one each, before the softmax.
        """
        table = self.table(X)
        found = cast(Float, self._booster.predict(table, pred_contrib=True, num_threads=self.threads))
        return found.reshape(len(found), -1, len(self.columns_) + 1)

    def parts(self) -> ModelParts:
        """The fitted model as data."""
        return ModelParts(
            settings=settings_of(self),
            state={"classes": cast(JSON, self.classes_.tolist())},
            arrays={"fpca_mean": self._fpca.mean_, "fpca_components": self._fpca.components_},
            texts={"trees": self._booster.model_to_string()},
        )

    @classmethod
    def from_parts(cls, parts: ModelParts) -> Self:
        """The fitted model again.

        Raises:
            ValueError: if the parts do not belong together.
        """
        model = from_settings(cls, parts.settings)
        model.classes_ = np.array(parts.state["classes"])
        mean, components = parts.arrays["fpca_mean"], parts.arrays["fpca_components"]
        if mean.shape != (len(_FPCA_LEADS), QRS_SAMPLES) or components.shape[1:] != mean.shape:
            raise ValueError(f"the basis has shapes {mean.shape} and {components.shape}")
        model._fpca = FunctionalPca(len(components), step=1 / (QRS_SAMPLES - 1))
        model._fpca.mean_, model._fpca.components_ = mean, components
        model.columns_ = _columns(model.real_time, len(components))
        model._booster = lightgbm.Booster(model_str=parts.texts["trees"])
        names = [column.name for column in model.columns_]
        if model._booster.feature_name() != names:
            raise ValueError("its trees were fitted to other columns than this version measures")
        return model

    def _table(self, measured: Complexes) -> Float:
        scores = self._fpca.transform(measured.qrs_mv[:, _FPCA_LEADS])
        return np.hstack([feature_table(measured, real_time=self.real_time), scores])


def _columns(real_time: bool, components: int) -> tuple[Column, ...]:
    scores = (
        Column(name=f"qrs_component_{i + 1}_mv", unit="mV", meaning=f"score of the QRS on component {i + 1}, all leads")
        for i in range(components)
    )
    return (*columns(real_time=real_time), *scores)
