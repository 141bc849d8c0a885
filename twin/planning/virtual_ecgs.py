"""ECGs and scar slices of virtual patients for the questions that the models of `ml` answer.

`twin.planning.virtual_questions` says by which rules the patients are made, so that the best that any model can reach is
known; `twin.planning.virtual_people` simulates them. What a model finds here says nothing about people.

A beat is a P wave, the simulated QRS and T, and the noise that averaging leaves; a recording is such beats with breathing,
muscle and mains noise. Amplitudes differ between patients by a factor of their bodies, our choice.

Units: mV, ms, years.
"""

import csv
import warnings
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from anatomy.arrays import Float
from ml.ecg.recording import STANDARD_LEADS, Ecg
from twin.activation import Activation
from twin.planning.virtual import p_wave
from twin.planning.virtual_people import SLICES, VirtualPerson, prepared_heart
from twin.planning.virtual_questions import QUESTIONS, Case, labels_by_rule
from twin.planning.whole_files import whole_files

SAMPLING_HZ = 500.0
_STEP_MS = 1000 / SAMPLING_HZ
_BEAT_MS, _ONSET_MS, _ONSET_SPREAD_MS, _RECORDING_MS = 800.0, 260.0, 8.0, 10_000.0
_PACED_PR_MS, _P_MIDDLE_MS = 130.0, 50.0
_INTERVAL_MS, _INTERVAL_SD_MS = (800.0, 1000.0), 12.0
_GAIN_SPREAD = 0.15
_MUSCLE_MV, _MAINS_MV, _BREATHING_MV, _BREATH_MS = 0.012, 0.004, 0.05, 4000.0
# Of the noise of a recording, what the mean of ten beats keeps.
_AVERAGED = 10**-0.5
_FEWEST = 6
_THREADS = 4
_FEWEST_SLICES = 3
_INDEPENDENT = np.isin(STANDARD_LEADS, ("I", "II", *STANDARD_LEADS[6:]))


@dataclass(frozen=True, kw_only=True, eq=False)
class VirtualEcgs:
    """ECGs of virtual patients, what is to be predicted of them, and the truth behind.

    Attributes:
        question: what is asked of them.
        patients: (n,) names, each its own person.
        hearts: (n,) which of the few phantom hearts each has. Patients of one heart are more alike than people are; group
            by it to see what a model makes of a heart it never saw.
        signals: (n, 12, 400) float32 mV, one averaged beat of 0.8 s, leads in the standard order.
        sampling_hz: 500.
        classes: names of the labels; of two, the second is the positive one.
        labels: (n,) numbers of classes.
        outcomes: (n,) numbers each, to be predicted and not to be seen, with their units in their names; `time` is in
            years, `event` 1 for death.
        probability: (n,) chance of label 1 by the rule; None where the label is the patient's own kind, without chance.
        after: like `signals`, under biventricular pacing; None where the question has no such beat.
        recordings: (n, 12, 5000) ten seconds of the rhythm of `signals` with noise and wander; None unless asked for.
        scar: (n, 10, 2, 128, 128) float32 slices from base to apex (0 muscle; 1 scar: 0.5 border zone, 1 core); one that a
            patient lacks is NaN throughout. None where the question has none.
    """

    question: str
    patients: tuple[str, ...]
    hearts: tuple[str, ...]
    signals: NDArray[np.float32]
    classes: tuple[str, ...]
    labels: NDArray[np.int64]
    outcomes: Mapping[str, Float]
    probability: Float | None = None
    after: NDArray[np.float32] | None = None
    recordings: NDArray[np.float32] | None = None
    scar: NDArray[np.float32] | None = None
    sampling_hz: float = SAMPLING_HZ

    def __post_init__(self) -> None:
        object.__setattr__(self, "outcomes", {name: _fixed(values) for name, values in self.outcomes.items()})
        for name, values in list(vars(self).items()):
            if isinstance(values, np.ndarray):
                object.__setattr__(self, name, _fixed(values))

    @property
    def ceiling_auc(self) -> float:
        """AUC that ranking these patients by their true chance is expected to reach; no model can be better on average.

        1 where no chance plays a part: there the label follows from the kind of patient, which the ECG need not show.
        """
        if self.probability is None:
            return 1.0
        p = self.probability
        pairs = p[:, None] * (1 - p)
        np.fill_diagonal(pairs, 0)
        above = (p[:, None] > p) + 0.5 * (p[:, None] == p)
        return float((pairs * above).sum() / pairs.sum())

    def write(self, folder: Path) -> Path:
        """Write what a user would bring: `table.csv`, a WFDB record per ECG and an .npz per set of slices.

        The table, as `ml.datasets` reads it, has the columns patient, virtual (always yes), heart, ecg, ecg_after, scar,
        label (a number), class (its name) and the outcomes, as far as the question has them; paths are relative to it.
        The ECG is the recording if there is one, otherwise the averaged beat. Samples are rounded to 1 uV.

        Args:
            folder: made if needed; files of the same names are replaced.

        Returns:
            The path of the table.
        """
        rows: list[dict[str, str | float]] = []
        ecgs = self.signals if self.recordings is None else self.recordings
        files: list[str] = ["table.csv"]
        for i, patient in enumerate(self.patients):
            row: dict[str, str | float] = {"patient": patient, "virtual": "yes", "heart": self.hearts[i]}
            row["ecg"] = f"{patient}.hea"
            if self.after is not None:
                row["ecg_after"] = f"{patient}-after.hea"
            if self.scar is not None:
                row["scar"] = f"{patient}-scar.npz"
            row |= {"label": int(self.labels[i]), "class": self.classes[self.labels[i]]}
            row |= {name: round(float(values[i]), 3) for name, values in self.outcomes.items()}
            rows.append(row)
        records = [str(row[name])[:-4] for row in rows for name in ("ecg", "ecg_after") if name in row]
        files += [f"{record}{ending}" for record in records for ending in (".hea", ".dat")]
        files += [str(row["scar"]) for row in rows if "scar" in row]
        with whole_files(folder, files) as staging:
            for i, row in enumerate(rows):
                _write_wfdb(staging, str(row["ecg"])[:-4], ecgs[i])
                if self.after is not None:
                    _write_wfdb(staging, str(row["ecg_after"])[:-4], self.after[i])
                if self.scar is not None:
                    present = ~np.isnan(self.scar[i, :, 0, 0, 0])
                    np.savez_compressed(staging / str(row["scar"]), slices=self.scar[i, present])
            with (staging / "table.csv").open("w", newline="", encoding="utf-8") as file:
                writer = csv.DictWriter(file, fieldnames=list(rows[0]), lineterminator="\n")
                writer.writeheader()
                writer.writerows(rows)
        return folder / "table.csv"


