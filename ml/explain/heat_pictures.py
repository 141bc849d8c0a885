"""Pictures of heat maps: on the page, along the leads, on slices; and which leads how often.

A scale from 0 to the hottest place of each ECG, since heat has no unit that compares between ECGs.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.collections import LineCollection
from numpy.typing import NDArray

from ml.ecg.recording import CHEST_LEADS, LIMB_LEADS, STANDARD_LEADS
from ml.explain.figures import COOL, GREY, HEAT, WARM, lead_panels, panels, plain, write
from ml.explain.leads import GROUPS, PUBLISHED, Highlighted
from ml.page_image import MODEL_HEIGHT_MV, MODEL_ROW_MV, MODEL_ROWS
from ml.trace_raster import Pixels

Heat = NDArray[np.float32]


def draw_page_heat(images: Pixels, maps: Heat, titles: Sequence[str], path: Path) -> None:
    """(n, 1, size, size) pages of `model_image` with their maps of the same shape behind the traces."""
    figure, drawn = panels(1, len(images), width=4.2, height=4.4)
    for panel, image, heat, title in zip(drawn, images[:, 0], maps[:, 0], titles, strict=True):
        size = len(heat)
        panel.imshow(_unit(heat), cmap=HEAT, vmin=0, vmax=1.35, interpolation="nearest")
        panel.imshow(np.zeros_like(heat), cmap="gray", vmin=0, alpha=image / 255.0, interpolation="nearest")
        columns = len(MODEL_ROWS[0])
        for column in range(1, columns):
            at_px = column * size / columns - 0.5
            panel.axvline(at_px, color=GREY, linewidth=1.2 if 2 * column == columns else 0.4, linestyle="--")
        for row, names in enumerate(MODEL_ROWS):
            for column, name in enumerate(names):
                depth_mv = MODEL_HEIGHT_MV / 2 + (row - 1) * MODEL_ROW_MV + 0.6
                panel.text(
                    (column + 0.03) * size / columns, depth_mv * size / MODEL_HEIGHT_MV, name, fontsize=7, va="center"
                )
        panel.set_title(plain(title), fontsize=9)
        panel.set_xticks([])
        panel.set_yticks([])
    write(figure, path)


def draw_lead_heat(signals: Heat, maps: Heat, title: str, path: Path, *, whole: Heat | None = None) -> None:
    """(12, t) one recording, its traces coloured by their maps of the same shape.

    With `whole`, the maps of all leads of all recordings, scale and percentages are those of all.
    """
    figure, drawn = lead_panels("sample of what the network reads")
    everything = maps if whole is None else whole
    top, total = max(float(everything.max()), 1e-30), max(float(everything.sum()), 1e-30)
    at = np.arange(signals.shape[1], dtype=np.float64)
    for lead, panel in drawn.items():
        i = STANDARD_LEADS.index(lead)
        points = np.stack([at, signals[i].astype(np.float64)], axis=1)
        lines = LineCollection(list(np.stack([points[:-1], points[1:]], axis=1)), cmap=HEAT, linewidths=2.2)
        lines.set_array((maps[i, 1:] + maps[i, :-1]) / (2 * top))
        lines.set_clim(-0.25, 1)
        panel.add_collection(lines)
        panel.autoscale_view()
        if whole is not None:
            panel.set_title(f"{lead}: {maps[i].sum() / total:.0%}", fontsize=9)
    figure.suptitle(plain(title), fontsize=9)
    write(figure, path)


def draw_slice_heat(slices: Heat, maps: Heat, title: str, path: Path) -> None:
    """(slices, 2, height, width) one patient, outlines of myocardium and scar on the (slices, height, width) maps."""
    there = [i for i in range(len(slices)) if not np.isnan(slices[i, 0, 0, 0])]
    columns = min(5, len(there))
    figure, drawn = panels(-(-len(there) // columns), columns, width=2.3, height=2.3)
    heat = _unit(maps)
    for panel in drawn:
        panel.set_axis_off()
    for panel, i in zip(drawn, there, strict=False):
        panel.imshow(heat[i], cmap=HEAT, vmin=0, vmax=1.35)
        for channel, colour in ((0, GREY), (1, COOL)):
            if np.ptp(slices[i, channel]) > 0:
                panel.contour(slices[i, channel], levels=[0.5], colors=colour, linewidths=1)
        panel.set_title(f"slice {i}", fontsize=8)
    figure.suptitle(f"{plain(title)}; grey: myocardium, blue: scar", fontsize=9)
    write(figure, path)


def draw_counts(counts: dict[Highlighted, int], shares: NDArray[np.floating] | None, path: Path) -> None:
    """How many ECGs highlight which leads, beside the published shares; and the mean share of each lead, if known."""
    figure, drawn = panels(1, 1 if shares is None else 2, width=5.0, height=3.2)
    total = max(sum(counts.values()), 1)
    places = np.arange(len(GROUPS))
    published = [PUBLISHED.get(group, 0) / sum(PUBLISHED.values()) for group in GROUPS]
    ours = [counts[group] / total for group in GROUPS]
    drawn[0].bar(places - 0.2, ours, 0.38, color=WARM, label=f"here, {sum(counts.values())} ECGs")
    drawn[0].bar(places + 0.2, published, 0.38, color=GREY, label="Mori 2025, 36 responders")
    drawn[0].set_xticks(places, GROUPS)
    drawn[0].set(ylabel="share of the ECGs", title="Leads highlighted")
    drawn[0].legend(fontsize=8, frameon=False)
    if shares is not None:
        colours = [COOL] * len(LIMB_LEADS) + [WARM] * len(CHEST_LEADS)
        drawn[1].bar(STANDARD_LEADS, shares, color=colours)
        drawn[1].axhline(1 / len(STANDARD_LEADS), color=GREY, linewidth=0.8, linestyle=":")
        drawn[1].tick_params(axis="x", labelsize=8)
        drawn[1].set(ylabel="mean share of the heat", title="By lead (dotted: even)")
    write(figure, path)


def _unit(heat: Heat) -> Heat:
    """From 0 to 1 at the hottest place."""
    top = np.nanmax(heat)
    scaled: Heat = heat / top if top > 0 else heat
    return scaled
