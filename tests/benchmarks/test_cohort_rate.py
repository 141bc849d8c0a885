"""How long virtual patients take from nothing to a scored table, and whether a cohort survives being killed often.

`CRT_TWIN_PATIENTS` and `CRT_TWIN_JOBS` change how many patients (60) on how many cores (2).
"""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.planning.test_cohort import content
from twin.planning.cohort import Schedule, run_cohort
from twin.planning.virtual_cohort import PLANNER_EDGE_MM, TRUE_EDGE_MM, write_virtual_cohort

PATIENTS, JOBS = int(os.environ.get("CRT_TWIN_PATIENTS", "60")), int(os.environ.get("CRT_TWIN_JOBS", "2"))
KILLED_PATIENTS, KILLS = 30, 20
TABLE = [("benchmark", {"outputs": "table"})]
# As `crt-twin cohort IN OUT`, from which it differs in the lines that it prints.
COMMAND = """
import sys
from pathlib import Path
from twin.planning.cohort import Schedule, run_cohort
if __name__ == "__main__":
    run_cohort(Path(sys.argv[1]), Path(sys.argv[2]), [("benchmark", {"outputs": "table"})], schedule=Schedule(jobs=2))
"""


@pytest.mark.benchmark
def test_virtual_patients_made_planned_and_scored(tmp_path: Path) -> None:
    start = time.perf_counter()
    write_virtual_cohort(tmp_path / "in", PATIENTS, seed=0, jobs=JOBS)
    made = time.perf_counter()
    run = run_cohort(tmp_path / "in", tmp_path / "out", TABLE, schedule=Schedule(jobs=JOBS))
    planned = time.perf_counter()
    again = run_cohort(tmp_path / "in", tmp_path / "out", TABLE, schedule=Schedule(jobs=JOBS))
    skipped = time.perf_counter()
    assert (run.ok, run.failed, again.computed) == (PATIENTS, 0, 0)
    sites = pd.read_parquet(tmp_path / "out" / "sites.parquet")
    scored = sites.groupby("patient")["response_probability"].any().sum()
    print(
        f"\n{PATIENTS} virtual patients, {JOBS} workers, truth at {TRUE_EDGE_MM:g} mm, plan at {PLANNER_EDGE_MM:g} mm\n"
        f"made    {(made - start) / PATIENTS:6.2f} s each\n"
        f"planned {(planned - made) / PATIENTS:6.2f} s each, {len(sites)} sites, {scored} patients with probabilities\n"
        f"all     {(planned - start) / PATIENTS:6.2f} s each\n"
        f"rerun   {(skipped - planned) / PATIENTS * 1000:6.1f} ms each"
    )


@pytest.mark.benchmark
def test_30_patients_killed_at_20_random_moments_end_in_the_same_tables(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    write_virtual_cohort(tmp_path / "in", KILLED_PATIENTS, seed=1, jobs=JOBS)
    start = time.perf_counter()
    run_cohort(tmp_path / "in", tmp_path / "whole", TABLE, schedule=Schedule(jobs=2))
    whole_s = time.perf_counter() - start
    command = [sys.executable, "-c", COMMAND, str(tmp_path / "in"), str(tmp_path / "out")]
    kills = 0
    for _ in range(KILLS):
        with subprocess.Popen(command, start_new_session=True) as process:  # noqa: S603
            try:
                # From the imports on; half of the runs last long enough to get some patients done.
                process.wait(rng.uniform(0, whole_s / 4))
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                kills += 1
    last = run_cohort(tmp_path / "in", tmp_path / "out", TABLE, schedule=Schedule(jobs=2))
    print(
        f"\n{kills} kills of a cohort of {KILLED_PATIENTS} that takes {whole_s:.0f} s; {last.computed} left at the end"
    )
    whole, killed = content(tmp_path / "whole"), content(tmp_path / "out")
    # These tell how long a stage took, and with how many digits.
    timed = ("provenance.json", "status.json")
    assert set(whole) == set(killed)
    for name in whole:
        assert name.endswith(timed) or whole[name] == killed[name], name
    assert kills
