"""Which leads a heat map lights up: limb, precordial or both, as Mori et al. count them [doi:10.1111/jce.70212].

Published: of 36 responders, Grad-CAM highlighted precordial leads in 13, limb leads in 16, both in 7. The rule behind these
counts is not. Ours: a group is highlighted alone if it holds more than two thirds of the heat, that is, more than twice as
much as the other; otherwise both are. Each group has six of the twelve leads and half of the page, so that even heat
counts as both. A map without heat counts as none.
"""

from collections.abc import Iterable
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ml.ecg.recording import LIMB_LEADS, STANDARD_LEADS, Float
from ml.page_image import MODEL_ROWS

Highlighted: TypeAlias = Literal["limb", "precordial", "both", "none"]
GROUPS: tuple[Highlighted, ...] = ("precordial", "limb", "both", "none")
ALONE = 2 / 3
# Of the same groups in the 36 responders.
PUBLISHED: dict[Highlighted, int] = {"precordial": 13, "limb": 16, "both": 7}


def lead_shares(maps: NDArray[np.floating]) -> Float:
    """(n, 12) share of each standard lead in the heat of (n, rows, samples) maps, one map per lead.

    24 rows, the leads of two recordings, are added up lead by lead. Rows of a map without heat are NaN.

    Raises:
        ValueError: if the rows are no multiple of 12, or heat is negative.
    """
    heat = _checked(maps, 3)
    if heat.shape[1] % len(STANDARD_LEADS):
        raise ValueError(f"maps have {heat.shape[1]} rows, need 12 for each recording")
    return _shares(heat.sum(axis=2).reshape(len(heat), -1, len(STANDARD_LEADS)).sum(axis=1))


def limb_share(maps: NDArray[np.floating]) -> Float:
    """(n,) share of the limb leads in the heat; NaN where there is none.

    Args:
        maps: (n, rows, samples) one map per lead, see `lead_shares`; or (n, 1, height, width) on `model_image`'s page,
            whose columns are the limb leads, then the chest leads. Pixels count for the column of their centre.

    Raises:
        ValueError: as `lead_shares`.
    """
    if np.ndim(maps) == 3:
        total: Float = lead_shares(maps)[:, : len(LIMB_LEADS)].sum(axis=1)
        return total
    heat = _checked(maps, 4)
    columns = len(MODEL_ROWS[0])
    of_limb = np.array([all(row[column] in LIMB_LEADS for row in MODEL_ROWS) for column in range(columns)])
    width = heat.shape[3]
    in_limb = of_limb[((np.arange(width) + 0.5) * columns / width).astype(np.int64)]
    by_column = heat.sum(axis=(1, 2))
    halves = np.stack([by_column[:, in_limb].sum(axis=1), by_column[:, ~in_limb].sum(axis=1)], axis=1)
    share: Float = _shares(halves)[:, 0]
    return share


def highlighted(share: float) -> Highlighted:
    """The leads that a map highlights, by the share of the limb leads in its heat.

    Example:
        >>> highlighted(0.7), highlighted(0.5), highlighted(float("nan"))
        ('limb', 'both', 'none')
    """
    if np.isnan(share):
        return "none"
    return "limb" if share > ALONE else "precordial" if 1 - share > ALONE else "both"


def count_highlighted(shares: Iterable[float]) -> dict[Highlighted, int]:
    """How many maps highlight which leads."""
    found = [highlighted(share) for share in shares]
    return {group: found.count(group) for group in GROUPS}


def _checked(maps: NDArray[np.floating], dimensions: int) -> Float:
    heat = np.asarray(maps, dtype=np.float64)
    if heat.ndim != dimensions:
        raise ValueError(f"maps have shape {heat.shape}, need (n, rows, samples) or (n, 1, height, width)")
    if not (heat >= 0).all():
        raise ValueError(f"maps hold {heat[~(heat >= 0)][0]}; heat is 0 or more")
    return heat


def _shares(heat: Float) -> Float:
    total = heat.sum(axis=1, keepdims=True)
    shares: Float = np.divide(heat, total, out=np.full_like(heat, np.nan), where=total > 0)
    return shares
