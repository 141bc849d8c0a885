"""One self-contained page of a plan: everything inside, nothing fetched, nothing run.

Whatever comes from the patient's files is escaped by the template engine; only the SVG figures, which we drew
ourselves, go in as they are. A content security policy forbids scripts and every request, so that a mistake here stays
harmless.
"""

import base64
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from importlib.resources import files
from math import isfinite
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import jinja2
from markupsafe import Markup

from twin.planning.report.pictures import Picture

RESEARCH_USE = "Research use only. Not a medical device; not for diagnosis or treatment."
DASH = "–"
FIGURES = ("ecg", "bullseye_intrinsic", "bullseye_best")
# Segments of doi:10.1161/hc0402.102975.
AHA_NAMES = (
    "basal anterior", "basal anteroseptal", "basal inferoseptal", "basal inferior", "basal inferolateral",
    "basal anterolateral", "mid anterior", "mid anteroseptal", "mid inferoseptal", "mid inferior", "mid inferolateral",
    "mid anterolateral", "apical anterior", "apical septal", "apical inferior", "apical lateral", "apex",
)  # fmt: skip


def write_report(
    path: Path,
    *,
    plan: Mapping[str, Any],
    provenance: Mapping[str, Any],
    figures: Mapping[str, str],
    pictures: Sequence[Picture],
) -> None:
    """Write the report of one plan; the file appears whole or not at all.

    Args:
        path: the HTML file to write.
        plan: the content of `plan.json` (see design.md); any number may be None or not finite and is shown as a dash.
        provenance: the content of `provenance.json`. Of absolute paths in it only the file name is shown.
        figures: SVG elements drawn by `figures.svg`, by name: any of `FIGURES`.
        pictures: PNG pictures in the order in which to show them.

    Raises:
        ValueError: if a figure has an unknown name or is not an SVG element.
    """
    for name, drawing in figures.items():
        if name not in FIGURES:
            raise ValueError(f"the report has no place for a figure {name!r}, only for {', '.join(FIGURES)}")
        if not drawing.startswith("<svg"):
            raise ValueError(f"figure {name!r} is not an <svg> element; draw it with figures.svg")
    page = _environment().from_string(_template()).render(
        plan=plan,
        provenance=_flat(provenance),
        figures={name: Markup(_own_ids(drawing, name)) for name, drawing in figures.items()},  # noqa: S704 - we drew it
        pictures=[(picture.title, picture.alt, _data_uri(picture.path)) for picture in pictures],
        headline=headline(plan),
        obstacles=obstacles(plan),
        comparisons=comparisons(plan),
        sites=_in_order(plan.get("sites") or ()),
        research_use=RESEARCH_USE,
    )  # fmt: skip
    _write_whole(path, page)


def headline(plan: Mapping[str, Any]) -> str:
    """The answer of a plan in one sentence."""
    sites = plan.get("sites") or ()
    first = [site for site in sites if site.get("rank") == 1]
    if plan["answer"] != "sites" or not first:
        count = len(sites)
        return f"No reachable site among {count} {'candidate' if count == 1 else 'candidates'}"
    if len(first) == 1:
        return f"Candidate {first[0]['id']} ranks first"
    return f"{len(first)} candidates share the first rank"


def comparisons(plan: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What the candidates stand beside: the patient's own rhythm, the standard lateral site, other ways of pacing."""
    own = {"name": "Own rhythm", **(plan.get("intrinsic") or {})}
    lateral = {**(plan.get("lateral_reference") or {}), "name": "Standard lateral site"}
    return [own, *([lateral] if len(lateral) > 1 else []), *(plan.get("alternatives") or ())]


def obstacles(plan: Mapping[str, Any]) -> list[tuple[str, int]]:
    """What stood in the way of unreachable sites, and at how many of them, the most frequent first."""
    reasons = [
        reason for site in plan.get("sites") or () if site.get("rank") is None for reason in site.get("reasons") or ()
    ]
    return sorted(Counter(reasons).items(), key=lambda item: (-item[1], item[0]))


def number(value: Any, digits: int = 0, *, sign: bool = False, scale: float = 1.0) -> str:
    """A number as a reader sees it: fixed digits, a real minus sign, a dash where there is none."""
    if value is None or isinstance(value, jinja2.Undefined) or not isfinite(value):
        return DASH
    text = f"{scale * value:{'+' if sign else ''}.{digits}f}"
    if not text.strip("+-0."):
        text = text.lstrip("+-")  # neither +0 nor -0
    return text.replace("-", "−")


def span(limits: Any, digits: int = 0, scale: float = 1.0) -> str:
    """An interval, as in `(58 to 67)`; empty where there is none."""
    if limits is None or isinstance(limits, jinja2.Undefined) or any(limit is None for limit in limits):
        return ""
    return f"({number(limits[0], digits, scale=scale)} to {number(limits[1], digits, scale=scale)})"


def plain(value: Any) -> str:
    """A value of any kind: three digits of a number, yes or no, a dash where there is none."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return f"{value:.3g}".replace("-", "−")
    return DASH if value is None else str(value)


def aha_name(segment: Any) -> str:
    """`5, basal inferolateral`; a dash for what is no segment of the left ventricle."""
    return f"{segment}, {AHA_NAMES[segment - 1]}" if segment in range(1, len(AHA_NAMES) + 1) else DASH


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters.update(number=number, span=span, aha=aha_name, plain=plain)
    return environment


def _template() -> str:
    return files("twin.planning.report").joinpath("template.html.j2").read_text(encoding="utf-8")


def _in_order(sites: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """By rank; sites without one come last, in their own order."""
    return sorted(sites, key=lambda site: (site.get("rank") is None, site.get("rank") or 0))


def _own_ids(drawing: str, name: str) -> str:
    """The ids of a drawing with its name in front: several drawings on one page must not share ids."""
    drawing = re.sub(r'(\bid=")', rf"\g<1>{name}-", drawing)
    return re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", drawing)


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _flat(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested settings as lines of `a.b` and value."""
    lines: list[tuple[str, str]] = []
    for key, value in values.items():
        name = f"{prefix}{_without_folder(str(key))}"
        if isinstance(value, Mapping):
            lines += _flat(value, f"{name}.")
        elif isinstance(value, list | tuple) and any(isinstance(item, Mapping | list | tuple) for item in value):
            lines += _flat({str(i): item for i, item in enumerate(value)}, f"{name}.")
        elif isinstance(value, list | tuple):
            lines.append((name, ", ".join(_without_folder(str(item)) for item in value)))
        else:
            lines.append((name, DASH if value is None else _without_folder(str(value))))
    return lines


def _without_folder(text: str) -> str:
    """A file name without the folders of the machine that it lay on: they tell about people."""
    for kind in (PurePosixPath, PureWindowsPath):
        if kind(text).is_absolute():
            return kind(text).name
    return text


def _write_whole(path: Path, text: str) -> None:
    """Into a neighbour first, then in one step to its place."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with unfinished.open("w", encoding="utf-8", newline="\n") as out:
            out.write(text)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
