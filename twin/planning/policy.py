"""What would a way of choosing the site be worth? The true response of virtual patients, had the lead been put there.

Only virtual patients have a truth at sites where no lead was put. Each way of choosing sees the sites that a lead reaches
and captures at; its value is the mean over patients of the true chance of response there, its regret what the oracle has
more. The model must not have seen the outcome of the patient for whom it chooses: give it out-of-fold predictions.

Where the model abstains at every site of a patient, the lead goes to the lateral vein, as it would without a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from ml.evaluation.intervals import Estimate, Resampled, resample
from twin.planning.response_cohort import TRUE_CHANGE, TRUE_PROBABILITY, Bool, Float, Int, ResponseCohort

MODEL, UNHELD, LATEST, HABIT = "model", "model, abstention ignored", "latest site", "lateral vein by habit"
RANDOM, AS_WAS, ORACLE = "random reachable site", "where it was put", "oracle"
POLICIES: Mapping[str, str] = {
    ORACLE: "the site with the highest true chance of response; nobody can know it",
    MODEL: "the site with the highest predicted probability where the model does not abstain",
    UNHELD: "the site with the highest predicted probability, wherever it is",
    LATEST: "the site activated last in the patient's own rhythm (simulated Q-LV), scar core left out",
    HABIT: "the site nearest to the middle of the lateral wall",
    AS_WAS: "where this patient's lead was put",
    RANDOM: "any site with the same chance",
}
_LATERAL, _MIDDLE = 1 / 3, 0.5  # rotational and apicobasal place of the standard lateral site
_IN_SCAR = 0.5  # share of scar core about the tip from which on a site lies in scar; our choice


@dataclass(frozen=True, kw_only=True)
class PolicyValue:
    """One way of choosing.

    Attributes:
        probability: mean true chance of response, with its interval over patients.
        change_percent: mean true change of LV end-systolic volume; negative is good.
        regret: the oracle's probability minus this one.
        model_gain: the model's probability minus this one.
    """

    probability: Estimate
    change_percent: Estimate
    regret: Estimate
    model_gain: Estimate


@dataclass(frozen=True, kw_only=True)
class PolicyTest:
    """All ways of choosing, on the same patients.

    Attributes:
        values: by name of `POLICIES`.
        patients: with one site at least.
        without_site: patients left out, as no lead reaches a site.
        abstained: share of the patients at all of whose sites the model abstains.
        beaten: by name of the routine, whether the interval of the model's gain over it lies above 0.
    """

    values: Mapping[str, PolicyValue]
    patients: int
    without_site: int
    abstained: float
    beaten: Mapping[str, bool]


def policy_test(cohort: ResponseCohort, probability: Float, supported: Bool, *, resamples: int = 2000) -> PolicyTest:
    """Value and regret of each way of choosing.

    Args:
        cohort: virtual patients, whose truth is known.
        probability: (m,) predicted response at each of `cohort.sites`, by models that have not seen the patient.
        supported: (m,) False where the model abstains.
        resamples: of the patients, for intervals.
    """
    chances, changes, abstained = true_values(cohort, probability, supported)
    one = np.arange(len(abstained))
    drawn, moved = _means(chances, one, resamples), _means(changes, one, resamples)
    values = {
        name: PolicyValue(
            probability=drawn.estimate(name),
            change_percent=moved.estimate(name),
            regret=drawn.estimate(f"{ORACLE} - {name}"),
            model_gain=drawn.estimate(f"{MODEL} - {name}"),
        )
        for name in chances
    }
    return PolicyTest(
        values=values,
        patients=len(abstained),
        without_site=len(cohort.outcome) - len(abstained),
        abstained=float(abstained.mean()),
        beaten={name: values[name].model_gain.low > 0 for name in (HABIT, LATEST)},
    )


def true_values(
    cohort: ResponseCohort, probability: Float, supported: Bool
) -> tuple[dict[str, Float], dict[str, Float], Bool]:
    """True chance of response, and true change in %, of each patient with a site by each policy; who is abstained for."""
    sites = cohort.sites
    patient = sites["patient_row"].to_numpy()
    chance, change = sites[TRUE_PROBABILITY].to_numpy(float), sites[TRUE_CHANGE].to_numpy(float)
    best = best_site(patient, probability, supported)
    routine = best_site(patient, -_from_lateral(sites))
    abstained = best < 0
    late = np.where(
        sites["scar_at_tip"].fillna(0).to_numpy(float) < _IN_SCAR, sites["q_lv_ms"].to_numpy(float), -np.inf
    )
    chosen = {
        ORACLE: best_site(patient, chance),
        MODEL: np.where(abstained, routine, best),
        UNHELD: best_site(patient, probability),
        LATEST: best_site(patient, np.nan_to_num(late, nan=-1e9, neginf=-2e9)),
        HABIT: routine,
    }
    patients = np.unique(patient)
    counts = np.bincount(patient)[patients]
    lead = cohort.implanted.iloc[patients]
    results = []
    for truth, own in ((chance, TRUE_PROBABILITY), (change, TRUE_CHANGE)):
        by_name = {name: truth[rows] for name, rows in chosen.items()}
        by_name[AS_WAS] = lead[own].to_numpy(float)
        by_name[RANDOM] = np.bincount(patient, truth)[patients] / counts
        results.append({name: by_name[name] for name in POLICIES})
    return results[0], results[1], abstained


def best_site(patient: Int, score: Float, allowed: Bool | None = None) -> Int:
    """Row of the highest score among the allowed rows of each patient that has a row, the first of equals; -1: none allowed."""
    held = score if allowed is None else np.where(allowed, score, -np.inf)
    order = np.lexsort((np.arange(len(held)), -held, patient))
    first = order[np.unique(patient[order], return_index=True)[1]]
    return np.where(np.isneginf(held[first]), -1, first)


def _from_lateral(sites: pd.DataFrame) -> Float:
    """Distance from the standard lateral site in ventricular coordinates; a turn of the wall counts as three lengths."""
    turn = sites["rotational"].to_numpy(float) - _LATERAL
    turn -= np.round(turn)
    distance: Float = np.nan_to_num(np.hypot(3 * turn, sites["apicobasal"].to_numpy(float) - _MIDDLE), nan=1e9)
    return distance


def _means(by_name: Mapping[str, Float], patients: Int, resamples: int) -> Resampled:
    names, columns = list(by_name), np.column_stack(list(by_name.values()))

    def statistics(weights: Float) -> dict[str, Float]:
        means = weights @ columns / weights.sum(axis=1, keepdims=True)
        mean = dict(zip(names, means.T, strict=True))
        return (
            mean
            | {f"{ORACLE} - {name}": mean[ORACLE] - mean[name] for name in names}
            | {f"{MODEL} - {name}": mean[MODEL] - mean[name] for name in names}
        )

    return resample(statistics, patients, resamples=resamples)
