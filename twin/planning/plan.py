"""The main job: a patient folder in, a plan out. Nothing is written before every stage has run."""

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from anatomy.heart import Heart
from ml.ecg.beats import find_r_peaks, median_beat
from ml.ecg.measure import QrsBounds, qrs_bounds
from ml.ecg.pattern import conduction_pattern
from ml.ecg.recording import Ecg
from twin.dyssynchrony import DyssynchronyMeter
from twin.leadfield import LeadField
from twin.personalise import Twin, fit_twins
from twin.planning.errors import InputError, SettingsError
from twin.planning.features import Value
from twin.planning.patient import Patient, read_patient, read_recorded_ecg, reading
from twin.planning.plan_files import write_plan
from twin.planning.settings import Settings, merged_settings
from twin.planning.stages import Anatomy, build_anatomy, find_candidates
from twin.planning.target_map import (
    INDEX_DEFINITION,
    TargetMap,
    left_bundle_area_pacing,
    rank_sites,
    reference_twin,
)
from twin.rhythm import RHYTHMS

log = logging.getLogger("crt-twin")

# A QRS outside of these is noise or a wrong time axis; our choice, well beyond what people and dogs have.
_SHORTEST_QRS_MS, _LONGEST_QRS_MS = 40.0, 280.0
# The median of fewer beats than this removes no noise.
_FEW_BEATS = 3


@dataclass(frozen=True, kw_only=True, eq=False)
class Plan:
    """A finished plan.

    Attributes:
        content: what plan.json holds.
        anatomy: heart, electrodes, veins.
        recorded: the recorded beat, if any.
        twins: those that were kept.
        target_map: the ranked sites.
    """

    content: dict[str, Any]
    anatomy: Anatomy
    recorded: Ecg | None
    twins: tuple[Twin, ...]
    target_map: TargetMap


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


@dataclass(frozen=True, kw_only=True, eq=False)
class _Recorded:
    """What the patient's ECG says: one beat, its QRS, the rhythm; without an ECG only an assumed rhythm."""

    beat: Ecg | None
    qrs: QrsBounds | None
    rhythm: str
    warnings: tuple[str, ...]


def _recorded(patient: Patient, settings: Settings) -> _Recorded:
    recording = read_recorded_ecg(patient)
    if recording is None or patient.ecg is None:
        rhythm, block = (
            ("lbbb", "left bundle branch block and ") if settings.rhythm == "auto" else (settings.rhythm, "")
        )
        assumed = f"no ECG: {block}prior conduction speeds are assumed"
        return _Recorded(beat=None, qrs=None, rhythm=rhythm, warnings=(assumed,))
    with reading(patient.ecg):
        beat = median_beat(recording)
        qrs = qrs_bounds(beat)
        if not _SHORTEST_QRS_MS <= qrs.duration_ms <= _LONGEST_QRS_MS:
            raise InputError(
                f"{patient.ecg.name}: the QRS lasts {qrs.duration_ms:.0f} ms, need {_SHORTEST_QRS_MS:g} to "
                f"{_LONGEST_QRS_MS:g}; check the time axis, and that the leads were connected"
            )
    warnings = []
    if recording.is_beat:
        warnings.append(
            f"{patient.ecg.name} is one averaged beat: whether its time axis is real time cannot be seen from it; "
            "speeds fitted to a beat whose time axis was warped (registered) say nothing about the patient"
        )
    elif (beats := len(find_r_peaks(recording))) < _FEW_BEATS:
        warnings.append(f"{patient.ecg.name} holds {beats} beat{'s' * (beats > 1)}: its QRS duration is uncertain")
    found = conduction_pattern(beat, qrs) if settings.rhythm == "auto" else settings.rhythm
    return _Recorded(beat=beat, qrs=qrs, rhythm=found, warnings=tuple(warnings))


def _computed(patient: Patient, settings: Settings, seconds: dict[str, float]) -> Plan:
    """Run every stage."""
    recorded = _recorded(patient, settings)
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
    warnings = [
        *anatomy.warnings,
        *recorded.warnings,
        *(f"{name} is not read by this version and was left out" for name in patient.left_out),
        *(f"patient.yaml: {name} is not used by this version" for name in patient.unused),
        *_fit_warnings(twins, kept, settings),
    ]
    if not candidates.sites:
        warnings.append("the veins have no tributary in which an electrode could stop: there is no candidate")
    warnings.append("response_probability is empty: there is no response model yet")
    content = {
        "patient": patient.id,
        "intended_use": "research",
        "virtual": patient.file.virtual,
        "answer": "sites" if target_map.best_beat is not None else "no reachable site",
        "index": {"name": "electrical index", "definition": INDEX_DEFINITION, "tie_zone_ms": settings.tie_zone_ms},
        "sites": [_site(row) for row in target_map.rows],
        "lateral_reference": _site(target_map.lateral),
        "intrinsic": _intrinsic(heart, kept, recorded.rhythm),
        "fit": _fit(twins, kept, recorded.qrs),
        "alternatives": [alternative],
        "clinical": patient.file.clinical.model_dump(mode="json", exclude_none=True),
        "stand_ins": [
            *(["virtual patient: no number here was measured on a person"] if patient.file.virtual else []),
            *anatomy.stand_ins,
        ],
        "warnings": warnings,
        "inputs": [{"file": name, "sha256": digest} for name, digest in patient.hashes.items()],
    }
    return Plan(content=content, anatomy=anatomy, recorded=recorded.beat, twins=tuple(kept), target_map=target_map)


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


def _site(row: Mapping[str, Value]) -> dict[str, Any]:
    """One site of plan.json: the row of the table, with places and intervals joined."""
    reasons = row["reasons"]
    joined = {"x_mm", "y_mm", "z_mm", "reasons", "index_low_ms", "index_high_ms"}
    return {
        **{name: value for name, value in row.items() if name not in joined},
        "position_mm": [row["x_mm"], row["y_mm"], row["z_mm"]],
        "reasons": reasons.split("; ") if isinstance(reasons, str) else [],
        "interval": None,
        "index_range_ms": [row["index_low_ms"], row["index_high_ms"]],
    }


@contextmanager
def _timed(stage: str, seconds: dict[str, float]) -> Iterator[None]:
    log.info("%s ...", stage)
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
    log.info("%s: %.1f s", stage, seconds[stage])
