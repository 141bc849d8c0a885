"""The waveforms of the highest and the lowest answers, lead by lead.

Le shows so what his networks go by: the ECGs with the three highest and the three lowest predicted probabilities, for leads
number 1, 4 and 5 (response to CRT) or 1, 7 and 12 (cardiomyopathies). Colours and layout are our choice.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml.beat_windows import SAMPLES, beat_windows
from ml.ecg.recording import MAX_BEAT_MS, STANDARD_LEADS, Float
from ml.explain.figures import COOL, WARM, lead_panels, plain, write
from ml.signals import Float32

EXTREMES = 3
# Leads by the number that Le gives, counted from 1 (0 would leave 12 without a lead).
LE_RESPONSE_LEADS = tuple(STANDARD_LEADS[number - 1] for number in (1, 4, 5))
LE_CARDIOMYOPATHY_LEADS = tuple(STANDARD_LEADS[number - 1] for number in (1, 7, 12))
_LINES = ("-", "--", ":")


@dataclass(frozen=True, kw_only=True, eq=False)
class Waves:
    """The part of n ECGs that is shown: (n, 12, t) mV, and the (t,) place of each sample in `unit`."""

    signal_mv: Float32
    at: Float
    unit: str


def shown_part(signals: Float32, sampling_hz: float) -> Waves:
    """Averaged beats whole; of recordings 250 ms about the QRS of the median beat, as the composite net reads it.

    Raises:
        ValueError: naming the first recording without a QRS.
    """
    step_ms = 1000.0 / sampling_hz
    if signals.shape[2] * step_ms < MAX_BEAT_MS:
        return Waves(signal_mv=signals, at=np.arange(signals.shape[2], dtype=np.float64) * step_ms, unit="ms")
    return Waves(
        signal_mv=beat_windows(signals, sampling_hz, "qrs"), at=np.arange(SAMPLES, dtype=np.float64), unit="ms"
    )


def extremes(answers: ArrayLike) -> tuple[list[int], list[int]]:
    """Rows of the three highest answers, highest first, and of the three lowest, lowest first; no row is in both.

    Among equals the earlier row comes first.
    """
    order = np.asarray(answers, dtype=np.float64)
    count = min(EXTREMES, len(order) // 2)
    high, low = np.argsort(-order, kind="stable"), np.argsort(order, kind="stable")
    chosen = [int(i) for i in high[:count]]
    return chosen, [int(i) for i in low if int(i) not in chosen][:count]


def draw_extremes(
    waves: Waves,
    answers: NDArray[np.floating],
    names: Sequence[str],
    path: Path,
    *,
    leads: tuple[str, ...] = STANDARD_LEADS,
) -> None:
    """Write the picture.

    Args:
        waves: what to draw of each ECG.
        answers: (n,) predicted probabilities or values.
        names: (n,) of the ECGs.
        path: of the PNG.
        leads: which to draw; `LE_RESPONSE_LEADS` and `LE_CARDIOMYOPATHY_LEADS` are the published ones.
    """
    figure, drawn = lead_panels(waves.unit, leads)
    first = next(iter(drawn.values()))
    labels = []
    # The legend is filled column by column: the highest in its first row, the lowest in its second.
    for line, *pair in zip(_LINES, *extremes(answers), strict=False):
        for colour, row in zip((WARM, COOL), pair, strict=True):
            labels.append(plain(f"{names[row]}: {answers[row]:.3g}"))
            for lead, panel in drawn.items():
                trace = waves.signal_mv[row, STANDARD_LEADS.index(lead)]
                panel.plot(waves.at, trace, color=colour, linestyle=line, linewidth=1.1)
    figure.legend(first.get_lines(), labels, loc="lower center", ncols=EXTREMES, fontsize=8, frameon=False)
    write(figure, path)
