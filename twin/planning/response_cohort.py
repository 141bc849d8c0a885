"""A cohort as the response models read it: where each lead was put, what became of the patient, and the other sites.

One table of sites (of `crt-twin cohort`, or the shipped pool) and one of outcomes. All that is wrong with them is told at
once. A table that knows the truth of virtual patients keeps it apart from the predictors: no column `true_*`, and no
outcome, is ever one.

Rows with a word in the column `shift` are of patients of whom something was measured wrongly on purpose: they are set apart,
to see whether a model notices.

Outcomes: `lvesv_change_percent` of the LV end-systolic volume (negative: smaller), `lvef_change_points`, `hf_event` (0/1:
death or hospitalisation for heart failure).
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow.parquet as pq
from numpy.typing import NDArray
from scipy.special import expit

from ml.response import Predictor
from twin.planning.errors import InputError, SettingsError
from twin.planning.features import predictors
from twin.planning.site_table import checked_table

Float: TypeAlias = NDArray[np.float64]
Int: TypeAlias = NDArray[np.int64]
Bool: TypeAlias = NDArray[np.bool_]

SITES, OUTCOMES_FILE, TRUTH = "sites.parquet", "outcomes.csv", "truth.parquet"
IMPLANTED, SHIFT = "implanted", "shift"
TRUE_PROBABILITY, TRUE_CHANGE = "true_probability", "true_lvesv_change_percent"
EXTERNAL = "external_score"
# What an outcome can be; beyond it, it was typed wrongly (our choice).
OUTCOMES = {"lvesv_change_percent": (-100.0, 300.0), "lvef_change_points": (-60.0, 60.0), "hf_event": (0.0, 1.0)}


@dataclass(frozen=True, kw_only=True)
class Label:
    """What counts as response.

    Attributes:
        meaning: in words.
        columns: outcomes that it needs.
        rule: from a table with these columns to (n,) yes or no.
    """

    meaning: str
    columns: tuple[str, ...]
    rule: Callable[[pd.DataFrame], Bool]


LABELS: Mapping[str, Label] = {
    "lvesv15": Label(
        meaning="LV end-systolic volume down by at least 15 %",
        columns=("lvesv_change_percent",),
        rule=lambda table: (table["lvesv_change_percent"] <= -15).to_numpy(),
    ),
    "lvef5": Label(
        meaning="LV ejection fraction up by at least 5 points",
        columns=("lvef_change_points",),
        rule=lambda table: (table["lvef_change_points"] >= 5).to_numpy(),
    ),
    "lvef10": Label(
        meaning="LV ejection fraction up by at least 10 points",
        columns=("lvef_change_points",),
        rule=lambda table: (table["lvef_change_points"] >= 10).to_numpy(),
    ),
    "clinical": Label(
        meaning="neither death nor hospitalisation for heart failure, and LV end-systolic volume down by more than 15 %",
        columns=("hf_event", "lvesv_change_percent"),
        rule=lambda table: ((table["hf_event"] == 0) & (table["lvesv_change_percent"] < -15)).to_numpy(),
    ),
}
DEFAULT_LABEL = "lvesv15"

# Walls of the AHA-17 segments (doi:10.1161/hc0402.102975); a lead is called by where its tip is.
_WALLS = {
    "anterior": (1, 7, 13),
    "septal": (2, 3, 8, 9, 14),
    "inferior": (4, 10, 15),
    "inferolateral": (5, 11),
    "anterolateral": (6, 12, 16),
    "apex": (17,),
}
_WALL_OF = {segment: wall for wall, segments in _WALLS.items() for segment in segments}
ELSEWHERE = "elsewhere"
_MAX_FAULTS = 20  # shown; the rest is counted


@dataclass(frozen=True, kw_only=True, eq=False)
class ResponseCohort:
    """Checked tables; row i of `implanted`, `outcome`, `centre` and `wall` is one patient.

    Attributes:
        name: of the table.
        label: key of `LABELS`.
        virtual: whether the patients are virtual.
        predictors: offered to models; each is a column of both tables.
        implanted: (n, ...) where each lead was put, sorted by patient.
        outcome: (n,) 0 or 1.
        centre: (n,) name of the centre, empty where not known.
        wall: (n,) wall of the LV that was paced.
        sites: (m, ...) the sites that a lead reaches and captures at, with `patient_row`, the number of their patient.
        shifted: (k, ...) where the leads of further patients were put, of whom something is wrong; `shift` says what.
        sha256: of the rows of the patients, the outcomes included.
        notes: what was left out.
    """

    name: str
    label: str
    virtual: bool
    predictors: tuple[Predictor, ...]
    implanted: pd.DataFrame
    outcome: Int
    centre: NDArray[np.str_]
    wall: NDArray[np.str_]
    sites: pd.DataFrame
    shifted: pd.DataFrame
    sha256: str
    notes: tuple[str, ...]

    @property
    def has_truth(self) -> bool:
        """Whether the true response is known, at the lead and at every site: of virtual patients only."""
        return TRUE_PROBABILITY in self.implanted

    def take(self, patients: Int) -> "ResponseCohort":
        """Some of the patients, each at most once, in the order given."""
        number = np.full(len(self.outcome), -1)
        number[patients] = np.arange(len(patients))
        moved = number[self.sites["patient_row"].to_numpy()]
        sites = self.sites.assign(patient_row=moved)[moved >= 0].reset_index(drop=True)
        return replace(
            self,
            implanted=self.implanted.iloc[patients].reset_index(drop=True),
            outcome=self.outcome[patients],
            centre=self.centre[patients],
            wall=self.wall[patients],
            sites=sites,
        )


def read_cohort(
    cohort: Path | None, outcomes: Path | None = None, label: str = DEFAULT_LABEL, *, virtual: bool = False
) -> ResponseCohort:
    """Read and check a cohort.

    Args:
        cohort: a folder that `crt-twin cohort` wrote, a Parquet or a CSV file; None: the shipped pool of virtual patients.
        outcomes: CSV; None: the folder's own outcomes.csv, else the outcomes stand in the table itself. A
            `truth.parquet` beside it is read as well.
        label: key of `LABELS`.
        virtual: the patients are virtual; a table that knows the truth says so itself.

    Raises:
        SettingsError: for an unknown label.
        InputError: one line per fault.
    """
    if label not in LABELS:
        raise SettingsError(f"--label {label}: unknown; known are {', '.join(LABELS)}")
    if cohort is None:
        with as_file(files("twin.planning").joinpath("data", "pool.parquet")) as pool:
            return read_cohort(pool, None, label, virtual=True)
    path = cohort / SITES if cohort.is_dir() else cohort
    if outcomes is None and cohort.is_dir() and (cohort / OUTCOMES_FILE).is_file():
        outcomes = cohort / OUTCOMES_FILE
    faults = _Faults(path.name)
    offered = predictors()
    needed = ("patient", "id", "source", *(one.name for one in offered))
    table = _read_table(path)
    virtual |= _says_virtual(path)
    try:
        table = checked_table(table, path.name, needed)
    except InputError as fault:
        faults.lines += str(fault).splitlines()
    if not {"patient", "source"} <= set(table):
        faults.raise_if_any()
    table["patient"] = table["patient"].astype(str)
    apart = table[SHIFT].notna() if SHIFT in table else pd.Series(False, index=table.index)
    shifted, table = table[apart & (table["source"] == IMPLANTED)], table[~apart]
    implanted = table[table["source"] == IMPLANTED].sort_values("patient", kind="stable").reset_index(drop=True)
    faults.rows(implanted, implanted["patient"].duplicated(), "has two implanted leads; keep one row")
    lost = sorted(set(table["patient"]) - set(implanted["patient"]))
    if lost:
        faults.add(
            f"patient {lost[0]} has no row of the implanted lead ({len(lost)} patients have none); add `implanted` to "
            "their patient.yaml and plan again"
        )
    notes: tuple[str, ...] = ()
    if outcomes is not None:
        results = _read_table(outcomes)
        notes = _join_outcomes(implanted, results, outcomes.name, faults)
        beside = outcomes.parent / TRUTH
        if beside.is_file():
            table, implanted = _join_truth(table, implanted, _read_table(beside), faults)
    _check_outcomes(implanted, LABELS[label], outcomes.name if outcomes else path.name, faults)
    faults.raise_if_any()
    chosen = LABELS[label].rule(implanted).astype(np.int64)
    if len(np.unique(chosen)) < 2:
        what = "responds" if chosen.all() else "fails to respond"
        raise InputError(f"{path.name}: every one of {len(chosen)} patients {what} by {label}; a model needs both")
    found = _cohort(path.name, label, offered, table, implanted, chosen, virtual, notes)
    return replace(found, shifted=shifted.reset_index(drop=True))


def site_walls(cohort: ResponseCohort) -> NDArray[np.str_]:
    """(m,) wall of the LV that each site lies on."""
    return _walls(cohort.sites)


def truth_score(cohort: ResponseCohort) -> Float | None:
    """(n,) what ranks the patients best: the true chance of `lvesv15` at the lead; for other labels, the true change."""
    if not cohort.has_truth:
        return None
    if cohort.label == "lvesv15":
        return np.asarray(cohort.implanted[TRUE_PROBABILITY], dtype=np.float64)
    # Within 0..1, as metrics take probabilities; its size means nothing.
    return np.asarray(expit(-cohort.implanted[TRUE_CHANGE].to_numpy(np.float64) / 10))


def _cohort(
    name: str,
    label: str,
    predictors: tuple[Predictor, ...],
    table: pd.DataFrame,
    implanted: pd.DataFrame,
    outcome: Int,
    virtual: bool,
    notes: tuple[str, ...],
) -> ResponseCohort:
    candidates = table["source"] != IMPLANTED
    for column in ("reachable", "captures"):
        if column in table:
            candidates &= table[column].fillna(False).astype(bool)
    if TRUE_PROBABILITY in table:
        untold = int((candidates & table[TRUE_PROBABILITY].isna()).sum())
        notes += (f"{untold} sites have no truth and were left out",) if untold else ()
        candidates &= table[TRUE_PROBABILITY].notna()
    sites = table[candidates].reset_index(drop=True)
    sites["patient_row"] = np.searchsorted(implanted["patient"].to_numpy(str), sites["patient"].to_numpy(str))
    named = [one.name for one in predictors]
    held = implanted[["patient", *named]].assign(outcome=outcome)
    return ResponseCohort(
        name=name,
        label=label,
        virtual=virtual or TRUE_PROBABILITY in implanted,
        predictors=predictors,
        implanted=implanted,
        outcome=outcome,
        centre=_texts(implanted, "centre"),
        wall=_walls(implanted),
        sites=sites,
        shifted=table.iloc[:0],
        sha256=hashlib.sha256(held.to_csv(index=False).encode()).hexdigest(),
        notes=notes,
    )


class _Faults:
    """Collects what is wrong with a table, to be told at once."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.lines: list[str] = []

    def add(self, line: str, where: str | None = None) -> None:
        self.lines.append(f"{where or self.where}: {line}")

    def rows(self, table: pd.DataFrame, wrong: "pd.Series[bool]", what: str, where: str | None = None) -> None:
        """A fault of the first of some rows, and how many there are."""
        bad = np.flatnonzero(wrong.to_numpy(dtype=bool))
        if bad.size:
            more = "" if bad.size == 1 else f" ({bad.size} of {len(table)} rows)"
            self.add(f"patient {table['patient'].iloc[bad[0]]} {what}{more}", where)

    def raise_if_any(self) -> None:
        if self.lines:
            more = len(self.lines) - _MAX_FAULTS
            raise InputError("\n".join(self.lines[:_MAX_FAULTS] + ([f"and {more} more faults"] if more > 0 else [])))


