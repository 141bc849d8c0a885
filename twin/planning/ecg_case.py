"""From what a user asks for to what a model learns from: samples, outcomes, patients.

Units: mV, Hz.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ml.datasets.drawn import read_drawn
from ml.datasets.plain import table_rows
from ml.datasets.rows import EcgRow, csv_lines
from ml.datasets.stack import EcgTable, stack_rows
from ml.evaluation import PatientFolds
from twin.planning.ecg_models import (
    Float32,
    ModelInfo,
    Which,
    needed_rows,
    samples_of,
    says_virtual,
    says_yes,
    target_name,
)
from twin.planning.ecg_request import Request
from twin.planning.ecg_sources import UNKNOWN, rows_of
from twin.planning.errors import InputError, SettingsError

Labels: TypeAlias = NDArray[Any]  # classes as whole numbers or texts, or numbers

_LABELS = ("label", "value")


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """What is learnt from.

    Attributes:
        samples: (n, ...) what the model reads.
        outcomes: (n,) by column; none where groups are found or masks are learnt.
        masks: (n, height, width) of scar, for a model that learns these.
        patients: (n,) names.
        sources: (n,) file and line of each row.
        positive: of two classes, the one that is sought, if named.
        ecg: which of each row the samples are.
        sampling_hz: of the samples, if they are ECGs.
        times, events: (n,) follow-up, where the model's evaluation can use it and the table has it.
        unlabelled: (m, 12, samples) mV, ECGs of other people to pretrain on.
        virtual: whether a table says that its patients are.
        notes: what was done to the lengths of the ECGs, and a line for each row that was left out.
    """

    samples: Float32
    outcomes: Mapping[str, Labels]
    masks: NDArray[np.bool_] | None = None
    patients: NDArray[np.str_]
    sources: tuple[str, ...]
    positive: str | int | None = None
    ecg: Which = "before"
    sampling_hz: float = 500.0
    times: NDArray[np.float64] | None = None
    events: NDArray[np.int64] | None = None
    unlabelled: Float32 | None = None
    virtual: bool = False
    notes: tuple[str, ...] = ()

    @property
    def target(self) -> Labels | None:
        """What a model is fitted to: (n,), (n, columns), (n, height, width), or nothing."""
        several = list(self.outcomes.values())
        if self.masks is not None or not several:
            return self.masks
        return several[0] if len(several) == 1 else np.column_stack(several)

    @property
    def n_patients(self) -> int:
        """How many patients."""
        return len(np.unique(self.patients))

    def digest(self) -> str:
        """Of everything that is learnt from."""
        plain = {column: outcome.tolist() for column, outcome in self.outcomes.items()}
        digest = hashlib.sha256()
        for array in (self.samples, self.masks, self.unlabelled):
            if array is not None:
                digest.update(repr(array.shape).encode() + array.tobytes())
        digest.update(json.dumps([plain, self.patients.tolist()]).encode())
        return digest.hexdigest()


def read_case(request: Request, info: ModelInfo) -> Case:
    """Read the table and every file that it names, and check whether it can be learnt and evaluated.

    Raises:
        SettingsError: if what was asked for does not fit the table.
        ValueError: if the table, or one of its files, cannot be used.
    """
    case = _drawn(request) if info.learns == "masks" else _of_table(request, info)
    if request.seeds and info.learns != "groups":  # before the long part, whether the folds can be filled
        folds = PatientFolds(request.folds, stratified=info.learns == "classes")
        list(folds.split(None, next(iter(case.outcomes.values()), case.patients), case.patients))
    return case


def _drawn(request: Request) -> Case:
    """Slices with the scar that was drawn on them."""
    for name in ("label", "positive", "ecg"):
        if getattr(request, name) is not None:
            raise SettingsError(f"--{name} {getattr(request, name)}: {request.name} learns the masks of the scar alone")
    drawn = read_drawn(request.table)
    virtual = any(says_yes(cells.get("virtual", "")) for _, cells in csv_lines(request.table, needed=("patient",)))
    return Case(
        samples=drawn.slices,
        outcomes={},
        masks=drawn.masks,
        patients=drawn.patients,
        sources=tuple(f"slice {i} of the table" for i in range(1, len(drawn.slices) + 1)),
        virtual=virtual,
        notes=(f"{len(drawn.slices)} slices of {len(np.unique(drawn.patients))} patients.",),
    )


def _of_table(request: Request, info: ModelInfo) -> Case:
    first = next(table_rows(request.table), None)
    if first is None:
        raise ValueError("the table has no line below the names of the columns")
    columns = _columns(request, info, first)
    two = info.reads == "one or two ECGs" and first.read_after is not None
    ecg = request.ecg or ("both" if two else "before")
    more = list(_unlabelled_rows(request, ecg))
    rows = [*table_rows(request.table), *more]
    table = stack_rows(
        needed_rows(rows, info, ecg, columns, follow_up=info.learns != "classes"),
        length=request.length,
        leave_out_faulty=request.leave_out_faulty,
    )
    labelled = ~np.isin(table.sources, [row.where for row in more])
    if not labelled.any():
        raise ValueError("no line of the table can be used")
    sources = tuple(source for source, known in zip(table.sources, labelled, strict=True) if known)
    samples = samples_of(table, info, ecg)
    outcomes = {column: _outcome(table, info, column, labelled) for column in columns}
    return Case(
        samples=samples[labelled],
        outcomes=outcomes,
        patients=table.patients[labelled],
        sources=sources,
        positive=_positive(request, info, outcomes),
        ecg=ecg,
        sampling_hz=table.sampling_hz,
        times=table.times,
        events=table.events,
        unlabelled=None if labelled.all() else samples[~labelled],
        virtual=says_virtual(table),
        notes=(table.note, *(f"left out: {fault}" for fault in table.left_out)),
    )


def _unlabelled_rows(request: Request, ecg: Which) -> Iterator[EcgRow]:
    """ECGs to pretrain on, read with the others: all get one length, and an ECG that is in both is found.

    Raises:
        InputError: if one is of a patient of the table, who would be seen before being scored.
    """
    if not request.unlabelled:
        return
    known = {row.patient for row in table_rows(request.table)}
    rows = list(rows_of(request.unlabelled, ecg))
    both = sorted({row.patient for row in rows if row.patient != UNKNOWN} & known)
    if both:
        raise InputError(
            f"--unlabelled: patient {both[0]} is in {request.table.name}, too ({len(both)} are), and would be seen before "
            "being scored; take other people"
        )
    for row in rows:
        yield replace(row, where=f"unlabelled: {row.where}")


def _columns(request: Request, info: ModelInfo, first: EcgRow) -> tuple[str, ...]:
    """The columns to learn."""
    there = ", ".join(first.values) or "none beside patient and files"
    if request.label is not None and (info.columns or info.learns == "groups"):
        learnt = " and ".join(info.columns) or "no column"
        raise SettingsError(f"--label {request.label}: {request.name} learns {learnt}")
    if request.label is not None and request.label not in first.values:
        raise SettingsError(f"--label {request.label}: {request.table.name} has no such column; there are {there}")
    missing = [name for name in info.columns if name not in first.values]
    if missing:
        raise ValueError(f"no column {missing[0]}, which {request.name} learns; there are {there}")
    if info.columns or info.learns == "groups":
        return info.columns
    named = [request.label] if request.label else [name for name in _LABELS if name in first.values][:1]
    if not named:
        raise ValueError(f"no column label or value; add one, or name by --label what to learn; there are {there}")
    return tuple(named)


def _outcome(data: EcgTable, info: ModelInfo, column: str, labelled: NDArray[np.bool_]) -> Labels:
    found: Labels = data.covariates[target_name(column)][labelled]
    text = found.dtype.kind == "U"
    empty = np.flatnonzero((found == "") if text else np.isnan(found))
    if empty.size:
        source = np.array(data.sources)[labelled][empty[0]]
        raise ValueError(
            f"{source}: {column} is empty ({empty.size} of {len(found)} are); fill it, or leave the line out"
        )
    if info.learns == "numbers" and text:
        raise ValueError(f"{column} holds text; only numbers can be learnt here")
    outcome = found
    if info.learns == "classes" and not text:
        broken = found[found != np.round(found)]
        if broken.size:
            raise ValueError(f"{column} holds {broken[0]:g}, which is no class; name another column by --label")
        outcome = found.astype(np.int64)
    if len(np.unique(outcome)) < 2:
        raise ValueError(f"{column} is {outcome[0]} in all {len(outcome)} rows; there is nothing to tell apart")
    return outcome


def _positive(request: Request, info: ModelInfo, outcomes: Mapping[str, Labels]) -> str | int | None:
    """The class that metrics are about."""
    classes = np.unique(next(iter(outcomes.values()))).tolist() if info.learns == "classes" else []
    if request.positive is None:
        if len(classes) == 2 and classes != [0, 1] and request.seeds:
            raise SettingsError(f"the classes are {classes[0]} and {classes[1]}; say which is sought by --positive")
        return None
    if len(classes) != 2:
        raise SettingsError(f"--positive {request.positive}: is for two classes, here are {len(classes)}")
    named = [one for one in classes if str(one) == request.positive]
    if not named:
        raise SettingsError(f"--positive {request.positive}: no such class; there are {classes[0]} and {classes[1]}")
    found: str | int = named[0]
    return found