def virtual_ecgs(
    n: int, *, seed: int, question: str, prevalence: float | None = None, recordings: bool = False
) -> VirtualEcgs:
    """Virtual patients for one question.

    Args:
        n: how many, at least 6.
        seed: >= 0; the same seed gives the same bytes.
        question: "crt-response", "ventricular-arrhythmia", "cardiomyopathy", "rv-function" or "conduction".
        prevalence: share of label 1, for the first two; the question's own if not given.
        recordings: also make ten seconds of each.

    Raises:
        ValueError: for an unknown question, too few patients, or a prevalence that leaves a class empty or cannot be asked.
    """
    if question not in QUESTIONS:
        raise ValueError(f"no question {question!r}; there are {', '.join(QUESTIONS)}")
    asked = QUESTIONS[question]
    if n < _FEWEST:
        raise ValueError(f"n = {n}, need at least {_FEWEST} virtual patients")
    if prevalence is not None and asked.prevalence is None:
        raise ValueError(f"prevalence = {prevalence:g} cannot be asked of {question!r}: leave it out")
    share = asked.prevalence if prevalence is None else prevalence
    if share is not None and not 1 <= round(share * n) <= n - 1:
        raise ValueError(f"prevalence = {share:g} leaves a class without a patient among {n}")

    number = list(QUESTIONS).index(question)
    cohort = np.random.default_rng([seed, number])
    kinds = cohort.permutation(np.arange(n) % len(asked.classes)).tolist()
    hearts = tuple(str(name) for name in cohort.permutation(np.resize(asked.hearts, n)))
    for name in set(hearts):
        prepared_heart(name)  # here, lest two threads do it at once

    def made(i: int) -> _Made:
        rng = np.random.default_rng([seed, number, i])
        person, case = asked.draw(rng, hearts[i], kinds[i])
        return _made(person, case, rng, recordings=recordings)

    with ThreadPoolExecutor(_THREADS) as pool:
        people = list(pool.map(made, range(n)))
    cases = [one.case for one in people]
    labels = np.array([case.label for case in cases], dtype=np.int64)
    chances = [case.probability for case in cases if case.probability is not None]
    probability = np.array(chances) if chances else None
    if share is not None:
        labels, probability = labels_by_rule(np.array([case.score for case in cases]), share, cohort)
    outcomes = {name: np.array([case.outcomes[name] for case in cases]) for name in cases[0].outcomes}
    if asked.follow_up is not None:
        outcomes |= asked.follow_up(labels, outcomes, cohort)
    return VirtualEcgs(
        question=question,
        patients=tuple(f"virtual-{question}-{seed}-{i:04d}" for i in range(n)),
        hearts=hearts,
        signals=np.array([one.signal for one in people]),
        classes=asked.classes,
        labels=labels,
        outcomes=outcomes,
        probability=probability,
        after=_stacked([one.after for one in people]),
        recordings=_stacked([one.recording for one in people]),
        scar=_stacked([one.scar for one in people]),
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Made:
    """What one patient gives: arrays as in `VirtualEcgs`, without the first axis."""

    case: Case
    signal: NDArray[np.float32]
    after: NDArray[np.float32] | None
    recording: NDArray[np.float32] | None
    scar: NDArray[np.float32] | None


def _made(person: VirtualPerson, case: Case, rng: np.random.Generator, *, recordings: bool) -> _Made:
    gain = rng.lognormal(0, _GAIN_SPREAD)
    beat = gain * _beat(person, person.intrinsic, case.pr_ms, rng)
    paced = None if case.after is None else gain * _beat(person, case.after, _PACED_PR_MS, rng)
    return _Made(
        case=case,
        signal=_noisy(beat, rng, _AVERAGED),
        after=None if paced is None else _noisy(paced, rng, _AVERAGED),
        scar=None if case.slices is None else _some_slices(case.slices, rng),
        recording=_noisy(_recording(beat, rng), rng, 1.0) if recordings else None,
    )


def _fixed(values: NDArray[np.generic]) -> NDArray[np.generic]:
    copy = values.copy()
    copy.flags.writeable = False
    return copy


def _stacked(parts: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32] | None:
    there = [part for part in parts if part is not None]
    return np.array(there) if there else None


def _beat(person: VirtualPerson, activation: Activation, pr_ms: float, rng: np.random.Generator) -> Float:
    """(12, 400) one beat without noise."""
    time_ms = np.arange(0, _BEAT_MS, _STEP_MS) - _ONSET_MS - rng.uniform(-_ONSET_SPREAD_MS, _ONSET_SPREAD_MS)
    beat: Float = person.beat_mv(activation, time_ms) + p_wave(time_ms + pr_ms - _P_MIDDLE_MS)
    return beat


def _recording(beat: Float, rng: np.random.Generator) -> Float:
    """(12, 5000) ten seconds of sinus rhythm without noise."""
    time_ms = np.arange(0, _RECORDING_MS, _STEP_MS)
    beat_ms = np.arange(beat.shape[1]) * _STEP_MS
    signal = np.zeros((len(beat), len(time_ms)))
    interval_ms, start_ms = rng.uniform(*_INTERVAL_MS), -rng.uniform(0, _BEAT_MS)
    while start_ms < time_ms[-1]:
        signal += [np.interp(time_ms - start_ms, beat_ms, row, left=0, right=0) for row in beat]
        start_ms += interval_ms + rng.normal(0, _INTERVAL_SD_MS)
    return signal


def _noisy(signal: Float, rng: np.random.Generator, share: float) -> NDArray[np.float32]:
    """The same leads with this share of a recording's noise, which enters at the electrodes: limb leads go on agreeing."""
    time_ms = np.arange(signal.shape[1]) * _STEP_MS
    rows = int(_INDEPENDENT.sum())
    muscle = gaussian_filter1d(rng.normal(0, _MUSCLE_MV, (rows, len(time_ms))), 0.8, axis=1)
    mains = _MAINS_MV * np.sin(2 * np.pi * time_ms / 20)
    breathing = rng.normal(0, _BREATHING_MV, rows)[:, None] * np.sin(2 * np.pi * (time_ms / _BREATH_MS + rng.uniform()))
    noisy = signal[_INDEPENDENT] + share * (muscle + mains + breathing)
    leads = tuple(np.array(STANDARD_LEADS)[_INDEPENDENT].tolist())
    return Ecg(leads=leads, signal_mv=noisy, rate_hz=SAMPLING_HZ).twelve_leads().signal_mv.astype(np.float32)


def _some_slices(every: Float, rng: np.random.Generator) -> NDArray[np.float32]:
    """(10, 2, 128, 128) those of the ten slices that this patient has, and NaN behind them."""
    count = int(rng.integers(_FEWEST_SLICES, SLICES + 1))
    slices = np.full(every.shape, np.nan, dtype=np.float32)
    slices[:count] = every[np.round(np.linspace(0, SLICES - 1, count)).astype(int)]
    return slices


def _write_wfdb(folder: Path, record: str, signal: NDArray[np.float32]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # as in `ml.ecg.readers`
        import wfdb  # here, for it is slow to import

    wfdb.wrsamp(
        record,
        fs=SAMPLING_HZ,
        units=["mV"] * len(STANDARD_LEADS),
        sig_name=list(STANDARD_LEADS),
        p_signal=signal.T.astype(np.float64),
        fmt=["16"] * len(STANDARD_LEADS),
        adc_gain=[1000.0] * len(STANDARD_LEADS),
        baseline=[0] * len(STANDARD_LEADS),
        comments=["a virtual patient: nothing here was measured on a person"],
        write_dir=str(folder),
    )