def _read_table(path: Path) -> pd.DataFrame:
    if not path.is_file():
        raise InputError(f"{path.name}: no such file; give a folder with {SITES}, a .parquet or a .csv file")
    try:
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, dtype={"patient": str})
    except (ValueError, OSError) as error:  # pyarrow's and pandas' own are of these
        raise InputError(f"{path.name}: cannot be read as a table: {str(error).splitlines()[0]}") from error
    if table.empty:
        raise InputError(f"{path.name}: holds no row")
    return table


def _says_virtual(path: Path) -> bool:
    """What `crt-twin cohort` writes into its table: `3 of 7` patients are virtual."""
    if path.suffix != ".parquet":
        return False
    said = (pq.read_schema(path).metadata or {}).get(b"virtual_patients", b"0")
    return not said.startswith(b"0")


def _join_outcomes(implanted: pd.DataFrame, results: pd.DataFrame, where: str, faults: _Faults) -> tuple[str, ...]:
    """Outcomes as columns of `implanted`; returns notes."""
    if "patient" not in results:
        faults.add("no column patient", where)
        return ()
    results["patient"] = results["patient"].astype(str)
    twice = results["patient"].duplicated()
    faults.rows(results, twice, "stands in two lines; keep one", where)
    results = results[~twice].set_index("patient")
    lost = [name for name in implanted["patient"] if name not in results.index]
    if lost:
        faults.add(f"patient {lost[0]} has no line ({len(lost)} of {len(implanted)} patients have none)", where)
    for column in (*OUTCOMES, EXTERNAL):
        if column in results:
            implanted[column] = implanted["patient"].map(results[column])
    spare = len(set(results.index) - set(implanted["patient"]))
    return (f"{where}: {spare} patients are not in the cohort and were left out",) if spare else ()


