"""Flat figures of a report: the 12-lead ECG on its paper, the left ventricle as a bull's-eye.

ECG paper: 25 mm/s and 10 mm/mV (5 mm/mV where a row would not fit otherwise), thin lines every 1 mm, thick ones every
5 mm. The figure is one axes in which one unit is one millimetre of paper, so that widths and heights can be measured on
it; a viewer may enlarge it, the grid then grows along. The layout is the usual one of 3 rows and 4 columns, except that
all columns show the same stretch of time, because the overlaid curves are one beat.

Bull's-eye: the 17 segments of the American Heart Association seen from the apex, doi:10.1161/hc0402.102975: rings of 6,
6, 4 and 1 segments, numbered counter-clockwise from the anterior wall on top, the septum on the left.

Figures are built without pyplot, so that no global state is touched and threads may draw at the same time.
"""

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from math import ceil, floor
from pathlib import Path
from types import MappingProxyType

import matplotlib as mpl
import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.collections import LineCollection
from matplotlib.colors import Normalize, to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch, Wedge
from matplotlib.typing import ColorType

from anatomy.arrays import Float
from anatomy.heart import AHA_SEGMENTS
from ml.ecg.measure import qrs_bounds
from ml.ecg.recording import Ecg

SPEED_MM_PER_S = 25.0
ECG_ROWS = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
LONGEST_SHOWN_MS = 2500.0  # what a column of a 10 s page holds
# Okabe and Ito's palette, told apart by colour-blind readers; the first curve is the recording and black.
CURVE_COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73")
# From the P wave to the end of the T wave.
_BEFORE_ONSET_MS, _AFTER_ONSET_MS = 230.0, 470.0
TIME_COLOURS = "viridis_r"  # early bright and warm, late dark, the order that mapping systems use

_MM_PER_INCH = 25.4
_MM_PER_MS = SPEED_MM_PER_S / 1000.0
_MARGIN_MM = 5.0
_MARK_MM = 10.0  # room of the calibration mark at the left of each row
_HEADER_MM = 10.0
_GAP_MM = 5.0
_TALLEST_ROW_MM = 45.0
_GRID_THIN, _GRID_THICK = "#f6dcdc", "#eab5b5"

_RINGS = ((1, 6), (7, 6), (13, 4), (17, 1))  # first segment and number of segments, from the base to the apex
_RADII = (4.0, 3.0, 2.0, 1.0, 0.0)


def ecg_figure(traces: Sequence[tuple[str, Ecg]], *, qrs: tuple[float, float] | None = None) -> Figure:
    """Twelve leads in three rows and four columns on ECG paper, the traces overlaid.

    Args:
        traces: name and ECG of each, drawn in this order: the recorded one first (black), simulated ones after it. They
            start at the same instant. A lead that an ECG lacks is left out.
        qrs: onset and end of the recorded QRS complex in ms, drawn as two fine lines.

    Returns:
        The figure; its size in inches is that of the paper.

    Raises:
        ValueError: if there is no trace or more than four, or if they share no lead with the standard twelve.
    """
    if not 1 <= len(traces) <= len(CURVE_COLOURS):
        raise ValueError(f"an ECG figure shows 1 to {len(CURVE_COLOURS)} traces, got {len(traces)}")
    shown_ms = min(LONGEST_SHOWN_MS, max(float(ecg.time_ms[-1]) for _, ecg in traces))
    column_mm = 5.0 * max(1, ceil(_MM_PER_MS * shown_ms / 5.0))
    reach_mv = [_row_reach_mv(row, traces, shown_ms) for row in ECG_ROWS]
    if not any(high > low for low, high in reach_mv):
        names = ", ".join(name for name, _ in traces)
        raise ValueError(f"none of the 12 standard leads has a signal in {names}; check the lead names")
    gain = 10.0 if max(10.0 * (high - low) for low, high in reach_mv) <= _TALLEST_ROW_MM else 5.0
    # Whole 5 mm squares above and below each baseline keep the baselines on thick lines.
    rows = [(5 * floor(gain * low / 5 - 0.2), 5 * ceil(gain * high / 5 + 0.6)) for low, high in reach_mv]
    width = max(90.0, _MARGIN_MM * 2 + _MARK_MM + 4 * column_mm + 3 * _GAP_MM)
    height = _HEADER_MM + _MARGIN_MM + sum(high - low for low, high in rows)
    figure, axes = _paper(width, height)

    top = height - _HEADER_MM
    for row, (low, high) in zip(ECG_ROWS, rows, strict=True):
        baseline = top - high
        top -= high - low
        _calibration_mark(axes, baseline, gain)
        for column, lead in enumerate(row):
            left = _MARGIN_MM + _MARK_MM + column * (column_mm + _GAP_MM)
            if qrs is not None:
                for instant in qrs:
                    at = left + _MM_PER_MS * instant
                    axes.plot(
                        [at, at], [baseline + low + 1, baseline + high - 4], color="#888888", lw=0.4, dashes=(3, 2)
                    )
            for (name, ecg), colour in zip(traces, CURVE_COLOURS, strict=False):
                if lead not in ecg.leads:
                    continue
                inside = ecg.time_ms <= shown_ms
                x = left + _MM_PER_MS * ecg.time_ms[inside]
                y = baseline + gain * ecg.lead(lead)[inside]
                axes.plot(x, y, color=colour, lw=0.7, solid_joinstyle="round", gid=f"{name}-{lead}", zorder=3)
            axes.text(left, baseline + high - 0.8, lead, fontsize=6.5, weight="bold", va="top", zorder=4)
    handles = [Line2D([], [], color=c, lw=1.2) for _, c in zip(traces, CURVE_COLOURS, strict=False)]
    labels = [name for name, _ in traces]
    if qrs is not None:
        handles.append(Line2D([], [], color="#888888", lw=0.6, dashes=(3, 2)))
        labels.append("recorded QRS onset and end")
    axes.legend(
        handles, labels, loc="upper right", bbox_to_anchor=(1 - _MARGIN_MM / width, 1 - 1.5 / height), fontsize=5.5,
        frameon=False, ncols=len(handles), borderaxespad=0, borderpad=0, handlelength=1.6, columnspacing=1.2,
    )  # fmt: skip
    speed = f"{SPEED_MM_PER_S:g} mm/s   {gain:g} mm/mV" + ("   (half standard gain)" if gain < 10 else "")
    axes.text(_MARGIN_MM, 1.5, speed, fontsize=5.5, va="bottom")
    return figure


