"""What a user names, tables, files and folders of ECGs or scar, as rows that can be read one by one."""

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

from ml.datasets.plain import table_rows
from ml.datasets.rows import EcgRow
from ml.ecg.readers import read_ecg
from twin.planning.ecg_models import Which, as_input_error

UNKNOWN = "not known"  # the patient of a file

_ECGS = (".csv", ".dcm", ".hea", ".xml")
_SCARS = (".npz",)


def rows_of(sources: Iterable[Path], ecg: Which = "before", *, scar: bool = False) -> Iterator[EcgRow]:
    """The lines of tables, the files, and the files in folders, in the order named.

    Args:
        sources: what is named.
        ecg: which ECG is read; on its own, a file is that one.
        scar: files that are no tables hold scar, not ECGs.

    Raises:
        InputError: if a folder holds no such file, or a table cannot be read.
    """
    endings = _SCARS if scar else _ECGS
    for source in sources:
        with as_input_error(source.name):
            if _is_table(source):
                yield from table_rows(source)
                continue
            files = [source]
            if source.is_dir():
                files = sorted(
                    file for file in source.iterdir() if file.suffix.lower() in endings and not _is_table(file)
                )
                if not files:
                    raise ValueError(f"holds no {'file of scar' if scar else 'ECG'} ({', '.join(endings)})")
        for file in files:
            read = None if scar else partial(read_ecg, file)
            yield EcgRow(
                where=file.name,
                patient=UNKNOWN,
                read=read,
                read_after=read if ecg == "after" else None,
                scar=file if scar else None,
            )


def _is_table(path: Path) -> bool:
    """A table names its columns patient and ecg; an ECG as CSV begins with time_ms."""
    if path.suffix.lower() == ".tsv":
        return True
    if path.suffix.lower() != ".csv" or not path.is_file():
        return False
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return not file.readline(1000).startswith(("time_ms", '"time_ms'))
