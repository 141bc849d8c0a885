"""Eight planted faults end as eight named failures, and every other patient is planned."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import pyvista as pv
import SimpleITK as sitk  # noqa: N813
import typer
from typer.testing import CliRunner

from anatomy.labels import Label
from tests.planning.test_cohort import add_patient
from twin.planning import cli_cohort
from twin.planning.cohort import CohortRun, Schedule, run_cohort

NAME = "Jane Doe"
# Patient: stage, error and what the message says.
FAULTS = {
    "corrupt-mesh": ("anatomy", "InputError", "heart.vtu"),
    "no-ecg": ("patient", "InputError", "no ECG"),
    "hang": ("anatomy", "TimeoutError", "took longer than 20 s"),
    "memory": ("anatomy", "MemoryError", ""),
    "exit": ("anatomy", "WorkerDied", "exited with code 7"),
    "units": ("anatomy", "InputError", "heart.vtu"),
    "labels": ("anatomy", "InputError", "labels.nii.gz: "),
    "named-header": ("privacy", "PrivacyError", "ecg.hea: the comment in line 3"),
    # And some more.
    "killed": ("anatomy", "WorkerDied", "killed by SIGKILL"),
    "system-exit": ("anatomy", "SystemExit", "read file heart.vtu"),
    "raise": ("anatomy", "KeyError", "<name>"),
    "no-heart": ("patient", "InputError", "holds no heart"),
    "named-id": ("privacy", "PrivacyError", "patient.yaml: id"),
    "folder 1 of 18": ("privacy", "PrivacyError", "the folder's name"),
}
HEALTHY = ["p1", "p2", "p3", "p4"]
_HEADER = "ecg 1 500 10\necg.dat 16 200/mV 16 0 0 0 0 I\n#Age: 50\n"


@pytest.fixture(scope="module")
def cohort(tmp_path_factory: pytest.TempPathFactory, heart_file: Path) -> tuple[Path, CohortRun]:
    """The output of a cohort with every fault, and what the run said."""
    root = tmp_path_factory.mktemp("faults")
    source = root / "in"
    for name in [*FAULTS, *HEALTHY]:
        if not name.startswith("folder"):
            add_patient(source, name)
    add_patient(source, NAME)
    _plant(source, heart_file)
    schedule = Schedule(jobs=2, timeout_s=20, memory_gb=4)
    return root / "out", run_cohort(
        source, root / "out", schedule=schedule, step="tests.planning.cohort_steps_loaded:step"
    )


def _plant(source: Path, heart_file: Path) -> None:
    for name in ("hang", "memory", "exit", "killed", "raise"):
        (source / name / "fault").write_text(name)
    (source / "system-exit" / "fault").write_text("system exit")
    for name in ("no-ecg", "no-heart", "named-header", "named-id"):
        (source / name / "fault").write_text("real")
    for name in ("corrupt-mesh", "units", "labels"):
        (source / name / "fault").write_text("real")
        # A recording that is sound, so that the geometry is what fails.
        _write_beat(source / name / "ecg.csv")
    (source / "corrupt-mesh" / "heart.vtu").write_bytes(heart_file.read_bytes()[:20_000])
    grid = pv.read(heart_file)
    grid.points = np.asarray(grid.points) / 1000  # metres
    grid.save(source / "units" / "heart.vtu")
    (source / "labels" / "heart.vtu").unlink()
    blood = np.zeros((30, 30, 30), dtype=np.uint8)
    blood[10:20, 10:20, 10:20] = Label.LV_BLOOD
    sitk.WriteImage(sitk.GetImageFromArray(blood), source / "labels" / "labels.nii.gz")
    (source / "labels" / "patient.yaml").write_text("labels: crt-twin\n")
    (source / "no-ecg" / "ecg.csv").unlink()
    (source / "no-heart" / "heart.vtu").unlink()
    (source / "named-header" / "ecg.csv").unlink()
    (source / "named-header" / "ecg.hea").write_text(f"{_HEADER}# Patient name: {NAME}\n".replace("#Age: 50\n", ""))
    (source / "named-id" / "patient.yaml").write_text(f"id: {NAME}\n")


def _write_beat(path: Path) -> None:
    time_ms = np.arange(0, 700, 2.0)
    wave = np.exp(-0.5 * ((time_ms - 200) / 30) ** 2)
    names = ("I", "II", "V1", "V2", "V3", "V4", "V5", "V6")
    rows = np.vstack([time_ms, *(size * wave for size in np.linspace(0.6, 1.5, len(names)))]).T
    np.savetxt(path, rows, delimiter=",", header=f"time_ms,{','.join(names)}", comments="", fmt="%.5f")


def test_every_fault_is_named_with_its_stage_and_nothing_else_is_lost(cohort: tuple[Path, CohortRun]) -> None:
    out, done = cohort
    with (out / "failures.tsv").open(newline="") as file:
        failures = {row["patient"]: row for row in csv.DictReader(file, delimiter="\t")}
    assert set(failures) == set(FAULTS)
    for name, (stage, error, said) in FAULTS.items():
        assert (failures[name]["stage"], failures[name]["error"]) == (stage, error), failures[name]
        assert said in failures[name]["message"]
    assert (done.ok, done.failed) == (len(HEALTHY), len(FAULTS))
    summary = json.loads((out / "cohort.json").read_text())
    assert (summary["ok"], summary["failed"], summary["waiting"]) == (len(HEALTHY), len(FAULTS), 0)
    assert {path.name for path in out.iterdir() if path.is_dir()} == {*HEALTHY, *FAULTS} - {"folder 1 of 18"}
    for name in HEALTHY:
        assert (out / name / "sites.csv").exists()


def test_no_output_holds_a_name_a_date_or_an_absolute_path(cohort: tuple[Path, CohortRun]) -> None:
    out, _ = cohort
    paths = list(out.rglob("*"))
    assert paths
    for path in paths:
        assert "jane" not in path.name.lower()
        if path.is_file():
            content = path.read_bytes().lower()
            for planted in (b"jane", b"doe", b"1950", b"/home", str(out.parent).lower().encode()):
                assert planted not in content, path


def test_the_command_line_says_how_many_failed_and_ends_with_1(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(cli_cohort.cohort)
    for name in ("p1", "p2"):
        (add_patient(tmp_path / "in", name) / "ecg.csv").unlink()
    result = CliRunner().invoke(app, [str(tmp_path / "in"), str(tmp_path / "out"), "--full", "--jobs", "1"])
    assert result.exit_code == 1, result.stderr
    assert "0 planned; 2 failed" in result.stdout
    lines = [line for line in result.stderr.splitlines() if line.startswith("p")]
    assert [line.split(": no ECG")[0] for line in lines] == [
        f"{name}: failed in patient: InputError" for name in ("p1", "p2")
    ]


@pytest.mark.parametrize(
    ("args", "code"), [((), 3), (("--shard", "2"), 2), (("--set", "edge_mm=9"), 2), (("--jobs", "0"), 2)]
)
def test_the_command_line_tells_wrong_usage_from_a_folder_without_patients(
    tmp_path: Path, args: tuple[str, ...], code: int
) -> None:
    app = typer.Typer()
    app.command()(cli_cohort.cohort)
    (tmp_path / "in").mkdir()
    if code == 2:
        add_patient(tmp_path / "in", "p1")
    result = CliRunner().invoke(app, [str(tmp_path / "in"), str(tmp_path / "out"), "--full", *args])
    assert result.exit_code == code
    assert result.stderr.startswith("crt-twin: ")
    assert not (tmp_path / "out").exists()
