"""Made-up beats as files with a table of them, and how to read what the command line did with them."""

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ml.ecg.readers import write_csv
from ml.ecg.recording import STANDARD_LEADS, Ecg
from tests.ml.heartbeats import RATE_HZ, beats

N = 16
FEW = ("--folds", 2, "--seeds", 1)


def write_table(folder: Path, *, change: Callable[[list[dict[str, str]]], object] = list, seed: int = 0) -> Path:
    """N beats as CSV, and a table of them: every second QRS is broad."""
    folder.mkdir(exist_ok=True)
    signals, broad = beats(N, seed=seed)
    rows = []
    for i, (signal_mv, label) in enumerate(zip(signals, broad, strict=True)):
        write_csv(Ecg(leads=STANDARD_LEADS, signal_mv=signal_mv, rate_hz=RATE_HZ), folder / f"{i}.csv")
        rows.append(
            {"patient": f"p{i}", "ecg": f"{i}.csv", "label": str(label), "kind": "broad" if label else "narrow"}
        )
    change(rows)
    return write_rows(folder / "table.csv", rows)


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    """A table."""
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def left(folder: Path) -> list[str]:
    """What lies in a folder."""
    return sorted(path.name for path in folder.iterdir())


def refused(result: Any) -> list[str]:
    """What stderr says at the end, without "crt-twin: " and the progress before."""
    return [line.removeprefix("crt-twin: ") for line in result.stderr.splitlines() if line.startswith("crt-twin: ")]
