"""`crt-twin virtual`: cohorts of virtual patients."""

from pathlib import Path
from typing import Annotated

import typer

from twin.planning.cli_common import RESEARCH_USE, Quiet, exit_codes, progress_bar


def virtual(
    n: Annotated[int, typer.Argument(metavar="N", min=1, help="How many patients.")],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder to write into; what is finished in it is kept.")],
    seed: Annotated[int, typer.Option(metavar="S", min=0, help="Which patients.")] = 1,
    centre: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="All of one centre: A to E, or one where something is wrong, as arms-swapped."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(metavar="J", min=1, help="How many processes.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Make N virtual patients with the outcomes and the truth of each: OUT/<patient>/, outcomes.csv, truth.parquet."""
    with exit_codes(quiet):
        from twin.planning.virtual_cohort import write_virtual_cohort

        with progress_bar(quiet) as told:
            write_virtual_cohort(out, n, seed=seed, centre=centre, jobs=jobs, progress=told)
        if not quiet:
            typer.echo(f"{n} virtual patients in {out}: nothing in them was measured on a person. {RESEARCH_USE}")
