"""A step for cohorts: planning in no time, and patients that raise, exit, hang, die or eat memory.

Heavy modules are imported where they are needed, so that a worker starts at once.

`python -m tests.planning.cohort_steps IN OUT JOBS` runs a cohort of them, to be killed.
"""

import fcntl
import logging
import os
import signal
import sys
import time
import zlib
from pathlib import Path

from twin.planning.cohort_status import Facts
from twin.planning.cohort_worker import Layers
from twin.planning.features import write_features

STEP = "tests.planning.cohort_steps:step"


def step(folder: Path, out: Path, layers: Layers, needs_ecg: bool) -> Facts:
    """Does what the patient's file `fault` says; otherwise a plan that depends on the patient's heart and the settings."""
    counts = folder.parent.parent / "counted"
    counts.mkdir(exist_ok=True)
    with (counts / folder.name).open("a") as file:
        file.write("x")
    logging.getLogger("crt-twin").info("anatomy ...")
    fault = (folder / "fault").read_text() if (folder / "fault").exists() else ""
    if fault == "real":
        from twin.planning.cohort_step import plan_checked

        return plan_checked(folder, out, layers, needs_ecg)
    if fault == "hang":
        with (counts / "held").open("w") as held:
            fcntl.flock(held, fcntl.LOCK_EX)  # until this process ends
            time.sleep(100)
    elif fault == "memory":
        eaten = []
        while True:
            eaten.append(bytes(2**28))  # never touched: the limit is what ends it
    elif fault == "exit":
        os._exit(7)
    elif fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "system exit":
        sys.exit("Error: Couldn't read file /data/jane/secret/heart.vtu")
    elif fault == "raise":
        raise KeyError("'Jane Doe' of 1950-03-12")
    else:
        _plan(folder, out, layers)
    return Facts(
        centre="basel" if folder.name == "p1" else None,
        virtual=folder.name == "p2",
        outcome={"lvesv_change_percent": -20.0} if folder.name == "p3" else {},
    )


def _plan(folder: Path, out: Path, layers: Layers) -> None:
    number = zlib.crc32((folder / "heart.vtu").read_bytes()) % 100
    edge_mm = dict(layers[-1][1]).get("edge_mm", 0) if layers else 0
    rows = [
        {"id": "=b", "rank": 2, "reachable": True, "index_ms": 80.0 + number, "tat_ms": 100 + edge_mm},
        {"id": "implanted", "rank": None, "reachable": True, "index_ms": 81.5},
        {"id": "a", "rank": 1, "reachable": False, "index_ms": float("inf")},
    ]
    out.mkdir()
    time.sleep(0.05)  # a kill may come between two files
    write_features(out / "sites.csv", rows)
    (out / "plan.json").write_text(f"{number}\n")


if __name__ == "__main__":
    from twin.planning.cohort import Schedule, run_cohort

    run_cohort(Path(sys.argv[1]), Path(sys.argv[2]), schedule=Schedule(jobs=int(sys.argv[3])), step=STEP)
