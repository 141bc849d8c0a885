"""The main job: a patient folder in, a plan out.

All stages run before anything is written; the files are then made in a folder beside the output folder and moved
into it one by one, so that a failure or an interruption leaves no half-written plan.
"""

import json
import logging
import math
import platform
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from anatomy.formats import write_heart
from anatomy.veins import write_veins
from ml.ecg.beats import median_beat
from ml.ecg.measure import QrsBounds, qrs_bounds
from ml.ecg.pattern import conduction_pattern
from ml.ecg.recording import Ecg
from twin.activation import Activation
from twin.dyssynchrony import DyssynchronyMeter
from twin.leadfield import LeadField
from twin.personalise import Twin, fit_twins
from twin.planning.errors import InputError, SettingsError
from twin.planning.features import Value, write_features
from twin.planning.patient import Patient, read_patient, read_recorded_ecg, reading
from twin.planning.report.figures import bullseye_figure, compared_beats, ecg_figure, svg
from twin.planning.report.page import write_report
from twin.planning.report.pictures import Pictures, render_pictures
from twin.planning.settings import Settings, merged_settings
from twin.planning.stages import Anatomy, build_anatomy, find_candidates, stage_key
from twin.planning.target_map import (
    INDEX_DEFINITION,
    TargetMap,
    left_bundle_area_pacing,
    rank_sites,
    reference_twin,
)
from twin.rhythm import RHYTHMS

log = logging.getLogger("crt-twin")

FILES = ("plan.json", "sites.csv", "heart.vtu", "report.html", "provenance.json")
_PICTURES_TIMEOUT_S = 300.0
# A QRS outside of these is noise or a wrong time axis; our choice, well beyond what people and dogs have.
_SHORTEST_QRS_MS, _LONGEST_QRS_MS = 40.0, 280.0
# Settings on which each stage depends, beside its inputs.
_STAGE_SETTINGS = {
    "anatomy": ("edge_mm", "fibres"),
    "twins": ("edge_mm", "fibres", "rhythm", "conduction", "fit"),
    "target_map": tuple(Settings.model_fields),
}


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
    started = time.perf_counter()
    _check_out(folder, out)
    patient = read_patient(folder)
    settings = merged_settings(("patient.yaml", patient.settings_layer), *layers)
    seconds: dict[str, float] = {}
    plan = _computed(patient, settings, seconds)
    with _staging(out) as staging:
        _write(plan, patient, settings, seconds, staging, started)
    return plan


def _check_out(folder: Path, out: Path) -> None:
    """Refuse, before anything is computed, an output folder that cannot be or must not be written to."""
    if out.exists() and not out.is_dir():
        raise SettingsError(f"--out {out}: is a file; name a folder")
    if out.exists() and folder.exists() and out.samefile(folder):
        raise SettingsError(f"--out {out}: is the patient folder, whose heart.vtu would be replaced; name another")


