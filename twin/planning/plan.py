"""The main job: a patient folder in, a plan out. Nothing is written before every stage has run."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from anatomy.heart import Heart
from ml.ecg.measure import QrsBounds
from ml.ecg.recording import Ecg
from twin.dyssynchrony import DyssynchronyMeter
from twin.leadfield import LeadField
from twin.personalise import Twin, fit_twins, lead_correlation
from twin.planning.ecg_descriptors import (
    WITHOUT_NET,
    network_features,
    recorded_features,
    recorded_over_simulated,
)
from twin.planning.errors import InputError, SettingsError
from twin.planning.features import FEATURES, Feature, Value, checked_row
from twin.planning.patient import Patient, read_patient, reading
from twin.planning.plan_files import write_plan
from twin.planning.recorded_beat import Recorded, paced_beat, recorded_beat
from twin.planning.scoring import NO_MODEL, CardedModel, SiteScore, load_carded_model, score_rows
from twin.planning.settings import Settings, merged_settings
from twin.planning.stages import Anatomy, build_anatomy, find_candidates
from twin.planning.target_map import (
    INDEX_DEFINITION,
    Beat,
    TargetMap,
    left_bundle_area_pacing,
    rank_sites,
    reference_twin,
)
from twin.rhythm import RHYTHMS

log = logging.getLogger("crt-twin")


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A finished plan.

    Attributes:
        content: what plan.json holds.
        anatomy: heart, electrodes, veins.
        recorded: the recorded beat, if any.
        twins: those that were kept.
        target_map: the ranked sites.
        response_model: what gave them their probabilities, if any.
    """

    content: dict[str, Any]
    anatomy: Anatomy
    recorded: Ecg | None
    twins: tuple[Twin, ...]
    target_map: TargetMap
    response_model: CardedModel | None


def plan_patient(folder: Path, out: Path, layers: Sequence[tuple[str, Mapping[str, Any]]] = ()) -> Plan:
    """Plan one patient and write the plan.

    Args:
        folder: the patient folder.
        out: the folder to write into; made if needed, earlier plans in it are replaced.
        layers: named settings that take precedence over those in patient.yaml, the strongest last.

    Returns:
        The plan that was written.

    Raises:
        InputError: for input that cannot be used.
        SettingsError: for settings that cannot be used.
    """
    _check_out(folder, out)
    patient = read_patient(folder)
    settings = merged_settings(("patient.yaml", patient.settings_layer), *layers)
    seconds: dict[str, float] = {}
    plan = _computed(patient, settings, seconds)
    with _timed("report", {}):
        write_plan(plan, patient, settings, seconds, out)
    return plan


def _check_out(folder: Path, out: Path) -> None:
    """Refuse, before anything is computed, an output folder that cannot be or must not be written to."""
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out}: is a file; name a folder")
    if out.exists() and folder.exists() and out.samefile(folder):
        raise SettingsError(f"--out {out}: is the patient folder, whose heart.vtu would be replaced; name another")