def _join_truth(
    table: pd.DataFrame, implanted: pd.DataFrame, truth: pd.DataFrame, faults: _Faults
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both tables with the columns of the truth, by patient and site."""
    columns = [TRUE_CHANGE, TRUE_PROBABILITY]
    absent = {"patient", "id", *columns} - set(truth)
    if absent:
        faults.add(f"no column {' and no column '.join(sorted(absent))}", TRUTH)
        return table, implanted
    truth = truth[["patient", "id", *columns]].astype({"patient": str, "id": str})
    both = [
        one.drop(columns=columns, errors="ignore").merge(truth, how="left", on=["patient", "id"])
        for one in (table, implanted)
    ]
    faults.rows(both[1], both[1][TRUE_PROBABILITY].isna(), "has no truth at its lead", TRUTH)
    return both[0], both[1]


def _check_outcomes(implanted: pd.DataFrame, label: Label, where: str, faults: _Faults) -> None:
    for name in OUTCOMES:
        if name not in implanted:
            if name in label.columns:
                faults.add(f"no column {name}, which the label needs", where)
            continue
        low, high = OUTCOMES[name]
        numbers = pd.to_numeric(implanted[name], errors="coerce")
        if name in label.columns:
            known = implanted["patient"].notna() & implanted[list(label.columns)].notna().any(axis=1)
            faults.rows(implanted, known & implanted[name].isna(), f"has no {name}", where)
        wrong = (numbers < low) | (numbers > high) | (numbers.isna() & implanted[name].notna())
        if name == "hf_event":
            wrong |= numbers.notna() & ~numbers.isin([0, 1])
        need = "0 or 1" if name == "hf_event" else f"{low:g} to {high:g}"
        faults.rows(implanted, wrong, f"has {name} = {_first(implanted[name], wrong)}, need {need}", where)
        implanted[name] = numbers
    if {"lvef_change_points", "lvef_percent"} <= set(implanted):
        after = implanted["lvef_percent"] + implanted["lvef_change_points"]
        wrong = ((after < 0) | (after > 100)) & implanted["lvef_percent"].between(0, 100)
        faults.rows(implanted, wrong, f"would have an LVEF of {_first(after, wrong)} % after implantation", where)


def _first(column: "pd.Series[object]", wrong: "pd.Series[bool]") -> object:
    found = column[wrong]
    return found.iloc[0] if len(found) else None


def _texts(table: pd.DataFrame, column: str) -> NDArray[np.str_]:
    if column not in table:
        return np.full(len(table), "", dtype=np.str_)
    return np.asarray(table[column].fillna("").astype(str), dtype=np.str_)


def _walls(table: pd.DataFrame) -> NDArray[np.str_]:
    if "aha_segment" not in table:
        return np.full(len(table), ELSEWHERE, dtype=np.str_)
    return np.asarray(table["aha_segment"].map(_WALL_OF).fillna(ELSEWHERE), dtype=np.str_)
