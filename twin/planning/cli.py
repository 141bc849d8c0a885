"""The command line: parse, call the library, write. Exit codes: 0 all well, 2 wrong usage or settings, 3 input cannot be
used, 4 the environment lacks something, 130 interrupted.

Data goes to stdout, log and errors to stderr. Heavy modules are imported by the commands that need them.
"""

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer

from twin.planning.cli_cohort import cohort
from twin.planning.cli_common import RESEARCH_USE, Edge, Json, Out, Quiet, exit_codes
from twin.planning.cli_ecg import app as ecg_app
from twin.planning.cli_response import evaluate, study, train
from twin.planning.cli_virtual import virtual

app = typer.Typer(
    name="crt-twin",
    help=f"Digital twins of the heart for planning cardiac resynchronization therapy. {RESEARCH_USE}",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.add_typer(ecg_app, name="ecg")
for command in (virtual, cohort, train, evaluate, study):
    app.command()(command)


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
    with exit_codes(quiet):
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
    with exit_codes(quiet):
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
    with exit_codes(quiet):
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
