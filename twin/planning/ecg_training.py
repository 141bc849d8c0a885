"""From a table of ECGs to a model file with its evaluation beside it.

The model is fitted to everybody first, which finds what is wrong with single ECGs before the long cross-validation begins;
that then says what such a model can be expected to do. Nothing is written before both are done.

Units: mV, Hz.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ml.datasets.plain import table_rows
from ml.datasets.rows import EcgRow
from ml.datasets.stack import EcgTable, stack_rows
from ml.evaluation import PUBLISHED, Evaluation, PatientFolds, evaluate
from ml.models import model_class
from twin.planning.ecg_groups import EcgGroups, groups_of
from twin.planning.ecg_models import (
    Float32,
    ModelInfo,
    Training,
    Which,
    as_input_error,
    model_info,
    needed_rows,
    rows_named,
    samples_of,
    says_virtual,
    store,
    target_name,
)
from twin.planning.ecg_numbers import EvaluatedNumbers, evaluate_numbers
from twin.planning.ecg_request import Request, checked_settings
from twin.planning.errors import SettingsError
from twin.planning.whole_files import whole_files

Labels: TypeAlias = NDArray[Any]  # classes as whole numbers or texts, or numbers
Told: TypeAlias = Callable[[int, int, str], None]  # steps done, of how many, what is going on

_LABELS = ("label", "value")


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What was written.

    Attributes:
        training: what the model file says of itself.
        notes: what was done to the lengths of the ECGs, and a line for each ECG that was left out.
        evaluation: what stands beside it; None with 0 seeds.
    """

    training: Training
    notes: tuple[str, ...]
    evaluation: Evaluation | EvaluatedNumbers | EcgGroups | None


@dataclass(frozen=True, kw_only=True, eq=False)
class _Case:
    """What is learnt from: the table, which ECG of it, the samples of the model, and its outcomes by column."""

    table: EcgTable
    ecg: Which
    samples: Float32
    outcomes: Mapping[str, Labels]
    positive: str | int | None


def train(request: Request, told: Told) -> Trained:
    """Fit, evaluate, write: all or nothing.

    Raises:
        SettingsError: if what was asked for cannot be.
        InputError: if the table or one of its files cannot be used.
        ModuleNotFoundError: naming the extra, if the packages of the model are not installed.
    """
    info = model_info(request.name)
    _check_request(request, info)
    model_type = model_class(request.name)
    settings = checked_settings(request.name, model_type, request.settings)
    with as_input_error(request.table.name):
        case = _read(request, info, told)
    table = case.table

    derived = {
        "sampling_hz": table.sampling_hz,
        "recordings": 2 if case.ecg == "both" else 1,
        "random_state": request.seed,
    }
    known = inspect.signature(model_type).parameters
    model = model_type(**settings, **{name: value for name, value in derived.items() if name in known})
    training = Training(
        learnt_from="virtual patients" if request.virtual or says_virtual(table) else "patients",
        patients=len(np.unique(table.patients)),
        ecgs=len(case.samples),
        columns=tuple(case.outcomes),
        ecg=case.ecg,
        length=request.length,
        data_sha256=_digest(case),
        crt_twin=version("crt-twin"),
    )
    steps = 1 + request.folds * request.seeds * len(case.outcomes)
    evaluation = None
    with as_input_error(request.name):
        with rows_named(table.sources):
            _fit(model, case, lambda epoch: told(0, steps, f"fit 1 of {steps}{epoch}"))
        told(1, steps, f"fit 1 of {steps}")
        if request.seeds:
            evaluation = _evaluated(
                request,
                info,
                model,
                case,
                training.learnt_from,
                lambda done: told(1 + done, steps, f"fit {1 + done} of {steps}"),
            )
    if evaluation is None:
        store(request.out, request.name, model, training)
    else:
        files: list[str] = []
        with whole_files(evaluation_folder(request.out), files) as staging:
            evaluation.write(staging)
            files += sorted(path.name for path in staging.iterdir())
            store(request.out, request.name, model, training)
    notes = (table.note, *(f"left out: {fault}" for fault in table.left_out))
    return Trained(training=training, notes=notes, evaluation=evaluation)


