"""Laws of a cohort, mostly with a step that plans in no time."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
from filelock import FileLock

from tests.planning.cohort_steps import STEP
from twin.planning.cohort import CohortRun, Schedule, run_cohort, shard_from
from twin.planning.cohort_status import Facts, clean, publish, read_status, staging_folder
from twin.planning.errors import InputError, SettingsError
from twin.planning.features import FEATURES

ROOT = Path(__file__).parents[2]
NAMES = [f"p{number}" for number in range(1, 5)]
# Of three, in which the first virtual patients fall: by this a batch on a cluster may be taken up years later.
SHARDS = [2, 1, 3, 2, 2, 1, 1, 1]


def add_patient(source: Path, name: str) -> Path:
    folder = source / name
    folder.mkdir(parents=True)
    (folder / "heart.vtu").write_text(name)
    (folder / "ecg.csv").write_text("time_ms,I\n")
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Four patients beside what is no patient."""
    return make_source(tmp_path)


def make_source(root: Path) -> Path:
    source = root / "in"
    for name in NAMES:
        add_patient(source, name)
    (source / ".hidden").mkdir()
    (source / "outcomes.csv").write_text("patient\n")
    return source


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The output of these patients, planned at one go by one worker."""
    source = make_source(tmp_path_factory.mktemp("whole"))
    run(source)
    return source.parent / "out"


@pytest.fixture
def planned(source: Path, whole: Path) -> Path:
    """The four patients again, all planned already."""
    shutil.copytree(whole, source.parent / "out")
    return source


def run(source: Path, out: Path | None = None, layers: Any = (), **schedule: Any) -> CohortRun:
    schedule = {"jobs": 1, **schedule}
    return run_cohort(source, out or source.parent / "out", layers, schedule=Schedule(**schedule), step=STEP)


def counted(source: Path) -> dict[str, int]:
    """How often each patient was worked on."""
    return {path.name: path.stat().st_size for path in sorted(source.parent.glob("counted/*"))}


def content(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, hidden ones too."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def table(source: Path) -> pd.DataFrame:
    return pd.read_parquet(source.parent / "out" / "sites.parquet")


def test_killed_at_any_moment_and_run_again_a_cohort_ends_in_the_same_bytes(source: Path, whole: Path) -> None:
    rng = np.random.default_rng(0)
    out = source.parent / "out"
    command = [sys.executable, "-m", "tests.planning.cohort_steps", str(source), str(out), "1"]
    killed = 0
    for _ in range(3):
        before = names_in(out)
        with subprocess.Popen(command, cwd=ROOT, start_new_session=True) as process:  # noqa: S603
            while process.poll() is None and names_in(out) == before:
                time.sleep(0.005)
            time.sleep(rng.uniform(0, 0.15))
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                killed += 1
    assert killed
    run(source)
    assert content(out) == content(whole)


def test_a_worker_ends_with_the_run_that_started_it(source: Path) -> None:
    (source / "p1" / "fault").write_text("hang")
    held = source.parent / "counted" / "held"
    command = [sys.executable, "-m", "tests.planning.cohort_steps", str(source), str(source.parent / "out"), "1"]
    with subprocess.Popen(command, cwd=ROOT) as process:  # noqa: S603
        while process.poll() is None and not held.exists():
            time.sleep(0.01)
        process.kill()
    with held.open() as file:
        for _ in range(600):
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.1)
            else:
                return
    pytest.fail("the worker went on alone")


def test_a_kill_between_the_two_renames_costs_only_the_patient(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, folder = Facts(centre=None, virtual=False), tmp_path / "p1"

    def finish(key: str) -> None:
        (tmp_path / "plan").mkdir()
        (tmp_path / "plan" / "sites.csv").write_text(key)
        publish(tmp_path / "plan", folder, key=key, settings_key="s", outcome=facts)

    finish("first")
    rename, calls = Path.rename, []

    def killed(path: Path, target: Path) -> Path:
        calls.append(path)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return rename(path, target)

    monkeypatch.setattr(Path, "rename", killed)
    with pytest.raises(KeyboardInterrupt):
        finish("second")
    monkeypatch.undo()
    assert read_status(folder) is None
    shutil.rmtree(tmp_path / "plan")
    clean(folder)
    finish("third")
    assert [path.name for path in tmp_path.iterdir()] == ["p1"]
    assert (folder / "sites.csv").read_text() == "third"


def test_one_job_and_two_give_the_same_bytes(source: Path, whole: Path) -> None:
    run(source, jobs=2)
    assert content(source.parent / "out") == content(whole)


def test_a_rerun_computes_nothing(planned: Path, whole: Path) -> None:
    again = run(planned)
    assert (again.ok, again.failed, again.computed) == (4, 0, 0)
    assert counted(planned) == {}
    assert content(planned.parent / "out") == content(whole)


def test_a_changed_input_or_a_torn_output_is_planned_again_and_no_other(planned: Path) -> None:
    (planned / "p2" / "heart.vtu").write_text("another heart")
    (planned.parent / "out" / "p3" / "sites.csv").write_text("torn")
    assert run(planned).computed == 2
    assert counted(planned) == {"p2": 1, "p3": 1}


def test_with_other_settings_all_are_planned_again(planned: Path) -> None:
    assert run(planned, layers=[("test", {"edge_mm": 2.5})]).computed == 4
    assert set(table(planned)["tat_ms"].dropna()) == {102.5}


def test_with_another_response_model_all_are_planned_again(planned: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = SimpleNamespace(file=("my.model", "sha"), model=None)
    monkeypatch.setattr("twin.planning.cohort.load_carded_model", lambda _: model)
    layers = [("test", {"response_model": "/data/jane/my.model"})]
    assert run(planned, layers=layers).computed == 4
    assert run(planned, layers=layers).computed == 0
    assert (
        json.loads((planned.parent / "out" / "cohort.json").read_text())["settings"]["response_model"] == "my.model sha"
    )


def test_a_response_model_that_is_not_there_is_told_before_anything_is_planned(source: Path) -> None:
    with pytest.raises(SettingsError, match=r"absent\.model"):
        run(source, layers=[("test", {"response_model": "absent.model"})])
    assert not (source.parent / "out").exists()


def test_what_failed_waits_for_retry_failed_or_force_and_leaves_no_plan(planned: Path) -> None:
    (planned / "p2" / "fault").write_text("raise")
    assert run(planned).failed == 1
    assert [path.name for path in (planned.parent / "out" / "p2").iterdir()] == ["status.json"]
    assert set(table(planned)["patient"]) == {"p1", "p3", "p4"}
    assert (run(planned).failed, counted(planned)) == (1, {"p2": 1})
    assert run(planned, retry_failed=True).computed == 1
    assert counted(planned) == {"p2": 2}
    assert run(planned, force=True).computed == 4


def test_shards_work_on_every_patient_once_and_their_tables_join(source: Path, whole: Path) -> None:
    parts = [run(source, shard=(part, 2)) for part in (1, 2)]
    assert counted(source) == dict.fromkeys(NAMES, 1)
    assert sum(part.ok for part in parts) == 4
    assert content(source.parent / "out") == content(whole)


def test_a_second_run_into_the_same_folder_is_refused_and_the_lock_of_a_dead_one_is_free(source: Path) -> None:
    out = source.parent / "out"
    out.mkdir()
    with FileLock(out / ".shard-1-of-1.lock"), pytest.raises(SettingsError, match="another run works in it"):
        run(source)
    assert run(source).computed > 0  # the lock's file is still there


def test_each_name_falls_into_one_shard_whatever_the_other_names() -> None:
    for parts in (1, 2, 7):
        for name in (f"patient-{number}" for number in range(50)):
            assert sum(Schedule(shard=(part, parts)).holds(name) for part in range(1, parts + 1)) == 1


def test_shards_stay_what_they_were() -> None:
    names = [f"virtual-0-{number:05d}" for number in range(8)]
    assert [next(part for part in (1, 2, 3) if Schedule(shard=(part, 3)).holds(name)) for name in names] == SHARDS


def test_the_table_has_every_feature_typed_and_sorted(whole: Path) -> None:
    sites = pd.read_parquet(whole / "sites.parquet")
    assert list(sites.columns) == ["patient", "centre", *(feature.name for feature in FEATURES)]
    assert list(sites["patient"]) == [name for name in NAMES for _ in range(3)]
    assert list(sites["id"][:3]) == ["a", "=b", "implanted"]
    assert list(sites["centre"].fillna("")) == ["basel"] * 3 + [""] * 9
    assert sites["index_ms"].dtype == np.float64
    assert sites["index_ms"].isna().sum() == 4  # one site of each is never reached
    assert list(sites["reachable"][:3]) == [False, True, True]


def test_outcomes_of_the_patients_files_are_gathered_for_training(whole: Path) -> None:
    assert (whole / "outcomes.csv").read_text() == "patient,lvesv_change_percent\np3,-20.0\n"


def test_what_drifted_stands_in_a_table_and_in_what_the_run_returns(
    planned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (planned.parent / "out" / "drift.tsv").read_text().count("\n") == 1  # too few patients to say anything
    found = pd.DataFrame({"predictor": ["age_years"], "column": ["age_years"], "shift": [2.5], "p": [1e-9]})
    model = SimpleNamespace(file=("my.model", "sha"), model=SimpleNamespace(drift=lambda _: found))
    monkeypatch.setattr("twin.planning.cohort.load_carded_model", lambda _: model)
    monkeypatch.setattr("twin.planning.cohort_drift._LEAST_PATIENTS", 1)
    drifts = run(planned).drifts
    assert {(one.feature, one.shift_sd) for one in drifts} == {("age_years", 2.5)}
    lines = (planned.parent / "out" / "drift.tsv").read_text().splitlines()
    assert lines[1:] == ["\t".join(one.cells) for one in drifts]


def test_virtual_patients_are_counted_wherever_numbers_stand(whole: Path) -> None:
    summary = json.loads((whole / "cohort.json").read_text())
    assert (summary["ok"], summary["virtual"]) == (4, 1)
    assert pq.read_schema(whole / "sites.parquet").metadata[b"virtual_patients"] == b"1 of 4"


def test_what_an_ended_or_interrupted_run_leaves_is_whole_and_nothing_else(source: Path) -> None:
    def interrupt(done: int, *_: object) -> None:
        if done == 2:
            raise KeyboardInterrupt

    out = source.parent / "out"
    with pytest.raises(KeyboardInterrupt):
        run_cohort(source, out, schedule=Schedule(jobs=1), step=STEP, told=interrupt)
    assert len(list(out.iterdir())) == 2
    assert all(read_status(folder) for folder in out.iterdir())
    run(source)
    assert sorted(path.name for path in out.iterdir()) == [
        *["cohort.json", "drift.tsv", "failures.tsv", "outcomes.csv"],
        *NAMES,
        "sites.parquet",
    ]
    assert not staging_folder(out / "p1").exists()


def test_settings_of_the_schedule_are_checked_all_at_once() -> None:
    with pytest.raises(SettingsError) as caught:
        Schedule(jobs=0, timeout_s=0, memory_gb=-1, shard=(4, 3))
    assert len(str(caught.value).splitlines()) == 4


@pytest.mark.parametrize("text", ["3", "a/b", "1/2/3", "-1/2", ""])
def test_a_shard_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(SettingsError, match="need i/n"):
        shard_from(text)


def test_a_source_that_cannot_be_one_is_refused(source: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refused: list[tuple[Path, Path, type[Exception]]] = [
        (tmp_path / "absent", tmp_path / "out", InputError),
        (tmp_path / "empty", tmp_path / "out", InputError),
        (source, source, SettingsError),
        (source, source / "out", SettingsError),
        (source, tmp_path, SettingsError),
        (source, source / "outcomes.csv", SettingsError),
    ]
    for folder, out, error in refused:
        with pytest.raises(error):
            run(folder, out)
    assert not (tmp_path / "out").exists()


def test_a_patient_called_like_a_table_is_refused(source: Path) -> None:
    add_patient(source, "sites.parquet")
    with pytest.raises(InputError, match=r"called sites\.parquet"):
        run(source)


def test_the_plan_of_a_cohort_is_the_plan_of_the_patient(heart_file: Path, small_plan: Any, tmp_path: Path) -> None:
    shutil.copytree(heart_file.parent, tmp_path / "in" / "p1")
    layers = [("test", {"pictures": False, "edge_mm": 3.0, "response_model": "none"})]
    done = run_cohort(tmp_path / "in", tmp_path / "out", layers, schedule=Schedule(jobs=1), needs_ecg=False)
    assert (done.ok, done.failed) == (1, 0)
    assert (tmp_path / "out" / "p1" / "sites.csv").read_bytes() == (small_plan.out / "sites.csv").read_bytes()
