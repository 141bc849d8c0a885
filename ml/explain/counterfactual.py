"""What would have to be different in an ECG for the model to answer differently: a change made of real beats.

The idea is that of a native guide [doi:10.1007/978-3-030-86957-1_3]: the donor is the most similar ECG that the model (and,
where the truth is given, the truth) puts in another class. Pieces of its beats (`ml.explain.beat_pieces`) replace those of
the ECG until the answer is the donor's: the piece that helps most first; then each that is not needed is put back. If even
whole beats do not suffice, the next most similar donor is tried, three in all. All but the idea is our choice.

Limits: every piece was recorded, but not together, and their mixture may be one that no heart gives. The change suffices
and no piece of it can be left out, but others may suffice as well. It explains the model, not the patient.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml.ecg.recording import STANDARD_LEADS, Ecg, Float
from ml.explain.beat_pieces import PIECES, Alterable, Beat, Piece, usual_beat
from ml.explain.figures import GREY, WARM, lead_panels, write
from ml.page_image import Page, write_page
from ml.signals import as_signals

DONORS = 3
_DRAWN_MS = (250.0, 600.0)


class EcgClassifier(Protocol):
    """A fitted classifier of single ECGs, (n, leads, samples) mV."""

    classes_: NDArray[Any]
    sampling_hz: float
    leads: tuple[str, ...]

    def predict_proba(self, X: ArrayLike) -> Float:  # noqa: N803
        """(n, classes) probabilities."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Counterfactual:
    """One ECG, and what changes the answer to it.

    Attributes:
        row: of X.
        donor: row of X that the pieces come from.
        own_class: number of the class that the model answers.
        other_class: number of the donor's class.
        pieces: what was replaced.
        before: probability of the other class.
        after: the same with the pieces replaced.
        changed: whether the model then answers the other class; if not, all pieces were replaced in vain.
        original: the twelve leads.
        altered: the same with the pieces replaced.
        onsets: samples at which the QRS of the altered beats begins.
    """

    row: int
    donor: int
    own_class: int
    other_class: int
    pieces: tuple[Piece, ...]
    before: float
    after: float
    changed: bool
    original: Ecg
    altered: Ecg
    onsets: tuple[int, ...]


def counterfactuals(
    model: EcgClassifier,
    X: ArrayLike,  # noqa: N803
    rows: Sequence[int],
    y: ArrayLike | None = None,
) -> list[Counterfactual]:
    """What changes the answer to some rows of X, with donors from all of X.

    The model is asked up to about a hundred times for each row, and the median beat of every possible donor is taken.

    Args:
        model: fitted, on one recording at a time.
        X: (n, leads, samples) mV.
        rows: which to explain.
        y: (n,) true classes; donors are then ECGs that the model puts where they belong.

    Raises:
        ValueError: if X does not fit the model, an ECG to explain has no heartbeat, or has no possible donor.
    """
    given = np.asarray(X, dtype=np.float64)
    ecgs = [
        Ecg(leads=STANDARD_LEADS, signal_mv=signal, rate_hz=model.sampling_hz)
        for signal in as_signals(given, model.leads, model.sampling_hz)
    ]
    answers = model.predict_proba(given)
    classes = answers.argmax(axis=1)
    right = np.ones(len(classes), dtype=bool) if y is None else model.classes_[classes] == np.asarray(y)
    beats: dict[int, Beat | None] = {}
    made = []
    for row in rows:
        try:
            ecg = Alterable(ecgs[row])
        except ValueError as error:
            raise ValueError(f"X[{row}] cannot be altered: {error}") from None
        others = np.flatnonzero(right & (classes != classes[row])).tolist()
        beats.update({other: _beat_if_any(ecgs[other]) for other in others if other not in beats})
        donors = [(other, beat) for other in others if (beat := beats[other]) is not None]
        if not donors:
            raise ValueError(
                f"X[{row}] is taken for {model.classes_[classes[row]]}, and no ECG of X with a heartbeat is "
                f"{'rightly ' if y is not None else ''}taken for another class; add some"
            )
        donors.sort(key=lambda donor: ecg.beat.distance_mv(donor[1]))
        tried: list[Counterfactual] = []
        for other, beat in donors[:DONORS]:
            pieces, answer = sufficient_pieces(_asker(model, given[row], ecg, beat), int(classes[other]))
            tried.append(
                Counterfactual(
                    row=row,
                    donor=other,
                    own_class=int(classes[row]),
                    other_class=int(classes[other]),
                    pieces=pieces,
                    before=float(answers[row, classes[other]]),
                    after=float(answer[classes[other]]),
                    changed=bool(answer.argmax() == classes[other]),
                    original=ecg.ecg,
                    altered=ecg.altered(beat, pieces),
                    onsets=tuple(ecg.onsets),
                )
            )
            if tried[-1].changed:
                break
        made.append(max(tried, key=lambda one: (one.changed, one.after)))
    return made


