"""Synthetic patients of a known truth: eight numbers, a text, a yes/no."""

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import expit

from ml.response import Predictor

Float = NDArray[np.float64]
PREDICTORS = (
    *(Predictor(name=name, family="place", low=-20, high=20) for name in ("apicobasal", "lateral", "distance")),
    Predictor(name="late", family="simulated", low=-20, high=20, increases=1),
    Predictor(name="scar", family="scar", low=-20, high=20, increases=-1),
    *(Predictor(name=name, family="ecg", low=-20, high=20) for name in ("area", "axis", "noise")),
    Predictor(name="pattern", family="ecg", choices=("lbbb", "rbbb", "other")),
    Predictor(name="af", family="clinical", low=0, high=1),
)
EFFECTS = {"late": 0.9, "scar": -0.7, "area": 0.5, "lateral": 0.4, "apicobasal": -0.3}


@dataclass(frozen=True)
class Patients:
    table: pd.DataFrame
    outcome: NDArray[np.int64]
    chance: Float
    names: list[str]


def patients(n: int, seed: int, *, missing: float = 0.0) -> Patients:
    """n patients; the true log-odds are a sum of single effects."""
    rng = np.random.default_rng(seed)
    names = [predictor.name for predictor in PREDICTORS if predictor.low == -20]
    table = pd.DataFrame(rng.standard_normal((n, len(names))), columns=names)
    table["pattern"] = rng.choice(["lbbb", "rbbb", "other"], n)
    table["af"] = rng.random(n) < 0.3
    log_odds = sum(effect * table[name] for name, effect in EFFECTS.items()) + 0.5 * (table["pattern"] == "lbbb") - 0.2
    chance = expit(log_odds.to_numpy(dtype=np.float64))
    outcome = (rng.random(n) < chance).astype(np.int64)
    gaps = rng.random((n, 3)) < missing
    table[["scar", "area", "axis"]] = table[["scar", "area", "axis"]].mask(gaps)
    return Patients(table, outcome, chance, [f"p{i:05d}" for i in rng.permutation(n)])
