"""How far a row lies from the training rows: a site unlike any that was ever paced has no answer, only a guess.

Mahalanobis distance [1936, Proc. Natl. Inst. Sci. India 2, 49-55] of the filled and standardised columns from their mean,

    D^2 = (x - m)' inv(C + 0.1 I) (x - m),

once for all columns and once for each family of predictors, since a strange place is lost among sixty columns but not
among three; and once for each column by itself, brought near to a normal distribution by a power [Yeo and Johnson 2000,
doi:10.1093/biomet/87.4.954], since volumes and shares are skewed and half the usual volume is as odd as twice. 0.1 (our
choice) keeps columns that say the same from counting small differences for large ones. Each D is divided by the 99th
percentile of the same distance of the training rows, each measured with itself left out; the largest of these ratios is
divided by its own 95th percentile. So 1 is the border, and about one in twenty like the training rows lies beyond it (our
choice: so many are asked to wait for a second look so that more of the odd ones are seen). At the 99th percentile a word
that few patients have moves the border for these few only.

Infinitely far are a row with another value in a column that never changed in training, and one that lacks over half of
the predictors that training always had.
"""

from dataclasses import dataclass

import numpy as np
from scipy.stats import yeojohnson
from sklearn.preprocessing import PowerTransformer

from ml.response.design import Design
from ml.response.predictors import Float, Int

ALL = "all"
MISSING = "missing"
_RIDGE = 0.1
_USUAL, _INSIDE = 0.99, 0.95
_MISSING = 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Support:
    """Where the training rows lie.

    Attributes:
        families: (f,) names.
        family_of: (c,) number of the family of each column.
        covariance: (c, c) of the standardised columns.
        powers: (c,) of Yeo and Johnson for each standardised column.
        centre, scale: (c,) mean and deviation of what they give; scale 1 for a column that never changes.
        limits: (f + 1 + c,) 99th percentile of the distance in each family, in all columns, and in each by itself.
        limit: 95th percentile of the largest ratio.
    """

    families: tuple[str, ...]
    family_of: Int
    covariance: Float
    powers: Float
    centre: Float
    scale: Float
    limits: Float
    limit: float

    def scores(self, numbers: Float, design: Design) -> Float:
        """(n, c) filled columns with about a standard normal distribution in training."""
        return (_powered(standardised(numbers, design), self.powers) - self.centre) / self.scale

    def drift(self, numbers: Float, design: Design) -> tuple[Float, Float]:
        """(c,) mean score of the known values of n rows, and its standard error were they drawn like the training rows.

        nan where nothing is known, here or in training.
        """
        known = np.where(np.isnan(numbers) | design.unknown, np.nan, self.scores(numbers, design))
        count = np.isfinite(known).sum(axis=0)
        usable = np.where(count > 0, count, np.nan)
        return np.nansum(known, axis=0) / usable, 1 / np.sqrt(usable)

    def distance(self, numbers: Float, design: Design) -> tuple[Float, tuple[str, ...]]:
        """(n,) distances of (n, c) encoded rows, 1 at the border, and the (n,) names of what lies furthest out."""
        plain, scores = standardised(numbers, design), self.scores(numbers, design)
        blocks = _blocks(self.family_of, len(self.families))
        squares = [_squares(plain[:, block], self.covariance[np.ix_(block, block)]) for block in blocks]
        squares += [_squares(scores[:, [column]], np.eye(1)) for column in range(len(self.family_of))]
        ratios = np.sqrt(np.stack(squares)) / self.limits[:, None]
        odd = (plain != 0) & design.constant & ~design.unknown
        for family in range(len(self.families)):
            ratios[family, odd[:, self.family_of == family].any(axis=1)] = np.inf
        distance = ratios.max(axis=0) / self.limit
        of_families = np.array([*self.families, ALL], dtype=object)
        names = np.concatenate([of_families, of_families[self.family_of]])[ratios.argmax(axis=0)]
        always = ~np.isin(design.owner, design.gaps)
        blind = np.isnan(numbers[:, always]).mean(axis=1) > _MISSING if always.any() else np.zeros(len(numbers), bool)
        distance[blind], names[blind] = np.inf, MISSING
        return distance, tuple(names.tolist())


def fit_support(numbers: Float, design: Design, families: tuple[str, ...]) -> Support:
    """Support of (n, c) encoded rows with the family of each column."""
    names, family_of = np.unique(np.array(families), return_inverse=True)
    plain = standardised(numbers, design)
    changes = np.flatnonzero(~design.constant & ~design.unknown)
    powers = np.ones(plain.shape[1])
    if changes.size:
        powers[changes] = PowerTransformer(standardize=False).fit(plain[:, changes]).lambdas_
    powered = _powered(plain, powers)
    centre, scale = powered.mean(axis=0), powered.std(axis=0)
    scale[scale == 0] = 1.0
    scores = (powered - centre) / scale
    covariance = plain.T @ plain / len(plain)
    left_out = [
        left_out_squares(plain[:, block], covariance[np.ix_(block, block)]) for block in _blocks(family_of, len(names))
    ]
    left_out += [left_out_squares(scores[:, [column]], np.eye(1)) for column in range(scores.shape[1])]
    distances = np.sqrt(np.stack(left_out))
    limits = np.quantile(distances, _USUAL, axis=1)
    limits[limits == 0] = 1.0  # where no column changes
    return Support(
        families=tuple(names.tolist()),
        family_of=family_of.astype(np.int64),
        covariance=covariance,
        powers=powers,
        centre=centre,
        scale=scale,
        limits=limits,
        limit=float(np.quantile((distances / limits[:, None]).max(axis=0), _INSIDE)) or 1.0,
    )


def standardised(numbers: Float, design: Design) -> Float:
    """(n, c) filled columns with mean 0 and standard deviation 1 in training; 0 in a column that training never had."""
    columns = len(design.owner)
    scaled: Float = (design.filled(numbers) - design.centre[:columns]) / design.scale[:columns]
    return np.where(design.unknown, 0.0, scaled)


def left_out_squares(scaled: Float, covariance: Float) -> Float:
    """(n,) D^2 of each training row from the mean and covariance of the others, with a ridge of 0.1 n / (n - 1).

    With one row left out of n, C + 0.1 I becomes n/(n - 1) (C + 0.1 I - d d'/(n - 1)), where d is its distance from the
    mean, and that distance becomes n/(n - 1) d; the inverse follows by Sherman and Morrison
    [1950, doi:10.1214/aoms/1177729893].
    """
    n = len(scaled)
    squares = _squares(scaled, covariance)
    return n / (n - 1) * squares / (1 - squares / (n - 1))


def _powered(scaled: Float, powers: Float) -> Float:
    return np.stack([yeojohnson(column, power) for column, power in zip(scaled.T, powers, strict=True)], axis=1)


def _squares(scaled: Float, covariance: Float) -> Float:
    half = np.linalg.solve(np.linalg.cholesky(covariance + _RIDGE * np.eye(len(covariance))), scaled.T)
    squares: Float = (half**2).sum(axis=0)
    return squares


def _blocks(family_of: Int, families: int) -> list[Int]:
    """Columns of each family, then all."""
    return [*(np.flatnonzero(family_of == family) for family in range(families)), np.arange(len(family_of))]
