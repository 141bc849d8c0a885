"""What a cohort says as a whole: one table of all sites, one of failures, and the counts.

They are made anew from the patients' finished folders after every run, so that they depend on these alone: neither the
order in which patients ended nor an interruption shows in a byte of them.
"""

import csv
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq

from twin.planning.cohort_drift import Drift, drifts, write_drifts
from twin.planning.cohort_status import Facts, Failure, Status
from twin.planning.scoring import CardedModel
from twin.planning.site_table import read_sites, table

SITES, OUTCOMES, FAILURES, DRIFT, SUMMARY = "sites.parquet", "outcomes.csv", "failures.tsv", "drift.tsv", "cohort.json"
NAMES = (SITES, OUTCOMES, FAILURES, DRIFT, SUMMARY)


def write_tables(
    out: Path,
    statuses: Mapping[str, Status | None],
    refused: Mapping[str, Failure],
    settings: Mapping[str, Any],
    model: CardedModel | None,
    part: str,
) -> list[Drift]:
    """Write sites.parquet, failures.tsv, drift.tsv and cohort.json; outcomes.csv, where a patient.yaml has outcomes.

    Args:
        out: of the cohort, where the folders of the planned patients lie.
        statuses: of every patient by name; None for one that waits to be planned.
        refused: patients that have no folder in `out`, by what they can be called.
        settings: of the cohort.
        model: of response, if there is one; see `twin.planning.cohort_drift`.
        part: sets the files that are being written apart from those of another run into `out`.

    Returns:
        What drift.tsv says.
    """
    planned = {
        name: facts for name, status in statuses.items() if status and isinstance(facts := status.outcome, Facts)
    }
    failed = {
        name: fault for name, status in statuses.items() if status and isinstance(fault := status.outcome, Failure)
    }
    failed |= refused
    virtual = sum(facts.virtual for facts in planned.values())
    counts = {
        "patients": len(statuses) + len(refused),
        "ok": len(planned),
        "virtual": virtual,
        "failed": len(failed),
        "waiting": sum(status is None for status in statuses.values()),
    }
    summary = {
        "tool": "crt-twin",
        "version": version("crt-twin"),
        "intended_use": "research",
        **({"data": "virtual patients: no number was measured on a person"} if virtual else {}),
        **counts,
        "settings": settings,
    }
    _write(out / SITES, part, lambda path: _write_sites(path, out, planned, f"{virtual} of {len(planned)}"))
    outcomes = {name: facts.outcome for name, facts in sorted(planned.items()) if facts.outcome}
    if outcomes:
        frame = pd.DataFrame.from_dict(outcomes, orient="index").rename_axis("patient").sort_index(axis="columns")
        _write(out / OUTCOMES, part, frame.to_csv)
    else:
        (out / OUTCOMES).unlink(missing_ok=True)
    _write(out / FAILURES, part, lambda path: _write_failures(path, failed))
    found = drifts(pd.read_parquet(out / SITES), model.model) if model is not None and planned else []
    _write(out / DRIFT, part, lambda path: write_drifts(path, found))
    _write(out / SUMMARY, part, lambda path: path.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8"))
    return found


def _write_sites(path: Path, out: Path, planned: Mapping[str, Facts], virtual: str) -> None:
    frames = []
    for name, facts in sorted(planned.items()):
        frame = read_sites(out / name / "sites.csv").sort_values(["rank", "id"], kind="stable")
        frame.insert(0, "patient", name)
        frame.insert(1, "centre", facts.centre)
        frames.append(frame)
    empty = table([])
    empty.insert(0, "patient", [])
    empty.insert(1, "centre", [])
    joined = pd.concat(frames, ignore_index=True) if frames else empty
    joined = joined.astype({"patient": "string", "centre": "string"})
    arrow = pa.Table.from_pandas(joined, preserve_index=False)
    said = {b"intended_use": b"research", b"virtual_patients": virtual.encode()}
    pq.write_table(arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **said}), path, compression="zstd")


def _write_failures(path: Path, failed: Mapping[str, Failure]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t", lineterminator="\n")
        writer.writerow(["patient", "stage", "error", "message"])
        for name, failure in sorted(failed.items()):
            cells = (name, failure.stage, failure.error, failure.message)
            # A spreadsheet would run text that begins like a formula.
            writer.writerow([f"'{cell}" if cell[:1] in "=+-@" else cell for cell in cells])


def _write(path: Path, part: str, write: Callable[[Path], object]) -> None:
    """Under another name first: a reader finds the old file or the new one, whole."""
    unfinished = path.with_name(f".{path.name}.{part}")
    write(unfinished)
    unfinished.replace(path)