def _computed(patient: Patient, settings: Settings, seconds: dict[str, float]) -> Plan:
    """Run every stage."""
    response_model = load_carded_model(settings.response_model)
    clinical = _clinical(patient)
    recorded, paced = recorded_beat(patient, settings), paced_beat(patient)
    with _timed("anatomy", seconds):
        anatomy = build_anatomy(patient, settings)
        with reading(patient.geometry):
            candidates = find_candidates(patient, anatomy, settings)
    heart = anatomy.heart
    with _timed("twins", seconds):
        with reading(patient.electrodes or patient.geometry):
            lead_field = LeadField(heart, anatomy.electrodes)
        with reading(patient.geometry):
            rhythm = RHYTHMS[recorded.rhythm]
            twins = fit_twins(
                heart, lead_field, rhythm, recorded.beat, conduction=settings.conduction, rules=settings.fit
            )
        kept = [twin for twin in twins if twin.fits] or [min(twins, key=lambda twin: abs(twin.qrs_error_ms or 0.0))]
    with _timed("target_map", seconds):
        target_map = rank_sites(heart, lead_field, kept, candidates, settings)
        alternative = left_bundle_area_pacing(heart, lead_field, kept, settings.fit)
    with _timed("scores", seconds):
        target_map, has_net = _described(target_map, recorded, kept, clinical)
        scores = [SiteScore(row={})] * (len(target_map.rows) + 1)
        if response_model is not None:
            scores = score_rows((*target_map.rows, target_map.lateral), response_model)
            *rows, lateral = (
                checked_row({**row, **score.row})
                for row, score in zip((*target_map.rows, target_map.lateral), scores, strict=True)
            )
            target_map = replace(target_map, rows=tuple(rows), lateral=lateral)
    warnings = [
        *anatomy.warnings,
        *recorded.warnings,
        *(f"{name} is not read by this version and was left out" for name in patient.left_out),
        *(f"patient.yaml: {name} is not used without implanted.lv_mm" for name in patient.unused),
        *_fit_warnings(twins, kept, settings),
    ]
    if not candidates.sites:
        warnings.append("the veins have no tributary in which an electrode could stop: there is no candidate")
    if not has_net:
        warnings.append(WITHOUT_NET)
    warnings += _response_warnings(response_model, scores)
    content = {
        "patient": patient.id,
        "intended_use": "research",
        "virtual": patient.file.virtual,
        "answer": "sites" if target_map.best_beat is not None else "no reachable site",
        "index": {"name": "electrical index", "definition": INDEX_DEFINITION, "tie_zone_ms": settings.tie_zone_ms},
        "response_model": None if response_model is None else response_model.card.model_dump(mode="json"),
        "sites": [_site(row, score) for row, score in zip(target_map.rows, scores, strict=False)],
        "lateral_reference": _site(target_map.lateral, scores[-1]),
        "intrinsic": _intrinsic(heart, kept, recorded.rhythm),
        "fit": {**_fit(twins, kept, recorded.qrs), "paced": _paced_fit(paced, target_map)},
        "alternatives": [alternative],
        "clinical": patient.file.clinical.model_dump(mode="json", exclude_none=True),
        "stand_ins": [
            *(["virtual patient: no number here was measured on a person"] if patient.file.virtual else []),
            *anatomy.stand_ins,
        ],
        "warnings": warnings,
        "inputs": [{"file": name, "sha256": digest} for name, digest in patient.hashes.items()],
    }
    return Plan(
        content=content,
        anatomy=anatomy,
        recorded=recorded.beat,
        twins=tuple(kept),
        target_map=target_map,
        response_model=response_model,
    )


def _clinical(patient: Patient) -> dict[str, Value]:
    """The clinical features that patient.yaml gives.

    Raises:
        InputError: naming every value that a feature cannot have.
    """
    said = patient.file.clinical.model_dump(exclude_none=True)
    known = [feature for feature in FEATURES if feature.family == "clinical" and feature.name in said]
    faults = [
        f"patient.yaml: clinical.{feature.name} = {said[feature.name]!r}, need {rule}"
        for feature in known
        if (rule := _broken_rule(feature, said[feature.name]))
    ]
    if faults:
        raise InputError("\n".join(faults))
    return {feature.name: said[feature.name] for feature in known}


def _broken_rule(feature: Feature, value: Any) -> str | None:
    if feature.kind == "yes/no":
        return None if isinstance(value, bool) else "true or false"
    if feature.choices:
        return None if value in feature.choices else f"one of {', '.join(feature.choices)}"
    number = isinstance(value, int | float) and not isinstance(value, bool)
    inside = number and feature.low is not None and feature.high is not None and feature.low <= value <= feature.high
    return None if inside else f"a number within {feature.low:g}..{feature.high:g}"


def _described(
    target_map: TargetMap, recorded: Recorded, twins: Sequence[Twin], clinical: Mapping[str, Value]
) -> tuple[TargetMap, bool]:
    """The same sites with what ECG, network and clinic say of them, and whether the network could be asked."""
    of_patient: dict[str, Value] = dict(clinical)
    reference = reference_twin(twins)
    beat = None
    if recorded.beat is not None and recorded.qrs is not None:
        beat = recorded.beat, recorded.qrs
        of_patient |= recorded_features(*beat)
        of_patient["ecg_over_simulated"] = recorded_over_simulated(beat, (reference.ecg, reference.qrs))
    found = network_features(beat, (reference.ecg, reference.qrs), list(target_map.paced.values()))
    of_site = dict(zip(target_map.paced, found or (), strict=False))

    def described(row: Mapping[str, Value]) -> dict[str, Value]:
        return checked_row({**row, **of_patient, **of_site.get(str(row["id"]), {})})

    rows = tuple(described(row) for row in target_map.rows)
    return replace(target_map, rows=rows, lateral=described(target_map.lateral)), found is not None


