"""One page that explains a fitted model on a set of ECGs (or slices): pictures as files, and all of them in report.html.

The page fetches nothing and runs nothing: a content security policy forbids scripts and every request, and whatever comes
from the user is escaped by the template engine. What cannot be had for a model is said there, with the reason.
"""

import base64
import json
import os
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

import jinja2
from numpy.typing import ArrayLike

from ml.explain.sections import KINDS
from ml.explain.subject import Section, subject_of

RESEARCH_ONLY = "Research use only. Not a medical device; not for diagnosis or treatment."
REPORT, RESULT = "report.html", "explanation.json"


def explain(
    model: Any,
    X: ArrayLike,  # noqa: N803
    folder: Path | str,
    *,
    y: ArrayLike | None = None,
    target: Any = None,
    names: Sequence[str] | None = None,
    cases: Sequence[int] | None = None,
    virtual: bool = False,
) -> Path:
    """Explain a fitted model: waveforms of extreme answers, Grad-CAM, contributions of features, counterfactuals.

    Each kind is there for the models that it makes sense for; the page says which are missing and why. ECGs that the model
    was fitted to show what it has learnt by heart as well: take others, if there are any.

    Args:
        model: a fitted classifier or regressor of `ml.models`.
        X: its input, at least two rows.
        folder: for report.html, explanation.json (the numbers), and every picture as PNG; made if missing, files of the
            same names are replaced.
        y: (n,) true classes. Grad-CAM then counts the ECGs of the target class, as Mori et al. count responders;
            otherwise those that the model takes for it.
        target: the class to explain, by default the last of `classes_`; for a regressor an output, by its
            name in `output_names` or its number, by default the first.
        names: (n,) of the rows, as shown; by default X[0], X[1], ...
        cases: rows for pictures of single ECGs; by default those with the highest answers, and for counterfactuals the
            highest and the lowest.
        virtual: whether these are virtual patients; the page then says so.

    Returns:
        The path of report.html.

    Raises:
        ValueError: if the model is neither classifier nor regressor, or X, y, target, names or cases do not fit.
    """
    subject = subject_of(model, X, Path(folder), y=y, target=target, names=names, cases=cases)
    subject.folder.mkdir(parents=True, exist_ok=True)
    sections, missing = [], {}
    for kind, make in KINDS.items():
        made = make(subject)
        if isinstance(made, Section):
            sections.append(made)
        else:
            missing[kind] = made
    result = {
        "format": "crt-twin explanation",
        "version": 1,
        "intended_use": "research",
        "virtual_patients": virtual,
        "model": type(model).__name__,
        "explained": subject.meaning,
        "answers": dict(zip(subject.names, subject.answers.tolist(), strict=True)),
        "not_available": missing,
    }
    for section in sections:
        result |= section.result
    _write(subject.folder / RESULT, json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = _data_uri
    template = files("ml.explain").joinpath("template.html.j2").read_text(encoding="utf-8")
    page = environment.from_string(template).render(
        model=type(model).__name__,
        meaning=subject.meaning,
        count=len(subject.answers),
        virtual=virtual,
        sections=sections,
        missing=missing,
        research_only=RESEARCH_ONLY,
    )
    _write(subject.folder / REPORT, page)
    return subject.folder / REPORT


def _data_uri(path: Path) -> str:
    return "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode("ascii")


def _write(path: Path, text: str) -> None:
    """Into a neighbour first, then in one step to its place."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        unfinished.write_text(text, encoding="utf-8", newline="\n")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
