"""ECG files: WFDB (`.hea` with its signal file), CSV (`time_ms`, then one column per lead in mV), DICOM waveforms (`.dcm`)
and Philips Sierra XML (`.xml`).

A file is refused, never repaired: a flat lead, a gap in time or a unit that cannot be right ends in one line of text.

Units: mV, ms.
"""

import csv
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ml.ecg.readers_dicom import read_dicom
from ml.ecg.readers_sierra import read_sierra
from ml.ecg.recording import STANDARD_LEADS, Ecg, Float
from ml.ecg.units import mv_per_unit

# Peak to peak. The largest QRS complexes span some 5 to 10 mV; an ECG whose largest lead spans 0.02 mV shows nothing on
# paper. Both limits are our choice: they tell mV from uV and V, not sick from healthy.
MAX_SPAN_MV = 20.0
MIN_SPAN_MV = 0.02
# How far a sample may lie from the uniform grid, in steps: covers times rounded to whole ms at 500 Hz or less,
# while a sample that is missing shifts its neighbours by half a step or more.
_GRID_TOLERANCE = 0.3

_SPELLING = {name.upper(): name for name in STANDARD_LEADS} | {"DI": "I", "DII": "II", "DIII": "III"}


def read_ecg(path: Path | str) -> Ecg:
    """Read an ECG by the ending of its file.

    Standard leads come back spelt as in `STANDARD_LEADS`, other leads as in the file.

    Raises:
        FileNotFoundError: if the file, or the signal file that a header names, is not there.
        ModuleNotFoundError: for `.dcm`, if the extra [formats] is not installed.
        ValueError: in one line, if the file cannot be read or holds no plausible ECG.
    """
    path = Path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(
            f"cannot read an ECG from {path.suffix or 'a file without ending'}; give a WFDB header (.hea) or a .csv, "
            ".dcm (DICOM) or .xml (Philips Sierra)"
        )
    if not path.is_file():
        raise FileNotFoundError(f"no file {path.name}")
    ecg = reader(path)
    ecg = replace(ecg, leads=_spelt(ecg.leads))
    check_plausible(ecg)
    return ecg


def write_csv(ecg: Ecg, path: Path | str) -> None:
    """Write `time_ms` and one column per lead in mV, with all digits: `read_ecg` gives the same samples back."""
    with Path(path).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["time_ms", *ecg.leads])
        writer.writerows(np.vstack([ecg.time_ms, ecg.signal_mv]).T.tolist())


def check_plausible(ecg: Ecg) -> None:
    """Refuse what cannot be an ECG in mV: for files, since a simulated ECG has no scale of its own.

    Raises:
        ValueError: naming the first lead that is flat or too large, its value, and the cure.
    """
    spans_mv = np.ptp(ecg.signal_mv, axis=1)
    flat = np.flatnonzero(spans_mv == 0)
    if flat.size:
        i = int(flat[0])
        raise ValueError(
            f"lead {ecg.leads[i]} is flat: {ecg.signal_mv[i, 0]:g} mV throughout ({flat.size} of {len(ecg.leads)} "
            "leads are). Leave a lead that was not recorded out of the file."
        )
    i = int(spans_mv.argmax())
    if spans_mv[i] > MAX_SPAN_MV:
        raise ValueError(
            f"lead {ecg.leads[i]} spans {spans_mv[i]:.4g} mV from peak to peak, need at most {MAX_SPAN_MV:g}; looks "
            "like microvolts: divide by 1000"
        )
    if spans_mv[i] < MIN_SPAN_MV:
        raise ValueError(
            f"lead {ecg.leads[i]}, the largest, spans {spans_mv[i]:.4g} mV from peak to peak, need at least "
            f"{MIN_SPAN_MV:g}; looks like volts: multiply by 1000"
        )


def _read_wfdb(header: Path) -> Ecg:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # wfdb's quarrel with pandas, raised while it is imported
        import wfdb  # here, for it is slow to import

    try:
        record: Any = wfdb.rdrecord(str(header.with_suffix("")))
    except FileNotFoundError as error:
        missing = Path(str(error.filename)).name
        raise FileNotFoundError(f"the header names a signal file that is not there: {missing}") from None
    except Exception as error:  # wfdb lets through whatever a damaged file leads to
        raise ValueError(f"not a complete WFDB record ({_first_line(error)}); export or copy it again") from None
    if record.p_signal is None or not record.p_signal.size:
        raise ValueError("the WFDB record holds no samples; export or copy it again")
    signal = np.array(record.p_signal.T, dtype=np.float64)
    for i, (lead, unit) in enumerate(zip(record.sig_name, record.units, strict=True)):
        signal[i] *= mv_per_unit(unit, lead)
    return Ecg(leads=tuple(record.sig_name), signal_mv=signal, rate_hz=record.fs)


def _read_csv(path: Path) -> Ecg:
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise ValueError("not a text file; a CSV holds time_ms, then one column per lead in mV") from None
    if len(lines) < 3:
        raise ValueError(f"{len(lines)} lines are no ECG; need a line of names and at least 2 samples")
    names = [name.strip().strip('"') for name in lines[0].split(",")]
    if names[0] != "time_ms" or len(names) < 2:
        raise ValueError(
            f"the first line is {lines[0][:60]!r}, need time_ms, then the names of the leads, with commas between"
        )
    try:
        table = np.loadtxt(lines[1:], delimiter=",", comments=None, ndmin=2, dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"not a table of numbers ({_first_line(error)}, counted below the names)") from None
    if table.shape[1] != len(names):
        raise ValueError(f"{len(names)} names stand above {table.shape[1]} columns; they must be as many")
    return Ecg(leads=tuple(names[1:]), signal_mv=table[:, 1:].T, rate_hz=1000.0 / _step_ms(table[:, 0]))


def _step_ms(time_ms: Float) -> float:
    """The step of a uniform time axis: the mean one, since the median of rounded times is itself rounded."""
    if not np.isfinite(time_ms).all():
        raise ValueError(f"time_ms in row {int(np.flatnonzero(~np.isfinite(time_ms))[0]) + 1} is not a number")
    steps = np.diff(time_ms)
    back = np.flatnonzero(steps <= 0)
    if back.size:
        raise ValueError(
            f"time_ms does not rise from row {back[0] + 1} to {back[0] + 2} ({back.size} of {steps.size} do not). "
            "Sort the rows."
        )
    step = float(time_ms[-1] - time_ms[0]) / steps.size
    off_grid = np.abs(time_ms - time_ms[0] - step * np.arange(time_ms.size))
    if off_grid.max() > _GRID_TOLERANCE * step:
        i = int(np.abs(steps - np.median(steps)).argmax())
        raise ValueError(
            f"time_ms must rise in equal steps: from row {i + 1} to {i + 2} it rises by {steps[i]:.6g} ms, elsewhere "
            f"by {np.median(steps):.6g} ms. Resample the ECG, or cut it where samples are missing."
        )
    return step


def _spelt(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(_SPELLING.get(name.strip().upper().removeprefix("LEAD").strip(" _"), name.strip()) for name in names)


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")


_READERS: dict[str, Callable[[Path], Ecg]] = {
    ".hea": _read_wfdb,
    ".csv": _read_csv,
    ".dcm": read_dicom,
    ".xml": read_sierra,
}
