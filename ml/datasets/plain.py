"""A table of files: one line per ECG or per set of scar slices, what is to be learnt beside it.

Columns: `patient`, and `ecg` (a file, relative to the table) or `scar` (a file, see `ml.datasets.scar`) or both; optional
`ecg_after` (a second ECG, after implantation), `label` or `value` (a number), `time` and `event` (follow-up). Other columns
are kept as covariates.
"""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

from ml.datasets.rows import EcgRow, csv_lines
from ml.datasets.stack import EcgTable, Length, stack_rows
from ml.ecg.readers import read_ecg
from ml.ecg.recording import Ecg
from ml.lge_slices import DrawScar

_FILES = ("ecg", "ecg_after", "scar")


def read_table(
    path: Path | str,
    *,
    label: str | None = None,
    sampling_hz: float = 500.0,
    length: Length = "shortest",
    leave_out_faulty: bool = False,
    draw: DrawScar | None = None,
) -> EcgTable:
    """Read a table (`.csv`, or `.tsv` with tabs) and every file that it names.

    Args:
        path: the table.
        label: a column of numbers to learn; None: `label` or `value`, where there is one.
        sampling_hz: the rate that all ECGs get.
        length: what becomes of unequal lengths, see `ml.datasets.stack`.
        leave_out_faulty: leave out lines with a fault and tell them in `left_out`, instead of raising.
        draw: what draws the scar in files that have none, see `ml.datasets.scar`.

    Raises:
        FileNotFoundError: if there is no such table.
        ValueError: if it is no such table; or one message with up to ten faults, each with its file and line.
        ModuleNotFoundError: if a format needs the extra [formats].
    """
    return stack_rows(
        table_rows(Path(path), (label,) if label else ()),
        label=label,
        sampling_hz=sampling_hz,
        length=length,
        leave_out_faulty=leave_out_faulty,
        draw=draw,
    )


def table_rows(path: Path, needed: tuple[str, ...] = ()) -> Iterator[EcgRow]:
    """The lines of a table, which must have the columns needed; no file that they name is read yet."""
    delimiter = "\t" if path.suffix.lower() == ".tsv" else ","
    for line, cells in csv_lines(path, needed=("patient", *needed), delimiter=delimiter):
        if "ecg" not in cells and ("scar" not in cells or "ecg_after" in cells):
            raise ValueError(
                f"{path.name}: no column ecg; add it, or a column scar alone to learn from scar without ECGs"
            )
        if ("time" in cells) != ("event" in cells):
            raise ValueError(f"{path.name}: time and event belong together; add the other column or remove this one")
        yield EcgRow(
            where=f"{path.name} line {line} ({cells.get('ecg') or cells.get('scar') or 'no file'})",
            patient=cells["patient"],
            read=partial(_read, path.parent, cells, "ecg") if "ecg" in cells else None,
            read_after=partial(_read, path.parent, cells, "ecg_after") if cells.get("ecg_after") else None,
            scar=path.parent / cells["scar"] if cells.get("scar") else None,
            values={name: cell for name, cell in cells.items() if name not in (*_FILES, "patient")},
        )


def _read(folder: Path, cells: dict[str, str], column: str) -> Ecg:
    if not cells[column]:
        raise ValueError(f"the cell of {column} is empty")
    try:
        return read_ecg(folder / cells[column])
    except (ValueError, OSError) as error:
        raise ValueError(f"{column}: {error}") from None
