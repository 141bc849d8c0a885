"""Two groups of patients from the shape of their QRS, without outcomes.

The median QRS of each of 12 leads is stretched to 200 samples; these 2400 numbers and the QRS duration are standardised
one by one over the ECGs, projected on two principal components, and split by k-means with k = 2: Feeny 2020
[doi:10.1161/CIRCEP.119.008210] and its supplement. The published fit is not available: a fit on other patients gives
other groups.

Our choice, so that the same patients always give the same numbers: a component counts positive towards longer QRS (on a
warped time axis: where its largest weight points), and group 0 lies lower on the first component than group 1. The
published groups 1 and 2 are numbered by their outcome, which is not known here.

Units: mV, ms.
"""

from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, ClusterMixin, TransformerMixin
from sklearn.cluster import KMeans
from sklearn.utils.validation import check_is_fitted

from ml.complexes import complexes
from ml.ecg.recording import STANDARD_LEADS, Float, Int
from ml.model_store import ModelParts, from_settings, settings_of
from ml.signals import as_signals

COMPONENTS = 2
GROUPS = 2


class QrsPca(ClusterMixin, TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Groups of (n, leads, samples) recordings or averaged beats in mV by their QRS.

    Args:
        sampling_hz: of the signals.
        leads: names of the rows of each ECG.
        real_time: False for beats with a warped time axis: the QRS duration is left out.
        random_state: of the starts of k-means.

    Attributes:
        labels_: (n,) group of each ECG of the fit, 0 or 1.
        explained_share_: (2,) share of the variance that each component explains.
    """

    labels_: Int
    explained_share_: Float

    def __init__(
        self,
        sampling_hz: float = 500.0,
        *,
        leads: tuple[str, ...] = STANDARD_LEADS,
        real_time: bool = True,
        random_state: int = 0,
    ) -> None:
        self.sampling_hz = sampling_hz
        self.leads = leads
        self.real_time = real_time
        self.random_state = random_state

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: N803, ARG002 (as scikit-learn)
        """Find components and groups; y is not used.

        Raises:
            ValueError: if the signals do not pass `as_signals` or hold no heartbeat, or differ in fewer than two ways.
        """
        rows = self._rows(X)
        if len(rows) <= COMPONENTS:
            raise ValueError(f"X holds {len(rows)} ECGs, two components need at least {COMPONENTS + 1}")
        self._mean, spread = rows.mean(axis=0), rows.std(axis=0)
        self._scale = np.where(spread > 0, spread, 1.0)
        _, sizes, basis = np.linalg.svd((rows - self._mean) / self._scale, full_matrices=False)
        if sizes[COMPONENTS - 1] <= 1e-9 * sizes[0] or sizes[0] == 0:
            raise ValueError(f"the {len(rows)} ECGs differ in fewer than two ways; are they copies of one another?")
        basis = basis[:COMPONENTS]
        leading = basis[:, -1] if self.real_time else basis[np.arange(COMPONENTS), np.abs(basis).argmax(axis=1)]
        self._basis = basis * np.where(leading < 0, -1.0, 1.0)[:, None]
        self.explained_share_ = sizes[:COMPONENTS] ** 2 / (sizes**2).sum()
        scores = self._scores(rows)
        centres = KMeans(GROUPS, n_init=10, random_state=self.random_state).fit(scores).cluster_centers_
        self._centres = centres[np.argsort(centres[:, 0])]
        self.labels_ = self._nearest(scores)
        return self

    def transform(self, X: ArrayLike) -> Float:  # noqa: N803
        """(n, 2) scores on the components, in standard deviations of the single numbers."""
        check_is_fitted(self)
        return self._scores(self._rows(X))

    def predict(self, X: ArrayLike) -> Int:  # noqa: N803
        """(n,) the group, 0 or 1, whose centre is nearest."""
        return self._nearest(self.transform(X))

    def parts(self) -> ModelParts:
        """The fitted model as data."""
        arrays = {"mean": self._mean, "scale": self._scale, "basis": self._basis, "centres": self._centres}
        arrays |= {"labels": self.labels_, "explained_share": self.explained_share_}
        return ModelParts(settings=settings_of(self), arrays=arrays)

    @classmethod
    def from_parts(cls, parts: ModelParts) -> Self:
        """The fitted model again.

        Raises:
            ValueError: if the parts do not belong together.
        """
        model, arrays = from_settings(cls, parts.settings), parts.arrays
        model._mean, model._scale, model._basis = arrays["mean"], arrays["scale"], arrays["basis"]
        model._centres, model.labels_ = arrays["centres"], arrays["labels"]
        model.explained_share_ = arrays["explained_share"]
        if model._basis.shape != (COMPONENTS, *model._mean.shape) or model._centres.shape != (GROUPS, COMPONENTS):
            raise ValueError(f"the basis has shape {model._basis.shape}, the centres {model._centres.shape}")
        return model

    def _rows(self, X: ArrayLike) -> Float:  # noqa: N803
        """(n, 2401) or, without real time, (n, 2400)."""
        measured = complexes(as_signals(X, self.leads, self.sampling_hz), self.sampling_hz)
        shapes = measured.qrs_mv.reshape(len(measured), -1)
        return np.column_stack([shapes, measured.qrs_ms]) if self.real_time else shapes

    def _scores(self, rows: Float) -> Float:
        scores: Float = ((rows - self._mean) / self._scale) @ self._basis.T
        return scores

    def _nearest(self, scores: Float) -> Int:
        distances = np.linalg.norm(scores[:, None] - self._centres, axis=2)
        nearest: Int = distances.argmin(axis=1)
        return nearest
