"""`crt-twin ecg`: measure electrocardiograms, train models on them, ask these, and see what they look at."""

import json
import logging
from pathlib import Path
from typing import Annotated, Any

import typer

from twin.planning.cli_common import INSTALL_DEEP, RESEARCH_USE, Json, Out, Quiet, exit_codes, progress_bar

app = typer.Typer(help="Electrocardiograms.", no_args_is_help=True)


@app.command()
def measure(
    sources: Annotated[list[Path], typer.Argument(metavar="FILE|DIR...", help="ECGs, or folders of them.")],
    grouped: Annotated[bool, typer.Option("--by-code", help="One line per SNOMED code.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Heart rate and QRS duration of recordings, with their SNOMED codes; files that cannot be read are named at the end."""
    with exit_codes(quiet):
        from twin.planning.ecg_table import by_code, measure_files
        from twin.planning.errors import InputError

        rows = measure_files(sources)
        faults = [row["fault"] for row in rows if row["fault"]]
        table = by_code(rows) if grouped else [row for row in rows if not row["fault"]]
        if as_json:
            typer.echo(json.dumps(by_code(rows) if grouped else rows, indent=1))
        elif table:
            typer.echo("\t".join(name for name in table[0] if name != "fault"))
            for row in table:
                typer.echo("\t".join(_cell(value) for name, value in row.items() if name != "fault"))
        if faults:
            raise InputError("\n".join(faults))


@app.command()
def models(as_json: Json = False) -> None:
    """The models that can be trained: what each is, where it was published, what it reads, whether it can run here."""
    with exit_codes(quiet=False):
        from twin.planning.ecg_models import list_models

        rows = list_models()
        if as_json:
            typer.echo(json.dumps(rows, indent=1))
            return
        for row in rows:
            here = f"needs {', '.join(row['missing'])}: {INSTALL_DEEP}" if row["missing"] else "can run here"
            typer.echo(f"{row['name']}\n    {row['summary']}\n    source: {row['source']}")
            typer.echo(f"    reads {row['reads']}, answers with {row['learns']}; {here}")


@app.command(name="train")
def train_model(
    model: Annotated[str, typer.Option(metavar="NAME", help="See `crt-twin ecg models`.")],
    data: Annotated[Path, typer.Option(metavar="TABLE", help="CSV with the columns patient, ecg or scar, label.")],
    out: Annotated[Path, typer.Option(metavar="MODEL", help="Model file; its evaluation goes to MODEL.evaluation/.")],
    folds: Annotated[int | None, typer.Option(metavar="N", help="Of the cross-validation: 5.")] = None,
    seeds: Annotated[int | None, typer.Option(metavar="N", help="Its repeats: 10; with 0 there is none.")] = None,
    seed: Annotated[int | None, typer.Option(metavar="N", help="Of the model that is written: 0.")] = None,
    label: Annotated[str | None, typer.Option(metavar="COLUMN", help="To learn: label, or value.")] = None,
    positive: Annotated[str | None, typer.Option(metavar="CLASS", help="Of two, the one that is sought: 1.")] = None,
    ecg: Annotated[str | None, typer.Option(metavar="WHICH", help="before or after implantation, or both.")] = None,
    length: Annotated[str | None, typer.Option(metavar="HOW", help="Cut ECGs to the shortest, or to one beat.")] = None,
    leave_out: Annotated[bool | None, typer.Option("--leave-out-faulty", help="Learn from the others.")] = None,
    virtual: Annotated[bool | None, typer.Option("--virtual", help="These are virtual patients.")] = None,
    unlabelled: Annotated[
        list[Path] | None, typer.Option(metavar="TABLE|FILE|DIR", help="ECGs of other people to pretrain on.")
    ] = None,
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Of the model.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a table of ECGs or scar slices, cross-validate it by patient, and write both.

    What is done is kept in MODEL.partial/ until then: the same command goes on where it was cut off.
    """
    with exit_codes(quiet):
        from twin.planning.ecg_pair import evaluation_folder, partial_folder
        from twin.planning.ecg_request import Request, settings_from
        from twin.planning.ecg_training import train
        from twin.planning.errors import SettingsError
        from twin.planning.settings import validated

        given: dict[str, Any] = {
            "folds": folds,
            "seeds": seeds,
            "seed": seed,
            "label": label,
            "positive": positive,
            "ecg": ecg,
        }
        given |= {
            "length": length,
            "leave_out_faulty": leave_out,
            "virtual": virtual,
            "unlabelled": unlabelled,
            "settings": settings_from(settings or []),
        }
        values = {"name": model, "table": data, "out": out} | {k: v for k, v in given.items() if v is not None}
        request = validated(Request, values, SettingsError, lambda _: "command line")
        log = logging.getLogger("crt-twin")
        try:
            with progress_bar(quiet) as told:
                trained = train(request, told)
        except KeyboardInterrupt:
            if partial_folder(out).is_dir():
                log.info("%s keeps what is done: the same command goes on with it", partial_folder(out))
            raise
        for note in trained.notes:
            log.info("note: %s", note)
        if as_json:
            evaluation = None if trained.evaluation is None else trained.evaluation.to_json()
            typer.echo(json.dumps({"training": trained.training.model_dump(), "evaluation": evaluation}, indent=1))
            return
        if trained.evaluation is not None:
            # The rest of the page is in the file.
            typer.echo("\n## ".join(trained.evaluation.table().split("\n## ")[:2]))
            log.info("see %s", evaluation_folder(out))
        who = trained.training
        typer.echo(f"{out}: {model}, learnt from {who.ecgs} ECGs of {who.patients} {who.learnt_from}. {RESEARCH_USE}")


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A file that `crt-twin ecg train` wrote.")],
    sources: Annotated[list[Path], typer.Argument(metavar="TABLE|FILE|DIR...", help="ECGs.")],
    out: Annotated[Path | None, typer.Option(metavar="CSV", help="Write the rows here.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Ask a model about ECGs: one row per recording; files that cannot be read are named at the end."""
    with exit_codes(quiet):
        from twin.planning.ecg_answers import predict as predicted
        from twin.planning.ecg_answers import write_answers
        from twin.planning.ecg_models import load_stored
        from twin.planning.ecg_pair import foreign_evaluation
        from twin.planning.errors import InputError, SettingsError

        if out is not None and (out.is_dir() or not out.parent.is_dir()):
            raise SettingsError(f"--out {out}: must name a file in a folder that exists")
        stored = load_stored(model)
        rows = predicted(stored, sources)
        log = logging.getLogger("crt-twin")
        log.warning("%s: %s, learnt from: %s. %s", model.name, stored.name, stored.training.learnt_from, RESEARCH_USE)
        if fault := foreign_evaluation(model):
            log.warning("note: %s", fault)
        if out is not None:
            write_answers(rows, out)
        if as_json:
            content = {"model": stored.name, **stored.training.model_dump(), "recordings": rows}
            typer.echo(json.dumps(content, indent=1))
        elif out is None:
            typer.echo("\t".join(name for name in rows[0] if name != "fault"))
            for row in rows:
                typer.echo("\t".join(_number(value) for name, value in row.items() if name != "fault"))
        faults = [str(row["fault"]) for row in rows if row["fault"]]
        if faults:
            raise InputError("\n".join(faults))


@app.command()
def explain(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A file that `crt-twin ecg train` wrote.")],
    sources: Annotated[list[Path], typer.Argument(metavar="TABLE|FILE|DIR...", help="ECGs, two at least.")],
    out: Out,
    target: Annotated[
        str | None, typer.Option("--class", metavar="CLASS", help="Class, or column of numbers, to explain.")
    ] = None,
    leave_out: Annotated[bool, typer.Option("--leave-out-faulty", help="Explain the others.")] = False,
    virtual: Annotated[bool, typer.Option("--virtual", help="These are virtual patients.")] = False,
    quiet: Quiet = False,
) -> None:
    """Show what a model looks at: report.html, its pictures, explanation.json."""
    with exit_codes(quiet):
        from twin.planning.ecg_answers import explain_files
        from twin.planning.ecg_models import load_stored
        from twin.planning.errors import SettingsError

        if out.exists() and not out.is_dir():
            raise SettingsError(f"--out {out}: is a file; name a folder")
        stored = load_stored(model)
        left_out = explain_files(stored, sources, out, target=target, leave_out_faulty=leave_out, virtual=virtual)
        for fault in left_out:
            logging.getLogger("crt-twin").warning("note: left out: %s", fault)
        typer.echo(f"{RESEARCH_USE} See {out / 'report.html'}")


def _number(value: Any) -> str:
    return f"{value:.4f}" if isinstance(value, float) else "" if value is None else str(value)


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}"
    return ",".join(value) if isinstance(value, list) else "" if value is None else str(value)
