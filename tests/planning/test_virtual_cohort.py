import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pytest
import pyvista as pv
import typer
from scipy.special import ndtr
from typer.testing import CliRunner

from anatomy.build import complete_heart
from anatomy.formats import read_heart_file
from anatomy.heart import HeartMesh
from anatomy.sites import SiteFinder
from anatomy.veins import read_veins
from ml.ecg.measure import measure
from ml.ecg.readers import read_ecg
from twin.planning.cli_virtual import virtual
from twin.planning.errors import SettingsError
from twin.planning.patient import read_patient
from twin.planning.virtual_cohort import _counted, patient_name, write_virtual_cohort
from twin.planning.virtual_draws import CENTRES, LEAD, SHIFTED, drawn_patient
from twin.planning.virtual_files import FILES, recorded
from twin.planning.virtual_heart import ShapeError
from twin.planning.virtual_rule import RULE
from twin.planning.virtual_truth import Truth, make_truth

COARSE = (3.0, 3.0)
SEED = 4
NAMES = [patient_name(SEED, number) for number in range(2)]
Bytes = dict[str, bytes]


def contents(folder: Path) -> Bytes:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("virtual") / "cohort"
    write_virtual_cohort(out, 2, seed=SEED, edges_mm=COARSE)
    return out


@pytest.fixture(scope="module")
def truth(cohort: Path) -> pd.DataFrame:
    return pd.read_parquet(cohort / "truth.parquet")


def test_a_cohort_is_a_folder_per_patient_with_outcomes_and_truth_beside_them(cohort: Path) -> None:
    assert sorted(path.name for path in cohort.iterdir()) == [".truth", "outcomes.csv", "truth.parquet", *NAMES]
    for name in NAMES:
        assert sorted(path.name for path in (cohort / name).iterdir()) == sorted(FILES)


def test_nothing_hidden_stands_in_a_patients_folder(cohort: Path) -> None:
    hidden = json.loads((cohort / ".truth" / f"{NAMES[0]}.json").read_text())
    change = f"{hidden['outcome']['lvesv_change_percent']:.2f}"
    for name, data in contents(cohort / NAMES[0]).items():
        assert not re.search(rb"true_|reserve|outcome|hf_event|lvesv|deliver|probab", data), name
        if name != "heart.vtu":
            assert change.encode() not in data, name
    arrays = pv.read(cohort / NAMES[0] / "heart.vtu")
    assert set(arrays.cell_data) == {"tissue", "surface"}
    assert not set(arrays.point_data)


def test_the_planner_names_the_sites_as_the_truth_does(cohort: Path, truth: pd.DataFrame) -> None:
    for name in NAMES:
        file = read_heart_file(cohort / name / "heart.vtu")
        assert file.triangles is not None
        assert file.surface is not None
        mesh = HeartMesh(nodes_mm=file.nodes_mm, tets=file.tets, triangles=file.triangles, surface=file.surface)
        finder = SiteFinder(complete_heart(mesh, tissue=file.tissue))
        sites = finder.from_veins(read_veins(cohort / name / "veins.vtp"), LEAD)
        assert {site.id for site in sites} | {"implanted"} == set(truth[truth.patient == name].id)


def test_a_patient_file_is_whole_and_the_lead_lies_on_the_heart(cohort: Path) -> None:
    for name in NAMES:
        patient = read_patient(cohort / name)
        clinical = patient.file.clinical
        assert patient.file.virtual
        assert patient.file.centre in CENTRES
        assert patient.left_out == ()
        assert patient.ecg_paced is not None
        assert None not in (clinical.age_years, clinical.lvedd_mm, clinical.aetiology, clinical.af, clinical.sex)
        nodes = read_heart_file(patient.geometry).nodes_mm
        for place in (patient.file.implanted.lv_mm, patient.file.implanted.rv_mm):
            assert np.linalg.norm(nodes - np.array(place), axis=1).min() < 15


def test_the_recorded_qrs_is_about_as_long_as_drawn_and_pacing_changes_it(cohort: Path) -> None:
    for number, name in enumerate(NAMES):
        stream = np.random.SeedSequence([SEED, number]).spawn(1)[0]
        drawn = drawn_patient(np.random.default_rng(stream))
        own, paced = (read_ecg(cohort / name / file) for file in ("ecg.csv", "ecg_paced.csv"))
        assert measure(own).qrs_duration_ms == pytest.approx(drawn.qrs_ms, abs=20)
        assert np.abs(own.signal_mv - paced.signal_mv).max() > 0.2
        np.testing.assert_allclose(own.lead("III"), own.lead("II") - own.lead("I"), atol=1e-9)


