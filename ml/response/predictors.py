"""What a response model reads: columns of a table with their ranges, checked all at once and turned into numbers.

Numbers stay as they are, yes/no becomes 0/1, and a text of k choices becomes k columns of 0/1 (one if k = 2, for the
second choice). What is missing is NaN; so is a text that is none of the choices.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from numpy.typing import NDArray

Float = NDArray[np.float64]
Int = NDArray[np.int64]

_SHOWN = 8  # faults named in one message


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """One column that a response model reads.

    Attributes:
        name: of the column.
        family: of columns that are measured together, such as "ecg"; support is judged family by family.
        low, high: bounds of a number, both included; None for text, 0 and 1 for yes/no.
        increases: +1 or -1 where the chance of response is known to grow or fall with the number; 0: not known.
        choices: what a text may be; empty for numbers.
    """

    name: str
    family: str
    low: float | None = None
    high: float | None = None
    increases: int = 0
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.choices:
            if len(set(self.choices)) != len(self.choices) or len(self.choices) < 2:
                raise ValueError(f"{self.name}: choices {self.choices} must be two or more, all different")
            if self.increases or self.low is not None or self.high is not None:
                raise ValueError(f"{self.name}: a text has choices, but no bounds and no direction")
        elif self.low is None or self.high is None or not -np.inf < self.low < self.high < np.inf:
            raise ValueError(f"{self.name}: need finite low < high, got {self.low} and {self.high}; text needs choices")
        if self.increases not in (-1, 0, 1):
            raise ValueError(f"{self.name}: increases is {self.increases}, need -1, 0 or 1")

    @property
    def columns(self) -> tuple[str, ...]:
        """Names of the numbers that it becomes."""
        if not self.choices:
            return (self.name,)
        named = self.choices if len(self.choices) > 2 else self.choices[1:]
        return tuple(f"{self.name}={choice}" for choice in named)


def encode(table: pd.DataFrame, predictors: Sequence[Predictor]) -> Float:
    """(n, columns) numbers of the predictors, in their order; NaN is missing.

    Args:
        table: (n, ...) one row per patient or site; columns in any order, further ones are not looked at.
        predictors: what to read.

    Raises:
        TypeError: if it is no pandas table.
        ValueError: naming every missing or repeated column; or every column with text for a number or a number out of
            its range (infinite ones, too), with the first such row.
    """
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"X is a {type(table).__name__}; a response model reads a pandas table with named columns")
    missing = [predictor.name for predictor in predictors if predictor.name not in table.columns]
    if missing:
        raise ValueError(f"the table lacks {len(missing)} of {len(predictors)} columns: {', '.join(missing)}")
    repeated = [predictor.name for predictor in predictors if np.ndim(table[predictor.name]) != 1]
    if repeated:
        raise ValueError(f"columns that occur twice: {', '.join(repeated)}")
    faults: list[str] = []
    blocks = [
        _choices(table[one.name], one) if one.choices else _numbers(table[one.name], one, faults) for one in predictors
    ]
    if faults:
        more = f"; and {len(faults) - _SHOWN} more columns" if len(faults) > _SHOWN else ""
        raise ValueError("; ".join(faults[:_SHOWN]) + more)
    return np.column_stack(blocks) if blocks else np.empty((len(table), 0))


def _choices(cells: "pd.Series[object]", predictor: Predictor) -> Float:
    """(n, columns) 0/1, NaN where the text is none of the choices."""
    texts = [None if pd.isna(cell) else cell for cell in cells.astype(object)]
    named = [column.partition("=")[2] for column in predictor.columns]
    found = np.array([[float(text == choice) for choice in named] for text in texts]).reshape(len(texts), len(named))
    found[[text not in predictor.choices for text in texts]] = np.nan
    return found


def _numbers(cells: "pd.Series[object]", predictor: Predictor, faults: list[str]) -> Float:
    """(n,) numbers; adds to the faults what is none or lies outside."""
    numbers: Float = pd.to_numeric(cells.astype(object), errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    low, high = cast(float, predictor.low), cast(float, predictor.high)
    text = np.isnan(numbers) & cells.notna().to_numpy(dtype=bool)
    with np.errstate(invalid="ignore"):
        outside = (numbers < low) | (numbers > high)
    for wrong, what in ((text, "is no number"), (outside, f"lies outside {low:g}..{high:g}")):
        if wrong.any():
            first = int(np.flatnonzero(wrong)[0])
            faults.append(
                f"{predictor.name} = {cells.iloc[first]} in row {first} {what} ({wrong.sum()} of {len(cells)})"
            )
    return numbers
