"""How fast `ml.page_image` draws, beside matplotlib drawing the same page and the same model image in the same run."""

from collections.abc import Callable
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from PIL import Image

from ml.ecg.recording import STANDARD_LEADS, Ecg, Float
from ml.page_image import MODEL_HEIGHT_MV, MODEL_ROW_MV, MODEL_ROWS, Page, model_image, write_page

RATE_HZ = 500.0
BATCH = 32


def medians(*runs: Callable[[], object], times: int = 7) -> list[float]:
    """Median seconds of each run, taken in turns after one warm-up call: processor time, which other work disturbs least."""
    for run in runs:
        run()
    seconds = np.empty((times, len(runs)))
    for turn in seconds:
        for i, run in enumerate(runs):
            start = process_time()
            run()
            turn[i] = process_time() - start
    return [median(column) for column in seconds.T.tolist()]


def made_up_signals(n: int) -> Float:
    """(n, 12, 5000) one beat a second of three bells, and 0.02 mV of noise, as on a plain recording."""
    rng = np.random.default_rng(0)
    time_s = np.arange(5000) / RATE_HZ % 1.0
    bells = np.exp(-0.5 * ((time_s - np.array([[0.2], [0.37], [0.65]])) / np.array([[0.03], [0.015], [0.05]])) ** 2)
    return rng.uniform(-1, 1, (n, 12, 3)) * (0.2, 1.5, 0.4) @ bells + 0.02 * rng.standard_normal((n, 12, 5000))


def empty_figure(width_px: int, height_px: int, dpi: float) -> Figure:
    figure = Figure(figsize=(width_px / dpi, height_px / dpi), dpi=dpi)
    FigureCanvasAgg(figure)
    return figure


def matplotlib_page(ecg: Ecg, page: Page, path: Path, *, usual: bool) -> None:
    """The page in one pair of axes in mm; its grid by ticks, as usual, or as two collections: the fewest artists."""
    width, height = page.width_px / page.px_per_mm, page.height_px / page.px_per_mm
    figure = empty_figure(page.width_px, page.height_px, page.dpi)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, width), ylim=(height, 0))
    left, right = page.left_mm - page.pulse_field_mm, page.left_mm + page.strip_mm
    top, bottom = page.top_mm, page.top_mm + len(page.rows) * page.row_mm
    at = [(np.arange(left, right + 0.1, every), np.arange(top, bottom + 0.1, every)) for every in (5, 1)]
    if usual:
        axes.set_xlim(left, right)
        axes.set_ylim(bottom, top)
        axes.set_position((left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height))
        for (xs, ys), minor, line_width in zip(at, (False, True), (0.7, 0.3), strict=True):
            axes.set_xticks(xs, minor=minor)
            axes.set_yticks(ys, minor=minor)
            axes.grid(which="minor" if minor else "major", color="#ec8282", linewidth=line_width)
        axes.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
    else:
        axes.axis("off")
        for (xs, ys), line_width in zip(at, (0.7, 0.3), strict=True):
            lines = [((x, top), (x, bottom)) for x in xs] + [((left, y), (right, y)) for y in ys]
            axes.add_collection(LineCollection(lines, colors="#ec8282", linewidths=line_width), autolim=False)
    for row, names in enumerate(page.rows):
        zero, panel = page.baseline_mm(row), page.strip_mm / len(names)
        pulse = left + np.array([0, 2.5, 2.5, 7.5, 7.5, 10])
        axes.plot(pulse, zero - page.gain_mm_per_mv * np.array([0, 0, 1, 1, 0, 0]), color="black", linewidth=0.85)
        for column, name in enumerate(names):
            start, samples = page.left_mm + column * panel, round(panel / page.speed_mm_per_s * ecg.rate_hz)
            part = ecg.lead(name)[column * samples : (column + 1) * samples + 1]
            x = start + np.arange(len(part)) / ecg.rate_hz * page.speed_mm_per_s
            axes.plot(x, zero - page.gain_mm_per_mv * part, color="black", linewidth=0.85)
            axes.text(start + 1, top + row * page.row_mm + 5, name, fontsize=11)
    axes.text(left, top - 2, "25 mm/s    10 mm/mV    Research use only", fontsize=11)
    figure.savefig(path)


def matplotlib_model_image(signal_mv: Float, size: int) -> None:
    figure = empty_figure(size, size, 100.0)
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 10), ylim=(-MODEL_HEIGHT_MV / 2, MODEL_HEIGHT_MV / 2))
    axes.axis("off")
    for row, names in enumerate(MODEL_ROWS):
        for column, name in enumerate(names):
            part = signal_mv[STANDARD_LEADS.index(name), 1250 * column : 1250 * (column + 1) + 1]
            axes.plot(
                2.5 * column + np.arange(len(part)) / RATE_HZ, part - (row - 1) * MODEL_ROW_MV, "k", linewidth=0.72
            )
    figure.canvas.draw()
    np.asarray(figure.canvas.buffer_rgba())[..., 0].copy()


@pytest.mark.benchmark
def test_page_rate(tmp_path: Path) -> None:
    ecg = Ecg(leads=STANDARD_LEADS, signal_mv=made_up_signals(1)[0], rate_hz=RATE_HZ)
    paths = [tmp_path / name for name in ("ours.png", "usual.png", "lean.png")]
    seconds = medians(
        lambda: write_page(ecg, paths[0]),
        lambda: matplotlib_page(ecg, Page(), paths[1], usual=True),
        lambda: matplotlib_page(ecg, Page(), paths[2], usual=False),
    )
    for path in paths:
        with Image.open(path) as image:
            assert image.size == (2200, 1700)
    print("\npage with grid, 2200 x 1700 to PNG")
    for what, path, one in zip(
        ("ours", "matplotlib, grid by ticks", "matplotlib, grid as lines"), paths, seconds, strict=True
    ):
        size_kb = path.stat().st_size / 1e3
        print(f"  {what:26s} {one * 1e3:7.1f} ms  {size_kb:4.0f} kB  {one / seconds[0]:6.1f} x as long")


@pytest.mark.benchmark
@pytest.mark.parametrize("size", [112, 224])
def test_model_image_rate(size: int) -> None:
    signals = made_up_signals(BATCH)
    batch, single, other = medians(
        lambda: model_image(signals, RATE_HZ, size=size),
        lambda: model_image(signals[:1], RATE_HZ, size=size),
        lambda: matplotlib_model_image(signals[0], size),
    )
    print(f"\nmodel image, {size} px, 12 leads of 10 s at 500 Hz")
    print(f"  in a batch of {BATCH}  {batch / BATCH * 1e3:7.2f} ms each")
    print(f"  one alone        {single * 1e3:7.2f} ms")
    print(f"  matplotlib       {other * 1e3:7.2f} ms; {other / batch * BATCH:.0f} x as long")