def test_the_true_probability_follows_from_the_true_change(truth: pd.DataFrame) -> None:
    expected = ndtr((-15 - truth.true_lvesv_change_percent) / RULE.noise_sd_percent)
    np.testing.assert_allclose(truth.true_probability, expected, atol=1e-5)


def test_the_site_matters(truth: pd.DataFrame) -> None:
    assert (truth.groupby("patient").true_lvesv_change_percent.agg(np.ptp) > 5).all()


def test_the_recorder_of_a_shifted_centre_does_to_a_beat_what_it_names() -> None:
    beat = np.random.default_rng(0).normal(size=(12, 500))
    usual, exchanged, fast = (
        recorded(beat, centre, np.random.default_rng(1))
        for centre in (CENTRES["A"], SHIFTED["arms-swapped"], SHIFTED["time-axis-halved"])
    )
    signal = dict(zip(usual.leads, usual.signal_mv, strict=True))
    swapped = [-signal["I"], *(signal[lead] for lead in ("III", "II", "aVL", "aVR", "aVF")), *usual.signal_mv[6:]]
    np.testing.assert_allclose(exchanged.signal_mv, swapped, atol=1e-4)
    assert fast.rate_hz == 2 * usual.rate_hz
    np.testing.assert_array_equal(fast.signal_mv, usual.signal_mv)


def test_outcomes_have_a_line_per_patient_in_order(cohort: Path) -> None:
    outcomes = pd.read_csv(cohort / "outcomes.csv")
    assert outcomes.columns.tolist() == ["patient", "lvesv_change_percent", "lvef_change_points", "hf_event"]
    assert outcomes.patient.tolist() == NAMES
    assert set(outcomes.hf_event) <= {0, 1}


def test_an_interrupted_cohort_goes_on_to_the_same_bytes_and_touches_nothing_finished(
    cohort: Path, tmp_path: Path
) -> None:
    whole = contents(cohort)
    out = tmp_path / "again"
    write_virtual_cohort(out, 1, seed=SEED, edges_mm=COARSE)  # killed after the first, at a bad moment of the second
    (out / ".making" / NAMES[1]).mkdir(parents=True)
    (out / ".making" / NAMES[1] / "heart.vtu").write_bytes(b"half")
    finished = out / NAMES[0] / "patient.yaml"
    before = finished.stat().st_mtime_ns
    write_virtual_cohort(out, 2, seed=SEED, edges_mm=COARSE)
    assert contents(out) == whole
    assert finished.stat().st_mtime_ns == before


def test_patients_differ(cohort: Path) -> None:
    one, other = (contents(cohort / name) for name in NAMES)
    assert all(one[name] != other[name] for name in FILES)


def test_another_cohort_does_not_go_into_the_same_folder(cohort: Path) -> None:
    before = contents(cohort)
    with pytest.raises(SettingsError, match="holds a cohort with seed 4, asked for is 5"):
        write_virtual_cohort(cohort, 2, seed=5, edges_mm=COARSE)
    assert contents(cohort) == before


def wrote(folder: Path, number: int) -> None:
    (folder / str(number)).write_text(str(number))


@pytest.mark.parametrize("jobs", [1, 2])
def test_every_number_of_jobs_makes_every_patient(jobs: int, tmp_path: Path) -> None:
    make: Callable[[int], None] = partial(wrote, tmp_path)
    assert list(_counted(make, range(5), jobs)) == [1, 2, 3, 4, 5]
    assert sorted(path.name for path in tmp_path.iterdir()) == list("01234")


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["2", "OUT", "--centre", "Z"], 2, "--centre Z: unknown; known are A, B, C, D, E"),
        (["2", "FILE"], 2, "is a file"),
    ],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str], code: int, says: str, tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(virtual)
    (tmp_path / "FILE").write_text("")
    given = [str(tmp_path / one) if one.isupper() and len(one) > 1 else one for one in arguments]
    result = CliRunner().invoke(app, given)
    assert result.exit_code == code
    assert says in result.stderr


def test_a_shape_that_cannot_be_meshed_is_drawn_again(
    cohort: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused: list[object] = []

    def refuses_once(*arguments: Any) -> Truth:
        if not refused:
            refused.append(arguments)
            raise ShapeError("too far")
        return make_truth(*arguments)

    monkeypatch.setattr("twin.planning.virtual_cohort.make_truth", refuses_once)
    write_virtual_cohort(tmp_path / "out", 1, seed=SEED, edges_mm=COARSE)
    again = contents(tmp_path / "out" / NAMES[0])
    assert sorted(again) == sorted(FILES)
    assert again["patient.yaml"] != (cohort / NAMES[0] / "patient.yaml").read_bytes()
