"""Functional principal components: curves as a mean and a few weighted basis curves.

Curves x_i(t) of one or several leads, x_i = mean + sum_k score_ik phi_k, where the basis curves phi_k are orthonormal in

    <f, g> = sum over leads of the integral of f g dt

(trapezoidal rule over the sampling step) and take the largest share of the variance, one after the other. All leads of
an ECG share one score vector (multivariate components, Happ and Greven [arXiv:1509.02029], with equal weights), for
they see the same heart vector; for scores of a single lead, fit the curves of that lead.

The integral makes scores and variances independent of the sampling rate, up to the error of the rule. The sign of each
basis curve is such that its value of largest magnitude is positive.

Units: scores are in those of the curves times the square root of those of the step.
"""

from math import prod
from typing import Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.linalg import eigh
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from ml.ecg.recording import Float

# Few components are found by iteration: at most so many blocks, each of so many columns more than asked for, to this
# residual as a share of the largest squared singular value (about all that double precision has).
_MOST_BLOCKS = 12
_SPARE = 4
_TOLERANCE = 1e-13
# Share of the mean in the sum of squares up to which it is subtracted afterwards, at the loss of one digit.
_MOST_MEAN = 0.9
# Values that are looked at together: few enough to stay in the cache.
_PART = 50_000


class FunctionalPca(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Functional principal component analysis of curves (n, samples) or (n, leads, samples).

    Args:
        n_components: how many; a number between 0 and 1 for as many as explain that share of the variance; None for
            all, min(n - 1, leads x samples), from which the curves are rebuilt exactly.
        step: from one sample to the next.

    Attributes:
        mean_: (leads, samples) or (samples,), like one curve.
        components_: (k, leads, samples) or (k, samples), the basis curves.
        explained_variance_: (k,) variances of the scores, falling.
        explained_share_: (k,) the same over the total variance.
    """

    mean_: Float
    components_: Float
    explained_variance_: Float
    explained_share_: Float

    def __init__(self, n_components: int | float | None = 0.95, *, step: float = 1.0) -> None:
        self.n_components = n_components
        self.step = step

    def fit(self, X: ArrayLike, y: object = None) -> Self:  # noqa: N803, ARG002 (as scikit-learn)
        """Find mean and basis; y is not used.

        Raises:
            ValueError: if the curves are fewer than two, not finite or all the same, or `n_components` or `step` is out
                of range.
        """
        self._fit(_checked(X))
        return self

    def fit_transform(self, X: ArrayLike, y: object = None) -> Float:  # noqa: N803, ARG002 (as scikit-learn)
        """The scores of the curves of `fit`, which are looked through once."""
        curves = _checked(X)
        self._fit(curves)
        return self._scores(curves)

    def _fit(self, curves: Float) -> None:
        if len(curves) < 2:
            raise ValueError(f"X holds {len(curves)} curve, components need at least 2")
        if not 0 < self.step < np.inf:
            raise ValueError(f"step is {self.step}, need a number > 0")
        most = min(len(curves) - 1, prod(curves.shape[1:]))
        number = self.n_components
        if number is not None and not (0 < number < 1 or (number in range(1, most + 1))):
            raise ValueError(
                f"n_components is {number}; {len(curves)} curves of {prod(curves.shape[1:])} values have 1 to {most} "
                "components, and a share lies between 0 and 1"
            )
        self.mean_ = _mean(curves)
        rows, mean = curves.reshape(len(curves), -1), self.mean_.ravel()
        weights = self._weights()
        root = np.sqrt(weights)
        wanted = most if number is None or number < 1 else int(number)
        total, squares, basis = _largest(rows, mean, root, wanted)
        if total <= 1e-24 * float(mean**2 @ weights) * len(rows):
            raise ValueError("all curves are the same: there is no variance to explain")
        if number is not None and number < 1:
            kept = 1 + int(np.searchsorted(np.cumsum(squares) / total, number))
            squares, basis = squares[:kept], basis[:kept]
        basis /= root
        signs = np.sign(basis[np.arange(len(basis)), np.abs(basis).argmax(axis=1)])
        self.components_ = (basis * signs[:, None]).reshape(-1, *self.mean_.shape)
        self.explained_variance_ = squares / (len(rows) - 1)
        self.explained_share_ = squares / total

    def transform(self, X: ArrayLike) -> Float:  # noqa: N803
        """(n, k) scores of curves shaped like those of `fit`."""
        check_is_fitted(self)
        return self._scores(_checked(X))

    def _scores(self, curves: Float) -> Float:
        if curves.shape[1:] != self.mean_.shape:
            raise ValueError(f"X has curves of shape {curves.shape[1:]}, the basis has {self.mean_.shape}")
        weighted = (self.components_.reshape(len(self.components_), -1) * self._weights()).T
        scores: Float = curves.reshape(len(curves), -1) @ weighted - self.mean_.ravel() @ weighted
        return scores

    def inverse_transform(self, scores: ArrayLike) -> Float:
        """(n, leads, samples) or (n, samples) curves with these (n, k) scores."""
        curves: Float = self.mean_ + np.tensordot(np.asarray(scores, dtype=np.float64), self.components_, axes=1)
        return curves

    def _weights(self) -> Float:
        """(leads x samples,) of the trapezoidal rule."""
        weights = np.full(self.mean_.shape, float(self.step))
        weights[..., [0, -1]] /= 2
        return weights.ravel()


def _checked(curves: ArrayLike) -> Float:
    checked = np.asarray(curves, dtype=np.float64)
    if checked.ndim not in (2, 3) or checked.shape[-1] < 2:
        raise ValueError(f"X has shape {checked.shape}, need (n, samples) or (n, leads, samples), 2 samples or more")
    # A gap or an infinity shows in the mean, which is found in half the time of looking at every value.
    if not np.isfinite(_mean(checked)).all():
        bad = np.argwhere(~np.isfinite(checked))
        if bad.size:
            raise ValueError(
                f"X{bad[0].tolist()} is {checked[tuple(bad[0])]} ({len(bad)} of {checked.size} values are not finite); "
                "leave out the curves with gaps"
            )
    return checked


def _mean(curves: Float) -> Float:
    """Over the curves, by one product of matrices."""
    with np.errstate(invalid="ignore", over="ignore"):
        mean: Float = np.full(len(curves), 1 / max(len(curves), 1)) @ curves.reshape(len(curves), -1)
    return mean.reshape(curves.shape[1:])


def _largest(rows: Float, mean: Float, root: Float, number: int) -> tuple[float, Float, Float]:
    """The sum of all squared singular values of (rows - mean) root, the `number` largest, falling, and their right vectors.

    Few of many are found by iteration. Else they are those of the smaller of the two matrices of products, which is as
    exact as a singular value decomposition down to about 1e-7 of the largest value; below, their order is lost.
    """
    few = 2 * _MOST_BLOCKS * (number + _SPARE) <= min(rows.shape)
    found = _few_largest(rows, mean, root, number) if few else None
    if found is not None:
        parts = np.array_split(rows, 1 + rows.size // _PART)
        return sum(float((np.square(part - mean) @ np.square(root)).sum()) for part in parts), *found
    wide = len(rows) < rows.shape[1]
    centred = (rows - mean) * root if wide else None
    products = _products(rows, mean, root) if centred is None else centred @ centred.T
    total = float(np.trace(products))
    squares, vectors = eigh(products, subset_by_index=(len(products) - number, len(products) - 1), overwrite_a=True)
    squares, vectors = np.maximum(squares[::-1], 0.0), vectors[:, ::-1]
    if centred is not None:
        # Orthogonal again where a small singular value would have spoilt it.
        vectors, _ = np.linalg.qr(centred.T @ vectors)
    return total, squares, vectors.T


def _products(rows: Float, mean: Float, root: Float) -> Float:
    """((rows - mean) root)' ((rows - mean) root), without a copy of `rows` where no digits are lost by that."""
    products: Float = rows.T @ rows
    of_mean = len(rows) * np.outer(mean, mean)
    if np.trace(of_mean) <= _MOST_MEAN * np.trace(products):
        products -= of_mean
    else:
        centred = rows - mean
        products = centred.T @ centred
    products *= root
    products *= root[:, None]
    return products


def _few_largest(rows: Float, mean: Float, root: Float, number: int) -> tuple[Float, Float] | None:
    """The same by a block Krylov iteration, which reads `rows` in place; None if it does not settle, as in noise.

    Block Lanczos with every block made orthogonal to all before it.
    """
    # A fixed start: the same curves give the same bits.
    start = np.random.default_rng(0).normal(size=(rows.shape[1], number + _SPARE))
    block, _ = np.linalg.qr(start)
    basis, images = np.empty((rows.shape[1], 0)), np.empty((rows.shape[1], 0))
    for _ in range(_MOST_BLOCKS):
        weighted = root[:, None] * block
        along = rows @ weighted - mean @ weighted
        image = root[:, None] * (rows.T @ along - np.outer(mean, along.sum(axis=0)))
        basis, images = np.hstack([basis, block]), np.hstack([images, image])
        squares, turn = np.linalg.eigh(basis.T @ images)
        squares, turn = squares[: -number - 1 : -1], turn[:, : -number - 1 : -1]
        vectors = basis @ turn
        if np.linalg.norm(images @ turn - vectors * squares, axis=0).max() <= _TOLERANCE * squares[0]:
            return squares, vectors.T
        for _ in range(2):  # once leaves rounding errors of the first blocks
            image, _ = np.linalg.qr(image - basis @ (basis.T @ image))
        block = image
    return None
