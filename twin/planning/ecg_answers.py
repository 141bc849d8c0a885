"""What a trained model says of further ECGs: one answer per recording, or a page that explains them.

An ECG that cannot be read or measured gets a fault instead of an answer, and hides no other.

Units: mV, Hz.
"""

import csv
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

from ml.datasets.rows import EcgRow
from ml.datasets.stack import EcgTable, stack_rows
from ml.explain import explain
from twin.planning.ecg_models import (
    SCAR_SLICES,
    Float32,
    StoredModel,
    as_input_error,
    needed_rows,
    rows_named,
    samples_of,
    says_virtual,
    target_name,
)
from twin.planning.ecg_sources import UNKNOWN, rows_of
from twin.planning.errors import InputError, SettingsError
from twin.planning.whole_files import whole_files

Answer: TypeAlias = dict[str, str | int | float | None]


def predict(stored: StoredModel, sources: Sequence[Path]) -> list[Answer]:
    """Ask a model about every ECG of tables, files and folders.

    Returns:
        One row per recording: `recording` (the file; of a table also the line), `patient` (None for a file), `learnt_from`
        (whom the model learnt from), the answer, None with a fault: `predicted`, and `probability_CLASS` of each class; or
        the columns that it learnt; or `group`, `component_1` and `component_2`; and `fault`: None, or why there is none.

    Raises:
        InputError: if a folder holds no ECG, or a table cannot be read.
    """
    answers = [_answered(stored, row) for row in _rows(stored, sources)]
    if not answers:
        raise InputError(f"{sources[0].name}: the table has no line below the names of the columns")
    return answers


def write_answers(answers: Sequence[Answer], path: Path) -> None:
    """Write the rows as CSV, all or nothing; what is missing is empty."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with unfinished.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(answers[0])
            writer.writerows([_cell(value) for value in answer.values()] for answer in answers)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


def explain_files(
    stored: StoredModel,
    sources: Sequence[Path],
    out: Path,
    *,
    target: str | None = None,
    leave_out_faulty: bool = False,
    virtual: bool = False,
) -> tuple[str, ...]:
    """Write report.html, its pictures and explanation.json into a folder, all or nothing.

    Args:
        stored: a classifier or a regressor.
        sources: tables, files and folders: two ECGs at least, all of one kind.
        out: made if needed; files of the same names are replaced.
        target: the class to explain; None: the last one. For numbers: the column that was learnt; None: the first.
        leave_out_faulty: explain without the ECGs that cannot be used, instead of refusing all.
        virtual: the page speaks of virtual patients; also if the model or a table says so.

    Returns:
        A line for each ECG that was left out.

    Raises:
        SettingsError: if the model finds groups, or has no such class.
        InputError: if an ECG cannot be used, or there are fewer than two.
    """
    if stored.info.learns == "groups":
        raise SettingsError(f"{stored.name}: has groups and no answer per class or number that could be explained")
    classes = stored.model.classes_.tolist() if stored.info.learns == "classes" else []
    known = classes or list(stored.info.columns)
    named = [one for one in known if str(one) == target]
    if target is not None and not named:
        raise SettingsError(f"--class {target}: no such class; the model knows {', '.join(map(str, known))}")
    training = stored.training
    with as_input_error():
        rows = needed_rows(_rows(stored, sources), stored.info, training.ecg, training.columns)
        data = stack_rows(
            rows, sampling_hz=stored.sampling_hz, length=training.length, leave_out_faulty=leave_out_faulty
        )
        samples = samples_of(data, stored.info, training.ecg)
    files: list[str] = []
    with whole_files(out, files) as staging:
        with as_input_error(stored.name), rows_named(data.sources):
            explain(
                stored.model,
                samples,
                staging,
                y=_truth(data, training.columns, classes),
                target=named[0] if named else None,
                names=data.sources,
                virtual=virtual or says_virtual(data) or training.learnt_from == "virtual patients",
            )
        files += sorted(path.name for path in staging.iterdir())
    return data.left_out


def _truth(data: EcgTable, columns: Sequence[str], classes: Sequence[str | int]) -> list[str | int] | None:
    """The class of each row, where the table says it of all."""
    by_name = {str(one): one for one in classes}
    given = [data.covariates[target_name(name)] for name in columns if target_name(name) in data.covariates]
    if len(given) != 1:
        return None
    names = [cell if isinstance(cell, str) else f"{cell:.15g}" for cell in given[0].tolist()]
    return [by_name[name] for name in names] if set(names) <= set(by_name) else None


def _rows(stored: StoredModel, sources: Sequence[Path]) -> Iterator[EcgRow]:
    return rows_of(sources, stored.training.ecg, scar=stored.info.reads == SCAR_SLICES)


def _answered(stored: StoredModel, row: EcgRow) -> Answer:
    answer: Answer = {
        "recording": row.where,
        "patient": None if row.patient == UNKNOWN else row.patient,
        "learnt_from": stored.training.learnt_from,
        **dict.fromkeys(_columns(stored)),
        "fault": None,
    }
    try:
        with rows_named((row.where,)):
            training = stored.training
            rows = needed_rows([row], stored.info, training.ecg)
            data = stack_rows(rows, sampling_hz=stored.sampling_hz, length=training.length)
            samples = samples_of(data, stored.info, training.ecg)
            answer |= zip(_columns(stored), _values(stored, samples), strict=True)
    except (ValueError, OSError) as fault:
        # Of a single row, the list of faults is its last line.
        text = str(fault).splitlines()[-1].strip()
        answer["fault"] = text if text.startswith(row.where) else f"{row.where}: {text}"
    return answer


def _columns(stored: StoredModel) -> tuple[str, ...]:
    if stored.info.learns == "groups":
        return ("group", "component_1", "component_2")
    if stored.info.learns == "numbers":
        return stored.info.columns
    return ("predicted", *(f"probability_{one}" for one in stored.model.classes_.tolist()))


def _values(stored: StoredModel, sample: Float32) -> list[str | int | float]:
    """The answer to one ECG, as plain numbers and texts."""
    model = stored.model
    if stored.info.learns == "classes":
        shares = model.predict_proba(sample)[0]
        return [model.classes_[shares.argmax()].item(), *np.asarray(shares, dtype=np.float64).tolist()]
    found: list[str | int | float] = np.ravel(model.predict(sample)).tolist()
    return [*found, *model.transform(sample)[0].tolist()] if stored.info.learns == "groups" else found


def _cell(value: str | float | None) -> str | float:
    """A spreadsheet would run text that begins like a formula."""
    if isinstance(value, str):
        return f"'{value}" if value[:1] in "=+-@" and value else value
    return "" if value is None else value
