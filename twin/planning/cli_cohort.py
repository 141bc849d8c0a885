"""`crt-twin cohort`: every patient folder under one folder, planned once."""

import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from twin.planning.cli_common import RESEARCH_USE, Json, Quiet, exit_codes, progress_bar


def cohort(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Folder of patient folders.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Gets a folder per patient, and the tables.")],
    jobs: Annotated[int | None, typer.Option(metavar="N", help="Patients at a time; default: one per core.")] = None,
    timeout: Annotated[float | None, typer.Option(metavar="S", help="For one patient; default: 900.")] = None,
    memory_gb: Annotated[float | None, typer.Option(metavar="GB", help="For one patient.")] = None,
    shard: Annotated[str, typer.Option(metavar="I/N", help="Only this part of the patients.")] = "1/1",
    settings: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML of settings.")] = None,
    changed: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="A setting.")] = None,
    full: Annotated[bool, typer.Option("--full", help="Whole plans, with heart and report.")] = False,
    allow_missing_ecg: Annotated[
        bool, typer.Option("--allow-missing-ecg", help="Assume a rhythm where there is no ECG.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Plan what is finished again.")] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Plan what failed again.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Plan every patient under IN; what is finished and unchanged is skipped. Exit code 1 if a patient failed."""
    with exit_codes(quiet):
        from twin.planning.cohort import Schedule, run_cohort, shard_from
        from twin.planning.cohort_drift import in_words
        from twin.planning.cohort_tables import FAILURES, SUMMARY
        from twin.planning.ecg_request import settings_from
        from twin.planning.errors import SettingsError
        from twin.planning.settings import read_yaml

        layers: list[tuple[str, dict[str, Any]]] = [] if full else [("crt-twin cohort", {"outputs": "table"})]
        if settings is not None:
            layers.append((settings.name, read_yaml(settings, SettingsError)))
        layers.append(("--set", settings_from(changed or [])))
        given: dict[str, Any] = {"jobs": jobs, "timeout_s": timeout, "memory_gb": memory_gb}
        schedule = Schedule(
            **{name: value for name, value in given.items() if value is not None},
            force=force,
            retry_failed=retry_failed,
            shard=shard_from(shard),
        )
        with progress_bar(quiet) as told:
            run = run_cohort(source, out, layers, schedule=schedule, needs_ecg=not allow_missing_ecg, told=told)
        if as_json:
            typer.echo((out / SUMMARY).read_text(encoding="utf-8"), nl=False)
        else:
            skipped = run.ok + run.failed - run.computed
            virtual = f", {run.virtual} of them virtual patients" if run.virtual else ""
            typer.echo(
                f"{run.ok} planned{virtual}; {run.failed} failed; {skipped} of all finished before. {RESEARCH_USE}"
            )
        for line in in_words(run.drifts):
            logging.getLogger("crt-twin").warning("%s", line)
        if run.failed:
            logging.getLogger("crt-twin").error("see %s", out / FAILURES)
            raise typer.Exit(1)
