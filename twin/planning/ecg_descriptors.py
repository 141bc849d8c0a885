"""What response models read of ECGs: measures of the recorded beat, its scores on frozen curves, answers of a frozen net.

Recorded and simulated beats are brought to one form, `qrs_curves`, for a simulated beat has neither P wave nor T: 250 samples
at 1 kHz about the middle of the QRS, 0 outside of it, and within it above the straight line between its ends. Simulated beats
are scaled by recorded over simulated QRS of the patient's own rhythm, which takes out what the body does to amplitudes.

Curves (functional principal components) and net (`ml.beat_pairs`) were learnt from virtual patients of
`twin.planning.virtual_ecgs`, question "crt-response", whom no cohort shares; nothing is learnt here from the patients that a
response model is trained on. `build_descriptors` makes both anew. The net needs the extra [deep].

Units: mV, ms; areas in uV s.
"""

from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from anatomy.arrays import Float
from ml.ecg.measure import QrsBounds, qrs_bounds
from ml.ecg.pattern import conduction_pattern
from ml.ecg.recording import STANDARD_LEADS, Ecg
from ml.model_store import ModelParts, read_parts, write_parts
from ml.vectorcardiogram import area_uvs, vectorcardiogram
from twin.planning.features import Value

if TYPE_CHECKING:
    from ml.beat_pairs import BeatPairNet

CURVE_SAMPLES, COMPONENTS = 250, 4
CURVES_FILE, NET_FILE = "ecg_curves.model", "ecg_pairs.model"
WITHOUT_NET = "features net_* are empty: they need the extra [deep] (pip install 'crt-twin[deep]')"
# The level of a lead is its mean over this long before the QRS, as in `ml.complexes`.
_LEVEL_MS = 16.0
_AREA_SAMPLES = 200
# Far from the seeds that people take for cohorts of their own.
_PATIENTS, _SEED = 600, 730_019


def qrs_curves(beat: Ecg, qrs: QrsBounds) -> Float:
    """(12, 250) mV, one sample per ms about the middle of the QRS; see the top."""
    middle_ms = (qrs.onset_ms + qrs.end_ms) / 2
    times_ms: Float = middle_ms + np.arange(CURVE_SAMPLES, dtype=np.float64) - (CURVE_SAMPLES - 1) / 2
    inside = (times_ms >= qrs.onset_ms) & (times_ms <= qrs.end_ms)
    share = (times_ms[inside] - qrs.onset_ms) / max(qrs.duration_ms, 1e-9)
    ends = _sampled(beat, np.array([qrs.onset_ms, qrs.end_ms]))
    curves = np.zeros((len(beat.signal_mv), CURVE_SAMPLES))
    curves[:, inside] = _sampled(beat, times_ms[inside]) - ends[:, :1] * (1 - share) - ends[:, 1:] * share
    return curves


def qrs_area_uvs(beat: Ecg, qrs: QrsBounds) -> float:
    """Length of the area vector of the QRS [van Deursen 2015, see `ml.vectorcardiogram`], above the level before it."""
    level_ms = np.linspace(max(qrs.onset_ms - _LEVEL_MS, 0.0), qrs.onset_ms, 16)
    level = _sampled(beat, level_ms).mean(axis=1, keepdims=True)
    within = _sampled(beat, np.linspace(qrs.onset_ms, qrs.end_ms, _AREA_SAMPLES)) - level
    return float(np.linalg.norm(area_uvs(vectorcardiogram(within), qrs.duration_ms)))


def i_v6_correlation(beat: Ecg, qrs: QrsBounds) -> float | None:
    """Correlation of leads I and V6 within the QRS; None where one is flat.

    Both look from the left. Exchanged electrodes of the arms turn I over and leave V6 [doi:10.3390/s19132920]. In 100
    virtual patients it was above -0.1 as recorded and below -0.6 exchanged.
    """
    a, b = (
        curve - curve.mean() for curve in qrs_curves(beat, qrs)[[STANDARD_LEADS.index("I"), STANDARD_LEADS.index("V6")]]
    )
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(np.clip(a @ b / size, -1, 1)) if size > 0 else None


def recorded_features(beat: Ecg, qrs: QrsBounds) -> dict[str, Value]:
    """The features ecg_* of one recorded beat with its 12 leads."""
    scores = _curve_scores(qrs_curves(beat, qrs)[None])[0]
    return {
        "ecg_qrs_ms": qrs.duration_ms,
        "ecg_qrs_area_uvs": qrs_area_uvs(beat, qrs),
        "ecg_i_v6_correlation": i_v6_correlation(beat, qrs),
        "ecg_pattern": conduction_pattern(beat, qrs),
        **{f"ecg_fpca_{k}": float(score) for k, score in enumerate(scores, start=1)},
    }


def recorded_over_simulated(recorded: tuple[Ecg, QrsBounds], own: tuple[Ecg, QrsBounds]) -> float:
    """Amplitude of the recorded QRS over that of the simulated one: root mean squares over the leads, of `qrs_curves`."""
    before, simulated = (np.square(qrs_curves(*beat)).mean() for beat in (recorded, own))
    return float(np.sqrt(before / simulated))


