"""A page of sections: text, tables and figures one after the other, everything inside, nothing fetched, nothing run.

For what is written about a cohort (an evaluation, a study). Text is escaped by the template engine; figures go in as
images, so that nothing in them can run either.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import jinja2
from matplotlib.figure import Figure

from twin.planning.report.figures import svg
from twin.planning.report.page import RESEARCH_USE


@dataclass(frozen=True, kw_only=True)
class Table:
    """Cells as they are shown; the first of each row is its name.

    Attributes:
        caption: what it shows, and how to read it.
        header: one text per column.
        rows: as long as the header.
    """

    caption: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A figure under a file name, with its caption."""

    name: str
    caption: str
    figure: Figure

    @cached_property
    def svg(self) -> str:
        """The figure as an <svg> element."""
        return svg(self.figure)


@dataclass(frozen=True, kw_only=True, eq=False)
class Section:
    """One heading and what stands below it, in this order."""

    title: str
    text: tuple[str, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: tuple[Table, ...] = ()


def page(title: str, subtitle: str, warning: str, answers: Sequence[str], sections: Sequence[Section]) -> str:
    """The HTML of a page.

    Args:
        title: the heading.
        subtitle: one line below it.
        warning: what a reader must know before anything else, such as that the patients are virtual; empty: nothing.
        answers: what the page says, in a few sentences.
        sections: in order.
    """
    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    environment.filters["data_uri"] = _data_uri
    template = files("twin.planning.report").joinpath("sections.html.j2").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        title=title,
        subtitle=subtitle,
        warning=warning,
        answers=answers,
        sections=sections,
        research_use=RESEARCH_USE,
    )


def _data_uri(drawing: str) -> str:
    return "data:image/svg+xml;base64," + base64.b64encode(drawing.encode()).decode("ascii")
