"""Virtual ECGs, most of them of one heart, so that few hearts are meshed."""

import csv
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from anatomy.heart import Surface, Tissue
from anatomy.meshing import mesh_label_map
from ml.datasets import read_table
from ml.ecg.beats import median_beat
from ml.ecg.measure import measure, qrs_bounds
from ml.ecg.pattern import conduction_pattern
from ml.ecg.recording import STANDARD_LEADS, Ecg
from twin.planning import virtual_ecgs as module
from twin.planning.virtual_ecgs import VirtualEcgs, virtual_ecgs
from twin.planning.virtual_people import (
    EDGE_MM,
    MUSCLE,
    PHANTOMS,
    VOXEL_MM,
    Beating,
    Patch,
    VirtualPerson,
    drawn_patch,
    prepared_heart,
    short_axis_slices,
    slice_distance_mm,
    tissue_at,
)
from twin.planning.virtual_questions import QUESTIONS, labels_by_rule
from twin.rhythm import RHYTHMS

HEART = "dilated"


@pytest.fixture(scope="module")
def cohorts() -> dict[str, VirtualEcgs]:
    with pytest.MonkeyPatch.context() as patch:
        for name, question in QUESTIONS.items():
            patch.setitem(QUESTIONS, name, replace(question, hearts=(HEART,)))
        return {name: virtual_ecgs(6, seed=3, question=name, recordings=name == "conduction") for name in QUESTIONS}


def beats(signals: np.ndarray, rate_hz: float) -> list[Ecg]:
    return [Ecg(leads=STANDARD_LEADS, signal_mv=signal, rate_hz=rate_hz) for signal in signals]


def scored(scores: np.ndarray, labels: np.ndarray, probability: np.ndarray) -> VirtualEcgs:
    n = len(scores)
    return VirtualEcgs(
        question="none",
        patients=("one",) * n,
        hearts=(HEART,) * n,
        signals=np.zeros((n, 12, 1), dtype=np.float32),
        classes=("0", "1"),
        labels=labels,
        outcomes={},
        probability=probability,
    )


def test_each_conduction_shows_the_pattern_of_its_name(cohorts: dict[str, VirtualEcgs]) -> None:
    made = cohorts["conduction"]
    seen = [conduction_pattern(beat, qrs_bounds(beat)) for beat in beats(made.signals, made.sampling_hz)]
    assert seen == [made.classes[label] for label in made.labels]


def test_bundle_branch_block_widens_the_qrs_of_every_patient(cohorts: dict[str, VirtualEcgs]) -> None:
    made = cohorts["conduction"]
    widths = np.array([qrs_bounds(beat).duration_ms for beat in beats(made.signals, made.sampling_hz)])
    assert widths[made.labels > 0].min() > widths[made.labels == 0].max() + 10


def test_left_bundle_branch_block_looks_as_in_people(cohorts: dict[str, VirtualEcgs]) -> None:
    """Mostly negative in V1, mostly positive in I, aVL and V6, and T waves against the QRS."""
    made = cohorts["conduction"]
    for beat in beats(made.signals[made.labels == 1], made.sampling_hz):
        bounds = qrs_bounds(beat)
        qrs = (beat.time_ms >= bounds.onset_ms) & (beat.time_ms <= bounds.end_ms)
        st_t = beat.time_ms > bounds.end_ms
        for lead, sign in (("V1", -1), ("I", 1), ("aVL", 1), ("V6", 1)):
            baseline = np.interp(bounds.onset_ms, beat.time_ms, beat.lead(lead))
            assert sign * (beat.lead(lead)[qrs] - baseline).mean() > 0.05, lead
            assert sign * (beat.lead(lead)[st_t] - baseline).mean() < -0.02, lead


def test_pacing_both_ventricles_changes_every_beat_and_narrows_them_on_average(
    cohorts: dict[str, VirtualEcgs],
) -> None:
    made = cohorts["crt-response"]
    assert made.after is not None
    assert np.abs(made.after - made.signals).max(axis=(1, 2)).min() > 0.3
    before, after = (
        np.mean([qrs_bounds(beat).duration_ms for beat in beats(signals, made.sampling_hz)])
        for signals in (made.signals, made.after)
    )
    assert after < before - 10


