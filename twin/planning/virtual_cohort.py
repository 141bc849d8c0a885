"""Cohorts of virtual patients: a folder per patient as a planner takes it, and beside them what only the exam knows.

    OUT/<patient>/      heart.vtu, veins.vtp, ecg.csv, ecg_paced.csv, patient.yaml: all that a planner sees
    OUT/outcomes.csv    what happened to each
    OUT/truth.parquet   what would have been expected at every site

A patient depends on seed, number and the centre asked for alone: the same seed gives the same bytes whatever the number of
jobs, and a cohort that was interrupted or is to grow goes on where it stopped. OUT/.truth keeps the truth of each.
"""

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict
from functools import partial
from importlib.metadata import version
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from twin.planning.errors import InputError, SettingsError
from twin.planning.virtual_draws import CENTRES, SHIFTED, drawn_patient
from twin.planning.virtual_files import LEAST_LVEF_PERCENT, PLANNER_EDGE_MM, write_patient_files
from twin.planning.virtual_heart import ShapeError
from twin.planning.virtual_rule import RULE
from twin.planning.virtual_truth import TRUE_EDGE_MM, Truth, make_truth

_ATTEMPTS = 8
OUTCOMES = ("lvesv_change_percent", "lvef_change_points", "hf_event")
Progress = Callable[[int, int, str], None]


def write_virtual_cohort(
    out: Path,
    n: int,
    *,
    seed: int,
    centre: str | None = None,
    jobs: int = 1,
    edges_mm: tuple[float, float] = (TRUE_EDGE_MM, PLANNER_EDGE_MM),
    progress: Progress | None = None,
) -> None:
    """Make n virtual patients with their outcomes and their truth.

    Args:
        out: made if needed; patients that are finished in it are kept.
        n: how many, >= 1.
        seed: >= 0; the same seed gives the same bytes.
        centre: one of `CENTRES` or `SHIFTED` for all; of `CENTRES`, drawn for each, where not given.
        jobs: processes.
        edges_mm: of the true mesh and of the planner's.
        progress: called as progress(done, n, what) after each patient.

    Raises:
        SettingsError: for numbers out of range, an unknown centre, or another cohort in `out`.
    """
    if n < 1 or seed < 0 or jobs < 1:
        raise SettingsError(f"need n >= 1, seed >= 0 and jobs >= 1, got {n}, {seed} and {jobs}")
    if centre is not None and centre not in CENTRES | SHIFTED:
        raise SettingsError(f"--centre {centre}: unknown; known are {', '.join(CENTRES | SHIFTED)}")
    _claim(out, {"seed": seed, "centre": centre, "edges_mm": list(edges_mm), "rule": asdict(RULE)})
    names = [patient_name(seed, i) for i in range(n)]
    missing = [i for i, name in enumerate(names) if not _finished(out, name)]
    told = progress or (lambda _done, _total, _what: None)
    told(n - len(missing), n, "virtual patients")
    make = partial(_make, out, seed, centre, edges_mm)
    for done in _counted(make, missing, jobs):
        told(n - len(missing) + done, n, "virtual patients")
    shutil.rmtree(_making(out), ignore_errors=True)
    _assemble(out, names)


def patient_name(seed: int, number: int) -> str:
    """The name of a patient of a cohort, the same whatever the cohort's size."""
    return f"virtual-{seed}-{number:05d}"


def _counted(make: Callable[[int], None], numbers: Sequence[int], jobs: int) -> Iterator[int]:
    """Make each of these patients, in any order, and yield after each how many are made."""
    if jobs == 1 or len(numbers) < 2:
        with threadpool_limits(1):
            for done, number in enumerate(numbers, start=1):
                make(number)
                yield done
        return
    # Spawned, for forking a process with threads may hang it.
    with ProcessPoolExecutor(min(jobs, len(numbers)), get_context("spawn"), _one_thread) as pool:
        try:
            for done, future in enumerate(as_completed([pool.submit(make, number) for number in numbers]), start=1):
                future.result()
                yield done
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _one_thread() -> None:
    threadpool_limits(1)


