"""Public collections of ECGs, read from a folder that holds one as it was published.

A row's `codes` are the diagnoses in the coding of the collection, its `values` the columns of its tables. Filter the rows,
then read them:

    rows = DATASETS["ptb-xl"].rows(Path("ptb-xl"))
    table = stack_rows(islice(rows, 500), label="CLBBB", leave_out_faulty=True)

Layouts were taken from the documentation of the collections, and tried on folders of that layout that tests make, and on 50
recordings of the Challenge; the collections themselves were not at hand. What is not settled stands in `caution`.
"""

from ast import literal_eval
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np

from ml.datasets.rows import EcgRow, csv_lines
from ml.ecg.extra import formats_module
from ml.ecg.readers import read_ecg
from ml.ecg.recording import STANDARD_LEADS, Ecg

CODE15_HZ = 400.0
# What MIMIC's carts write for a measurement that they could not take (seen in published lines, such as the P wave in atrial
# fibrillation); the data dictionary was not at hand.
_MIMIC_NOT_MEASURED = "29999"
_SEPARATOR = "\x1f"


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """A collection.

    Attributes:
        title: its name.
        doi: where it is described.
        labels: what `label` of `stack_rows` may name.
        caution: what to know before trusting a result.
        rows: the rows of a folder; raises FileNotFoundError or ValueError if the folder is laid out otherwise.
    """

    title: str
    doi: str
    labels: str
    caution: str
    rows: Callable[[Path], Iterator[EcgRow]]


def _ptb_xl(folder: Path) -> Iterator[EcgRow]:
    """`ptbxl_database.csv`; files under `records500`, or `records100` where only that is there."""
    column = "filename_hr" if (folder / "records500").is_dir() else "filename_lr"
    table = folder / "ptbxl_database.csv"
    for line, cells in csv_lines(table, needed=("ecg_id", "patient_id", "scp_codes", "filename_lr", "filename_hr")):
        where = f"{table.name} line {line} ({cells[column]})"
        try:
            codes = frozenset(map(str, dict(literal_eval(cells["scp_codes"]))))
        except (ValueError, SyntaxError, TypeError):
            raise ValueError(
                f"{where}: scp_codes is {cells['scp_codes'][:40]!r}, need {{'CODE': likelihood}}"
            ) from None
        yield EcgRow(
            where=where,
            patient=cells["patient_id"].removesuffix(".0"),
            read=partial(_read_wfdb, folder, cells[column]),
            values=_without(cells, "patient_id", "scp_codes", "filename_lr", "filename_hr"),
            codes=codes,
        )


def _code_15(folder: Path) -> Iterator[EcgRow]:
    """`exams.csv` beside `exams_part0.hdf5` to `exams_part17.hdf5`; exams of parts that are not there are passed over."""
    table, found = folder / "exams.csv", False
    flags = ("1dAVb", "RBBB", "LBBB", "SB", "AF", "ST")
    for line, cells in csv_lines(table, needed=("exam_id", "patient_id", "trace_file", *flags)):
        part = folder / cells["trace_file"]
        if part.is_file():
            found = True
            yield EcgRow(
                where=f"{table.name} line {line} (exam {cells['exam_id']} in {part.name})",
                patient=cells["patient_id"].removesuffix(".0"),
                read=partial(_read_tracing, part, cells["exam_id"]),
                values=_without(cells, "patient_id", "trace_file", *flags),
                codes=frozenset(flag for flag in flags if cells[flag].lower() in ("true", "1", "1.0")),
            )
    if not found:
        raise FileNotFoundError(f"none of the files that {table.name} names is beside it; unpack exams_part*.zip there")


def _read_tracing(part: Path, exam: str) -> Ecg:
    h5py = formats_module("h5py", "HDF5 files of CODE-15 %")
    try:
        with h5py.File(part, "r") as file:
            tracing = np.asarray(file["tracings"][_exam_rows(part)[exam]], dtype=np.float64).T
    except (KeyError, OSError) as error:
        raise ValueError(f"no exam {exam} in {part.name} ({error}); unpack the file again") from None
    recorded = np.flatnonzero(tracing.any(axis=0))
    if tracing.shape[0] != len(STANDARD_LEADS) or not recorded.size:
        raise ValueError(f"the tracing has shape {tracing.T.shape}, {recorded.size} samples of it not 0; need 12 leads")
    signal = tracing[:, recorded[0] : recorded[-1] + 1]
    return Ecg(leads=STANDARD_LEADS, signal_mv=signal, rate_hz=CODE15_HZ)


