"""The files of a plan: all of them, or none."""

import json
import math
import platform
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.spatial import KDTree

from anatomy.arrays import Byte, Float
from anatomy.formats import write_heart
from anatomy.heart import Heart, Surface
from anatomy.veins import write_veins
from twin.activation import Activation
from twin.personalise import Twin
from twin.planning.features import Value, write_features
from twin.planning.patient import Patient
from twin.planning.report.figures import bullseye_figure, compared_beats, ecg_figure, svg
from twin.planning.report.page import write_report
from twin.planning.report.pictures import Pictures, render_pictures
from twin.planning.settings import Settings
from twin.planning.stages import stage_key
from twin.planning.target_map import reference_twin
from twin.planning.whole_files import whole_files

if TYPE_CHECKING:
    from twin.planning.plan import Plan

TABLE_FILES = ("plan.json", "sites.csv", "provenance.json")
FILES = ("plan.json", "sites.csv", "heart.vtu", "report.html", "provenance.json")
_PICTURES_TIMEOUT_S = 300.0
# An electrode speaks for the muscle around it as far as sites lie apart; our choice.
_AROUND_SITE_MM = 10.0
# Settings on which each stage depends, beside its inputs.
_STAGE_SETTINGS = {
    "anatomy": ("edge_mm", "fibres"),
    "twins": ("edge_mm", "fibres", "rhythm", "conduction", "fit"),
    "target_map": tuple(Settings.model_fields),
}


def write_plan(plan: "Plan", patient: Patient, settings: Settings, seconds: Mapping[str, float], out: Path) -> None:
    """Write every file of a plan into `out`, or those without drawings, replacing those of an earlier plan.

    Args:
        plan: what to write; warnings about pictures are added to its content.
        patient: whose inputs it came from.
        settings: it was made with.
        seconds: what each stage took, for the provenance.
        out: made if needed.
    """
    full = settings.outputs == "full"
    with whole_files(out, FILES if full else TABLE_FILES) as folder:
        provenance = _provenance(plan, patient, settings, seconds)
        if full:
            _draw(plan, settings, provenance, folder)
        write_features(folder / "sites.csv", plan.target_map.rows)
        _write_json(folder / "plan.json", plan.content)
        _write_json(folder / "provenance.json", provenance)
    if not full:
        for name in set(FILES) - set(TABLE_FILES):  # of an earlier plan, which this one replaces
            (out / name).unlink(missing_ok=True)


def _draw(plan: "Plan", settings: Settings, provenance: Mapping[str, Any], folder: Path) -> None:
    """heart.vtu and report.html."""
    reference = reference_twin(plan.twins)
    fields = {"activation_intrinsic_ms": reference.intrinsic.times_ms}
    if plan.target_map.best_beat is not None:
        fields["activation_best_ms"] = plan.target_map.best_beat.times_ms
    if plan.response_model is not None:
        fields["response_probability"] = response_around_sites(plan.anatomy.heart, plan.target_map.rows)
    write_heart(folder / "heart.vtu", plan.anatomy.heart, fields)
    pictures = Pictures(pictures=(), warnings=())
    with tempfile.TemporaryDirectory() as scratch:
        if settings.pictures:
            veins = Path(scratch) / "veins.vtp"
            write_veins(veins, plan.anatomy.veins)
            pictures = render_pictures(
                folder / "heart.vtu", veins, plan.content["sites"], Path(scratch), _PICTURES_TIMEOUT_S
            )
        plan.content["warnings"] += pictures.warnings
        write_report(
            folder / "report.html",
            plan=plan.content,
            provenance=provenance,
            figures=_figures(plan, reference),
            pictures=pictures.pictures,
        )


def response_around_sites(heart: Heart, rows: Sequence[Mapping[str, Value]]) -> Float:
    """(n,) chance of response at the nearest site that has one; nan farther than 10 mm from all, and off the epicardium.

    Args:
        heart: of n nodes.
        rows: of the feature table.
    """
    field = np.full(len(heart.nodes_mm), np.nan)
    scored = [row for row in rows if row["response_probability"] is not None]
    if scored:
        epicardium = heart.nodes_of(Surface.EPICARDIUM)
        places = np.array([[row[name] for name in ("x_mm", "y_mm", "z_mm")] for row in scored], dtype=np.float64)
        distance, nearest = KDTree(places).query(heart.nodes_mm[epicardium], distance_upper_bound=_AROUND_SITE_MM)
        reached = np.isfinite(distance)
        chance = np.array([row["response_probability"] for row in scored], dtype=np.float64)
        field[epicardium[reached]] = chance[nearest[reached]]
    return field


def _figures(plan: "Plan", reference: Twin) -> dict[str, str]:
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


def _segment_means(aha: Byte, volumes: Float, beat: Activation) -> Float:
    """(17,) mean activation of each AHA segment, over the tissue that activates."""
    reached = np.isfinite(beat.times_ms)
    weights = np.where(reached, volumes, 0.0)
    times = np.where(reached, beat.times_ms, 0.0)
    total = np.bincount(aha, weights=weights, minlength=18)[1:]
    sums = np.bincount(aha, weights=weights * times, minlength=18)[1:]
    means: Float = np.divide(sums, total, out=np.full(17, np.inf), where=total > 0)
    return means


def _provenance(plan: "Plan", patient: Patient, settings: Settings, seconds: Mapping[str, float]) -> dict[str, Any]:
    values = settings.model_dump(mode="json")
    model = plan.response_model
    # The file and its hash, never its folder.
    values["response_model"] = "none" if model is None else " ".join(model.file)
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
        "seconds": {name: round(value, 2) for name, value in seconds.items()},
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
