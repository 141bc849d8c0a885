"""Centres whose patients differ from those that the response model learnt from, as a group.

One patient with a doubled gain looks like a person with high voltages, and the model answers; forty of them at one centre do
not. What is compared is what was measured of the patient, not where leads may go: the families "twin", "ecg" and "clinical".
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd  # type: ignore[import-untyped]

from twin.planning.features import FEATURES
from twin.planning.scoring import Responding

COLUMNS = ("centre", "patients", "feature", "value", "shift_sd", "p")
_FAMILIES = ("twin", "ecg", "clinical")
# Fewer patients say little, and a smaller shift is one between good hospitals; our choice.
_LEAST_PATIENTS = 10
_LEAST_SHIFT_SD, _MOST_P = 0.7, 0.01


@dataclass(frozen=True, kw_only=True)
class Drift:
    """One feature of one centre.

    Attributes:
        centre: its name; empty for patients without one.
        patients: how many it has.
        feature: name.
        value: what a text feature has more or less often; empty for a number.
        shift_sd: mean beyond that of the training patients, in about their standard deviations.
        p: that chance alone does this, times the number of features looked at.
    """

    centre: str
    patients: int
    feature: str
    value: str
    shift_sd: float
    p: float

    @property
    def cells(self) -> tuple[str, ...]:
        """As `COLUMNS`."""
        return (self.centre, str(self.patients), self.feature, self.value, f"{self.shift_sd:+.2f}", f"{self.p:.1e}")


def drifts(sites: pd.DataFrame, model: Responding) -> list[Drift]:
    """What drifted at each centre of a cohort's table, the surest first.

    Args:
        sites: with the columns `patient`, `centre` and those of the feature table; may hold many rows of a patient.
        model: a response model.
    """
    looked_at = {feature.name for feature in FEATURES if feature.family in _FAMILIES}
    first = sites.drop_duplicates("patient")  # what is looked at is the same in every row of a patient
    found = []
    for centre, rows in first.assign(centre=first["centre"].fillna("")).groupby("centre"):
        if len(rows) < _LEAST_PATIENTS:
            continue
        table = model.drift(rows)
        far = (table["shift"].abs() >= _LEAST_SHIFT_SD) & (table["p"] <= _MOST_P)
        for one in table[far & table["predictor"].isin(looked_at)].itertuples():
            value = "" if one.column == one.predictor else one.column.removeprefix(f"{one.predictor}=")
            found.append(
                Drift(
                    centre=str(centre),
                    patients=len(rows),
                    feature=one.predictor,
                    value=value,
                    shift_sd=float(one.shift),
                    p=float(one.p),
                )
            )
    return found


def write_drifts(path: Path, found: list[Drift]) -> None:
    """As a table, tabs between cells."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(COLUMNS)
        writer.writerows(one.cells for one in found)


def in_words(found: Sequence[Drift]) -> list[str]:
    """A line for each centre that drifted."""
    lines = []
    for centre in dict.fromkeys(one.centre for one in found):
        here = [one for one in found if one.centre == centre]
        named = ", ".join(
            f"{one.feature}{f' {one.value}' if one.value else ''} {one.shift_sd:+.1f} SD" for one in here[:3]
        )
        lines.append(
            f"{f'centre {centre}' if centre else 'this cohort'}: its {here[0].patients} patients are unlike those that the "
            f"response model learnt from ({named}{', ...' if len(here) > 3 else ''}): check the recordings; its "
            "probabilities may not hold there"
        )
    return lines
