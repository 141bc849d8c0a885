"""The ECG as a picture: the printed 12-lead page, and the small image that networks read.

Both are rows of panels. A row shows one strip of time, which its leads share from left to right, as on a printed 10 s
page: the panel of column c starts c panels into the recording. A recording shorter than the strip would leave the right
columns empty; there a panel starts earlier, no earlier than 0, so that it still ends with the recording. So all leads
of an averaged beat start at 0, and a panel is blank only after the end of what was recorded.

Nothing is filtered, centred or normalised: 1 mV is equally high in every picture, and 0 mV lies on the baseline of its
row. Mori et al. [doi:10.1111/jce.70212] trained on page images but publish neither layout nor resolution; the layout
and scales here are our choice.

Units: mV, s, Hz, mm, px.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from ml.ecg.recording import STANDARD_LEADS, Ecg, Float
from ml.palette_png import palette_png
from ml.trace_raster import Pixels, draw_trace

Rows = tuple[tuple[str, ...], ...]

MODEL_ROWS: Rows = (("I", "aVR", "V1", "V4"), ("II", "aVL", "V2", "V5"), ("III", "aVF", "V3", "V6"))
PAGE_ROWS: Rows = (*MODEL_ROWS, ("II",))
# Height of the model image and the distance of its baselines: 16 px per mV at 224 px, and from -4 to +4 mV nothing is
# cut. Our choice; 46 of the 48 readable recordings of the Challenge sample stay within (with 3 mV it would be 42).
MODEL_HEIGHT_MV = 14.0
MODEL_ROW_MV = 3.0

_MM_PER_INCH = 25.4
_PEN_MM, _FINE_MM, _COARSE_MM = 0.3, 0.1, 0.25
_TEXT_MM = 4.0
_HEADER_MM = 15.0
_MARGIN_MM = 5.0
# The calibration pulse: 1 mV for so long, in a field of its own before the strip.
_PULSE_S = 0.2
# A colour is 5 * ground + ink: bare paper, fine or coarse line, under 0 to 4 quarters of ink. So 4 bits hold a pixel.
_FINE, _COARSE = 5, 10
_GROUNDS_RGB, _INK_RGB = ((255, 255, 255), (250, 215, 215), (236, 130, 130)), (0, 0, 25)


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Paper of the printed page: letter format across, at the usual speed and gain, unless told otherwise.

    Attributes:
        rows: the leads of each row from left to right; a single lead is a rhythm strip.
        strip_s: time across one row.
        speed_mm_per_s: paper speed.
        gain_mm_per_mv: height of 1 mV.
        width_px: width of the picture.
        height_px: height of the picture.
        dpi: pixels per inch, written into the PNG, so that a print at 100 % has the right scale.

    Raises:
        ValueError: if a number is not positive, a row is empty, or the rows do not fit on the page.
    """

    rows: Rows = PAGE_ROWS
    strip_s: float = 10.0
    speed_mm_per_s: float = 25.0
    gain_mm_per_mv: float = 10.0
    width_px: int = 2200
    height_px: int = 1700
    dpi: float = 200.0

    def __post_init__(self) -> None:
        for name in ("strip_s", "speed_mm_per_s", "gain_mm_per_mv", "width_px", "height_px", "dpi"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} is {getattr(self, name)}, need a number > 0")
        if not self.rows or not all(isinstance(row, tuple) and row for row in self.rows):
            raise ValueError(
                f"rows is {self.rows}: need a tuple of rows, each a tuple of leads, as (('I', 'V1'), ('II',))"
            )
        free_mm = self.width_px / self.px_per_mm - 2 * _MARGIN_MM - self.pulse_field_mm
        if self.strip_mm > free_mm:
            raise ValueError(
                f"a strip of {self.strip_s:g} s at {self.speed_mm_per_s:g} mm/s is "
                f"{self.strip_mm:g} mm wide, the page has room for {free_mm:.1f} mm; "
                "shorten strip_s or give more pixels"
            )
        if self.row_mm < 10:
            raise ValueError(
                f"a page {self.height_px / self.px_per_mm:.0f} mm high has no room for {len(self.rows)} rows of 10 mm "
                "or more; give more pixels"
            )

    @property
    def px_per_mm(self) -> float:
        """Pixels per millimetre of paper."""
        return self.dpi / _MM_PER_INCH

    @property
    def pen_px(self) -> float:
        """Width of the traces."""
        return max(1.0, _PEN_MM * self.px_per_mm)

    @property
    def strip_mm(self) -> float:
        """Width of a strip."""
        return self.strip_s * self.speed_mm_per_s

    @property
    def pulse_field_mm(self) -> float:
        """Width of the field of the calibration pulse, in whole coarse squares."""
        return 5.0 * math.ceil(_PULSE_S * self.speed_mm_per_s / 5 + 0.5)

    @property
    def left_mm(self) -> float:
        """Where the strips start; pulse fields and strips together are centred."""
        return (self.width_px / self.px_per_mm - self.strip_mm + self.pulse_field_mm) / 2

    @property
    def row_mm(self) -> float:
        """From one baseline to the next, in whole coarse squares."""
        free_mm = self.height_px / self.px_per_mm - _HEADER_MM - _MARGIN_MM
        return 5.0 * (free_mm / len(self.rows) // 5)

    @property
    def top_mm(self) -> float:
        """Where the rows start, in the middle of what header and margin leave."""
        return (self.height_px / self.px_per_mm - len(self.rows) * self.row_mm + _HEADER_MM - _MARGIN_MM) / 2

    def baseline_mm(self, row: int) -> float:
        """Where 0 mV of one row lies: on a coarse line, at the middle of the row or just below."""
        return self.top_mm + row * self.row_mm + 5.0 * math.ceil(self.row_mm / 10)


def draw_page(ecg: Ecg, page: Page | None = None) -> Pixels:
    """The printed page: traces on millimetre paper, calibration pulses, lead names, speed and gain.

    Args:
        ecg: any rate and length; leads are found by name, missing limb leads are derived where two are there.
        page: the paper; by default 2200 x 1700 px, 25 mm/s and 10 mm/mV.

    Returns:
        (height, width, 3) RGB.

    Raises:
        ValueError: if a lead of the page is missing and cannot be derived.

    Example:
        >>> ecg = Ecg(leads=("I", "II"), signal_mv=np.zeros((2, 500)), rate_hz=500)
        >>> draw_page(ecg, Page(rows=(("I", "II"),))).shape
        (1700, 2200, 3)
    """
    return np.take(_palette(), _page_colours(ecg, page or Page()), axis=0)


def write_page(ecg: Ecg, path: Path | str, page: Page | None = None) -> None:
    """Write the picture of `draw_page` as a PNG of 15 colours that knows its size on paper.

    Raises:
        ValueError: as `draw_page`.
        OSError: if the file cannot be written.
    """
    page = page or Page()
    Path(path).write_bytes(palette_png(_page_colours(ecg, page), _palette(), page.dpi))


def model_image(
    signals_mv: NDArray[np.floating], sampling_hz: float, *, size: int = 224, panel_s: float = 2.5
) -> Pixels:
    """The input of image networks: `MODEL_ROWS` as bare traces, neither text nor grid, one channel.

    Columns have equal widths. The height is `MODEL_HEIGHT_MV`, whatever the recording, so amplitude keeps its meaning; the
    middle row has its baseline in the middle, the others lie `MODEL_ROW_MV` from it. As on paper, a large deflection runs
    into the row above or below; what leaves the picture is cut off, and `clipped_samples` counts it. The line is 1 px
    wide at up to 224 px and grows with larger sizes. All this is our choice.

    Args:
        signals_mv: (n, 12, t) in the order of `STANDARD_LEADS`; `ml.signals.as_signals` sees to order and unit.
        sampling_hz: samples per second, any.
        size: height and width.
        panel_s: time across one panel; about 1 s suits averaged beats. Keep it for all images of one network.

    Returns:
        (n, 1, size, size): 0 is blank, 255 is ink, so that zero padding adds blank paper.

    Raises:
        ValueError: if the shape is wrong, a sample is not finite or a number is not positive.

    Example:
        >>> model_image(np.zeros((2, 12, 5000)), 500.0).shape
        (2, 1, 224, 224)
    """
    signals = _as_batch(signals_mv, sampling_hz, size, panel_s)
    images = np.zeros((len(signals), 1, size, size), dtype=np.uint8)
    columns = len(MODEL_ROWS[0])
    px_per_s, px_per_mv = size / (columns * panel_s), size / MODEL_HEIGHT_MV
    width_px = max(1.0, size / 224)
    panels = list(_panels(MODEL_ROWS, columns * panel_s, signals.shape[2], sampling_hz))
    for signal, image in zip(signals, images[:, 0], strict=True):
        for row, name, part, at_s in panels:
            draw_trace(
                image,
                signal[STANDARD_LEADS.index(name), part],
                at_s * px_per_s,
                px_per_s / sampling_hz,
                _model_depth_mv(row) * px_per_mv,
                px_per_mv,
                width_px,
            )
    return images


def clipped_samples(signals_mv: NDArray[np.floating], sampling_hz: float, *, panel_s: float = 2.5) -> NDArray[np.int64]:
    """(n, 12) how many samples of each lead lie beyond the upper or lower edge of `model_image`, of those it shows.

    Arguments and errors as for `model_image`.
    """
    signals = _as_batch(signals_mv, sampling_hz, 1, panel_s)
    counts = np.zeros(signals.shape[:2], dtype=np.int64)
    for row, name, part, _ in _panels(MODEL_ROWS, len(MODEL_ROWS[0]) * panel_s, signals.shape[2], sampling_hz):
        lead = STANDARD_LEADS.index(name)
        depth_mv = _model_depth_mv(row) - signals[:, lead, part]
        counts[:, lead] = ((depth_mv < 0) | (depth_mv > MODEL_HEIGHT_MV)).sum(axis=1)
    return counts


def _model_depth_mv(row: int) -> float:
    """How far the baseline of a row of the model image lies below the upper edge."""
    return MODEL_HEIGHT_MV / 2 + (row - (len(MODEL_ROWS) - 1) / 2) * MODEL_ROW_MV


def _as_batch(signals_mv: NDArray[np.floating], sampling_hz: float, size: int, panel_s: float) -> Float:
    signals = np.ascontiguousarray(signals_mv, dtype=np.float64)
    if signals.ndim != 3 or signals.shape[1] != len(STANDARD_LEADS) or signals.shape[2] < 2:
        raise ValueError(
            f"signals_mv has shape {signals.shape}, need (n, 12, t) with the leads {', '.join(STANDARD_LEADS)} and at "
            "least 2 samples. One recording needs `signals[None]`."
        )
    for name, value in (("sampling_hz", sampling_hz), ("size", size), ("panel_s", panel_s)):
        if not 0 < value < np.inf:
            raise ValueError(f"{name} is {value}, need a number > 0")
    bad = np.argwhere(~np.isfinite(signals))
    if len(bad):
        n, lead, sample = bad[0]
        raise ValueError(
            f"recording {n}, lead {STANDARD_LEADS[lead]} has {signals[n, lead, sample]} at sample {sample} ({len(bad)} of "
            f"{signals.size} samples are not finite). Cut the recordings to stretches without gaps."
        )
    return signals


def _panels(rows: Rows, strip_s: float, n_samples: int, rate_hz: float) -> Iterator[tuple[int, str, slice, float]]:
    """Row, lead, samples and place of each panel; the place is that of the first sample, in s from the strip's start."""
    for row, names in enumerate(rows):
        panel_s = strip_s / len(names)
        for column, name in enumerate(names):
            start_s = min(column * panel_s, max(0.0, n_samples / rate_hz - panel_s))
            # Rounding must not lose a sample that lies on the border of two panels: it belongs to both.
            first = int(np.ceil(start_s * rate_hz - 1e-6))
            last = int(np.floor((start_s + panel_s) * rate_hz + 1e-6))
            yield row, name, slice(first, last + 1), column * panel_s + first / rate_hz - start_s


def _page_colours(ecg: Ecg, page: Page) -> Pixels:
    """(height, width) the index of each pixel in `_palette`."""
    needed = {name for row in page.rows for name in row}
    if not needed <= set(ecg.leads):
        ecg = ecg.twelve_leads()
    paper, printed = _blank_page(page)
    ink = printed.copy()
    scale = page.px_per_mm
    px_per_s = page.speed_mm_per_s * scale
    for row, name, part, at_s in _panels(page.rows, page.strip_s, ecg.signal_mv.shape[1], ecg.rate_hz):
        draw_trace(
            ink,
            ecg.lead(name)[part],
            page.left_mm * scale + at_s * px_per_s,
            px_per_s / ecg.rate_hz,
            page.baseline_mm(row) * scale,
            page.gain_mm_per_mv * scale,
            page.pen_px,
        )
    # Rounded quarters of ink, in steps that fit into 8 bits, and in place: fresh memory of this size costs milliseconds.
    ink >>= 1
    ink += 16
    ink >>= 5
    ink += paper
    return ink


@lru_cache(maxsize=4)
def _blank_page(page: Page) -> tuple[Pixels, Pixels]:
    """Grid (as colours) and printed ink (0 to 255), which all pages of one kind share."""
    scale = page.px_per_mm
    left, top = page.left_mm - page.pulse_field_mm, page.top_mm
    width, height = page.pulse_field_mm + page.strip_mm, len(page.rows) * page.row_mm
    grid = np.zeros((page.height_px, page.width_px), dtype=np.uint8)
    field = grid[
        round(top * scale) : round((top + height) * scale) + 1, round(left * scale) : round((left + width) * scale) + 1
    ]
    for every_mm, thick_mm, colour in ((1, _FINE_MM, _FINE), (5, _COARSE_MM, _COARSE)):
        thick = max(1, round(thick_mm * scale))
        for lines, start, size in ((field.T, left, width), (field, top, height)):
            for mm in range(0, int(size) + 1, every_mm):
                # The whole pixels nearest to the exact place: crisp lines are easier to count.
                first = round((start + mm) * scale - thick / 2) - round(start * scale)
                lines[max(first, 0) : first + thick] = colour

    image = Image.new("L", (page.width_px, page.height_px))
    draw = ImageDraw.Draw(image)
    font = ImageFont.load_default(_TEXT_MM * scale)
    about = f"{page.speed_mm_per_s:g} mm/s    {page.gain_mm_per_mv:g} mm/mV    Research use only"
    draw.text((left * scale, (top - 2) * scale), about, fill=255, font=font, anchor="ls")
    for row, names in enumerate(page.rows):
        for column, name in enumerate(names):
            x_mm, y_mm = page.left_mm + page.strip_mm * column / len(names) + 1, top + row * page.row_mm + 2
            draw.text((x_mm * scale, y_mm * scale), name, fill=255, font=font, anchor="lt")
    ink = np.array(image)
    at_mm = np.linspace(0, page.pulse_field_mm, 1001)
    pulse_mv = (2 * np.abs(at_mm - page.pulse_field_mm / 2) <= _PULSE_S * page.speed_mm_per_s).astype(np.float64)
    for row in range(len(page.rows)):
        y_px = page.baseline_mm(row) * scale
        draw_trace(ink, pulse_mv, left * scale, at_mm[1] * scale, y_px, page.gain_mm_per_mv * scale, page.pen_px)
    return grid, ink


@lru_cache(maxsize=1)
def _palette() -> Pixels:
    """(15, 3) RGB."""
    grounds, quarters = np.array(_GROUNDS_RGB)[:, None], np.arange(5)[:, None] / 4
    return (grounds + quarters * (_INK_RGB - grounds)).round().astype(np.uint8).reshape(-1, 3)