def _make(out: Path, seed: int, centre: str | None, edges_mm: tuple[float, float], number: int) -> None:
    """One patient; a shape that cannot be meshed, of which there are a few in a hundred, is drawn again."""
    root = np.random.SeedSequence([seed, number])
    for left in reversed(range(_ATTEMPTS)):
        person, hidden, measured, chance = (np.random.default_rng(stream) for stream in root.spawn(4))
        try:
            drawn = drawn_patient(person, centre)
            truth = make_truth(drawn, RULE, hidden, edges_mm[0])
            staging = _making(out) / patient_name(seed, number)
            shutil.rmtree(staging, ignore_errors=True)
            staging.mkdir(parents=True)
            lvef_percent = write_patient_files(staging, staging.name, drawn, truth, measured, edges_mm[1])
        except ShapeError:
            if not left:
                raise
        else:
            break
    # First the hidden truth, then, at one stroke, the folder.
    _write_json(_hidden(out, staging.name), _exam(truth, lvef_percent, chance))
    staging.replace(out / staging.name)


def _exam(truth: Truth, lvef_percent: float, chance: np.random.Generator) -> dict[str, Any]:
    """What would have been expected at every site, and what happened; no LVEF falls below what can be measured."""
    ids = [*(site.id for site in truth.sites), "implanted"]
    probability = RULE.probability(truth.expected_change)
    outcome = RULE.outcome(float(truth.expected_change[-1]), chance)
    outcome["lvef_change_points"] = max(outcome["lvef_change_points"], LEAST_LVEF_PERCENT - lvef_percent)
    return {
        "sites": {
            id_: [round(float(change), 4), round(float(p), 6)]
            for id_, change, p in zip(ids, truth.expected_change, probability, strict=True)
        },
        "outcome": outcome,
    }


def _assemble(out: Path, names: Sequence[str]) -> None:
    """outcomes.csv and truth.parquet of these patients, each whole or not at all."""
    known = {name: _read_json(_hidden(out, name)) for name in names}
    part = out / ".part-outcomes.csv"
    with part.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("patient", *OUTCOMES))
        for name, content in known.items():
            outcome = content["outcome"]
            change, points = (f"{outcome[one]:.2f}" for one in OUTCOMES[:2])
            writer.writerow((name, change, points, outcome["hf_event"]))
    part.replace(out / "outcomes.csv")
    rows = [(name, id_, *numbers) for name, content in known.items() for id_, numbers in content["sites"].items()]
    truth = pd.DataFrame(rows, columns=["patient", "id", "true_lvesv_change_percent", "true_probability"])
    part = out / ".part-truth.parquet"
    truth.to_parquet(part, compression="zstd", index=False)
    part.replace(out / "truth.parquet")


def _claim(out: Path, settings: dict[str, Any]) -> None:
    """Write down what this folder's patients are made with, or refuse if they were made otherwise."""
    settings["version"] = version("crt-twin")
    note = out / ".truth" / "cohort.json"
    if note.exists():
        was = _read_json(note)
        other = [name for name in settings if was.get(name) != settings[name]]
        if other:
            raise SettingsError(
                f"{out.name}: holds a cohort with {other[0]} {was.get(other[0])}, asked for is {settings[other[0]]}; "
                "name another folder"
            )
        return
    if out.exists() and not out.is_dir():
        raise SettingsError(f"{out}: is a file; name a folder")
    note.parent.mkdir(parents=True, exist_ok=True)
    _write_json(note, settings)


def _finished(out: Path, name: str) -> bool:
    return (out / name).is_dir() and _hidden(out, name).is_file()


def _hidden(out: Path, name: str) -> Path:
    return out / ".truth" / f"{name}.json"


def _making(out: Path) -> Path:
    return out / ".making"


def _write_json(path: Path, content: Any) -> None:
    part = path.with_name(f".part-{path.name}")
    part.write_text(json.dumps(content, indent=1, sort_keys=True) + "\n", encoding="utf-8")
    part.replace(path)


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        raise InputError(f"{path.name}: is damaged; remove it and the folder of its patient, and start again") from None