def _response_warnings(model: CardedModel | None, scores: Sequence[SiteScore]) -> Iterator[str]:
    if model is None:
        yield NO_MODEL
        return
    origin = "virtual patients" if model.card.virtual else model.card.data
    yield f"response probabilities come from a model trained on {origin}: {model.card.intended_use}"
    reasons = [score.reason for score in scores[:-1] if score.reason is not None]
    if reasons:
        yield f"no response probability at {len(reasons)} sites: {', '.join(sorted(set(reasons)))}"


def _fit_warnings(twins: Sequence[Twin], kept: Sequence[Twin], settings: Settings) -> Iterator[str]:
    for twin in twins:
        if twin.at_bound:
            speed = f"{twin.conduction.fibre_m_per_s:.2f} m/s"
            yield f"hypothesis {twin.name!r}: the fibre speed hits a bound of the fit ({speed})"
    if not kept[0].fits:
        yield (
            f"no hypothesis reaches the recorded QRS duration within {settings.fit.tolerance_ms:g} ms; "
            f"the nearest, {kept[0].name!r}, is used"
        )


def _intrinsic(heart: Heart, twins: Sequence[Twin], rhythm: str) -> dict[str, Any]:
    """The patient's own rhythm: means over the twins."""
    meter = DyssynchronyMeter(heart)
    measured = [meter.measure(twin.intrinsic) for twin in twins]
    names = ("tat_ms", "lvat95_ms", "bivat90_ms", "interventricular_ms", "index_ms")
    return {
        "rhythm": rhythm,
        "qrs_ms": float(np.mean([twin.qrs.duration_ms for twin in twins])),
        **{name: float(np.mean([getattr(beat, name) for beat in measured])) for name in names},
    }


def _fit(twins: Sequence[Twin], kept: Sequence[Twin], recorded: QrsBounds | None) -> dict[str, Any]:
    """How the twins fit the recorded ECG; the figures at the top are those of the twin that is drawn."""
    reference = reference_twin(kept)
    return {
        "recorded_qrs_ms": None if recorded is None else recorded.duration_ms,
        "correlation": reference.correlation,
        "qrs_error_ms": reference.qrs_error_ms,
        "reference": reference.name,
        "hypotheses": [
            {
                "name": twin.name,
                "fibre_m_per_s": twin.conduction.fibre_m_per_s,
                "qrs_ms": twin.qrs.duration_ms,
                "qrs_error_ms": twin.qrs_error_ms,
                "correlation": twin.correlation,
                "at_bound": twin.at_bound,
                "kept": any(twin is one for one in kept),
            }
            for twin in twins
        ],
    }


def _paced_fit(paced: Beat | None, target_map: TargetMap) -> dict[str, float] | None:
    """How the simulated beat of the implanted lead agrees with the recorded one, to which nothing was fitted."""
    if paced is None or "implanted" not in target_map.paced:
        return None
    (_, recorded), (_, simulated) = paced, target_map.paced["implanted"]
    return {
        "recorded_qrs_ms": recorded.duration_ms,
        "qrs_error_ms": simulated.duration_ms - recorded.duration_ms,
        "correlation": lead_correlation(*paced, *target_map.paced["implanted"]),
    }


def _site(row: Mapping[str, Value], score: SiteScore) -> dict[str, Any]:
    """One site of plan.json: the row of the table, with places and intervals joined, and what is behind its probability."""
    reasons, scored = row["reasons"], row["response_probability"] is not None
    joined = {"x_mm", "y_mm", "z_mm", "reasons", "index_low_ms", "index_high_ms", "response_low", "response_high"}
    return {
        **{name: value for name, value in row.items() if name not in joined},
        "position_mm": [row["x_mm"], row["y_mm"], row["z_mm"]],
        "reasons": reasons.split("; ") if isinstance(reasons, str) else [],
        "interval": [row["response_low"], row["response_high"]] if scored else None,
        "index_range_ms": [row["index_low_ms"], row["index_high_ms"]],
        "response_reason": score.reason,
        "contributions": score.contributions,
        "nearest_patients": score.nearest,
    }


@contextmanager
def _timed(stage: str, seconds: dict[str, float]) -> Iterator[None]:
    log.info("%s ...", stage)
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
    log.info("%s: %.1f s", stage, seconds[stage])
