"""Real hearts and a real beat, planned through the same door; skipped where ../shared/data is missing.

The beat of cine-lbbb is registered (its time axis is warped): it proves the machinery, not the patient.
"""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvista as pv

from anatomy.formats import read_heart_file
from anatomy.heart import tet_volumes_mm3

DATA = Path(__file__).parents[2] / "../shared/data"
LATERAL, SEPTAL = (5, 6, 11, 12, 16), (2, 3, 8, 9, 14)
KEYS = {"patient", "intended_use", "answer", "sites", "intrinsic", "fit", "stand_ins", "warnings"}

pytestmark = pytest.mark.skipif(not DATA.exists(), reason="needs the real data in ../shared/data")


@pytest.fixture(scope="module")
def cine(plan: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return plan(DATA / "patients/cine-lbbb", tmp_path_factory.mktemp("cine") / "plan", {"edge_mm": 1.5})


@pytest.fixture(scope="module")
def crtdemo(plan: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return plan(DATA / "patients/crtdemo", tmp_path_factory.mktemp("crtdemo") / "plan")


@pytest.fixture(scope="module")
def geo1(plan: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("geo1") / "patient"
    folder.mkdir()
    shutil.copy(DATA / "heart-geo1/heart.vtp", folder / "surfaces.vtp")
    return plan(folder, folder.parent / "plan", {"edge_mm": 2.0})


@pytest.fixture(scope="module")
def canine(plan: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("canine") / "patient"
    folder.mkdir()
    for source, name in (
        ("heart.vtu", "heart.vtu"),
        ("electrodes.json", "electrodes.json"),
        ("beat_lbbb.csv", "ecg.csv"),
    ):
        shutil.copy(DATA / "canine-lbbb" / source, folder / name)
    return plan(folder, folder.parent / "plan")


@pytest.fixture(params=["cine", "crtdemo", "geo1", "canine"])
def any_plan(request: pytest.FixtureRequest) -> Any:
    return request.getfixturevalue(request.param)


def muscle_ml(out: Path) -> float:
    file = read_heart_file(out / "heart.vtu")
    return float(tet_volumes_mm3(file.nodes_mm, file.tets).sum() / 1000)


def test_every_heart_gets_a_plan_whose_best_site_shortens_total_activation(any_plan: Any) -> None:
    content = any_plan.content
    assert set(content) >= KEYS
    assert content["answer"] == "sites"
    best = content["sites"][0]
    assert best["rank"] == 1
    assert best["tat_ms"] < content["intrinsic"]["tat_ms"]


def test_the_left_free_wall_is_last_in_left_bundle_branch_block(any_plan: Any) -> None:
    assert any_plan.content["intrinsic"]["rhythm"] == "lbbb"
    grid = pv.read(any_plan.out / "heart.vtu")
    times, aha = (np.asarray(grid.point_data[name]) for name in ("activation_intrinsic_ms", "aha"))
    assert times[np.isin(aha, LATERAL)].mean() > times[np.isin(aha, SEPTAL)].mean() + 20
    assert aha[(aha > 0) & np.isfinite(times)][times[(aha > 0) & np.isfinite(times)].argmax()] not in SEPTAL


@pytest.mark.parametrize("name", ["cine", "canine"])
def test_every_hypothesis_kept_reaches_the_recorded_qrs(name: str, request: pytest.FixtureRequest) -> None:
    fit = request.getfixturevalue(name).content["fit"]
    kept = [twin for twin in fit["hypotheses"] if twin["kept"]]
    assert kept
    for twin in kept:
        assert abs(twin["qrs_ms"] - fit["recorded_qrs_ms"]) <= 5
        assert -1 <= twin["correlation"] <= 1
    assert -1 <= fit["correlation"] <= 1


def test_the_real_heart_keeps_the_volume_of_its_labels(cine: Any) -> None:
    assert muscle_ml(cine.out) == pytest.approx(177.867, rel=0.02)


def test_a_single_beat_is_warned_about(cine: Any) -> None:
    assert any("whose time axis was warped" in line for line in cine.content["warnings"])


def test_a_finished_heart_keeps_its_fibres_and_electrodes(crtdemo: Any) -> None:
    before = pv.read(DATA / "patients/crtdemo/heart.vtu")
    after = pv.read(crtdemo.out / "heart.vtu")
    tets = before.celltypes == pv.CellType.TETRA
    along = np.einsum(
        "ij,ij->i",
        np.asarray(before.cell_data["fibre"])[tets],
        np.asarray(after.cell_data["fibre"])[after.celltypes == pv.CellType.TETRA],
    )
    assert np.abs(along).min() > 1 - 1e-4
    assert not [line for line in crtdemo.content["stand_ins"] if "fibres" in line or "electrodes" in line]
    assert any(line.startswith("no ECG") for line in crtdemo.content["warnings"])


def test_a_heart_that_is_not_in_patient_space_is_turned_with_a_warning(geo1: Any) -> None:
    assert any("not in LPS patient space" in line for line in geo1.content["warnings"])
    grid = pv.read(geo1.out / "heart.vtu")
    points, aha = np.asarray(grid.points), np.asarray(grid.point_data["aha"])
    assert points[aha > 0, 0].mean() > points[aha == 0, 0].mean() + 20  # the left ventricle lies to the left
    assert muscle_ml(geo1.out) == pytest.approx(145, rel=0.03)