def _computed(patient: Patient, settings: Settings, seconds: dict[str, float]) -> Plan:
    warnings: list[str] = []
    recording = read_recorded_ecg(patient)
    beat: Ecg | None = None
    qrs: QrsBounds | None = None
    rhythm_name: str = settings.rhythm
    if recording is not None and patient.ecg is not None:
        with reading(patient.ecg):
            beat = median_beat(recording)
            qrs = qrs_bounds(beat)
            if not _SHORTEST_QRS_MS <= qrs.duration_ms <= _LONGEST_QRS_MS:
                raise InputError(
                    f"{patient.ecg.name}: the QRS lasts {qrs.duration_ms:.0f} ms, need {_SHORTEST_QRS_MS:g} to "
                    f"{_LONGEST_QRS_MS:g}; check the time axis, and that the leads were connected"
                )
        if recording.is_beat:
            warnings.append(
                f"{patient.ecg.name} is one averaged beat: whether its time axis is real time cannot be seen from it; "
                "speeds fitted to a beat whose time axis was warped (registered) say nothing about the patient"
            )
        if rhythm_name == "auto":
            rhythm_name = conduction_pattern(beat, qrs)
    elif rhythm_name == "auto":
        rhythm_name = "lbbb"
        warnings.append("no ECG: left bundle branch block and prior conduction speeds are assumed")
    warnings += [f"{name} is not read by this version and was left out" for name in patient.left_out]

    with _timed("anatomy", seconds):
        anatomy = build_anatomy(patient, settings)
        with reading(patient.geometry):
            candidates = find_candidates(patient, anatomy, settings)
    heart = anatomy.heart
    with _timed("twins", seconds):
        with reading(patient.electrodes or patient.geometry):
            lead_field = LeadField(heart, anatomy.electrodes)
        with reading(patient.geometry):
            twins = fit_twins(
                heart, lead_field, RHYTHMS[rhythm_name], beat, conduction=settings.conduction, rules=settings.fit
            )
        kept = [twin for twin in twins if twin.fits]
        warnings += [
            f"hypothesis {twin.name!r}: the fibre speed hits a bound of the fit ({twin.conduction.fibre_m_per_s:.2f} m/s)"
            for twin in twins
            if twin.at_bound
        ]
        if not kept:
            kept = [min(twins, key=lambda twin: abs(twin.qrs_error_ms or 0.0))]
            warnings.append(
                f"no hypothesis reaches the recorded QRS duration within {settings.fit.tolerance_ms:g} ms; "
                f"the nearest, {kept[0].name!r}, is used"
            )
    with _timed("target_map", seconds):
        target_map = rank_sites(heart, lead_field, kept, candidates, settings)
        alternative = left_bundle_area_pacing(heart, lead_field, kept, settings.fit)
    if not candidates.sites:
        warnings.append("the veins have no tributary in which an electrode could stop: there is no candidate")
    warnings.append("response_probability is empty: there is no response model yet")

    meter = DyssynchronyMeter(heart)
    own = [meter.measure(twin.intrinsic) for twin in kept]
    reference = reference_twin(kept)
    content = {
        "patient": patient.id,
        "intended_use": "research",
        "answer": "sites" if target_map.best_beat is not None else "no reachable site",
        "index": {
            "name": "electrical index",
            "definition": INDEX_DEFINITION,
            "tie_zone_ms": settings.tie_zone_ms,
        },
        "sites": [_site(row) for row in target_map.rows],
        "lateral_reference": _site(target_map.lateral),
        "intrinsic": {
            "rhythm": rhythm_name,
            "qrs_ms": float(np.mean([twin.qrs.duration_ms for twin in kept])),
            "tat_ms": float(np.mean([m.tat_ms for m in own])),
            "lvat95_ms": float(np.mean([m.lvat95_ms for m in own])),
            "bivat90_ms": float(np.mean([m.bivat90_ms for m in own])),
            "interventricular_ms": float(np.mean([m.interventricular_ms for m in own])),
            "index_ms": float(np.mean([m.index_ms for m in own])),
        },
        "fit": {
            "recorded_qrs_ms": None if qrs is None else qrs.duration_ms,
            "correlation": reference.correlation,
            "qrs_error_ms": reference.qrs_error_ms,
            "reference": reference.name,
            "hypotheses": [_hypothesis(twin, twin in kept) for twin in twins],
        },
        "alternatives": [alternative],
        "clinical": patient.file.clinical.model_dump(mode="json", exclude_none=True),
        "virtual": patient.file.virtual,
        "stand_ins": [
            *(["virtual patient: no number here was measured on a person"] if patient.file.virtual else []),
            *anatomy.stand_ins,
        ],
        "warnings": [*anatomy.warnings, *warnings],
        "inputs": [{"file": name, "sha256": digest} for name, digest in patient.hashes.items()],
    }
    return Plan(content=content, anatomy=anatomy, recorded=beat, twins=tuple(kept), target_map=target_map)


def _write(
    plan: Plan, patient: Patient, settings: Settings, seconds: dict[str, float], folder: Path, started: float
) -> None:
    """Make every file of the plan in a folder of its own."""
    reference = reference_twin(plan.twins)
    fields = {"activation_intrinsic_ms": reference.intrinsic.times_ms}
    if plan.target_map.best_beat is not None:
        fields["activation_best_ms"] = plan.target_map.best_beat.times_ms
    write_heart(folder / "heart.vtu", plan.anatomy.heart, fields)
    pictures = Pictures(pictures=(), warnings=())
    with tempfile.TemporaryDirectory() as scratch, _timed("pictures", seconds):
        if settings.pictures:
            veins = Path(scratch) / "veins.vtp"
            write_veins(veins, plan.anatomy.veins)
            pictures = render_pictures(
                folder / "heart.vtu", veins, plan.content["sites"], Path(scratch), _PICTURES_TIMEOUT_S
            )
        plan.content["warnings"] += pictures.warnings
        provenance = _provenance(patient, settings, seconds, started)
        write_report(
            folder / "report.html",
            plan=plan.content,
            provenance=provenance,
            figures=_figures(plan, reference),
            pictures=pictures.pictures,
        )
    write_features(folder / "sites.csv", plan.target_map.rows)
    _write_json(folder / "plan.json", plan.content)
    _write_json(folder / "provenance.json", provenance)


