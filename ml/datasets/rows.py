"""One ECG of a collection before it is read: where it lies, whose it is, and what is known of it.

Rows are made lazily, so that a collection of a million ECGs can be filtered before a single signal is read.
"""

import csv
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from ml.ecg.recording import Ecg


@dataclass(frozen=True, slots=True, kw_only=True)
class EcgRow:
    """A row of a table or a public collection.

    Attributes:
        where: file and line, for messages.
        patient: rows of one patient have the same; never empty in a row that can be used.
        read: reads the ECG; raises ValueError or OSError, naming the file. None where there is none, but scar.
        read_after: reads a second ECG of the same patient (after implantation); None where there is none.
        scar: a file of scar, see `ml.datasets.scar`; None where there is none.
        values: the columns as text, empty where there is no value.
        codes: the diagnoses that hold, in the coding of the collection; None where it has none.
    """

    where: str
    patient: str
    read: Callable[[], Ecg] | None
    read_after: Callable[[], Ecg] | None = None
    scar: Path | None = None
    values: Mapping[str, str] = field(default_factory=dict)
    codes: frozenset[str] | None = None


def csv_lines(path: Path, needed: tuple[str, ...], delimiter: str = ",") -> Iterator[tuple[int, dict[str, str]]]:
    """Line number and cells by column of a table, stripped, empty where cells are missing.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is not text, a column occurs twice or has no name, a needed column is missing, or a line has
            more cells than there are columns.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no file {path.name} in {path.parent.name or 'this folder'}")
    with path.open(newline="", encoding="utf-8-sig") as file:
        lines = csv.DictReader(file, delimiter=delimiter, restkey="", restval="")
        try:
            names = [name.strip() for name in lines.fieldnames or ()]
            twice = [name for i, name in enumerate(names) if name in names[:i]]
            if twice or "" in names:
                raise ValueError(
                    f"{path.name}: column {(twice or [''])[0]!r} occurs twice or has no name; name each once"
                )
            missing = [name for name in needed if name not in names]
            if missing:
                raise ValueError(
                    f"{path.name}: no column {', '.join(missing)}; the first line must name the columns, there are "
                    f"{', '.join(names) or 'none'}"
                )
            lines.fieldnames = names
            for cells in lines:
                if "" in cells:
                    raise ValueError(
                        f"{path.name} line {lines.line_num}: more cells than the {len(names)} columns; put text that "
                        "holds the separator in quotes"
                    )
                yield lines.line_num, {name: cell.strip() for name, cell in cells.items()}
        except UnicodeDecodeError:
            raise ValueError(f"{path.name}: not a text file in UTF-8; save the table as CSV") from None
        except csv.Error as error:
            raise ValueError(
                f"{path.name} line {lines.line_num}: {error}; look for a quote that is not closed"
            ) from None
