"""Rows of a collection as one array of signals with labels, patients and covariates.

Recordings come in different rates and lengths. All are resampled to one rate; how they get one length is the caller's
choice and is told in `note`:

    shortest   each is cut to the first part that all have
    beat       each becomes its median beat; beats are laid on top of each other at the onset of the QRS and cut to the
               part that all have

Nothing is padded, except slices of scar, with NaN.

Every fault in every row is collected before the first one is reported.

Units: mV, Hz.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ml.datasets.rows import EcgRow
from ml.datasets.scar import read_slices, stacked
from ml.ecg.beats import median_beat
from ml.ecg.measure import qrs_bounds
from ml.ecg.recording import MAX_BEAT_MS, MAX_RATE_HZ, MIN_RATE_HZ, STANDARD_LEADS, Ecg
from ml.lge_slices import DrawScar
from ml.signals import Float32, as_signals, resampled

Length = Literal["shortest", "beat"]
Column = NDArray[np.float64] | NDArray[np.int64] | NDArray[np.str_]
_LABELS = ("label", "value")
_TIME, _EVENT = "time", "event"
_TOLD = 10


@dataclass(frozen=True, kw_only=True, eq=False)
class EcgTable:
    """n ECGs of one rate and length; leads as in `STANDARD_LEADS`.

    Attributes:
        signals: (n, 12, samples) mV; no samples where the rows have scar alone.
        signals_after: (n, 12, samples) mV, the second ECG of each row; None where the rows have none.
        sampling_hz: samples per second of both.
        patients: (n,) names; cross-validation must keep the rows of one patient together.
        labels: (n,) whole numbers where all are, else float64; None where there are none.
        times: (n,) follow-up, in the unit of the table; None without.
        events: (n,) 1 where the event happened at that time, 0 where follow-up ended; None without.
        scars: (n,) files of scar; None without.
        slices: (n, slices, 2, height, width) of these files, NaN where a patient has fewer than others; None without.
        covariates: the other columns by name, (n,): float64 where all cells are numbers, NaN where empty or NaN, else text.
        sources: (n,) file and line of each row.
        note: one sentence: what was done to the lengths.
        left_out: the faults of the rows that were left out, one line each.
    """

    signals: Float32
    signals_after: Float32 | None
    sampling_hz: float
    patients: NDArray[np.str_]
    labels: NDArray[np.float64] | NDArray[np.int64] | None
    times: NDArray[np.float64] | None
    events: NDArray[np.int64] | None
    scars: tuple[Path, ...] | None
    slices: Float32 | None
    covariates: dict[str, Column]
    sources: tuple[str, ...]
    note: str
    left_out: tuple[str, ...]


def stack_rows(
    rows: Iterable[EcgRow],
    *,
    label: str | None = None,
    sampling_hz: float = 500.0,
    length: Length = "shortest",
    leave_out_faulty: bool = False,
    draw: DrawScar | None = None,
) -> EcgTable:
    """Read all rows into memory (a 10-s ECG at 500 Hz takes 240 kB).

    Args:
        rows: from `table_rows` or a collection; filter or cut them before (`itertools.islice`).
        label: a column of numbers, or a code of the collection (1 where it holds, else 0). None: the column `label` or
            `value` where there is one.
        sampling_hz: the rate that all get.
        length: what becomes of unequal lengths, see above.
        leave_out_faulty: leave out rows with a fault and tell them in `left_out`, instead of raising.
        draw: what draws the scar in files that have none, see `ml.datasets.scar`.

    Raises:
        ValueError: one message with up to ten faults, each with its file and line: an ECG that is missing or cannot be
            read, unknown leads, microvolts, NaN, slices that cannot be used, the same ECG or scar twice, no patient, a
            label that is no number; or if no row has the label, or averaged beats stand among recordings.
        ModuleNotFoundError: if a format needs the extra [formats].
    """
    if length not in ("shortest", "beat"):
        raise ValueError(f"length is {length!r}, need shortest or beat")
    if not MIN_RATE_HZ <= sampling_hz <= MAX_RATE_HZ:
        raise ValueError(
            f"sampling_hz is {sampling_hz:.6g}, need {MIN_RATE_HZ:g} to {MAX_RATE_HZ:g} samples per second"
        )
    found = _Found()
    for row in rows:
        _add(found, row, label, sampling_hz, length, draw)
    if found.faults and not leave_out_faulty:
        more = f"\n  and {len(found.faults) - _TOLD} more" if len(found.faults) > _TOLD else ""
        told = "".join(f"\n  {fault}" for fault in found.faults[:_TOLD])
        total = len(found.rows) + found.faulty
        raise ValueError(f"{found.faulty} of {total} rows cannot be used:{told}{more}")
    if not found.rows:
        raise ValueError(f"no ECG to read; {found.faulty} rows were left out")
    signals, note = np.zeros((len(found.rows), len(STANDARD_LEADS), 0), dtype=np.float32), "No ECGs."
    if found.ecgs:
        signals, note = _one_length(found.ecgs, found.marks, found.rows, sampling_hz, length)
    after = None
    if found.after:
        after, after_note = _one_length(found.after, found.after_marks, found.rows, sampling_hz, length)
        note += f" Second ECGs: {after_note}"
    return EcgTable(
        signals=signals,
        signals_after=after,
        sampling_hz=sampling_hz,
        patients=np.array([row.patient for row in found.rows]),
        labels=_labels(found, label),
        times=_numbers(found.rows, _TIME),
        events=None if (events := _numbers(found.rows, _EVENT)) is None else events.astype(np.int64),
        scars=tuple(row.scar for row in found.rows if row.scar is not None) or None,
        slices=stacked(found.slices) if found.slices else None,
        covariates=_covariates(found.rows, label),
        sources=tuple(row.where for row in found.rows),
        note=note,
        left_out=tuple(found.faults),
    )


@dataclass
class _Found:
    """What the rows so far have given; a mark is the sample at which beats are laid on top of each other."""

    rows: list[EcgRow] = field(default_factory=list)
    ecgs: list[Float32] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    after: list[Float32] = field(default_factory=list)
    after_marks: list[int] = field(default_factory=list)
    slices: list[Float32] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    faulty: int = 0
    seen: dict[bytes, str] = field(default_factory=dict)
    codes: Counter[str] = field(default_factory=Counter)


def _add(
    found: _Found, row: EcgRow, label: str | None, sampling_hz: float, length: Length, draw: DrawScar | None
) -> None:
    faults: list[str] = []
    read: list[tuple[Float32, int]] = []
    slices: list[Float32] = []
    with _collecting(faults):
        _check_cells(row, label)
    for reader in filter(None, (row.read, row.read_after)):
        with _collecting(faults):
            read.append(_prepared(reader(), sampling_hz, length))
    if row.scar is not None:
        with _collecting(faults, "scar: "):
            slices.append(read_slices(row.scar, draw))
    if row.read is None and row.scar is None:
        faults.append("neither an ECG nor scar; fill the column ecg or scar")
    if row.read is None and row.read_after is not None:
        faults.append("a second ECG without a first; fill the column ecg")
    if found.rows and (row.read is None) != (not found.ecgs):
        faults.append("some rows have an ecg and some have none; fill the column or leave it out")
    if found.rows and (row.read_after is None) != (not found.after):
        faults.append("some rows have an ecg_after and some have none; fill the column or leave it out")
    if found.rows and (row.scar is None) != (found.rows[0].scar is None):
        faults.append("some rows have a scar and some have none; fill the column or leave it out")
    if not faults:
        digest = blake2b(b"".join(samples.tobytes() for samples in [signal for signal, _ in read] or slices)).digest()
        if digest in found.seen:
            faults.append(f"the same {'ECG' if read else 'scar'} as {found.seen[digest]}; leave one of them out")
        found.seen.setdefault(digest, row.where)
    if faults:
        found.faulty += 1
        found.faults += [f"{row.where}: {fault}" for fault in faults]
        return
    found.rows.append(row)
    found.slices += slices
    found.codes.update(row.codes or ())
    for (signal, mark), ecgs, marks in zip(
        read, (found.ecgs, found.after), (found.marks, found.after_marks), strict=False
    ):
        ecgs.append(signal)
        marks.append(mark)


@contextmanager
def _collecting(faults: list[str], what: str = "") -> Iterator[None]:
    try:
        yield
    except (ValueError, OSError) as error:
        faults.append(f"{what}{error}")


def _check_cells(row: EcgRow, label: str | None) -> None:
    if not row.patient:
        raise ValueError("no patient; name it, so that all rows of one patient stay together")
    if label and label not in row.values and row.codes is None:
        raise ValueError(f"no diagnoses are known, so it is open whether {label} holds; leave the row out")
    for name in (*((label,) if label else _LABELS), _TIME, _EVENT):
        if name in row.values and np.isnan(number := _number(row.values[name])):
            raise ValueError(f"{name} is {row.values[name]!r}, need a number")
        if name in row.values and name == _EVENT and number not in (0, 1):
            raise ValueError(f"event is {number:g}, need 1 (it happened) or 0 (follow-up ended)")
        if name in row.values and name == _TIME and number <= 0:
            raise ValueError(f"time is {number:g}, need > 0")


def _number(cell: str) -> float:
    """NaN for what is no finite number."""
    known = {"true": 1.0, "false": 0.0}.get(cell.lower())
    try:
        number = float(cell) if known is None else known
    except ValueError:
        return np.nan
    return number if np.isfinite(number) else np.nan


def _prepared(ecg: Ecg, sampling_hz: float, length: Length) -> tuple[Float32, int]:
    """(12, samples) checked, at the one rate, and the sample of the QRS onset; 0 for recordings."""
    try:
        signal = as_signals(ecg.twelve_leads().signal_mv[None], STANDARD_LEADS, ecg.rate_hz)
    except ValueError as error:
        raise ValueError(str(error).replace("X[0]", "the ECG")) from None
    if length == "shortest":
        return resampled(signal, ecg.rate_hz, sampling_hz)[0], 0
    beat = median_beat(Ecg(leads=STANDARD_LEADS, signal_mv=signal[0].astype(np.float64), rate_hz=ecg.rate_hz))
    onset = round(qrs_bounds(beat).onset_ms * sampling_hz / 1000)
    return beat.resampled(sampling_hz).signal_mv.astype(np.float32), onset


def _one_length(
    ecgs: list[Float32], marks: list[int], rows: list[EcgRow], sampling_hz: float, length: Length
) -> tuple[Float32, str]:
    ms = 1000 / sampling_hz
    lengths = np.array([ecg.shape[1] for ecg in ecgs])
    beats = lengths * ms < MAX_BEAT_MS
    if length == "shortest" and beats.any() and not beats.all():
        i = int(beats.argmax())
        raise ValueError(
            f"{rows[i].where} holds one beat of {lengths[i] * ms:.0f} ms ({beats.sum()} of {len(rows)} do), the others "
            "are recordings; take length='beat', or keep them in two tables"
        )
    before = min(marks)
    samples = before + min(int(n) - mark for n, mark in zip(lengths, marks, strict=True))
    cut = np.stack([ecg[:, mark - before :][:, :samples] for ecg, mark in zip(ecgs, marks, strict=True)])
    if length == "beat":
        return cut, (
            f"Median beats of {samples * ms:.0f} ms, the QRS onset of each at {before * ms:.0f} ms: the part that all "
            f"{len(ecgs)} have."
        )
    if lengths.min() == lengths.max():
        return cut, f"All {len(ecgs)} ECGs are {samples * ms:.0f} ms long."
    i = int(lengths.argmin())
    return cut, (
        f"{(lengths > samples).sum()} of {len(ecgs)} ECGs were cut to their first {samples * ms:.0f} ms, the length of the "
        f"shortest ({rows[i].where}); the longest has {lengths.max() * ms:.0f} ms."
    )


def _labels(found: _Found, label: str | None) -> NDArray[np.float64] | NDArray[np.int64] | None:
    columns = found.rows[0].values
    if label is None:
        given = [name for name in _LABELS if name in columns]
        if len(given) > 1:
            raise ValueError("the table has both label and value; name the one to learn by label=")
        if not given:
            return None
        label = given[0]
    if label in columns:
        labels = np.array([_number(row.values[label]) for row in found.rows])
    elif label in found.codes:
        labels = np.array([float(label in (row.codes or ())) for row in found.rows])
    else:
        frequent = ", ".join(f"{code} ({n})" for code, n in found.codes.most_common(_TOLD))
        raise ValueError(
            f"no ECG has the label {label!r}; columns: {', '.join(columns) or 'none'}; most frequent codes: "
            f"{frequent or 'none'}"
        )
    return labels.astype(np.int64) if np.array_equal(labels, np.round(labels)) else labels


def _numbers(rows: list[EcgRow], name: str) -> NDArray[np.float64] | None:
    return np.array([_number(row.values[name]) for row in rows]) if name in rows[0].values else None


def _covariates(rows: list[EcgRow], label: str | None) -> dict[str, Column]:
    taken = {label, _TIME, _EVENT} | (set(_LABELS) if label is None else set())
    columns: dict[str, Column] = {}
    for name in rows[0].values:
        if name not in taken:
            cells = [row.values.get(name, "") for row in rows]
            numbers = np.array([_number(cell) for cell in cells])
            empty = ("", "nan")
            text = any(np.isnan(x) and cell.lower() not in empty for x, cell in zip(numbers, cells, strict=True))
            columns[name] = np.array(cells) if text else numbers
    return columns
