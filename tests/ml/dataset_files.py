"""Tables and ECG files as tests of `ml.datasets` write them."""

import csv
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ml.datasets import EcgTable, read_table
from ml.ecg.readers import write_csv
from ml.ecg.recording import STANDARD_LEADS, Ecg
from tests.ml.heartbeats import RATE_HZ, recordings

Float = NDArray[np.float64]


def ecg_file(path: Path, signal: Float, rate_hz: float = RATE_HZ, leads: Sequence[str] = STANDARD_LEADS) -> str:
    write_csv(Ecg(leads=tuple(leads), signal_mv=signal, rate_hz=rate_hz), path)
    return path.name


def written(path: Path, rows: Sequence[Mapping[str, object]], delimiter: str = ",") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return path


def good_rows(folder: Path, n: int = 4, **more: Sequence[object]) -> list[dict[str, object]]:
    """n recordings of 4 s, two per patient, and further columns."""
    signals, broad = recordings(n)
    rows = []
    for i, (signal, label) in enumerate(zip(signals, broad, strict=True)):
        row = {"patient": f"p{i // 2}", "ecg": ecg_file(folder / f"{i}.csv", signal), "label": label}
        rows.append(row | {name: cells[i] for name, cells in more.items()})
    return rows


def scar_file(path: Path, n: int = 3, seed: int = 0, size: int = 16) -> NDArray[np.float32]:
    """n slices of made-up scar, written as the network reads them."""
    slices = np.random.default_rng(seed).integers(0, 2, (n, 2, size, size)).astype(np.float32)
    np.savez(path, slices=slices)
    return slices


def read_rows(folder: Path, rows: Sequence[Mapping[str, object]], **settings: object) -> EcgTable:
    return read_table(written(folder / "table.csv", rows), sampling_hz=RATE_HZ, **settings)  # type: ignore[arg-type]


def wfdb_record(header: Path, signal: Float, rate_hz: float = RATE_HZ, comments: Sequence[str] = ()) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        import wfdb

        header.parent.mkdir(parents=True, exist_ok=True)
        wfdb.wrsamp(
            header.stem,
            fs=rate_hz,
            units=["mV"] * 12,
            sig_name=list(STANDARD_LEADS),
            p_signal=signal.T,
            fmt=["16"] * 12,
            adc_gain=[1000.0] * 12,
            baseline=[0] * 12,
            comments=list(comments),
            write_dir=str(header.parent),
        )
