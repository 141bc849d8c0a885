"""Feature tables as pandas has them, from rows or from a file, typed and checked against `twin.planning.features`.

Numbers are float64 (missing: NaN), yes/no is pandas' `boolean`, words with choices are categories, other text is `string`.
Columns that are no features (patient, centre, outcomes) are kept as they are.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd  # type: ignore[import-untyped]

from twin.planning.errors import InputError
from twin.planning.features import BY_NAME, Feature, Value

_YES_NO = {"true": True, "false": False, "1": True, "0": False, "1.0": True, "0.0": False}


def table(rows: Iterable[Mapping[str, Value]]) -> pd.DataFrame:
    """The typed table of rows as `checked_row` gives them.

    Raises:
        InputError: as `checked_table`.
    """
    return checked_table(pd.DataFrame(list(rows), columns=list(BY_NAME), dtype=object), "table")


def read_sites(path: Path) -> pd.DataFrame:
    """The typed table in a CSV file: sites.csv of a plan, or one of many patients with a column `patient`.

    Raises:
        InputError: if it cannot be read, or as `checked_table`.
    """
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except OSError as fault:
        raise InputError(f"{path.name}: cannot be read: {fault.strerror}") from None
    except ValueError as fault:  # what pandas raises for bad CSV and bad UTF-8
        raise InputError(f"{path.name}: cannot be read as CSV: {' '.join(str(fault).split())}") from None
    # The quote that `write_features` puts before what a spreadsheet would run.
    unquoted = frame.apply(lambda column: column.str.replace(r"^'(?=[=+\-@])", "", regex=True))
    return checked_table(unquoted.replace("", None), path.name)


def checked_table(frame: pd.DataFrame, where: str, needed: Iterable[str] = BY_NAME) -> pd.DataFrame:
    """The same table with types.

    Args:
        frame: of texts or values; the first row is line 2, as in a file.
        where: names the table in errors.
        needed: columns that must be there; other features are checked where they are.

    Raises:
        InputError: naming every fault, each on a line of its own: a missing column, a value that is no number, out of its
            range or none of the choices, a row without id, an id that occurs twice in a patient.
    """
    faults = [f"{where}: has no column {name}" for name in needed if name not in frame]
    typed = frame.copy()
    for name in frame.columns.intersection(list(BY_NAME)):
        typed[name], wrong, rule = _typed(frame[name], BY_NAME[name])
        if wrong.any():
            faults.append(_fault(where, frame[name], wrong, rule))
    if "id" in frame:
        keys = [name for name in ("patient", "id") if name in frame]
        no_name = frame[keys].isna().any(axis=1).to_numpy()
        twice = frame.duplicated(keys).to_numpy() & ~no_name
        if no_name.any():
            faults.append(f"{where}: line {_line(no_name)} has no {' or no '.join(keys)} ({no_name.sum()} rows)")
        if twice.any():
            pair = ", ".join(str(frame[key].to_numpy()[twice.argmax()]) for key in keys)
            faults.append(f"{where}: line {_line(twice)}: {pair} occurs twice ({twice.sum()} rows are repetitions)")
    if faults:
        raise InputError("\n".join(faults))
    return typed


def _typed(column: "pd.Series[str]", feature: Feature) -> "tuple[pd.Series[str], np.ndarray, str]":
    """The column with its type, (n,) which values are wrong, and the rule they break."""
    given = column.notna().to_numpy()
    if feature.kind == "yes/no":
        truth = column.map(lambda value: _YES_NO.get(str(value).lower()), na_action="ignore")
        return truth.astype("boolean"), given & truth.isna().to_numpy(), "need true or false"
    if feature.kind == "text":
        text = column.astype("string")
        if not feature.choices:
            return text, np.zeros(len(column), dtype=np.bool_), ""
        wrong = given & ~text.isin(feature.choices).to_numpy()
        kind = pd.CategoricalDtype(list(feature.choices))
        return text.mask(wrong).astype(kind), wrong, f"need one of {', '.join(feature.choices)}"
    number = pd.to_numeric(column, errors="coerce").astype(np.float64)
    low, high = feature.low, feature.high
    inside = number.between(-np.inf if low is None else low, np.inf if high is None else high).to_numpy()
    return number, given & ~inside, f"need a number within {low:g}..{high:g}"


def _fault(where: str, column: "pd.Series[str]", wrong: np.ndarray, rule: str) -> str:
    first = str(column.to_numpy()[wrong.argmax()])[:40]
    return f"{where}: line {_line(wrong)}: {column.name} = {first}, {rule} ({wrong.sum()} of {len(column)} rows)"


def _line(wrong: np.ndarray) -> int:
    return int(wrong.argmax()) + 2