def compared_beats(recorded: Ecg | None, simulated: Ecg) -> list[tuple[str, Ecg]]:
    """Traces for `ecg_figure`: both beats cut around their QRS onset and level there, so that they lie on each other."""
    named = [("recorded", recorded), ("simulated QRS", simulated)]
    return [(name, _around_onset(ecg)) for name, ecg in named if ecg is not None]


def _around_onset(ecg: Ecg) -> Ecg:
    onset_ms = qrs_bounds(ecg).onset_ms
    times = onset_ms + np.arange(-_BEFORE_ONSET_MS, _AFTER_ONSET_MS)
    twelve = ecg.twelve_leads()
    rows = [
        np.interp(times, twelve.time_ms, row) - np.interp(onset_ms, twelve.time_ms, row) for row in twelve.signal_mv
    ]
    return Ecg(leads=twelve.leads, signal_mv=np.array(rows), rate_hz=1000.0)


def bullseye_figure(
    values: Float,
    *,
    label: str,
    unit: str,
    marks: Mapping[int, str] = MappingProxyType({}),
    limits: tuple[float, float] | None = None,
) -> Figure:
    """The left ventricle as the AHA's bull's-eye, coloured and written with one value per segment.

    Args:
        values: (17,) in segment order; not finite means never reached, drawn grey and hatched.
        label: what the values are.
        unit: of the values.
        marks: segment number 1 to 17 to a short text, such as the candidate sites in that segment.
        limits: ends of the colour range, for figures that are compared; the range of the finite values if not given.

    Raises:
        ValueError: if there are not 17 values or a mark names no segment.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.shape != (AHA_SEGMENTS,):
        raise ValueError(f"a bull's-eye needs {AHA_SEGMENTS} values, got an array of shape {numbers.shape}")
    strange = [segment for segment in marks if not 1 <= segment <= AHA_SEGMENTS]
    if strange:
        raise ValueError(f"marks[{strange[0]}] names no AHA segment, need 1 to {AHA_SEGMENTS}")
    finite = np.isfinite(numbers)
    low, high = limits or ((float(numbers[finite].min()), float(numbers[finite].max())) if finite.any() else (0.0, 1.0))
    norm = Normalize(low, high if high > low else low + 1.0)
    colours = colormaps[TIME_COLOURS]

    figure = _figure(4.7, 4.2)
    axes = figure.add_axes((0.02, 0.01, 0.82, 0.91), aspect="equal", frameon=False)
    axes.set(xlim=(-4.6, 4.6), ylim=(-4.6, 4.6), xticks=[], yticks=[])
    for segment, (start, end, inner, outer) in segment_geometry().items():
        value = numbers[segment - 1]
        reached = bool(np.isfinite(value))
        face: ColorType = colours(norm(value)) if reached else "#dddddd"
        shape = Wedge((0, 0), outer, start, end, width=outer - inner) if inner else Circle((0, 0), outer)
        shape.set(facecolor=face, edgecolor="white", linewidth=1.5, gid=f"segment-{segment}")
        if not reached:
            shape.set(hatch="////", edgecolor="#888888", linewidth=0.8)
        axes.add_patch(shape)
        _write_segment(axes, segment, value, marks.get(segment), dark=reached and _luminance(face) < 0.2)
    for angle, name in ((90, "anterior"), (180, "septal"), (270, "inferior"), (0, "lateral")):
        x, y = 4.3 * np.cos(np.radians(angle)), 4.3 * np.sin(np.radians(angle))
        turn = 90 if angle == 180 else -90 if angle == 0 else 0
        axes.text(x, y, name, ha="center", va="center", rotation=turn, fontsize=9, color="#444444")
    figure.text(0.43, 0.985, label, ha="center", va="top", fontsize=11, weight="bold")
    bar = figure.add_axes((0.85, 0.17, 0.03, 0.58))
    figure.colorbar(ScalarMappable(norm=norm, cmap=colours), cax=bar)
    bar.set_title(unit, fontsize=9)
    bar.tick_params(labelsize=8)
    if not finite.all():
        patch = Patch(facecolor="#dddddd", edgecolor="#777777", hatch="////")
        figure.legend([patch], ["never\nreached"], loc="lower right", fontsize=8, frameon=False, handlelength=1.2)
    return figure


def segment_geometry() -> dict[int, tuple[float, float, float, float]]:
    """Per segment 1 to 17: start and end angle (degrees from the right, counter-clockwise), inner and outer radius."""
    geometry = {}
    for (first, count), (outer, inner) in zip(_RINGS, pairwise(_RADII), strict=True):
        span = 360.0 / count
        for i in range(count):
            middle = 90.0 + i * span  # the first of each ring, an anterior one, stands on top
            geometry[first + i] = (middle - span / 2, middle + span / 2, inner, outer)
    return geometry


def svg(figure: Figure) -> str:
    """The figure as an `<svg>` element for a page: the same bytes for the same figure, letters as outlines."""
    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": "crt-twin", "svg.fonttype": "path"}):
        figure.savefig(out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    text = out.getvalue()
    return text[text.index("<svg") :].rstrip()  # XML prolog and DOCTYPE have no place inside a page


def png(figure: Figure, path: Path, dpi: float = 200.0) -> None:
    """Write the figure as a PNG file."""
    figure.savefig(path, format="png", dpi=dpi, metadata={"Software": None})


def _figure(width_inch: float, height_inch: float) -> Figure:
    figure = Figure(figsize=(width_inch, height_inch), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def _paper(width_mm: float, height_mm: float) -> tuple[Figure, Axes]:
    """A sheet of ECG paper: one axes over the whole figure, in millimetres."""
    figure = _figure(width_mm / _MM_PER_INCH, height_mm / _MM_PER_INCH)
    axes = figure.add_axes((0, 0, 1, 1), frameon=False)
    axes.set(xlim=(0, width_mm), ylim=(0, height_mm), xticks=[], yticks=[])
    for step, colour, thickness in ((1.0, _GRID_THIN, 0.25), (5.0, _GRID_THICK, 0.4)):
        xs, ys = np.arange(0, width_mm + 1e-6, step), np.arange(0, height_mm + 1e-6, step)
        lines = [((x, 0), (x, height_mm)) for x in xs] + [((0, y), (width_mm, y)) for y in ys]
        axes.add_collection(LineCollection(lines, colors=colour, linewidths=thickness, zorder=1), autolim=False)
    return figure, axes


def _row_reach_mv(row: tuple[str, ...], traces: Sequence[tuple[str, Ecg]], shown_ms: float) -> tuple[float, float]:
    """Lowest and highest voltage that a row shows; contains 0."""
    low = high = 0.0
    for lead in row:
        for _, ecg in traces:
            if lead in ecg.leads:
                signal = ecg.lead(lead)[ecg.time_ms <= shown_ms]
                low, high = min(low, float(signal.min())), max(high, float(signal.max()))
    return low, high


def _calibration_mark(axes: Axes, baseline_mm: float, gain_mm_per_mv: float) -> None:
    """1 mV high, 200 ms wide."""
    x = _MARGIN_MM + np.array([0, 1, 1, 6, 6, 7])
    y = baseline_mm + gain_mm_per_mv * np.array([0, 0, 1, 1, 0, 0])
    axes.plot(x, y, color="black", lw=0.7, gid="calibration", zorder=3)


def _write_segment(axes: Axes, segment: int, value: float, mark: str | None, *, dark: bool) -> None:
    """Number, value and mark of one segment, stacked in its middle."""
    start, end, inner, outer = segment_geometry()[segment]
    angle, radius = np.radians((start + end) / 2), (inner + outer) / 2 if inner else 0.0
    x, y = radius * np.cos(angle), radius * np.sin(angle)
    ink = "white" if dark else "black"
    up = 0.16 if mark else 0.0
    text = f"{value:.0f}" if np.isfinite(value) else "–"
    axes.text(x, y + up + 0.27, str(segment), ha="center", va="center", fontsize=6, color=ink)
    axes.text(x, y + up - 0.06, text, ha="center", va="center", fontsize=10, weight="bold", color=ink)
    if mark:
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": "black", "linewidth": 0.6}
        axes.text(x, y - 0.3, mark, ha="center", va="center", fontsize=6, color="black", bbox=box)


def _luminance(colour: ColorType) -> float:
    """Relative luminance of an sRGB colour, which decides between black and white letters."""
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in to_rgb(colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
