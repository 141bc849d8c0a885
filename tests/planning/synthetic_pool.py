"""A pool of virtual patients out of nothing: every column of the contract, and a truth that is known because it is written
here. Response grows with the QRS area and with how late the site is, and falls with scar; the rest is noise.

Nothing is simulated: for tests of what stands on a pool.
"""

import numpy as np
import pandas as pd
from scipy.stats import norm

from twin.planning.features import FEATURES, Feature

NOISE_PERCENT = 10.0  # of the measured change of volume
CENTRES = ("north", "south", "east", "west", "shifted")
SHIFT_MS = 45.0  # by which the last centre's QRS is longer, with nothing to be gained by it


def synthetic_pool(patients: int = 300, *, sites: int = 8, seed: int = 0) -> pd.DataFrame:
    """(patients * (sites + 1), ...) sites that a lead reaches, and the implanted lead, of each patient."""
    rng = np.random.default_rng(seed)
    rows = sites + 1
    n = patients * rows
    patient = np.repeat(np.arange(patients), rows)
    lead = np.arange(n) % rows == sites

    def of_patient(values: np.ndarray) -> np.ndarray:
        return np.repeat(values, rows)

    electrical, scar, hidden = rng.normal(size=patients), rng.beta(1, 6, patients), rng.normal(0, 4, patients)
    centre = rng.integers(len(CENTRES), size=patients)
    shifted = centre == len(CENTRES) - 1
    rotational = rng.uniform(0.05, 0.75, n)
    # Mostly at the lateral wall, as is the habit.
    rotational[lead] = np.clip(rng.normal(1 / 3, 0.12, patients), 0.05, 0.75)
    apicobasal = rng.uniform(0.2, 0.9, n)
    late = 0.75 - 1.2 * np.abs(rotational - of_patient(rng.uniform(0.2, 0.5, patients))) + rng.normal(0, 0.05, n)
    tip = np.where(rng.random(n) < of_patient(scar), rng.uniform(0.3, 1.0, n), 0.0)
    change = -(
        17 + of_patient(6 * electrical - 35 * scar + hidden) + 60 * (late - 0.6) - 15 * tip
    )  # fmt: skip
    own_qrs = of_patient(150 + 15 * electrical + SHIFT_MS * shifted)
    measured = change[lead] + rng.normal(0, NOISE_PERCENT, patients)
    known = {
        "id": np.where(lead, "implanted", np.char.add("site-", (np.arange(n) % rows).astype(str))),
        "source": np.where(lead, "implanted", "vein"),
        "vein": np.where(rotational < 0.25, "posterior", np.where(rotational < 0.5, "lateral", "anterior")),
        "reachable": True,
        "captures": True,
        "rv_site": "apex",
        "aha_segment": np.where(
            rotational < 0.15, 10, np.where(rotational < 0.32, 11, np.where(rotational < 0.5, 12, 7))
        ),
        "apicobasal": apicobasal,
        "rotational": rotational,
        "q_lv_ms": np.clip(late * own_qrs, 0, 1000),
        "q_lv_over_qrs": late,
        "own_qrs_ms": own_qrs,
        "ecg_qrs_ms": own_qrs + of_patient(rng.normal(0, 8, patients)),
        "ecg_qrs_area_uvs": of_patient(np.clip(90 + 30 * electrical + rng.normal(0, 10, patients), 5, 400)),
        "ecg_pattern": of_patient(np.where(electrical + rng.normal(0, 0.7, patients) > -0.3, "lbbb", "other")),
        "scar_share": of_patient(scar),
        "scar_at_tip": tip,
        "sex": of_patient(rng.choice(["female", "male"], patients)),
        "aetiology": of_patient(np.where(scar > 0.1, "ischaemic", "non-ischaemic")),
        "nyha": of_patient(rng.integers(2, 5, patients)),
        "lvef_percent": of_patient(rng.uniform(15, 35, patients)),
    }
    columns = {
        feature.name: known[feature.name] if feature.name in known else _noise(feature, patient, rng)
        for feature in FEATURES
    }
    columns |= {
        "patient": np.char.add("v", np.char.zfill(patient.astype(str), 5)),
        "centre": of_patient(np.array(CENTRES)[centre]),
        "true_lvesv_change_percent": change,
        "true_probability": norm.cdf((-15 - change) / NOISE_PERCENT),
        "lvesv_change_percent": of_patient(np.clip(measured, -100, 300)),
        "lvef_change_points": of_patient(np.clip(-0.4 * measured + rng.normal(0, 3, patients), -14, 60)),
        "hf_event": of_patient(rng.random(patients) < 0.1).astype(int),
    }
    return pd.DataFrame(columns)


def _noise(feature: Feature, patient: np.ndarray, rng: np.random.Generator) -> object:
    """Values within the range of a feature that tell nothing; per site for what is simulated, else per patient."""
    if feature.family == "answer" or not feature.predictor:
        return None
    n = len(patient)
    if feature.choices:
        drawn = rng.integers(len(feature.choices), size=int(patient.max()) + 1)
        return np.array(feature.choices)[drawn][patient]
    if feature.kind == "yes/no":
        return (rng.random(int(patient.max()) + 1) < 0.2)[patient]
    assert feature.low is not None
    assert feature.high is not None
    values = feature.low + (feature.high - feature.low) * (0.4 + 0.2 * rng.random(n))
    return (
        values
        if feature.family in {"place", "simulated", "network"}
        else values[np.unique(patient, return_index=True)[1]][patient]
    )
