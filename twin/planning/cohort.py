"""Many patients: every folder of a cohort planned once, whatever becomes of the others.

A patient is one idempotent step from files to files. It is skipped where its finished folder was made from the same bytes,
settings and version; otherwise it is worked on in a folder beside, which is renamed into place when it is whole. So a run
may be killed at any moment and started again. Tables are made from finished folders alone.
"""

import hashlib
import os
import re
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pebble import ProcessExpired

from twin.planning.cohort_drift import Drift
from twin.planning.cohort_pool import Workers, death
from twin.planning.cohort_status import (
    Facts,
    Failure,
    Status,
    clean,
    input_hashes,
    publish,
    read_status,
    staging_folder,
)
from twin.planning.cohort_tables import NAMES, write_tables
from twin.planning.cohort_worker import Layers, finished_plan, prepare, reached_stage, take_step
from twin.planning.errors import InputError, SettingsError
from twin.planning.privacy import names_a_person
from twin.planning.scoring import load_carded_model
from twin.planning.settings import merged_settings
from twin.planning.stages import stage_key

_STEP = "twin.planning.cohort_step:plan_checked"


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """How a cohort is worked on; nothing here changes a result.

    Attributes:
        jobs: patients at a time; as many as there are cores if not given.
        timeout_s: how long one patient may take.
        memory_gb: address space of one patient; its share of the machine's memory, at least 4, if not given.
        force: plan what is finished again.
        retry_failed: plan again what failed.
        shard: (i, n), counted from 1: only the i-th of n parts, into which patients fall by a hash of their names.
    """

    jobs: int | None = None
    timeout_s: float = 900.0
    memory_gb: float | None = None
    force: bool = False
    retry_failed: bool = False
    shard: tuple[int, int] = (1, 1)

    def __post_init__(self) -> None:
        part, parts = self.shard
        rules = {
            "jobs must be at least 1": self.jobs is None or self.jobs >= 1,
            "timeout must be > 0": self.timeout_s > 0,
            "memory must be > 0": self.memory_gb is None or self.memory_gb > 0,
            "shard i/n needs 1 <= i <= n": 1 <= part <= parts,
        }
        broken = [rule for rule, holds in rules.items() if not holds]
        if broken:
            raise SettingsError("\n".join(broken))

    @property
    def workers(self) -> int:
        """How many patients at a time."""
        return self.jobs or os.cpu_count() or 1

    def holds(self, patient: str) -> bool:
        """Whether a patient is one of this shard's."""
        part, parts = self.shard
        return int(hashlib.sha256(patient.encode()).hexdigest(), 16) % parts == part - 1


@dataclass(frozen=True, kw_only=True)
class CohortRun:
    """What a run found and did, of its own shard.

    Attributes:
        ok, failed: patients, in this run or an earlier one.
        computed: how many of them this run worked on.
        virtual: how many of those planned are nobody real.
        drifts: what differs at whole centres, of all shards.
    """

    ok: int
    failed: int
    computed: int
    virtual: int
    drifts: tuple[Drift, ...]


@dataclass(frozen=True, kw_only=True)
class _Task:
    """A patient to be planned."""

    folder: Path
    out: Path
    key: str


def run_cohort(
    source: Path,
    out: Path,
    layers: Layers = (),
    *,
    schedule: Schedule | None = None,
    needs_ecg: bool = True,
    told: Callable[[int, int, str], None] = lambda *_: None,
    step: str = _STEP,
) -> CohortRun:
    """Plan every folder directly in `source`; files beside the folders, and hidden folders, are ignored.

    One run at a time may work on a shard of `out`, another is refused; shards may run side by side. The tables hold every
    patient that was finished with these settings, of whatever shard: after the last shard, a run without one computes
    nothing and collects all.

    Args:
        source: folder of patient folders, whose names are the patients' names in the tables.
        out: gets a folder for each patient, sites.parquet, failures.tsv, drift.tsv and cohort.json.
        layers: named settings that take precedence over those in each patient.yaml, the strongest last.
        schedule: how to go about it.
        needs_ecg: a patient without an ECG is a failure; otherwise its rhythm is assumed.
        told: called as told(done, total, what) after each patient.
        step: `module:function` that plans one patient, as `cohort_step.plan_checked`.

    Raises:
        InputError: if `source` holds no patients.
        SettingsError: for settings that cannot be used, or if another run works on the shard.
        OSError: if `out` cannot be written to, or workers die as they start.
    """
    schedule = schedule or Schedule()
    folders = _patient_folders(source, out)
    settings = _settings(layers, needs_ecg)
    keyed = {"step": step, **settings}
    out.mkdir(parents=True, exist_ok=True)
    refused = _named_after_people(folders)
    mine = [folder for folder in folders if schedule.holds(folder.name)]
    with _alone(out, schedule.shard):
        tasks = [task for folder in mine if folder not in refused and (task := _to_do(folder, out, keyed, schedule))]
        finished = len(mine) - len(tasks)
        if finished:
            told(finished, len(mine), f"{finished} finished before, or refused")
        workers = Workers[_Task](
            function=take_step,
            arguments=lambda task: (step, task.folder, staging_folder(task.out), tuple(layers), needs_ecg),
            initializer=prepare,
            initargs=(step, schedule.memory_gb, schedule.workers),
            jobs=schedule.workers,
            timeout_s=schedule.timeout_s,
        )
        try:
            with closing(workers.results(tasks)) as results:
                for done, (task, result) in enumerate(results, start=finished + 1):
                    staging = staging_folder(task.out)
                    outcome = _outcome(result, staging, schedule)
                    publish(
                        finished_plan(staging),
                        task.out,
                        key=task.key,
                        settings_key=stage_key("cohort", {}, keyed),
                        outcome=outcome,
                    )
                    told(done, len(mine), f"{task.folder.name}: {_in_words(outcome)}")
        finally:
            for task in tasks:
                clean(task.out)
    statuses = {folder: _current(out / folder.name, keyed) for folder in folders if folder not in refused}
    found = write_tables(
        out,
        {folder.name: status for folder, status in statuses.items()},
        {f"folder {folders.index(folder) + 1} of {len(folders)}": failure for folder, failure in refused.items()},
        settings,
        load_carded_model(merged_settings(*layers).response_model),
        "-".join(map(str, schedule.shard)),
    )
    outcomes = [status.outcome for folder in mine if (status := statuses.get(folder))]
    planned = [outcome for outcome in outcomes if isinstance(outcome, Facts)]
    return CohortRun(
        ok=len(planned),
        failed=len(mine) - len(planned),
        computed=len(tasks),
        virtual=sum(facts.virtual for facts in planned),
        drifts=tuple(found),
    )


