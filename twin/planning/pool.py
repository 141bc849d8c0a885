"""The pool: many virtual patients, made, planned and joined with their truth, as one table for training and studies.

    WORK/piece-007.parquet      of each piece that is done
    WORK/arms-swapped.parquet   of each centre at which something is wrong
    POOL                        all of them

The rows of these centres say in the column `shift` what is wrong; nobody learns from them. A piece is a virtual cohort of its
own seed; its meshes are removed once its table stands. A pool that was interrupted goes on where it stopped, and one that is
to grow makes the further pieces only.
"""

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import pyarrow as pa
import pyarrow.parquet as pq

from anatomy.arrays import Float
from twin.planning.cohort import Schedule, run_cohort
from twin.planning.errors import InputError
from twin.planning.features import FEATURES
from twin.planning.response_cohort import IMPLANTED, SHIFT
from twin.planning.virtual_cohort import write_virtual_cohort
from twin.planning.virtual_draws import SHIFTED

# Answers of another model, and words.
_LEFT_OUT = {"response_probability", "response_low", "response_high", "response_supported", "reasons"}
# Digits that are kept: more than any measurement has, and a table that is small enough to be shipped.
_DIGITS = 4
_MOST_FAILED = 0.03
# Of each centre at which something is wrong.
_SHIFTED_PATIENTS = 40

Progress = Callable[[int, int, str], None]


def build_pool(work: Path, pool: Path, *, pieces: int, size: int, seed: int, jobs: int, progress: Progress) -> None:
    """Make the pool.

    Args:
        work: folder of the pieces, about 2 MB for each patient of the one being made.
        pool: the Parquet file to write.
        pieces: how many cohorts; cohort k has the seed `seed + k`.
        size: patients of each.
        seed: of the first; those of the shifted centres lie a thousand and more above it.
        jobs: processes.
        progress: called as progress(done, total, what).

    Raises:
        InputError: if more than a few patients could not be planned; their folders are kept. A few are left out.
    """
    todo = [_Piece(name=f"piece-{k:03d}", size=size, seed=seed + k, centre=None) for k in range(pieces)]
    todo += [
        _Piece(name=name, size=_SHIFTED_PATIENTS, seed=seed + 1000 + k, centre=name) for k, name in enumerate(SHIFTED)
    ]
    done = []
    for i, piece in enumerate(todo, start=1):
        table = work / f"{piece.name}.parquet"
        if not table.exists():
            _make_piece(work / piece.name, table, piece, jobs=jobs, progress=progress)
        rows = pd.read_parquet(table)
        if piece.centre is not None:
            rows = rows[rows["source"] == IMPLANTED]
        done.append(rows.assign(**{SHIFT: piece.centre}))
        progress(i, len(todo), "pieces of the pool")
    joined = pd.concat(done, ignore_index=True)
    arrow = pa.Table.from_pandas(joined, preserve_index=False)
    people = joined["patient"].nunique()
    said = {b"intended_use": b"research", b"virtual_patients": f"{people} of {people}".encode()}
    unfinished = pool.with_name(f".{pool.name}.part")
    pq.write_table(
        arrow.replace_schema_metadata({**(arrow.schema.metadata or {}), **said}),
        unfinished,
        compression="zstd",
        compression_level=19,
        row_group_size=len(joined),
    )
    unfinished.replace(pool)


@dataclass(frozen=True, kw_only=True)
class _Piece:
    """A cohort of the pool, of one centre or of all."""

    name: str
    size: int
    seed: int
    centre: str | None


def _make_piece(folder: Path, table: Path, piece: _Piece, *, jobs: int, progress: Progress) -> None:
    patients, plans = folder / "patients", folder / "plans"
    write_virtual_cohort(patients, piece.size, seed=piece.seed, centre=piece.centre, jobs=jobs, progress=progress)
    # At the delay that the devices have, so that what is learnt of a site is what was done there.
    layers = [("the pool", {"response_model": "none", "vv_delays_ms": [0.0], "outputs": "table", "pictures": False})]
    run = run_cohort(patients, plans, layers, schedule=Schedule(jobs=jobs, retry_failed=True))
    # As of any cohort: who cannot be planned is not learnt from. Many of them would be a fault of ours, where nothing is wrong.
    if piece.centre is None and run.failed > _MOST_FAILED * piece.size:
        raise InputError(
            f"{plans}: {run.failed} of {piece.size} virtual patients could not be planned; see failures.tsv"
        )
    unfinished = table.with_suffix(".part")
    joined_with_truth(patients, plans / "sites.parquet").to_parquet(unfinished, index=False)
    unfinished.replace(table)
    shutil.rmtree(folder)


def joined_with_truth(patients: Path, sites: Path) -> pd.DataFrame:
    """The reachable sites and the implanted lead of every virtual patient, with outcomes and truth.

    Args:
        patients: a virtual cohort.
        sites: the table of its plans.
    """
    rows = pd.read_parquet(sites)
    rows = rows[(rows["id"] == "implanted") | (rows["reachable"].fillna(False) & rows["captures"].fillna(False))]
    columns = ["patient", "centre", *(feature.name for feature in FEATURES if feature.name not in _LEFT_OUT)]
    joined = rows[columns].merge(pd.read_parquet(patients / "truth.parquet"), on=["patient", "id"], validate="1:1")
    if len(joined) != len(rows):
        missing = set(zip(rows["patient"], rows["id"], strict=True)) - set(
            zip(joined["patient"], joined["id"], strict=True)
        )
        raise InputError(f"{patients / 'truth.parquet'}: knows nothing of {len(missing)} sites, as {min(missing)}")
    joined = joined.merge(pd.read_csv(patients / "outcomes.csv"), on="patient", validate="m:1")
    numbers = joined.select_dtypes("float").columns
    joined[numbers] = joined[numbers].apply(lambda column: _rounded(column.to_numpy()))
    return joined


def _rounded(values: Float) -> Float:
    """To `_DIGITS` significant digits."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (_DIGITS - 1 - np.floor(np.log10(np.abs(values))))
    usable = np.isfinite(scale)
    return np.where(usable, np.round(values * np.where(usable, scale, 1)) / np.where(usable, scale, 1), values)
