"""How the pictures of explanations are drawn: without pyplot, so that no global state is touched."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ml.ecg.recording import STANDARD_LEADS
from ml.page_image import MODEL_ROWS

# Okabe and Ito's, told apart by colour-blind readers: high or changed, low, and what is there anyway.
WARM, COOL, GREY = "#D55E00", "#0072B2", "#666666"
HEAT = "inferno_r"
_DPI = 110


def panels(rows: int, columns: int, *, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure and its panels row by row; sizes of one panel in inches."""
    figure = Figure(figsize=(width * columns, height * rows + 0.4), layout="constrained")
    return figure, _axes(figure, rows, columns)


def lead_panels(along: str, leads: tuple[str, ...] = STANDARD_LEADS) -> tuple[Figure, dict[str, Axes]]:
    """One panel per lead, all with the same axes, mV over `along`; all twelve lie as on the page.

    Room is left for a title of two lines and a legend of two rows. The places are fixed, since a layout that looks at what
    is drawn takes longer than the drawing.
    """
    arranged = [lead for row in MODEL_ROWS for lead in row] if set(leads) == set(STANDARD_LEADS) else list(leads)
    columns = min(4, len(arranged))
    rows = -(-len(arranged) // columns)
    width, height = 2.9 * columns, 2.1 * rows + 1.1
    figure = Figure(figsize=(width, height))
    drawn = _axes(figure, rows, columns)
    figure.subplots_adjust(
        left=0.7 / width, right=1 - 0.1 / width, top=1 - 0.72 / height, bottom=0.95 / height, hspace=0.3, wspace=0.1
    )
    for panel in drawn[len(arranged) :]:
        panel.set_axis_off()
    for panel in drawn[1 : len(arranged)]:
        panel.sharey(drawn[0])
        panel.sharex(drawn[0])
    drawn[(len(arranged) - 1) // columns * columns].set(xlabel=along, ylabel="mV")  # bottom left
    for lead, panel in zip(arranged, drawn, strict=False):
        panel.set_title(lead, fontsize=9)
        panel.tick_params(labelsize=7)
        panel.label_outer()
    return figure, dict(zip(arranged, drawn, strict=False))


def plain(text: str) -> str:
    """A user's text for matplotlib, which takes what stands between dollars for a formula."""
    return text.replace("$", r"\$")


def write(figure: Figure, path: Path) -> None:
    """As PNG; the same figure gives the same bytes."""
    figure.savefig(path, dpi=_DPI, metadata={"Software": None})


def _axes(figure: Figure, rows: int, columns: int) -> list[Axes]:
    FigureCanvasAgg(figure)
    drawn = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for panel in drawn:
        panel.spines[["top", "right"]].set_visible(False)
    return drawn
