"""`crt-twin train`, `evaluate` and `study`: response models, their honest test, and published studies on virtual patients."""

import logging
from pathlib import Path
from typing import Annotated

import typer

from twin.planning.cli_common import RESEARCH_USE, Json, Out, Quiet, exit_codes, progress_bar

Cohort = Annotated[
    Path | None,
    typer.Argument(metavar="[COHORT]", help="A folder of `crt-twin cohort`, .parquet or .csv; else the shipped pool."),
]
Outcomes = Annotated[Path | None, typer.Option(metavar="TABLE", help="CSV: patient, lvesv_change_percent, ...")]
LabelName = Annotated[str, typer.Option("--label", metavar="NAME", help="lvesv15, lvef5, lvef10 or clinical.")]
Virtual = Annotated[bool, typer.Option("--virtual", help="These are virtual patients.")]


def train(
    out: Annotated[Path, typer.Option(metavar="MODEL", help="Model file; its card goes beside it.")],
    cohort: Cohort = None,
    outcomes: Outcomes = None,
    label: LabelName = "lvesv15",
    virtual: Virtual = False,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the model.")] = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a response model on the implanted leads of COHORT, test it, and write it with its card."""
    with exit_codes(quiet):
        from twin.planning.response_cohort import read_cohort
        from twin.planning.response_training import train_response

        patients = read_cohort(cohort, outcomes, label, virtual=virtual)
        for note in patients.notes:
            logging.getLogger("crt-twin").warning("note: %s", note)
        words = [
            "crt-twin train",
            *([cohort.name] if cohort else []),
            *([f"--outcomes {outcomes.name}"] if outcomes else []),
        ]
        words += [f"--label {label}", *(["--virtual"] if virtual else []), *([f"--seed {seed}"] if seed else [])]
        rebuild = " ".join([*words, f"--out {out.name}"])
        if cohort is None:
            rebuild = f"make pool, then {rebuild}"
        with progress_bar(quiet) as told:
            trained = train_response(patients, out, rebuild=rebuild, seed=seed, told=told)
        if as_json:
            typer.echo(trained.as_json(), nl=False)
            return
        area, who = trained.metrics["auc"], trained.card.data
        typer.echo(
            f"{out}: {who}, {trained.card.responders} responded; out-of-fold AUC {area.value:.3f} "
            f"({area.low:.3f} to {area.high:.3f})"
        )
        typer.echo(f"{RESEARCH_USE} See {out.name}.card.md")


def evaluate(
    out: Out,
    cohort: Cohort = None,
    outcomes: Outcomes = None,
    label: LabelName = "lvesv15",
    virtual: Virtual = False,
    repeats: Annotated[int | None, typer.Option(metavar="N", min=1, help="Of the random split.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """The whole honest test of a response model on COHORT: report.html, evaluation.json and figures."""
    with exit_codes(quiet):
        from twin.planning.response_cohort import read_cohort
        from twin.planning.response_page import write_evaluation
        from twin.planning.response_protocol import evaluate_response
        from twin.planning.response_results import Protocol
        from twin.planning.response_words import answers

        patients = read_cohort(cohort, outcomes, label, virtual=virtual)
        for note in patients.notes:
            logging.getLogger("crt-twin").warning("note: %s", note)
        protocol = Protocol() if repeats is None else Protocol(repeats=repeats)
        with progress_bar(quiet) as told:
            found = evaluate_response(patients, protocol, told)
        write_evaluation(patients, found, out)
        if as_json:
            typer.echo((out / "evaluation.json").read_text(encoding="utf-8"), nl=False)
            return
        for line in answers(patients, found):
            typer.echo(line)
        typer.echo(f"{RESEARCH_USE} See {out / 'report.html'}")


def study(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="digital-twin, dokuchaev, khamzin, mori, le or smart-av.")
    ],
    out: Out,
    repeats: Annotated[int, typer.Option(metavar="R", min=2, help="Virtual cohorts to draw.")] = 200,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Of the draws.")] = 0,
    pool: Annotated[Path | None, typer.Option(metavar="POOL", help="Virtual patients; else the shipped pool.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Repeat a published study on virtual cohorts of its size: which numbers could it have seen by chance?"""
    with exit_codes(quiet):
        from twin.planning.errors import SettingsError
        from twin.planning.response_cohort import read_cohort
        from twin.planning.study import repeat_study
        from twin.planning.study_page import answers, write_study
        from twin.planning.study_plans import STUDIES

        if name not in STUDIES:
            raise SettingsError(f"no study {name}; known are {', '.join(STUDIES)}")
        recipe = STUDIES[name]
        patients = read_cohort(pool, None, recipe.label)
        with progress_bar(quiet) as told:
            result = repeat_study(recipe, patients, repeats=repeats, seed=seed, told=told)
        write_study(name, result, out)
        if as_json:
            typer.echo((out / "study.json").read_text(encoding="utf-8"), nl=False)
            return
        for line in answers(result):
            typer.echo(line)
        typer.echo(f"{RESEARCH_USE} See {out / 'report.html'}")
