"""The command line: parse, call the library, write. Exit codes: 0 all well, 2 wrong usage or settings, 3 input cannot be
used, 4 the environment lacks something, 130 interrupted.

Data goes to stdout, log and errors to stderr. Heavy modules are imported by the commands that need them.
"""

import json
import logging
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

RESEARCH_USE = "Research use only: not a medical device, not for diagnosis or treatment."
INSTALL_DEEP = "pip install 'crt-twin[deep]'"

app = typer.Typer(
    name="crt-twin",
    help=f"Digital twins of the heart for planning cardiac resynchronization therapy. {RESEARCH_USE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
ecg_app = typer.Typer(help="Electrocardiograms.", no_args_is_help=True)
app.add_typer(ecg_app, name="ecg")

Out = Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write into.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing but errors.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Edge = Annotated[float | None, typer.Option("--edge-mm", metavar="MM", help="Edge length of the mesh.")]


def main() -> None:
    """Run the command line."""
    app()


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"crt-twin {version('crt-twin')}. {RESEARCH_USE}")
        raise typer.Exit


@app.callback()
def _options(
    show: Annotated[bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show it.")] = False,
) -> None:
    pass


@app.command()
def plan(
    patient: Annotated[Path, typer.Argument(metavar="PATIENT", help="A patient folder.")],
    out: Out,
    settings: Annotated[Path | None, typer.Option(metavar="FILE", help="YAML of settings.")] = None,
    edge_mm: Edge = None,
    rhythm: Annotated[str | None, typer.Option(metavar="NAME", help="auto, normal, lbbb or rbbb.")] = None,
    pictures: Annotated[bool | None, typer.Option("--pictures/--no-pictures", help="Draw the heart.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Rank the pacing sites of one patient: plan.json, sites.csv, heart.vtu, report.html, provenance.json."""
    with _exit_codes(quiet):
        from twin.planning.errors import SettingsError
        from twin.planning.plan import plan_patient
        from twin.planning.settings import read_yaml

        given = {"edge_mm": edge_mm, "rhythm": rhythm, "pictures": pictures}
        layers: list[tuple[str, dict[str, Any]]] = []
        if settings is not None:
            layers.append((settings.name, read_yaml(settings, SettingsError)))
        layers.append(("command line", {name: value for name, value in given.items() if value is not None}))
        _report(plan_patient(patient, out, layers).content, out, as_json)


@app.command()
def demo(
    out: Out,
    seed: Annotated[int, typer.Option(metavar="N", min=0, help="Which virtual patient.")] = 1,
    quiet: Quiet = False,
) -> None:
    """Make a virtual patient in DIR/patient and plan it into DIR/plan."""
    with _exit_codes(quiet):
        from twin.planning.plan import plan_patient
        from twin.planning.virtual import write_virtual_patient

        write_virtual_patient(out / "patient", seed)
        _report(plan_patient(out / "patient", out / "plan").content, out / "plan", as_json=False)


@app.command()
def heart(
    source: Annotated[Path, typer.Argument(metavar="SOURCE", help="Labels, tagged surfaces or a mesh.")],
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="The heart.vtu to write.")],
    edge_mm: Edge = None,
    labels: Annotated[str, typer.Option(metavar="NAME", help="What the label ids mean.")] = "acdc",
    quiet: Quiet = False,
) -> None:
    """Build a simulation-ready heart: tetrahedra, surfaces, coordinates, fibres."""
    with _exit_codes(quiet):
        from anatomy.formats import write_heart
        from anatomy.labels import CONVENTIONS
        from twin.planning.errors import SettingsError
        from twin.planning.settings import Settings, merged_settings
        from twin.planning.stages import build_heart

        if out.suffix != ".vtu" or not out.parent.is_dir():
            raise SettingsError(f"--out {out}: must name a .vtu file in a folder that exists")
        if labels not in CONVENTIONS:
            raise SettingsError(f"--labels {labels}: unknown convention; known are {', '.join(CONVENTIONS)}")
        given = {} if edge_mm is None else {"edge_mm": edge_mm}
        chosen: Settings = merged_settings(("command line", given))
        built = build_heart(source, labels, chosen)
        write_heart(out, built.heart, {})
        for warning in built.warnings:
            logging.getLogger("crt-twin").warning(warning)
        typer.echo(f"{len(built.heart.nodes_mm)} nodes, {len(built.heart.tets)} tetrahedra: {out}")


@ecg_app.command()
def measure(
    sources: Annotated[list[Path], typer.Argument(metavar="FILE|DIR...", help="ECGs, or folders of them.")],
    grouped: Annotated[bool, typer.Option("--by-code", help="One line per SNOMED code.")] = False,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Heart rate and QRS duration of recordings, with their SNOMED codes; files that cannot be read are named at the end."""
    with _exit_codes(quiet):
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


@ecg_app.command()
def models(as_json: Json = False) -> None:
    """The models that can be trained: what each is, where it was published, what it reads, whether it can run here."""
    with _exit_codes(quiet=False):
        from twin.planning.ecg_models import list_models

        rows = list_models()
        if as_json:
            typer.echo(json.dumps(rows, indent=1))
            return
        for row in rows:
            here = f"needs {', '.join(row['missing'])}: {INSTALL_DEEP}" if row["missing"] else "can run here"
            typer.echo(f"{row['name']}\n    {row['summary']}\n    source: {row['source']}")
            typer.echo(f"    reads {row['reads']}, answers with {row['learns']}; {here}")


@ecg_app.command(name="train")
def train_model(
    model: Annotated[str, typer.Option(metavar="NAME", help="See `crt-twin ecg models`.")],
    data: Annotated[Path, typer.Option(metavar="TABLE", help="CSV with the columns patient, ecg, label.")],
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
    settings: Annotated[list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Of the model.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Train a model on a table of ECGs, cross-validate it by patient, and write both."""
    with _exit_codes(quiet):
        from twin.planning.ecg_request import Request, settings_from
        from twin.planning.ecg_training import evaluation_folder, train
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
            "settings": settings_from(settings or []),
        }
        values = {"name": model, "table": data, "out": out} | {k: v for k, v in given.items() if v is not None}
        request = validated(Request, values, SettingsError, lambda _: "command line")
        with _progress(quiet) as told:
            trained = train(request, told)
        log = logging.getLogger("crt-twin")
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


@ecg_app.command()
def predict(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A file that `crt-twin ecg train` wrote.")],
    sources: Annotated[list[Path], typer.Argument(metavar="TABLE|FILE|DIR...", help="ECGs.")],
    out: Annotated[Path | None, typer.Option(metavar="CSV", help="Write the rows here.")] = None,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Ask a model about ECGs: one row per recording; files that cannot be read are named at the end."""
    with _exit_codes(quiet):
        from twin.planning.ecg_answers import predict as predicted
        from twin.planning.ecg_answers import write_answers
        from twin.planning.ecg_models import load_stored
        from twin.planning.errors import InputError, SettingsError

        if out is not None and (out.is_dir() or not out.parent.is_dir()):
            raise SettingsError(f"--out {out}: must name a file in a folder that exists")
        stored = load_stored(model)
        rows = predicted(stored, sources)
        logging.getLogger("crt-twin").warning(
            "%s: %s, learnt from: %s. %s", model.name, stored.name, stored.training.learnt_from, RESEARCH_USE
        )
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


@ecg_app.command()
def explain(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A file that `crt-twin ecg train` wrote.")],
    sources: Annotated[list[Path], typer.Argument(metavar="TABLE|FILE|DIR...", help="ECGs, two at least.")],
    out: Out,
    target: Annotated[str | None, typer.Option("--class", metavar="CLASS", help="To explain; else the last.")] = None,
    leave_out: Annotated[bool, typer.Option("--leave-out-faulty", help="Explain the others.")] = False,
    virtual: Annotated[bool, typer.Option("--virtual", help="These are virtual patients.")] = False,
    quiet: Quiet = False,
) -> None:
    """Show what a model looks at: report.html, its pictures, explanation.json."""
    with _exit_codes(quiet):
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


@contextmanager
def _progress(quiet: bool) -> Iterator[Callable[[int, int, str], None]]:
    """A bar on stderr; where that is no terminal, a line per step."""
    with typer.progressbar(length=1, file=sys.stderr, hidden=True) as bar:

        def told(done: int, total: int, what: str) -> None:
            bar.hidden, bar.label, bar.length = quiet, what, total
            bar.update(done - bar.pos)
            bar.render_progress()

        yield told


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.0f}"
    return ",".join(value) if isinstance(value, list) else "" if value is None else str(value)


def _report(content: dict[str, Any], out: Path, as_json: bool) -> None:
    """What a person wants to know first; everything else is in the files."""
    if as_json:
        typer.echo((out / "plan.json").read_text(encoding="utf-8"), nl=False)
        return
    first = [site for site in content["sites"] if site["rank"] == 1]
    if first:
        names = ", ".join(f"{site['id']} ({site['vein'] or site['source']})" for site in first)
        typer.echo(f"{len(first)} of {len(content['sites'])} candidates share the first rank: {names}")
    else:
        typer.echo(f"no reachable site among {len(content['sites'])} candidates")
    for line in (*content["stand_ins"], *content["warnings"]):
        logging.getLogger("crt-twin").warning("note: %s", line)
    typer.echo(f"{RESEARCH_USE} See {out / 'report.html'}")


@contextmanager
def _exit_codes(quiet: bool) -> Iterator[None]:
    """Log to stderr; turn what may go wrong into one line and the exit code that scripts rely on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    log = logging.getLogger("crt-twin")
    log.addHandler(handler)
    log.propagate = False  # a reader that logs gives the root logger a handler of its own: lines would come twice
    log.setLevel(logging.ERROR if quiet else logging.INFO)
    from twin.planning.errors import InputError, SettingsError

    # A batch system that stops a job sends SIGTERM: leave as after Ctrl-C, with nothing half-written.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except SettingsError as fault:
        code, message = 2, str(fault)
    except InputError as fault:
        code, message = 3, str(fault)
    except ImportError as fault:
        message = str(fault)
        code = 4
        if "pip install" not in message:
            message += ": install crt-twin again, with the extra that the command needs"
    except OSError as fault:
        code, message = 4, f"{fault.filename or 'the system'}: {fault.strerror or fault}"
    except KeyboardInterrupt:
        code, message = 130, "interrupted; nothing half-written was left"
    else:
        return
    finally:
        log.removeHandler(handler)
        log.propagate = True
    for line in message.splitlines():
        typer.echo(f"crt-twin: {line}", err=True)
    raise typer.Exit(code)