def network_features(
    recorded: tuple[Ecg, QrsBounds] | None, own: tuple[Ecg, QrsBounds], paced: Sequence[tuple[Ecg, QrsBounds]]
) -> list[dict[str, Value]] | None:
    """The features net_* of each simulated paced beat; those that read the recorded beat are left out without one.

    Args:
        recorded: the patient's beat.
        own: simulated, of the same rhythm.
        paced: simulated, one for each site.

    Returns:
        One for each site; None where the net cannot run: the extra [deep] is not installed.
    """
    if not paced:
        return []
    net = _net()
    if net is None:
        return None
    after = np.array([qrs_curves(*beat) for beat in paced])
    before = np.zeros((1, *after.shape[1:]))
    if recorded is not None:
        before = qrs_curves(*recorded)[None]
        after *= recorded_over_simulated(recorded, own)
    said = net.answer(np.repeat(before, len(after), axis=0).astype(np.float32), after.astype(np.float32))
    rows: list[dict[str, Value]] = [{"net_paced": float(chance)} for chance in said.after]
    if recorded is not None:
        for k, row in enumerate(rows):
            row |= {"net_own": float(said.before[k]), "net_both": float(said.both[k])}
            row |= {f"net_embedding_{c}": float(x) for c, x in enumerate(said.embedding[k], start=1)}
    return rows


def build_descriptors(folder: Path) -> dict[str, float]:
    """Learn curves and net anew from virtual patients and write their files; takes some eight minutes of one core.

    Args:
        folder: that gets the two files; the package reads its own, `twin/planning/data`.

    Returns:
        AUC of the net's three answers in other virtual patients, and the share of variance that the curves explain.
    """
    from ml.beat_pairs import BeatPairNet
    from ml.evaluation.metrics import auc
    from ml.fpca import FunctionalPca
    from ml.training import TrainingPlan

    before, after, labels = _virtual_curves(_PATIENTS, _SEED)
    curves = FunctionalPca(COMPONENTS).fit(before)
    arrays = {"mean": curves.mean_.astype(np.float32), "components": curves.components_.astype(np.float32)}
    folder.mkdir(parents=True, exist_ok=True)
    write_parts(folder / CURVES_FILE, "ecg-curves", ModelParts(settings={}, arrays=arrays))
    net = BeatPairNet.fit(before, after, labels, TrainingPlan(learning_rate=3e-4, max_epochs=40, device="cpu"))
    net.save(folder / NET_FILE)
    before, after, labels = _virtual_curves(_PATIENTS // 3, _SEED + 1)
    said = net.answer(before, after)
    alike = np.ones((1, len(labels)))
    found = {
        name: float(auc(labels, getattr(said, name).astype(np.float64), alike)[0])
        for name in ("before", "after", "both")
    }
    return {**found, "explained_share": float(curves.explained_share_.sum())}


def _virtual_curves(n: int, seed: int) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]:
    """Beats before and under pacing (n, 12, 250), and who responds."""
    from twin.planning.virtual_ecgs import virtual_ecgs

    people = virtual_ecgs(n, seed=seed, question="crt-response")

    def curves(signals: NDArray[np.float32]) -> NDArray[np.float32]:
        beats = [Ecg(leads=STANDARD_LEADS, signal_mv=signal, rate_hz=people.sampling_hz) for signal in signals]
        return np.array([qrs_curves(beat, qrs_bounds(beat)) for beat in beats], dtype=np.float32)

    before, after = (curves(signals) for signals in (people.signals, people.after) if signals is not None)
    return before, after, people.labels


def _curve_scores(curves: Float) -> Float:
    """(n, COMPONENTS) scores of (n, 12, 250) curves, by the rule of `ml.fpca.FunctionalPca` at steps of 1 ms."""
    mean, components = _curves()
    weights = np.ones(CURVE_SAMPLES)
    weights[[0, -1]] = 0.5
    scores: Float = np.einsum("nls,kls->nk", curves - mean, components * weights)
    return scores


@lru_cache(maxsize=1)
def _curves() -> tuple[Float, Float]:
    with as_file(files("twin.planning") / "data" / CURVES_FILE) as path:
        _, parts = read_parts(path)
    return parts.arrays["mean"].astype(np.float64), parts.arrays["components"].astype(np.float64)


@lru_cache(maxsize=1)
def _net() -> "BeatPairNet | None":
    try:
        from ml.beat_pairs import BeatPairNet
    except ModuleNotFoundError:
        return None
    with as_file(files("twin.planning") / "data" / NET_FILE) as path:
        return BeatPairNet.load(path)


def _sampled(beat: Ecg, times_ms: Float) -> Float:
    """(leads, times) mV, straight lines between the samples."""
    return np.stack([np.interp(times_ms, beat.time_ms, row) for row in beat.signal_mv])