@cache
def _exam_rows(part: Path) -> dict[str, int]:
    """Where each exam lies in a part; the order of exams.csv is another one."""
    with formats_module("h5py", "HDF5 files of CODE-15 %").File(part, "r") as file:
        return {str(exam): i for i, exam in enumerate(np.asarray(file["exam_id"]).ravel().tolist())}


def _challenge_2021(folder: Path) -> Iterator[EcgRow]:
    """Every `.hea` below the folder; age, sex and diagnoses are comments in it."""
    headers = sorted(folder.rglob("*.hea"))
    if not headers:
        raise FileNotFoundError(f"no .hea file below {folder.name}")
    for header in headers:
        told: dict[str, str] = {}
        for line in header.read_text(encoding="utf-8", errors="replace").splitlines():
            name, colon, value = line.lstrip("# ").partition(":")
            if line.startswith("#") and colon:
                told[name.strip()] = value.strip()
        yield EcgRow(
            where=header.relative_to(folder).as_posix(),
            patient=header.stem,
            read=partial(read_ecg, header),
            values={"age": told.get("Age", ""), "sex": told.get("Sex", "")},
            codes=frozenset(code.strip() for code in told["Dx"].split(",") if code.strip()) if "Dx" in told else None,
        )


def _mimic_iv_ecg(folder: Path) -> Iterator[EcgRow]:
    """`record_list.csv` names the files, `machine_measurements.csv` what the cart measured and reported."""
    measured = folder / "machine_measurements.csv"
    # One short text per study: 800,000 dictionaries would not fit.
    texts, names = {}, tuple[str, ...]()
    for _, cells in csv_lines(measured, needed=("study_id", "report_0")):
        texts[cells["study_id"]], names = _SEPARATOR.join(cells.values()), tuple(cells)
    reports = [name for name in names if name.startswith("report_")]
    table = folder / "record_list.csv"
    for line, cells in csv_lines(table, needed=("subject_id", "study_id", "path")):
        text = texts.get(cells["study_id"])
        told = dict.fromkeys(names, "") if text is None else dict(zip(names, text.split(_SEPARATOR), strict=True))
        values = _without(told | cells, "subject_id", "path", "file_name", *reports)
        yield EcgRow(
            where=f"{table.name} line {line} ({cells['path']})",
            patient=cells["subject_id"],
            read=partial(_read_wfdb, folder, cells["path"]),
            values={name: "" if cell == _MIMIC_NOT_MEASURED else cell for name, cell in values.items()},
            codes=None if text is None else frozenset(told[name].rstrip(".") for name in reports if told[name]),
        )


def _read_wfdb(folder: Path, name: str) -> Ecg:
    return read_ecg(folder / f"{name}.hea")


def _without(cells: dict[str, str], *names: str) -> dict[str, str]:
    return {name: cell for name, cell in cells.items() if name not in names}


DATASETS: dict[str, Dataset] = {
    "ptb-xl": Dataset(
        title="PTB-XL",
        doi="10.1038/s41597-020-0495-6",
        labels="an SCP-ECG statement such as CLBBB, or a column such as age",
        caution="A statement counts whatever its likelihood, which is 0 where it is unknown. The column strat_fold holds "
        "the published folds.",
        rows=_ptb_xl,
    ),
    "code-15": Dataset(
        title="CODE-15 %",
        doi="10.5281/zenodo.4916206",
        labels="1dAVb, RBBB, LBBB, SB, AF or ST, or a column such as age",
        caution="The unit is not documented. Samples are taken as mV, yet others found them 1.6 to 2 times as large as "
        "those of collections in mV (not checked here): do not mix them with ECGs from elsewhere by amplitude. Padding "
        "is cut off, so lengths differ: most exams are reported to last 7.3 s, the rest 10.2 s.",
        rows=_code_15,
    ),
    "challenge-2021": Dataset(
        title="PhysioNet/Computing in Cardiology Challenge 2021",
        doi="10.13026/34va-7q14",
        labels="a SNOMED CT code such as 164909002 (LBBB; others write it 733534002), or age",
        caution="Patients are not named, so every recording counts as a patient of its own. That is wrong where a patient "
        "has several, as in its PTB-XL part: take PTB-XL itself for cross-validation.",
        rows=_challenge_2021,
    ),
    "mimic-iv-ecg": Dataset(
        title="MIMIC-IV-ECG",
        doi="10.13026/4nqg-sb35",
        labels="a sentence of the machine's report such as Left bundle branch block, or a measurement such as rr_interval",
        caution="The labels are the machine's, not a physician's. The table of measurements is held in memory.",
        rows=_mimic_iv_ecg,
    ),
}
