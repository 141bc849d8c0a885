"""The training patients most like a row.

Distance: root mean squared difference over the filled and standardised columns, all counted alike (our choice). Training
rows are kept in steps of 0.05 standard deviations, between -6.35 and 6.35: a byte each.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ml.response.answers import Neighbour
from ml.response.predictors import Float

_STEPS_PER_SD = 20
_MOST_STEPS = 127
_ROWS_AT_ONCE = 1000


@dataclass(frozen=True, kw_only=True, eq=False)
class Neighbours:
    """The training rows.

    Attributes:
        rows: (n, c) int8, standardised columns in steps of 0.05.
        outcomes: (n,) int8, 0 or 1.
        patients: (n,) as they were named.
    """

    rows: NDArray[np.int8]
    outcomes: NDArray[np.int8]
    patients: tuple[str, ...]

    def nearest(self, scaled: Float, number: int) -> tuple[tuple[Neighbour, ...], ...]:
        """The nearest so many of each of (m, c) standardised rows, nearest first."""
        if not number:
            return ((),) * len(scaled)
        known = self.rows / _STEPS_PER_SD
        lengths = (known**2).sum(axis=1)
        number = min(number, len(known))
        found: list[tuple[Neighbour, ...]] = []
        for start in range(0, len(scaled), _ROWS_AT_ONCE):
            asked = scaled[start : start + _ROWS_AT_ONCE].clip(
                -_MOST_STEPS / _STEPS_PER_SD, _MOST_STEPS / _STEPS_PER_SD
            )
            squares = (asked**2).sum(axis=1)[:, None] + lengths - 2 * asked @ known.T
            distances = np.sqrt(squares.clip(min=0) / known.shape[1])
            for row in distances:
                some = np.argpartition(row, number - 1)[:number]
                order = some[np.argsort(row[some], kind="stable")]
                found.append(tuple(self._neighbour(int(i), float(row[i])) for i in order))
        return tuple(found)

    def _neighbour(self, i: int, distance: float) -> Neighbour:
        return Neighbour(patient=self.patients[i], outcome=int(self.outcomes[i]), distance=distance)


def neighbours_of(scaled: Float, labels: Float, patients: tuple[str, ...]) -> Neighbours:
    """Neighbours among (n, c) standardised training rows."""
    steps = np.rint(scaled * _STEPS_PER_SD).clip(-_MOST_STEPS, _MOST_STEPS)
    return Neighbours(rows=steps.astype(np.int8), outcomes=labels.astype(np.int8), patients=patients)