def shard_from(text: str) -> tuple[int, int]:
    """(i, n) from `i/n`.

    Raises:
        SettingsError: for any other text.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text)
    if not found:
        raise SettingsError(f"--shard {text}: need i/n, such as 3/100")
    return int(found[1]), int(found[2])


@contextmanager
def _alone(out: Path, shard: tuple[int, int]) -> Iterator[None]:
    """One run at a time; the lock of a run that was killed is free again, and that of one that ended is gone."""
    file = out / f".shard-{shard[0]}-of-{shard[1]}.lock"
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        part = "" if shard == (1, 1) else f" on shard {shard[0]}/{shard[1]}"
        raise SettingsError(f"{out.name}: another run works{part} in it; wait for it, or name another folder") from None
    try:
        yield
    finally:
        file.unlink(missing_ok=True)
        lock.release()


def _patient_folders(source: Path, out: Path) -> list[Path]:
    if not source.is_dir():
        raise InputError(f"{source}: is no folder; a cohort is a folder with a folder for each patient")
    if out.exists() and not out.is_dir():
        raise SettingsError(f"{out}: is a file; name a folder to write into")
    inner, outer = out.resolve(), source.resolve()
    if inner.is_relative_to(outer) or outer.is_relative_to(inner):
        raise SettingsError(f"{out}: lies in the folder of the patients, or they in it; name another")
    folders = sorted(path for path in source.iterdir() if path.is_dir() and not path.name.startswith("."))
    if not folders:
        raise InputError(f"{source}: holds no patients; a cohort is a folder with a folder for each patient")
    taken = [folder.name for folder in folders if folder.name in NAMES]
    if taken:
        raise InputError(f"{source}: a patient is called {taken[0]}, as a table of the cohort is; rename the folder")
    return folders


def _settings(layers: Layers, needs_ecg: bool) -> dict[str, Any]:
    """All that changes a result beside the inputs; of the response model its name and hash, as in provenance.json."""
    settings = merged_settings(*layers)
    model = load_carded_model(settings.response_model)
    named = "none" if model is None else " ".join(model.file)
    return {"needs_ecg": needs_ecg, **settings.model_dump(mode="json"), "response_model": named}


def _named_after_people(folders: list[Path]) -> dict[Path, Failure]:
    """Folders called like a person: their names may stand nowhere in the output."""
    message = "the folder's name looks like a person's name; use a pseudonym such as P017"
    failure = Failure(stage="privacy", error="PrivacyError", message=message)
    return {folder: failure for folder in folders if names_a_person(folder.name)}


def _to_do(folder: Path, out: Path, keyed: Mapping[str, Any], schedule: Schedule) -> _Task | None:
    """The task of a patient, or None if it is finished."""
    task = _Task(folder=folder, out=out / folder.name, key=stage_key("cohort", input_hashes(folder), keyed))
    clean(task.out)
    status = read_status(task.out)
    if status is None or status.key != task.key or schedule.force:
        return task
    return task if schedule.retry_failed and isinstance(status.outcome, Failure) else None


def _outcome(result: Any, staging: Path, schedule: Schedule) -> Facts | Failure:
    """What a worker returned, or what is known of one that could not return."""
    if isinstance(result, Facts | Failure):
        return result
    if isinstance(result, FutureTimeoutError):
        message = f"took longer than {schedule.timeout_s:g} s; give it more with --timeout"
        return Failure(stage=reached_stage(staging), error="TimeoutError", message=message)
    if isinstance(result, ProcessExpired):
        return Failure(stage=reached_stage(staging), error="WorkerDied", message=death(result))
    raise result


def _in_words(outcome: Facts | Failure) -> str:
    if isinstance(outcome, Facts):
        return "planned"
    return f"failed in {outcome.stage}: {outcome.error}: {outcome.message}"


def _current(folder: Path, keyed: Mapping[str, Any]) -> Status | None:
    """The status of a patient who was finished with these settings."""
    status = read_status(folder)
    return status if status is not None and status.settings_key == stage_key("cohort", {}, keyed) else None
