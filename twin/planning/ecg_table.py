"""QRS durations of many ECG files at once, with the diagnosis codes that their headers carry."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from statistics import median
from typing import Any

from ml.ecg.measure import measure
from ml.ecg.readers import read_ecg
from twin.planning.errors import InputError
from twin.planning.patient import reading

_ENDINGS = (".hea", ".csv", ".dcm", ".xml")


def measure_files(sources: Iterable[Path]) -> list[dict[str, Any]]:
    """Measure every ECG named, or lying in a folder named.

    Returns:
        One row per file: `file`, `qrs_ms`, `heart_rate_bpm` (None for an averaged beat), `snomed_codes` (the `#Dx` line
        of a WFDB header, as the PhysioNet challenges write it) and `fault`: None, or why the file cannot be measured.

    Raises:
        InputError: if a folder holds no ECG.
    """
    rows = []
    for source in sources:
        files = sorted(file for file in source.iterdir() if file.suffix in _ENDINGS) if source.is_dir() else [source]
        if not files:
            raise InputError(f"{source.name}: holds no ECG ({', '.join(_ENDINGS)})")
        rows += [_row(file) for file in files]
    return rows


def by_code(rows: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """QRS durations grouped by SNOMED code: `code`, `n`, `median_ms`, `low_ms`, `high_ms`; the most frequent code first.

    A recording counts under each of its codes; files that could not be measured count nowhere.
    """
    durations = defaultdict(list)
    for row in rows:
        for code in row["snomed_codes"]:
            durations[code].append(row["qrs_ms"])
    groups = [
        {"code": code, "n": len(ms), "median_ms": median(ms), "low_ms": min(ms), "high_ms": max(ms)}
        for code, ms in durations.items()
    ]
    return sorted(groups, key=lambda group: (-group["n"], group["code"]))


def _row(file: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"file": file.name, "qrs_ms": None, "heart_rate_bpm": None, "snomed_codes": [], "fault": None}
    try:
        with reading(file):
            measured = measure(read_ecg(file))
            row |= {
                "qrs_ms": measured.qrs_duration_ms,
                "heart_rate_bpm": measured.heart_rate_bpm,
                "snomed_codes": _codes(file),
            }
    except InputError as fault:
        row["fault"] = str(fault)
    return row


def _codes(file: Path) -> list[str]:
    if file.suffix != ".hea":
        return []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.lstrip("# ").partition(":")
        if line.startswith("#") and name.strip() == "Dx":
            return [code.strip() for code in value.split(",") if code.strip()]
    return []
