"""QRS durations of many ECG files at once, with the diagnosis codes that their headers carry."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from ml.ecg.measure import measure
from ml.ecg.readers import read_ecg
from twin.planning.errors import InputError
from twin.planning.patient import reading


def measure_files(sources: Iterable[Path]) -> list[dict[str, Any]]:
    """Measure every ECG named, or lying in a folder named.

    Returns:
        One row per file: `file`, `qrs_ms`, `heart_rate_bpm` (None for an averaged beat), `snomed_codes` (the `#Dx` line
        of a WFDB header, as the PhysioNet challenges write it).

    Raises:
        InputError: if a file cannot be used, or a folder holds none.
    """
    rows = []
    for source in sources:
        files = sorted([*source.glob("*.hea"), *source.glob("*.csv")]) if source.is_dir() else [source]
        if not files:
            raise InputError(f"{source}: holds no ECG (.hea, .csv)")
        for file in files:
            with reading(file):
                measured = measure(read_ecg(file))
                rows.append(
                    {
                        "file": file.name,
                        "qrs_ms": measured.qrs_duration_ms,
                        "heart_rate_bpm": measured.heart_rate_bpm,
                        "snomed_codes": _codes(file),
                    }
                )
    return rows


def _codes(file: Path) -> list[str]:
    if file.suffix != ".hea":
        return []
    for line in file.read_text(encoding="utf-8", errors="replace").splitlines():
        name, _, value = line.lstrip("# ").partition(":")
        if line.startswith("#") and name.strip() == "Dx":
            return [code.strip() for code in value.split(",") if code.strip()]
    return []
