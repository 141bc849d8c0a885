"""What a response model says of each site."""

from dataclasses import dataclass

from numpy import bool_
from numpy.typing import NDArray

from ml.response.predictors import Float


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbour:
    """A training patient.

    Attributes:
        patient: as given to `fit` as `groups`, or the number of the row.
        outcome: 1 responded, 0 did not.
        distance: root of the mean squared difference over all columns, in standard deviations.
    """

    patient: str
    outcome: int
    distance: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class ResponseAnswers:
    """Answers for n rows.

    Attributes:
        probability: (n,) of response.
        low, high: (n,) 90 % interval of that probability; nan from a model fitted with `refits=0`.
        supported: (n,) False: the row lies outside the training data, and the model abstains.
        distance: (n,) from the training data; 1 is the furthest that is still supported.
        furthest: (n,) family of predictors in which the row lies furthest out; "all" for all of them together.
        nearest: (n,) the nearest training patients, nearest first.
    """

    probability: Float
    low: Float
    high: Float
    supported: NDArray[bool_]
    distance: Float
    furthest: tuple[str, ...]
    nearest: tuple[tuple[Neighbour, ...], ...]
