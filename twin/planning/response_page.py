"""The test of a response model as one page, one JSON file, and its figures."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from ml.evaluation.result_file import plain
from twin.planning.report.sections import Section, page
from twin.planning.response_cohort import LABELS, ResponseCohort
from twin.planning.response_results import ResponseEvaluation
from twin.planning.response_sections import sections_of
from twin.planning.response_words import answers
from twin.planning.whole_files import whole_files

VIRTUAL = "Virtual patients: what holds here may not hold in real patients."


def write_evaluation(cohort: ResponseCohort, found: ResponseEvaluation, out: Path) -> None:
    """Write report.html, evaluation.json and every figure as SVG into a folder; all or nothing."""
    sections = sections_of(cohort, found)
    title = f"Response model, tested: {cohort.label}"
    subtitle = (
        f"{len(cohort.outcome)} {'virtual ' if cohort.virtual else ''}patients of {cohort.name}, "
        f"{int(cohort.outcome.sum())} responded: {LABELS[cohort.label].meaning}. crt-twin {version('crt-twin')}."
    )
    html = page(title, subtitle, VIRTUAL if cohort.virtual else "", answers(cohort, found), sections)
    write_page(out, html, evaluation_json(cohort, found), "evaluation.json", sections)


def write_page(out: Path, html: str, content: Mapping[str, Any], name: str, sections: list[Section]) -> None:
    """A page, its numbers and its figures, all or nothing."""
    files = ["report.html", name]
    with whole_files(out, files) as folder:
        (folder / "report.html").write_text(html, encoding="utf-8", newline="\n")
        text = json.dumps(plain(dict(content)), indent=1, ensure_ascii=False, allow_nan=False)
        (folder / name).write_text(text + "\n", encoding="utf-8", newline="\n")
        for section in sections:
            for picture in section.pictures:
                files.append(f"{picture.name}.svg")
                (folder / files[-1]).write_text(picture.svg + "\n", encoding="utf-8", newline="\n")


def evaluation_json(cohort: ResponseCohort, found: ResponseEvaluation) -> dict[str, Any]:
    """Every number, and every out-of-fold prediction of the first repeat."""
    content = asdict(found)
    of_folds = content.pop("answers")
    return {
        "format": 1,
        "intended_use": "research",
        "population": "virtual patients" if cohort.virtual else "patients",
        "cohort": cohort.name,
        "cohort_sha256": cohort.sha256,
        "label": cohort.label,
        "patients": len(cohort.outcome),
        "responders": int(cohort.outcome.sum()),
        "version": version("crt-twin"),
        **content,
        "predictions": {
            "patient": cohort.implanted["patient"].tolist(),
            "truth": cohort.outcome,
            "fold": of_folds["fold_of"],
            "probability": of_folds["probability"],
            "supported": of_folds["supported"],
        },
    }