def evaluation_folder(model: Path) -> Path:
    """Where the evaluation of a model file is."""
    return model.with_name(f"{model.name}.evaluation")


def _check_request(request: Request, info: ModelInfo) -> None:
    if request.ecg == "both" and info.reads != "one or two ECGs":
        raise SettingsError(f"--ecg both: {request.name} reads {info.reads}; take before or after")
    if request.out.is_dir() or not request.out.parent.is_dir():
        raise SettingsError(f"--out {request.out}: must name a file in a folder that exists")
    if not request.seeds and evaluation_folder(request.out).exists():
        raise SettingsError(
            f"--out {request.out}: {evaluation_folder(request.out).name} holds the evaluation of an earlier model, and "
            "--seeds 0 makes none; remove it or write elsewhere"
        )


def _read(request: Request, info: ModelInfo, told: Told) -> _Case:
    first = next(table_rows(request.table), None)
    if first is None:
        raise ValueError("the table has no line below the names of the columns")
    columns = _columns(request, info, first)
    two = info.reads == "one or two ECGs" and first.read_after is not None
    ecg = request.ecg or ("both" if two else "before")
    told(0, 1, "reading")
    rows = needed_rows(table_rows(request.table), info, ecg, columns, follow_up=info.learns == "groups")
    table = stack_rows(rows, length=request.length, leave_out_faulty=request.leave_out_faulty)
    samples = samples_of(table, info, ecg)
    outcomes = {column: _outcome(table, info, column) for column in columns}
    if request.seeds:
        for outcome in outcomes.values():  # before the long part, whether the folds can be filled
            list(PatientFolds(request.folds, stratified=info.learns == "classes").split(None, outcome, table.patients))
    positive = _positive(request, info, outcomes)
    return _Case(table=table, ecg=ecg, samples=samples, outcomes=outcomes, positive=positive)


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


def _outcome(data: EcgTable, info: ModelInfo, column: str) -> Labels:
    found: Labels = data.covariates[target_name(column)]
    empty = np.flatnonzero((found == "") if found.dtype.kind == "U" else np.isnan(found))
    if empty.size:
        raise ValueError(
            f"{data.sources[empty[0]]}: {column} is empty ({empty.size} of {len(found)} are); fill it, or leave the line out"
        )
    text = found.dtype.kind == "U"
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


def _digest(case: _Case) -> str:
    digest = hashlib.sha256(repr(case.samples.shape).encode() + case.samples.tobytes())
    plain = {column: outcome.tolist() for column, outcome in case.outcomes.items()}
    digest.update(json.dumps([plain, case.table.patients.tolist()]).encode())
    return digest.hexdigest()


def _fit(model: Any, case: _Case, told: Callable[[str], None]) -> None:
    """Fit to everybody, with the patients and the progress for those models that ask for them."""
    asked = inspect.signature(model.fit).parameters
    further: dict[str, object] = {}
    if "groups" in asked:
        further["groups"] = case.table.patients
    if "progress" in asked:
        further["progress"] = lambda curve, plan: told(f", epoch {len(curve.training)} of at most {plan.max_epochs}")
    told("")
    several = list(case.outcomes.values())
    outcome = None if not several else several[0] if len(several) == 1 else np.column_stack(several)
    model.fit(case.samples, outcome, **further)


def _evaluated(
    request: Request, info: ModelInfo, model: Any, case: _Case, population: str, told: Callable[[int], None]
) -> Evaluation | EvaluatedNumbers | EcgGroups:
    if info.learns == "groups":
        return groups_of(model, case.samples, case.table, population)
    options: dict[str, Any] = {
        "groups": case.table.patients,
        "folds": request.folds,
        "seeds": request.seeds,
        "virtual": population == "virtual patients",
        "published": PUBLISHED.get(request.name, ()),
        "progress": lambda done, _: told(done),
    }
    if info.learns == "numbers":
        return evaluate_numbers(request.name, model, case.samples, case.outcomes, **options)
    (outcome,) = case.outcomes.values()
    return evaluate({request.name: model}, case.samples, outcome, positive=case.positive, **options)
