"""The files of a virtual patient, as a hospital would make them of the truth: measured, segmented, registered, with errors.

All errors are our choice unless `twin.planning.virtual_draws` names a source.

Units: mm, ms, mV, degrees.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyvista as pv
import yaml
from scipy.ndimage import gaussian_filter1d
from scipy.signal import butter, sosfiltfilt
from scipy.spatial.transform import Rotation

from anatomy.arrays import Byte, Float
from anatomy.heart import HeartMesh
from anatomy.phantom import MIN_WALL_MM, Phantom
from anatomy.veins import VenousTree, write_veins
from ml.ecg.readers import write_csv
from ml.ecg.recording import STANDARD_LEADS, Ecg
from twin.activation import Activation
from twin.leadfield import LEAD_IN_MS, ActionPotential, LeadField
from twin.planning.virtual import p_wave
from twin.planning.virtual_draws import LEAD, POPULATION, Centre, Drawn
from twin.planning.virtual_heart import phantom_mesh
from twin.planning.virtual_scar import misjudged, painted
from twin.planning.virtual_truth import Truth

FILES = ("heart.vtu", "veins.vtp", "ecg.csv", "ecg_paced.csv", "patient.yaml")
PLANNER_EDGE_MM = 2.5
_RATE_HZ, _BEAT_MS, _ONSET_MS = 500.0, 1000.0, 280.0
_PACED_PR_MS, _P_MIDDLE_MS = 130.0, 50.0
# What averaging leaves of muscle noise and of wander, in one beat of a usual recording.
_MUSCLE_MV, _WANDER_MV = 0.006, 0.01
_BODY_LOG_SD = 0.15
_INDEPENDENT = np.isin(STANDARD_LEADS, ("I", "II", *STANDARD_LEADS[6:]))
_TETRA, _TRIANGLE = 10, 5
# No measured ejection fraction lies below; our choice.
LEAST_LVEF_PERCENT = 5.0


def write_patient_files(
    folder: Path,
    name: str,
    drawn: Drawn,
    truth: Truth,
    rng: np.random.Generator,
    edge_mm: float = PLANNER_EDGE_MM,
) -> float:
    """Write `FILES` into a folder that exists.

    Args:
        folder: empty.
        name: of the patient.
        drawn: the patient.
        truth: of which only what an examination shows is used, with its error.
        rng: draws the errors.
        edge_mm: of the segmented heart's mesh.

    Returns:
        LVEF as measured, in percent.
    """
    segmented = segmented_phantom(drawn.phantom, drawn.centre, rng)
    mesh = phantom_mesh(segmented, edge_mm)
    write_mesh(folder / "heart.vtu", mesh, painted(mesh, misjudged(truth.patches, rng), segmented))
    write_veins(folder / "veins.vtp", registered(truth.veins, rng))
    body = float(rng.lognormal(0, _BODY_LOG_SD)) * drawn.centre.gain
    pr_ms, duration_ms = rng.uniform(150, 210), rng.uniform(265, 295)
    for file, activation, pr in (("ecg.csv", truth.intrinsic, pr_ms), ("ecg_paced.csv", truth.paced, _PACED_PR_MS)):
        beat = body * simulated_beat(truth.lead_field, activation, duration_ms, None if drawn.af else pr, rng)
        write_csv(recorded(beat, drawn.centre, rng), folder / file)
    lead_mm = _displaced(np.array(truth.implanted.position_mm), rng)
    right_mm = _displaced(truth.heart.nodes_mm[truth.rv_node], rng)
    lvef_percent, clinical = _clinical(drawn, rng)
    content = {
        "id": name,
        "virtual": True,
        "centre": drawn.centre.name,
        "clinical": clinical,
        "lead": {"electrode_spacing_mm": LEAD.electrode_spacing_mm},
        "implanted": {"lv_mm": _rounded(lead_mm), "rv_mm": _rounded(right_mm), "vv_delay_ms": 0.0},
    }
    text = "# A virtual patient: nothing here was measured on a person.\n" + yaml.safe_dump(content, sort_keys=False)
    (folder / "patient.yaml").write_text(text, encoding="utf-8")
    return lvef_percent


def segmented_phantom(phantom: Phantom, centre: Centre, rng: np.random.Generator) -> Phantom:
    """The heart's shape as segmented: walls 7 % off on top of the centre's bias, cavities 1 to 2 mm."""
    wall = 1 + centre.wall_bias + rng.normal(0, 0.07)
    diameter = phantom.lv_diameter_mm + rng.normal(0, 1.0)
    return replace(
        phantom,
        lv_diameter_mm=diameter,
        lv_opening_mm=phantom.lv_opening_mm * diameter / phantom.lv_diameter_mm,
        lv_length_mm=float(np.clip(phantom.lv_length_mm + rng.normal(0, 1.5), phantom.rv_length_mm / 0.93, 140)),
        lv_wall_mm=max(phantom.lv_wall_mm * wall, MIN_WALL_MM),
        lv_apex_wall_mm=max(phantom.lv_apex_wall_mm * wall, MIN_WALL_MM),
        rv_width_mm=float(np.clip(phantom.rv_width_mm + rng.normal(0, 2.0), 15, 70)),
        rv_span_mm=max(phantom.rv_span_mm + rng.normal(0, 1.5), diameter),
        rv_wall_mm=max(phantom.rv_wall_mm + rng.normal(0, 0.3), MIN_WALL_MM + 0.2),
    )


def registered(veins: VenousTree, rng: np.random.Generator) -> VenousTree:
    """The tree as a second scan shows it on the first: turned by 1.5 degrees and moved by 1.5 mm, about each axis.

    Nothing is bent, so that the sites along it keep their names.
    """
    middle = veins.nodes_mm.mean(axis=0)
    turn = Rotation.from_euler("xyz", rng.normal(0, 1.5, 3), degrees=True)
    return replace(veins, nodes_mm=turn.apply(veins.nodes_mm - middle) + middle + rng.normal(0, 1.5, 3))


def simulated_beat(
    lead_field: LeadField,
    activation: Activation,
    duration_ms: float,
    pr_ms: float | None,
    rng: np.random.Generator,
) -> Float:
    """(12, 500) one beat without noise; no P wave where `pr_ms` is None."""
    beat = lead_field.ecg(activation, ActionPotential(duration_ms=duration_ms))
    time_ms = np.arange(0, _BEAT_MS, 1000 / _RATE_HZ) - _ONSET_MS - rng.uniform(-8, 8)
    signal = np.array([np.interp(time_ms + LEAD_IN_MS, beat.time_ms, row) for row in beat.signal_mv])
    return signal if pr_ms is None else signal + p_wave(time_ms + pr_ms - _P_MIDDLE_MS)


def recorded(beat: Float, centre: Centre, rng: np.random.Generator) -> Ecg:
    """The beat as a centre's electrocardiograph averages and filters it, in steps of 1 uV.

    Noise enters at the electrodes: limb leads that follow from I and II go on doing so.
    """
    rows = int(_INDEPENDENT.sum())
    time_ms = np.arange(beat.shape[1]) * 1000 / _RATE_HZ
    muscle = gaussian_filter1d(rng.normal(0, _MUSCLE_MV, (rows, len(time_ms))), 0.8, axis=1)
    phase = rng.uniform(0, 2 * np.pi, (rows, 1))
    wander = rng.normal(0, _WANDER_MV, (rows, 1)) * np.sin(2 * np.pi * time_ms / 4000 + phase)
    noisy = beat[_INDEPENDENT] + centre.noise * (muscle + wander)
    low_pass = butter(2, centre.low_pass_hz, fs=_RATE_HZ, output="sos")
    filtered = np.round(sosfiltfilt(low_pass, noisy, axis=1), 3)
    leads = tuple(np.array(STANDARD_LEADS)[_INDEPENDENT].tolist())
    if centre.arms_swapped:
        filtered[:2] = -filtered[0], filtered[1] - filtered[0]  # I and II as they are then read
    twelve = Ecg(leads=leads, signal_mv=filtered, rate_hz=_RATE_HZ / centre.time_axis).twelve_leads()
    return replace(twelve, signal_mv=np.round(twelve.signal_mv, 4))


def write_mesh(path: Path, mesh: HeartMesh, tissue: Byte) -> None:
    """Write what a segmentation knows in the layout of `anatomy.formats`: cells, `tissue` and `surface`, nothing else."""
    m, t = len(mesh.tets), len(mesh.triangles)
    cells = np.concatenate(
        [np.insert(mesh.tets, 0, 4, axis=1).ravel(), np.insert(mesh.triangles, 0, 3, axis=1).ravel()]
    )
    kinds = np.repeat(np.array([_TETRA, _TRIANGLE], dtype=np.uint8), [m, t])
    grid = pv.UnstructuredGrid(cells, kinds, np.array(mesh.nodes_mm))
    grid.cell_data["tissue"] = np.concatenate([tissue, np.zeros(t, dtype=np.int8)])
    grid.cell_data["surface"] = np.concatenate([np.zeros(m, dtype=np.int8), mesh.surface])
    grid.save(path)


def _clinical(drawn: Drawn, rng: np.random.Generator) -> tuple[float, dict[str, object]]:
    """LVEF as measured, and what the chart says: that, volumes, diameters, and the rest."""
    p = POPULATION
    phantom = drawn.phantom
    lvef = np.clip(drawn.lvef_percent + rng.normal(0, p.lvef_error_percent), LEAST_LVEF_PERCENT, 50)
    lvef_percent = round(float(lvef), 1)
    return lvef_percent, {
        "sex": "female" if drawn.female else "male",
        "age_years": round(drawn.age_years, 1),
        "nyha": drawn.nyha,
        "lvef_percent": lvef_percent,
        "lvedv_ml": round(float(phantom.lv_cavity_ml * max(1 + rng.normal(0, p.lvedv_error), 0.6)), 1),
        "lvedd_mm": round(float(phantom.lv_diameter_mm + rng.normal(0, p.lvedd_error_mm)), 1),
        "aetiology": "ischaemic" if drawn.ischaemic else "non-ischaemic",
        "af": drawn.af,
    }


def _displaced(place_mm: Float, rng: np.random.Generator) -> Float:
    """A place as localised: 3 to 5 mm off in any direction."""
    direction = rng.normal(size=3)
    moved: Float = place_mm + rng.uniform(3, 5) * direction / np.linalg.norm(direction)
    return moved


def _rounded(place_mm: Float) -> list[float]:
    return [round(float(x), 1) for x in place_mm]