def _figures(plan: Plan, reference: Twin) -> dict[str, str]:
    """The ECG and the two bull's-eyes; times in a pair share one scale."""
    heart = plan.anatomy.heart
    beats = {"bullseye_intrinsic": ("Own rhythm", reference.intrinsic)}
    if plan.target_map.best_beat is not None:
        beats["bullseye_best"] = ("Paced from the first-ranked site", plan.target_map.best_beat)
    marks: dict[int, str] = {}
    for row in plan.target_map.rows:
        if row["rank"] == 1 and row["aha_segment"]:
            segment = int(row["aha_segment"])
            marks[segment] = f"{marks[segment].removesuffix(' ...')} ..." if segment in marks else str(row["id"])
    means = {
        name: _segment_means(heart.coordinates.aha, heart.living_volumes_mm3, beat) for name, (_, beat) in beats.items()
    }
    times = np.concatenate([values[np.isfinite(values)] for values in means.values()])
    limits = (float(times.min()), float(times.max()))
    drawn = {
        name: svg(bullseye_figure(means[name], label=title, unit="ms", marks=marks, limits=limits))
        for name, (title, _) in beats.items()
    }
    return {"ecg": svg(ecg_figure(compared_beats(plan.recorded, reference.ecg))), **drawn}


def _segment_means(aha: Any, volumes: Any, beat: Activation) -> Any:
    """(17,) mean activation of each AHA segment, over the tissue that activates."""
    reached = np.isfinite(beat.times_ms)
    weights = np.where(reached, volumes, 0.0)
    times = np.where(reached, beat.times_ms, 0.0)
    total = np.bincount(aha, weights=weights, minlength=18)[1:]
    sums = np.bincount(aha, weights=weights * times, minlength=18)[1:]
    return np.divide(sums, total, out=np.full(17, np.inf), where=total > 0)


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


def _hypothesis(twin: Twin, kept: bool) -> dict[str, Any]:
    return {
        "name": twin.name,
        "fibre_m_per_s": twin.conduction.fibre_m_per_s,
        "qrs_ms": twin.qrs.duration_ms,
        "qrs_error_ms": twin.qrs_error_ms,
        "correlation": twin.correlation,
        "at_bound": twin.at_bound,
        "kept": kept,
    }


def _provenance(patient: Patient, settings: Settings, seconds: Mapping[str, float], started: float) -> dict[str, Any]:
    values = settings.model_dump(mode="json")
    keys = {
        stage: stage_key(stage, patient.hashes, {name: values[name] for name in names})
        for stage, names in _STAGE_SETTINGS.items()
    }
    return {
        "tool": "crt-twin",
        "version": version("crt-twin"),
        "python": platform.python_version(),
        "settings": values,
        "inputs": patient.hashes,
        "stages": keys,
        "seconds": {**{name: round(value, 2) for name, value in seconds.items()}},
        "total_seconds": round(time.perf_counter() - started, 2),
    }


def _write_json(path: Path, content: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(value: Any) -> Any:
    """Numbers as JSON has them: what is not finite is null, four digits after the point are enough."""
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return round(value, 4) if math.isfinite(value) else None
    return value


@contextmanager
def _timed(stage: str, seconds: dict[str, float]) -> Iterator[None]:
    log.info("%s ...", stage)
    start = time.perf_counter()
    yield
    seconds[stage] = time.perf_counter() - start
    log.info("%s: %.1f s", stage, seconds[stage])


@contextmanager
def _staging(out: Path) -> Iterator[Path]:
    """A folder on the same disk; when all went well, its files are moved into `out`."""
    out.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=f".{out.name}.", dir=out.parent))
    try:
        yield staging
        out.mkdir(exist_ok=True)
        for name in FILES:
            (staging / name).replace(out / name)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
