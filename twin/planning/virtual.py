"""Virtual patients: people who do not exist, as patient folders.

The files are all that a planner sees. Behind them stands a truth with parameters of its own: a mesh of other edge
length, fibres of other angles, other speeds, other starts, an ECG with noise. Every range is our choice, unless a source
stands beside it; nothing drawn here is a fact about people.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml
from scipy.ndimage import gaussian_filter1d

from anatomy.build import complete_heart
from anatomy.fibres import FibreAngles
from anatomy.labels import Label, LabelMap, write_label_map
from anatomy.meshing import mesh_label_map
from anatomy.phantom import random_phantom
from anatomy.torso import electrodes_by_rule
from anatomy.vein_template import template_tree
from anatomy.veins import write_veins
from ml.ecg.readers import write_csv
from ml.ecg.recording import STANDARD_LEADS, Ecg
from twin.activation import Activation
from twin.conduction import Conduction
from twin.eikonal import Eikonal
from twin.leadfield import LEAD_IN_MS, ActionPotential, LeadField
from twin.planning.virtual_draws import drawn_tributaries
from twin.planning.whole_files import whole_files
from twin.rhythm import RHYTHMS, start_nodes

_FILES = ("labels.nii.gz", "veins.vtp", "ecg.csv", "patient.yaml")
_TRUE_EDGE_MM = 2.0
_RECORDING_S = 10.0
_RATE_HZ = 500.0


def write_virtual_patient(folder: Path, seed: int) -> None:
    """Make a virtual patient with left bundle branch block: label map with an infarct, veins, ECG, clinical data.

    Args:
        folder: made if needed; files of the same names are replaced.
        seed: the same seed gives the same bytes.
    """
    rng = np.random.default_rng(seed)
    phantom = random_phantom(rng)
    while phantom.scar_radius_mm == 0:  # a demonstration without an infarct would show less
        phantom = random_phantom(rng)
    labels = phantom.label_map()
    truth = mesh_label_map(labels, edge_mm=_TRUE_EDGE_MM)
    angles = FibreAngles(helix_endocardium=rng.uniform(50, 70), helix_epicardium=rng.uniform(-70, -50))
    heart = complete_heart(truth.mesh, tissue=truth.tissue, angles=angles)
    veins = replace(template_tree(heart, drawn_tributaries(rng)), is_template=False)
    fibre = rng.uniform(0.50, 0.62)
    speeds = Conduction(
        fibre_m_per_s=fibre,
        sheet_m_per_s=fibre * rng.uniform(0.40, 0.50),
        normal_m_per_s=fibre * 0.35,
        rv_endocardium_m_per_s=rng.uniform(1.2, 1.8),
    )
    nodes, times = start_nodes(heart, RHYTHMS["lbbb"].starts)
    activation = Activation(times_ms=Eikonal(heart, speeds).solve(nodes, times))
    ecg = _recording(LeadField(heart, electrodes_by_rule(heart)), activation, rng)

    content = {
        "id": f"virtual-{seed}",
        "virtual": True,
        "labels": "crt-twin",
        "clinical": {
            "sex": str(rng.choice(["female", "male"])),
            "nyha": int(rng.integers(2, 4)),
            # 25 +- 7 % in one CRT cohort (Attain Performa).
            "lvef_percent": round(float(np.clip(rng.normal(25, 7), 10, 35)), 1),
            "lvedv_ml": round(_volume_ml(labels, Label.LV_BLOOD), 1),
        },
    }
    text = "# A virtual patient: nothing here was measured on a person.\n" + yaml.safe_dump(content, sort_keys=False)
    with whole_files(folder, _FILES) as staging:
        write_label_map(staging / "labels.nii.gz", labels)
        write_veins(staging / "veins.vtp", veins)
        write_csv(ecg, staging / "ecg.csv")
        (staging / "patient.yaml").write_text(text, encoding="utf-8")


def _recording(lead_field: LeadField, activation: Activation, rng: np.random.Generator) -> Ecg:
    """Ten seconds of sinus rhythm: P waves, the simulated QRS and T, breathing, muscle and mains noise."""
    beat = lead_field.ecg(activation, ActionPotential(duration_ms=rng.uniform(270, 300)))
    beat_ms = beat.time_ms - LEAD_IN_MS
    time_ms = np.arange(0, _RECORDING_S * 1000, 1000 / _RATE_HZ)
    signal = np.zeros((len(STANDARD_LEADS), len(time_ms)))
    interval_ms, pr_ms = rng.uniform(800, 950), rng.uniform(160, 190)
    onset = rng.uniform(250, 600)
    while onset < time_ms[-1] + interval_ms:
        signal += [np.interp(time_ms - onset, beat_ms, row, left=0, right=0) for row in beat.signal_mv]
        signal += p_wave(time_ms - onset + pr_ms - 50)
        onset += interval_ms + rng.normal(0, 12)
    breathing = 0.05 * np.sin(2 * np.pi * time_ms / 4000 + rng.uniform(0, 2 * np.pi))
    mains = 0.004 * np.sin(2 * np.pi * time_ms / 20)
    muscle = gaussian_filter1d(rng.normal(0, 0.012, signal.shape), 0.8, axis=1)
    independent = np.isin(STANDARD_LEADS, ("I", "II", *STANDARD_LEADS[6:]))
    # Noise enters at the electrodes: limb leads that follow from I and II must go on doing so.
    noisy = (signal + breathing * np.linspace(0.5, 1, len(signal))[:, None] + mains + muscle)[independent]
    leads = tuple(np.array(STANDARD_LEADS)[independent])
    return Ecg(leads=leads, signal_mv=noisy, rate_hz=_RATE_HZ).twelve_leads()


def p_wave(time_ms: np.ndarray) -> np.ndarray:
    """(12, t) a P wave that points down and to the left, centred at time 0."""
    shape = 0.12 * np.exp(-0.5 * np.square(time_ms / 22))
    share = {"I": 0.6, "II": 1.0, "V1": 0.4, "V2": 0.5, "V3": 0.5, "V4": 0.5, "V5": 0.5, "V6": 0.5}
    share |= {"III": 0.4, "aVR": -0.8, "aVL": 0.1, "aVF": 0.7}
    return np.array([share[lead] for lead in STANDARD_LEADS])[:, None] * shape


def _volume_ml(labels: LabelMap, label: Label) -> float:
    voxel = abs(float(np.linalg.det(labels.axes_mm)))
    return float((labels.labels == label).sum() * voxel / 1000)
