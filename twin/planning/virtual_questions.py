"""Who the virtual patients of `twin.planning.virtual_ecgs` are: for each question, the rules that make them.

All rules are our choice, unless a source stands beside one, and far easier than life: what a model finds in these
patients says nothing about people. The label depends on things an ECG shows in part only, such as scar.

Labels by chance: p = 1 / (1 + exp(-(score - t))). Label 1 have those in whom the score plus a logistic draw is largest,
as many as the prevalence asks for; t makes the mean of p the prevalence. A model that knew p would reach an AUC of 0.88
(crt-response), 0.88 (ventricular-arrhythmia) and 0.98 (RVEF at most 40 %), measured in cohorts of 64;
`VirtualEcgs.ceiling_auc` has it for the cohort at hand. From the ECG alone less can be reached; how much less is not known.

"crt-response" (0 non-responder, 1 responder; half of each). Dilated hearts, 71 % with left and the others with right
    bundle branch block [the share in the Attain Performa cohort], 60 % with an infarct. Paced from the right apex and a
    place drawn on the left free wall, both at once.
    score = (LVAT95 before - LVAT95 after) / 15 ms - scar / 3 %,
    with `Dyssynchrony.lvat95_ms` and the core's share of the left ventricle's mass. Then LVEF changes by
    11.1 +- 11.7 points in responders, 4.8 +- 9.7 in the others, and the hazard of the first is 0.44 times that of the others
    [both published of QRS-PCA groups, Feeny 2020; that they hold of our responders is our choice].
"ventricular-arrhythmia" (1 arrhythmia; 30 %). Dilated hearts with an infarct in one artery's territory, its outline smooth
    to rough; 3 to 10 slices.
    score = border zone / 2 g + 8 * border zone / (border zone + core).
"cardiomyopathy" (GEN, MYO, SARC; a third each). GEN: a stripe in the middle of the septum, slow muscle, long PR, left bundle
    branch block in 40 %. MYO: scar under the epicardium of the inferolateral wall, normal conduction. SARC: patches in the
    basal septum, the right free wall and anywhere in the left ventricle, right bundle branch block in 40 %.
"rv-function" (1 where RVEF <= 40 %; values rvef_percent and rvedv_ml_per_m2). Normal or wide right ventricles in people
    of 0.9 to 1.1 times the phantom's size, with body surface 1.9 m2 times the square of that; in 64 % the right bundle
    fires up to 70 ms late.
    RVEF = 60 % - 0.3 * (RVEDV - 85 ml/m2) - 1.0 * (delay - 12 ms) +- 4 %,
    where delay is mean activation of the right free wall minus that of the left ventricle. RVEDV itself is measured
    with +- 8 ml/m2: mean errors of 3.2 % and 6.4 ml/m2 are the least that any model can make. The hazard rises by 1.40 per
    10 % less RVEF [of predicted RVEF, Duong 2024].
"conduction" (normal, lbbb, rbbb; a third each). No scar.

Units: mm, ms, years.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit, ndtr

from anatomy.arrays import Float
from anatomy.heart import Heart, Surface, Tissue
from anatomy.phantom import INFARCT_RANGES, TERRITORIES
from twin.activation import Activation, CaptureLatency
from twin.dyssynchrony import DyssynchronyMeter
from twin.planning.virtual_people import (
    GRAMS_PER_MM3,
    MUSCLE,
    PIXEL_MM,
    Beating,
    Patch,
    VirtualPerson,
    drawn_patch,
    prepared_heart,
    short_axis_slices,
    slice_distance_mm,
)
from twin.rhythm import RHYTHMS, Start

Labels = NDArray[np.int64]

_DILATED = ("dilated", "long", "large")
# CRT: share with left bundle branch block [Attain Performa cohort]; share with an infarct; what a change of 1 in the score is.
_LBBB_SHARE, _INFARCT_SHARE = 0.71, 0.6
_SCORE_LVAT95_MS, _SCORE_SCAR_PERCENT = 15.0, 3.0
# LVEF change, in points: mean and deviation of responders and others [Feeny 2020, of its two groups].
_LVEF_CHANGE = ((4.8, 9.7), (11.1, 11.7))
_RESPONDER_HAZARD = 0.44
_SCORE_BORDER_G, _SCORE_BORDER_SHARE = 2.0, 8.0
_BLOCK_SHARE = 0.4
_LAYER_M_PER_S = (1.4, 1.9)
# RVEF by rule, and how far measured values lie from it.
_BODY_SURFACE_M2 = 1.9
_RVEF_SD_PERCENT, _RVEDV_SD_ML_PER_M2 = 4.0, 8.0
RV_DYSFUNCTION_PERCENT = 40.0
_HAZARD_PER_10_RVEF = 1.40
# Survival: deaths per year at hazard 1, and when a patient was last seen.
_YEARLY_HAZARD, _SEEN_YEARS = 0.12, (1.0, 6.0)
# How far starts lie from where `twin.rhythm` puts them, in its coordinates; how long after the rhythm's own time.
_START_SD, _START_LATE_MS = (0.05, 0.02), 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Case:
    """What a question says of one patient.

    Attributes:
        pr_ms: from the P wave to the QRS.
        score: what the chance of label 1 rises with, where the question has a prevalence.
        label, probability: the label, and the chance of label 1, where it has none; the chance is None for a kind of patient.
        after: activation under biventricular pacing.
        slices: (10, 2, 128, 128) short-axis slices with scar.
        outcomes: numbers with their units in their names.
    """

    pr_ms: float = 170.0
    score: float = 0.0
    label: int = 0
    probability: float | None = None
    after: Activation | None = None
    slices: Float | None = None
    outcomes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Question:
    """How the patients of one question are made.

    Attributes:
        classes: names of the labels; of two, the second is the positive one.
        hearts: names of the phantoms that they have.
        draw: makes one from random numbers, the heart's name and the number of a class, which only questions read
            whose labels are kinds of patients.
        prevalence: share of label 1 where the label is drawn from the score.
        follow_up: makes further outcomes from the labels, the outcomes so far and random numbers.
    """

    classes: tuple[str, ...]
    hearts: tuple[str, ...]
    draw: Callable[[np.random.Generator, str, int], tuple[VirtualPerson, Case]]
    prevalence: float | None = None
    follow_up: Callable[[Labels, Mapping[str, Float], np.random.Generator], dict[str, Float]] | None = None


def labels_by_rule(scores: Float, prevalence: float, rng: np.random.Generator) -> tuple[Labels, Float]:
    """Labels that follow a score with logistic noise.

    Returns:
        (n,) 0 or 1, and (n,) the chance of 1 at these scores.
    """
    n = len(scores)
    noisy = scores + rng.logistic(size=n)
    labels = np.zeros(n, dtype=np.int64)
    labels[np.argsort(-noisy, kind="stable")[: round(prevalence * n)]] = 1
    low, high = scores.min() - 50, scores.max() + 50
    threshold = brentq(lambda t: float(expit(scores - t).mean()) - prevalence, low, high)
    return labels, expit(scores - threshold)


def _crt_follow_up(labels: Labels, _values: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    means, deviations = np.array(_LVEF_CHANGE)[labels].T
    change = {"lvef_change_points": rng.normal(means, deviations)}
    return change | _survival(np.where(labels == 1, _RESPONDER_HAZARD, 1.0), rng)


def _rv_follow_up(_labels: Labels, values: Mapping[str, Float], rng: np.random.Generator) -> dict[str, Float]:
    return _survival(_HAZARD_PER_10_RVEF ** ((50 - values["rvef_percent"]) / 10), rng)


def _survival(hazards: Float, rng: np.random.Generator) -> dict[str, Float]:
    """Years until death or the last visit, and 1 where it was death: constant hazards, visits that end by chance."""
    death, seen = rng.exponential(1 / (_YEARLY_HAZARD * hazards)), rng.uniform(*_SEEN_YEARS, len(hazards))
    return {"time": np.minimum(death, seen), "event": (death <= seen).astype(np.float64)}


def _crt_response(rng: np.random.Generator, heart: str, _kind: int) -> tuple[VirtualPerson, Case]:
    prepared = prepared_heart(heart)
    rhythm = "lbbb" if rng.random() < _LBBB_SHARE else "rbbb"
    patches = [_infarct(rng, prepared.heart)] if rng.random() < _INFARCT_SHARE else []
    person = VirtualPerson(prepared, patches, _beating(rng, rhythm), rng)
    after = person.paced(
        apicobasal=rng.uniform(0.3, 0.75),
        rotational=rng.uniform(0.17, 0.6),
        latency=CaptureLatency(lv_ms=max(rng.normal(29, 8), 5.0), rv_ms=max(rng.normal(15, 4), 5.0)),
    )
    meter = DyssynchronyMeter(person.heart)
    gain_ms = meter.measure(person.intrinsic).lvat95_ms - meter.measure(after).lvat95_ms
    scar_percent = 100 * person.muscle_g(Tissue.CORE) / sum(map(person.muscle_g, Tissue))
    return person, Case(
        pr_ms=rng.uniform(160, 200),
        score=gain_ms / _SCORE_LVAT95_MS - scar_percent / _SCORE_SCAR_PERCENT,
        after=after,
    )


def _ventricular_arrhythmia(rng: np.random.Generator, heart: str, _kind: int) -> tuple[VirtualPerson, Case]:
    prepared = prepared_heart(heart)
    patches = [_infarct(rng, prepared.heart, roughness_mm=(0.3, 5.0))]
    person = VirtualPerson(prepared, patches, _beating(rng, "normal"), rng)
    slices = short_axis_slices(heart, patches)
    pixel_g = PIXEL_MM**2 * slice_distance_mm(heart) * GRAMS_PER_MM3
    border, core = (float((slices[:, 1] == share).sum()) * pixel_g for share in (0.5, 1.0))
    score = border / _SCORE_BORDER_G + _SCORE_BORDER_SHARE * border / max(border + core, pixel_g)
    return person, Case(score=score, slices=slices)


def _cardiomyopathy(rng: np.random.Generator, heart: str, kind: int) -> tuple[VirtualPerson, Case]:
    prepared = prepared_heart(heart)
    blocked = rng.random() < _BLOCK_SHARE

    def patch(**ranges: tuple[float, float] | bool) -> Patch:
        return drawn_patch(rng, prepared.heart, border_mm=(2.0, 4.0), **ranges)  # type: ignore[arg-type]

    septum, anywhere = (0.70, 0.95), (0.0, 1.0)
    if kind == 0:
        patches = [patch(apicobasal=(0.4, 0.7), rotational=septum, radius_mm=(18, 28), depth=(0.3, 0.7))]
        rhythm, muscle, pr_ms = "lbbb" if blocked else "normal", (0.75, 0.95), rng.uniform(190, 240)
    elif kind == 1:
        patches = [patch(apicobasal=(0.3, 0.6), rotational=(0.15, 0.40), radius_mm=(14, 24), depth=(0.55, 1.0))]
        rhythm, muscle, pr_ms = "normal", (1.0, 1.2), rng.uniform(140, 180)
    else:
        patches = [
            patch(apicobasal=(0.6, 0.8), rotational=septum, radius_mm=(10, 18), depth=(0.3, 1.0)),
            patch(apicobasal=(0.4, 0.7), rotational=(0.2, 0.5), radius_mm=(10, 18), depth=(0.0, 1.0), right=True),
            patch(apicobasal=(0.2, 0.8), rotational=anywhere, radius_mm=(8, 14), depth=(0.4, 1.0)),
        ]
        rhythm, muscle, pr_ms = "rbbb" if blocked else "normal", (0.9, 1.1), rng.uniform(170, 230)
    person = VirtualPerson(prepared, patches, _beating(rng, rhythm, muscle=muscle), rng)
    return person, Case(pr_ms=pr_ms, label=kind)


def _rv_function(rng: np.random.Generator, heart: str, _kind: int) -> tuple[VirtualPerson, Case]:
    late_ms = max(rng.uniform(-40.0, 70.0), 0.0)
    beating = _beating(rng, "normal", size=(0.9, 1.1))
    starts = tuple(
        replace(start, time_ms=start.time_ms + late_ms * (start.surface == Surface.RV_ENDOCARDIUM))
        for start in beating.starts
    )
    person = VirtualPerson(prepared_heart(heart), (), replace(beating, starts=starts), rng)
    delay_ms = -DyssynchronyMeter(person.heart).measure(person.intrinsic).interventricular_ms
    rvedv = person.rv_blood_ml / (_BODY_SURFACE_M2 * beating.size**2)
    rule = 60 - 0.3 * (rvedv - 85) - 1.0 * (delay_ms - 12)
    rvef = rng.normal(rule, _RVEF_SD_PERCENT)
    return person, Case(
        label=int(rvef <= RV_DYSFUNCTION_PERCENT),
        probability=float(ndtr((RV_DYSFUNCTION_PERCENT - rule) / _RVEF_SD_PERCENT)),
        outcomes={"rvef_percent": rvef, "rvedv_ml_per_m2": rng.normal(rvedv, _RVEDV_SD_ML_PER_M2)},
    )


def _conduction(rng: np.random.Generator, heart: str, kind: int) -> tuple[VirtualPerson, Case]:
    person = VirtualPerson(prepared_heart(heart), (), _beating(rng, _RHYTHMS[kind]), rng)
    return person, Case(pr_ms=rng.uniform(140, 200), label=kind)


def _beating(
    rng: np.random.Generator,
    rhythm: str,
    *,
    muscle: tuple[float, float] = (1.0, 1.2),
    size: tuple[float, float] = (0.9, 1.1),
) -> Beating:
    """A rhythm with starts somewhat displaced, on a heart of speeds and size drawn evenly.

    The muscle's speeds are a multiple of `MUSCLE`, the fast layer's lie within what is fitted to people (`Conduction`).
    """
    sound = RHYTHMS[rhythm]
    starts = tuple(_displaced(rng, start) for start in sound.starts)
    layer = rng.uniform(*_LAYER_M_PER_S)
    return Beating(
        starts=starts,
        conduction=replace(
            MUSCLE.scaled(rng.uniform(*muscle)),
            lv_endocardium_m_per_s=layer if sound.left_intact else None,
            rv_endocardium_m_per_s=layer if sound.right_intact else None,
        ),
        size=rng.uniform(*size),
    )


def _displaced(rng: np.random.Generator, start: Start) -> Start:
    return replace(
        start,
        apicobasal=start.apicobasal + rng.normal(0, _START_SD[0]),
        rotational=(start.rotational + rng.normal(0, _START_SD[1])) % 1,
        time_ms=start.time_ms + rng.uniform(0, _START_LATE_MS),
    )


def _infarct(rng: np.random.Generator, heart: Heart, roughness_mm: tuple[float, float] = (0.3, 2.0)) -> Patch:
    """From the endocardium outwards in one artery's territory, sizes as in `anatomy.phantom`."""
    height, angle = TERRITORIES[str(rng.choice(list(TERRITORIES)))]
    return drawn_patch(
        rng,
        heart,
        apicobasal=height,
        rotational=(angle[0] / 360, angle[1] / 360),
        radius_mm=INFARCT_RANGES["scar_radius_mm"],
        depth=(0.0, rng.uniform(*INFARCT_RANGES["scar_transmurality"])),
        border_mm=INFARCT_RANGES["border_zone_mm"],
        roughness_mm=roughness_mm,
    )


_RHYTHMS = ("normal", "lbbb", "rbbb")
QUESTIONS = {
    "crt-response": Question(
        classes=("non-responder", "responder"),
        hearts=_DILATED,
        draw=_crt_response,
        prevalence=0.5,
        follow_up=_crt_follow_up,
    ),
    "ventricular-arrhythmia": Question(
        classes=("no arrhythmia", "arrhythmia"), hearts=_DILATED, draw=_ventricular_arrhythmia, prevalence=0.3
    ),
    "cardiomyopathy": Question(classes=("GEN", "MYO", "SARC"), hearts=("normal", *_DILATED), draw=_cardiomyopathy),
    "rv-function": Question(
        classes=("RVEF above 40 %", "RVEF at most 40 %"),
        hearts=("normal", "wide right", "dilated"),
        draw=_rv_function,
        follow_up=_rv_follow_up,
    ),
    "conduction": Question(classes=_RHYTHMS, hearts=("normal", *_DILATED), draw=_conduction),
}
