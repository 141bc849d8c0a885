"""Does a score order patients by how soon the event comes?

Hazard ratio of Cox's model, h(t) = h0(t) exp(b score), by lifelines (Efron's ties). Harrell's C: of the pairs of patients
whose order of events is known, the share in which the higher score comes first, equal scores counting half. The score is
taken as given: if it was fitted, use out-of-fold values.

Follow-up in any unit of time; it drops out of both numbers.
"""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from lifelines import CoxPHFitter
from lifelines.exceptions import ConvergenceError, ConvergenceWarning
from numpy.typing import ArrayLike

from ml.evaluation.comparison import auc_interval
from ml.evaluation.intervals import Bool, Estimate, Float

_CELLS = 4_000_000  # pairs held at a time


@dataclass(frozen=True, slots=True, kw_only=True)
class HazardRatio:
    """Cox's model of one score.

    Attributes:
        ratio: of the hazards at scores that differ by `per`, Wald 95 % interval on the log scale.
        per: of the score, in its unit.
        p: Wald, two-sided.
        patients, events: how many.
        adjusted_for: names of the other columns of the model.
    """

    ratio: Estimate
    per: float
    p: float
    patients: int
    events: int
    adjusted_for: tuple[str, ...]


def hazard_ratio(
    score: ArrayLike,
    time: ArrayLike,
    event: ArrayLike,
    *,
    per: float = 1.0,
    adjust: Mapping[str, ArrayLike] | None = None,
) -> HazardRatio:
    """Hazard ratio per `per` units of the score; a negative `per` asks for the ratio per decrease.

    Args:
        score: (n,) one per patient.
        time: (n,) follow-up, > 0.
        event: (n,) whether it ended with the event.
        per: e.g. -10 for a hazard ratio per 10 % lower RVEF.
        adjust: further (n,) columns, by name.

    Raises:
        ValueError: for shapes that differ, missing numbers, follow-up of 0, no event, a score that does not vary, or a
            fit without a finite answer (events separated by the score).
    """
    values, times, events = _checked(score, time, event)
    if per == 0:
        raise ValueError("per = 0; give the difference of the score that the ratio is for")
    spread = values.std()  # scaled, as lifelines takes small numbers for constant ones
    table = pd.DataFrame({"score": (values - values.mean()) / spread, "time": times, "event": events})
    names = tuple(adjust or ())
    for i, name in enumerate(names):
        table[f"adjust {i}"] = _column(np.asarray((adjust or {})[name], dtype=np.float64), name, len(values))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", ConvergenceWarning)
            fit = CoxPHFitter().fit(table, "time", "event").summary.loc["score"]
    except (ConvergenceError, ConvergenceWarning) as error:
        raise ValueError(
            "Cox's model has no finite answer: the score (or a column it is adjusted for) may separate those with the event "
            "from the rest; use fewer columns"
        ) from error
    ratio, *ends = np.exp(fit[["coef", "coef lower 95%", "coef upper 95%"]].to_numpy(np.float64) * per / spread)
    return HazardRatio(
        ratio=Estimate(value=float(ratio), low=float(min(ends)), high=float(max(ends))),
        per=per,
        p=float(fit["p"]),
        patients=len(values),
        events=int(events.sum()),
        adjusted_for=names,
    )


def concordance(score: ArrayLike, time: ArrayLike, event: ArrayLike) -> Estimate:
    """Harrell's C, higher scores expected to have the event sooner, with a 95 % interval over patients.

    The interval is of the logit, with the variance of the jackknife (each patient left out once). A pair is known if
    the shorter follow-up ended with the event; at equal follow-up, if just one of the two had it.

    Args:
        score: (n,) one per patient.
        time: (n,) follow-up, > 0.
        event: (n,) whether it ended with the event.

    Raises:
        ValueError: as `hazard_ratio`.
    """
    values, times, events = _checked(score, time, event)
    n = len(values)
    wins, known = np.zeros(n), np.zeros(n)  # over the pairs that each patient takes part in
    per_block = max(1, _CELLS // n)
    for start in range(0, n, per_block):
        i = slice(start, start + per_block)
        first = events[i, None] & ((times[i, None] < times) | ((times[i, None] == times) & ~events))
        won = first * (0.5 * (values[i, None] == values) + (values[i, None] > values))
        wins[i] += won.sum(axis=1)
        wins += won.sum(axis=0)
        known[i] += first.sum(axis=1)
        known += first.sum(axis=0)
    pairs = known.sum() / 2
    if pairs == 0:
        raise ValueError("no pair of patients has a known order: the events come after all other follow-up")
    area = wins.sum() / 2 / pairs
    rest = pairs - known
    if not (rest > 0).all():
        return Estimate(value=float(area), low=np.nan, high=np.nan)
    left_out = (wins.sum() / 2 - wins) / rest
    return auc_interval(float(area), float((n - 1) / n * np.sum((left_out - left_out.mean()) ** 2)))


def _checked(score: ArrayLike, time: ArrayLike, event: ArrayLike) -> tuple[Float, Float, Bool]:
    times = np.asarray(time, dtype=np.float64)
    values = _column(np.asarray(score, dtype=np.float64), "score", len(times))
    times = _column(times, "time", len(times))
    events = _column(np.asarray(event, dtype=np.float64), "event", len(times))
    bad = np.flatnonzero(times <= 0)
    if bad.size:
        raise ValueError(f"time[{bad[0]}] = {times[bad[0]]:g}, need > 0 ({bad.size} of {len(times)} are not)")
    bad = np.flatnonzero((events != 0) & (events != 1))
    if bad.size:
        raise ValueError(f"event[{bad[0]}] = {events[bad[0]]:g}, need 0 or 1 ({bad.size} of {len(times)} are not)")
    if not events.any():
        raise ValueError(f"none of the {len(times)} patients had the event")
    if np.ptp(values) == 0:
        raise ValueError(f"the score is {values[0]:g} for all {len(values)} patients")
    return values, times, events == 1


def _column(values: Float, name: str, n: int) -> Float:
    if values.shape != (n,):
        raise ValueError(f"{name} has shape {values.shape}, need ({n},): one value per patient")
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise ValueError(
            f"{name}[{bad[0]}] = {values[bad[0]]} ({bad.size} of {n} are missing); leave those patients out"
        )
    return values