def test_same_seed_same_bytes_whatever_the_number_of_threads(
    cohorts: dict[str, VirtualEcgs], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(QUESTIONS, "crt-response", replace(QUESTIONS["crt-response"], hearts=(HEART,)))
    monkeypatch.setattr(module, "_THREADS", 1)
    first, again = cohorts["crt-response"], virtual_ecgs(6, seed=3, question="crt-response")
    assert first.after is not None
    assert again.after is not None
    assert again.signals.tobytes() == first.signals.tobytes()
    assert again.after.tobytes() == first.after.tobytes()
    assert again.labels.tobytes() == first.labels.tobytes()
    assert all(again.outcomes[name].tobytes() == values.tobytes() for name, values in first.outcomes.items())


def test_patients_of_one_cohort_differ(cohorts: dict[str, VirtualEcgs]) -> None:
    for made in cohorts.values():
        assert len({signal.tobytes() for signal in made.signals}) == len(made.patients) == len(set(made.patients))


@pytest.mark.parametrize("prevalence", [0.1, 0.45, 0.8])
def test_labels_are_as_many_as_asked_and_so_are_their_chances(prevalence: float) -> None:
    rng = np.random.default_rng(5)
    labels, chance = labels_by_rule(rng.normal(3, 2, 200), prevalence, rng)
    assert labels.sum() == round(prevalence * 200)
    assert chance.mean() == pytest.approx(prevalence, abs=1e-9)


def test_ranking_by_the_true_score_reaches_the_ceiling() -> None:
    """AUC of 40 cohorts of 1,000: the mean has a standard error of about 0.002."""
    rng = np.random.default_rng(6)
    reached, ceiling = [], []
    for _ in range(40):
        scores = rng.normal(0, 2, 1000)
        labels, chance = labels_by_rule(scores, 0.3, rng)
        reached.append(roc_auc_score(labels, scores))
        ceiling.append(scored(scores, labels, chance).ceiling_auc)
    assert np.mean(reached) == pytest.approx(np.mean(ceiling), abs=0.006)
    assert 0.8 < np.mean(ceiling) < 0.95


def test_the_ceiling_is_one_for_certain_labels_and_a_half_for_blind_ones() -> None:
    labels = np.array([0, 1, 0, 1])
    assert scored(labels, labels, labels.astype(np.float64)).ceiling_auc == 1.0
    assert scored(labels, labels, np.full(4, 0.3)).ceiling_auc == 0.5


def test_kinds_of_patients_are_equally_many(cohorts: dict[str, VirtualEcgs]) -> None:
    for name in ("conduction", "cardiomyopathy"):
        assert np.bincount(cohorts[name].labels).tolist() == [2, 2, 2]
        assert cohorts[name].ceiling_auc == 1.0


def test_right_ventricular_labels_follow_the_ejection_fraction(cohorts: dict[str, VirtualEcgs]) -> None:
    made = cohorts["rv-function"]
    np.testing.assert_array_equal(made.labels, made.outcomes["rvef_percent"] <= 40)
    assert np.corrcoef(made.probability, made.outcomes["rvef_percent"])[0, 1] < 0


def test_limb_leads_agree_in_beats_and_recordings(cohorts: dict[str, VirtualEcgs]) -> None:
    for made in cohorts.values():
        for signals in (made.signals, made.after, made.recordings):
            if signals is not None:
                one, two, three, right = (signals[:, k] for k in range(4))
                np.testing.assert_allclose(three, two - one, atol=2e-6)
                np.testing.assert_allclose(right, -(one + two) / 2, atol=2e-6)


def test_a_recording_repeats_its_patient_s_beat(cohorts: dict[str, VirtualEcgs]) -> None:
    made = cohorts["conduction"]
    assert made.recordings is not None
    for beat, recording in zip(
        beats(made.signals, made.sampling_hz), beats(made.recordings, made.sampling_hz), strict=True
    ):
        measured = measure(recording)
        assert measured.heart_rate_bpm == pytest.approx(67.5, abs=8.5)
        assert measured.qrs_duration_ms == pytest.approx(qrs_bounds(beat).duration_ms, abs=12)
        spans = np.ptp(median_beat(recording).signal_mv, axis=1) / np.ptp(beat.signal_mv, axis=1)
        assert spans == pytest.approx(1, abs=0.35)


def test_slices_are_3_to_10_and_the_missing_ones_stand_last(cohorts: dict[str, VirtualEcgs]) -> None:
    scar = cohorts["ventricular-arrhythmia"].scar
    assert scar is not None
    missing = np.isnan(scar)
    np.testing.assert_array_equal(missing.any(axis=(2, 3, 4)), missing.all(axis=(2, 3, 4)))
    counts = (~missing[:, :, 0, 0, 0]).sum(axis=1)
    assert counts.min() >= 3
    assert len(set(counts.tolist())) > 1
    for slices, count in zip(scar, counts, strict=True):
        assert not np.isnan(slices[:count]).any()


def test_scar_lies_in_muscle_and_has_three_shades(cohorts: dict[str, VirtualEcgs]) -> None:
    scar = cohorts["ventricular-arrhythmia"].scar
    assert scar is not None
    muscle, shade = scar[:, :, 0], scar[:, :, 1]
    assert not (shade[muscle == 0] > 0).any()
    assert set(np.unique(shade[muscle == 1]).tolist()) == {0.0, 0.5, 1.0}


def test_slices_and_mesh_hold_the_same_scar() -> None:
    """To what slices 8 mm apart and edges of 3 mm resolve."""
    prepared, rng = prepared_heart(HEART), np.random.default_rng(7)
    patch = drawn_patch(
        rng,
        prepared.heart,
        apicobasal=(0.5, 0.5),
        rotational=(0.3, 0.3),
        radius_mm=(25, 25),
        depth=(0.0, 1.0),
        border_mm=(6, 6),
        roughness_mm=(0, 0),
    )
    beating = Beating(starts=RHYTHMS["normal"].starts, conduction=MUSCLE, size=1.2)
    person = VirtualPerson(prepared, [patch], beating, rng)
    shades = short_axis_slices(HEART, [patch])[:, 1]
    slab_g = slice_distance_mm(HEART) * 1.05e-3
    for tissue, shade in ((Tissue.CORE, 1.0), (Tissue.BORDER_ZONE, 0.5)):
        assert person.muscle_g(tissue) / 1.2**3 == pytest.approx((shades == shade).sum() * slab_g, rel=0.15)


def test_a_patch_keeps_to_its_radius_and_depths() -> None:
    """On a flat wall 10 mm thick, the endocardium in the plane z = 0."""
    rng = np.random.default_rng(8)
    points = rng.uniform([-30, -30, 0], [30, 30, 10], (5000, 3))
    patch = Patch(
        centre_mm=np.zeros(3),
        right=False,
        radius_mm=15.0,
        depth=(0.3, 0.7),
        border_mm=0.0,
        roughness_mm=0.0,
        waves=np.ones((4, 4)),
    )
    depth = points[:, 2] / 10
    core = patch.outside_mm(points, depth, wall_mm=10.0) <= 0
    np.testing.assert_array_equal(core, (np.hypot(*points.T[:2]) <= 15) & (depth >= 0.3) & (depth <= 0.7))
    assert 0 < core.sum() < len(core)


def test_no_scar_lies_beyond_the_reach_of_its_patch() -> None:
    rng = np.random.default_rng(9)
    phantom = PHANTOMS[HEART]
    patch = Patch(
        centre_mm=np.zeros(3),
        right=False,
        radius_mm=15.0,
        depth=(0.0, 1.0),
        border_mm=5.0,
        roughness_mm=1.5,
        waves=rng.uniform(-1, 1, (8, 4)),
    )
    points, depth = rng.uniform(-50, 50, (50_000, 3)), rng.uniform(size=50_000)
    scar = tissue_at([patch], phantom, points, depth, np.ones(50_000, dtype=np.bool_)) != Tissue.HEALTHY
    far = np.linalg.norm(points, axis=1) >= patch.reach_mm(phantom)
    assert not (scar & far).any()
    assert scar.any()
    assert far.any()


@pytest.mark.parametrize("name", PHANTOMS)
def test_no_heart_has_holes_that_would_pass_for_valves(name: str) -> None:
    phantom = PHANTOMS[name]
    mesh = mesh_label_map(phantom.label_map(VOXEL_MM), edge_mm=EDGE_MM).mesh
    heights = mesh.nodes_mm[mesh.nodes_of(Surface.BASE)] @ phantom.axes[:, 2]
    assert heights.min() > -0.2 * phantom.lv_length_mm


@pytest.mark.parametrize("name", ["crt-response", "ventricular-arrhythmia", "rv-function", "cardiomyopathy"])
def test_the_table_gives_the_cohort_back(cohorts: dict[str, VirtualEcgs], name: str, tmp_path: Path) -> None:
    made = cohorts[name]
    found = read_table(made.write(tmp_path / "cohort"))
    assert found.patients.tolist() == list(made.patients)
    assert found.sampling_hz == made.sampling_hz
    np.testing.assert_allclose(found.signals, made.signals, atol=6e-4)
    np.testing.assert_array_equal(found.labels, made.labels)
    assert found.covariates["class"].tolist() == [made.classes[label] for label in made.labels]
    assert (found.signals_after is None) == (made.after is None)
    if made.after is not None:
        np.testing.assert_allclose(found.signals_after, made.after, atol=6e-4)
    read = found.covariates | {"time": found.times, "event": found.events}
    for column, values in made.outcomes.items():
        np.testing.assert_allclose(read[column], values, atol=1e-3)
    assert (found.scars is None) == (made.scar is None)
    if made.scar is not None:
        for path, slices in zip(found.scars, made.scar, strict=True):
            with np.load(path) as data:
                np.testing.assert_array_equal(data["slices"], slices[~np.isnan(slices[:, 0, 0, 0])])


def test_every_file_says_that_its_patient_is_virtual(cohorts: dict[str, VirtualEcgs], tmp_path: Path) -> None:
    table = cohorts["conduction"].write(tmp_path / "cohort")
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert {row["virtual"] for row in rows} == {"yes"}
    assert all("virtual patient" in (table.parent / row["ecg"]).read_text() for row in rows)
    assert all(path.name.startswith("virtual-") for path in table.parent.iterdir() if path != table)


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"question": "age"}, "no question 'age'"),
        ({"n": 5}, "n = 5"),
        ({"prevalence": 0.01}, "leaves a class"),
        ({"question": "conduction", "prevalence": 0.5}, "cannot be asked"),
    ],
)
def test_what_cannot_be_made_is_refused(arguments: dict[str, object], fault: str) -> None:
    with pytest.raises(ValueError, match=fault):
        virtual_ecgs(**({"n": 8, "seed": 0, "question": "crt-response"} | arguments))  # type: ignore[arg-type]