def draw_counterfactual(found: Counterfactual, path: Path) -> None:
    """Picture of the beat in the middle, lead by lead, with what was replaced drawn over it."""
    onset = found.onsets[len(found.onsets) // 2]
    from_ms = found.original.time_ms - found.original.time_ms[onset]
    beat = (from_ms >= -_DRAWN_MS[0]) & (from_ms <= _DRAWN_MS[1])
    figure, drawn = lead_panels("ms from the onset of the QRS")
    for lead, panel in drawn.items():
        parts = [piece.part for piece in found.pieces if lead in piece.leads]
        (as_recorded,) = panel.plot(from_ms[beat], found.original.lead(lead)[beat], color=GREY, linewidth=1.0)
        if parts:
            (replaced,) = panel.plot(from_ms[beat], found.altered.lead(lead)[beat], color=WARM, linewidth=1.3)
            panel.set_title(f"{lead}: {' and '.join(parts)}", fontsize=9)
    figure.legend(
        [as_recorded, replaced],
        ["as recorded", "with the donor's pieces"],
        loc="lower center",
        ncols=2,
        fontsize=8,
        frameon=False,
    )
    write(figure, path)


def write_pages(found: Counterfactual, before: Path, after: Path) -> None:
    """The printed pages of the ECG as it was and with the pieces replaced; single beats on faster paper."""
    page = Page()
    if found.original.is_beat:
        page = Page(strip_s=4 * found.original.duration_ms / 1000, speed_mm_per_s=50.0)
    write_page(found.original, before, page)
    write_page(found.altered, after, page)


Asker = Callable[[Sequence[Sequence[Piece]]], Float]


def _asker(model: EcgClassifier, given: Float, ecg: Alterable, donor: Beat) -> Asker:
    """A function from choices of pieces to (choices, classes) probabilities; leads that are none of the 12 stay."""
    standard = {name.upper(): i for i, name in enumerate(STANDARD_LEADS)}
    names = [name.strip().upper() for name in model.leads]
    known = [i for i, name in enumerate(names) if name in standard]

    def ask(choices: Sequence[Sequence[Piece]]) -> Float:
        batch = np.repeat(given[None], len(choices), axis=0)
        for signal, pieces in zip(batch, choices, strict=True):
            signal[known] = ecg.altered(donor, pieces).signal_mv[[standard[names[i]] for i in known]]
        return model.predict_proba(batch)

    return ask


def sufficient_pieces(ask: Asker, wanted: int) -> tuple[tuple[Piece, ...], Float]:
    """Pieces that lead to the wanted class, and (classes,) the answer to them; all pieces if these do not suffice.

    The piece that helps most is added first; then each that is not needed is left out, until none can be.
    """
    chosen: list[Piece] = list(PIECES)
    (answer,) = ask([chosen])
    if answer.argmax() != wanted:
        return tuple(chosen), answer
    chosen = []
    while answer.argmax() != wanted or not chosen:
        choices = [[*chosen, piece] for piece in PIECES if piece not in chosen]
        answers = ask(choices)
        best = int(answers[:, wanted].argmax())
        chosen, answer = choices[best], answers[best]
    while len(chosen) > 1:
        choices = [[other for other in chosen if other != piece] for piece in chosen]
        answers = ask(choices)
        enough = np.flatnonzero(answers.argmax(axis=1) == wanted)
        if not enough.size:
            break
        chosen, answer = choices[enough[0]], answers[enough[0]]
    return tuple(piece for piece in PIECES if piece in chosen), answer


def _beat_if_any(ecg: Ecg) -> Beat | None:
    try:
        return usual_beat(ecg)
    except ValueError:
        return None
