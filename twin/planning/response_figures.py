"""Figures of the test of a response model: models beside the ceiling, calibration, learning, held-out groups, policies."""

from collections.abc import Mapping

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ml.evaluation.intervals import Estimate
from twin.planning.policy import MODEL, PolicyTest
from twin.planning.response_results import HeldOut, ResponseEvaluation

# Okabe and Ito's palette, told apart by colour-blind readers.
BLUE, RED, GREEN, ORANGE, GREY = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#666666"
COLOURS = (BLUE, RED, GREEN, ORANGE)


def panels(count: int, *, width: float = 4.6, height: float = 4.0) -> tuple[Figure, list[Axes]]:
    """A figure of panels side by side, without pyplot."""
    figure = Figure(figsize=(width * count, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.subplots(1, count, squeeze=False).ravel().tolist()
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure, axes


def forest(axes: Axes, estimates: Mapping[str, Estimate], *, colour: str = BLUE, first: str | None = None) -> None:
    """One line per estimate with its interval, the first on top; `first` in another colour."""
    for i, (name, one) in enumerate(estimates.items()):
        ink = RED if name == first else colour
        axes.plot([one.low, one.high], [-i, -i], color=ink, linewidth=2, solid_capstyle="butt")
        axes.plot([one.value], [-i], marker="o", color=ink, markersize=5)
    axes.set_yticks([-i for i in range(len(estimates))], list(estimates))
    axes.set_ylim(-len(estimates) + 0.4, 0.6)


def models_figure(found: ResponseEvaluation) -> Figure:
    """AUC of every model beside the ceiling; and calibration of ours."""
    figure, (left, right) = panels(2, width=5.6, height=4.4)
    areas = {name: one.metrics["auc"] for name, one in found.models.items()}
    forest(left, areas, first=next(iter(areas)))
    left.axvline(0.5, color=GREY, linewidth=0.8, linestyle=":")
    if found.ceiling is not None:
        left.axvspan(found.ceiling.low, found.ceiling.high, color=GREEN, alpha=0.15, linewidth=0)
        left.axvline(found.ceiling.value, color=GREEN, linewidth=1.5)
        left.set_title("green: the truth itself, the ceiling", fontsize=9, color=GREEN)
    left.set_xlabel("AUC, 95 % interval over patients")
    _calibration(right, found)
    return figure


def _calibration(axes: Axes, found: ResponseEvaluation) -> None:
    x = np.array([one.predicted for one in found.calibration])
    y = np.array([one.observed for one in found.calibration])
    error = [y - [one.low for one in found.calibration], [one.high for one in found.calibration] - y]
    axes.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    axes.errorbar(x, y, yerr=error, color=RED, marker="o", markersize=4, elinewidth=1)
    axes.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xlabel="predicted probability", ylabel="share that responded")


def curve_figure(found: ResponseEvaluation) -> Figure:
    """Learning curve, and the calibration slopes of a perfect model."""
    figure, axes = panels(2 if found.perfect else 1, width=5.6)
    for i, name in enumerate(found.curve[0].auc):
        x = [point.patients for point in found.curve]
        mean, low, high = np.array([point.auc[name] for point in found.curve]).T
        axes[0].plot(x, mean, marker="o", markersize=4, color=COLOURS[i], label=name)
        axes[0].fill_between(x, low, high, color=COLOURS[i], alpha=0.15, linewidth=0)
    if found.ceiling is not None:
        axes[0].axhline(found.ceiling.value, color=GREEN, linewidth=1.5, linestyle="--", label="the truth itself")
    axes[0].set(xscale="log", xlabel="patients trained on", ylabel="AUC on the others; band: range of the draws")
    axes[0].set_xticks([point.patients for point in found.curve], [str(point.patients) for point in found.curve])
    axes[0].minorticks_off()
    axes[0].legend(frameon=False, fontsize=8, loc="lower right")
    if found.perfect:
        axes[1].axhspan(0.9, 1.1, color=GREEN, alpha=0.2, linewidth=0)
        for i, one in enumerate(found.perfect):
            axes[1].plot([i, i], [one.low, one.high], color=BLUE, linewidth=2)
            axes[1].plot([i], [one.median], marker="o", color=BLUE)
            axes[1].annotate(f"{100 * one.outside:.0f} % outside", (i, one.high), ha="center", va="bottom", fontsize=8)
        axes[1].set_xticks(range(len(found.perfect)), [str(one.patients) for one in found.perfect])
        axes[1].set(
            xlabel="patients",
            ylabel="calibration slope of a perfect model (95 %)",
            xlim=(-0.6, len(found.perfect) - 0.4),
        )
    return figure


def held_out_figure(found: ResponseEvaluation) -> Figure:
    """AUC at home and away, and how many the model abstains for, by wall and by centre."""
    held = [(title, one) for title, one in (("wall", found.walls), ("centre", found.centres)) if one is not None]
    figure, axes = panels(2 * len(held), width=4.0, height=3.8)
    for i, (title, one) in enumerate(held):
        _home_and_away(axes[2 * i], one, title)
        _flags(axes[2 * i + 1], one, title)
    return figure


def _home_and_away(axes: Axes, held: HeldOut, title: str) -> None:
    for shift, colour, which in ((0.12, BLUE, "auc_home"), (-0.12, RED, "auc_out")):
        for i, group in enumerate(held.groups.values()):
            one: Estimate = getattr(group, which)
            axes.plot([one.low, one.high], [shift - i] * 2, color=colour, linewidth=2, label=None if i else which[4:])
            axes.plot([one.value], [shift - i], marker="o", color=colour, markersize=4)
    names = [f"{name} ({group.patients})" for name, group in held.groups.items()]
    axes.set_yticks([-i for i in range(len(names))], names)
    axes.set_xlabel("AUC: in training (blue), held out (red)")
    axes.set_title(f"by {title}", fontsize=10)


def _flags(axes: Axes, held: HeldOut, title: str) -> None:
    names = list(held.groups)
    for shift, colour, which in ((0.2, BLUE, "flagged_home"), (-0.2, RED, "flagged_out")):
        shares = [100 * getattr(group, which).estimate.value for group in held.groups.values()]
        axes.barh([shift - i for i in range(len(names))], shares, height=0.36, color=colour)
    axes.set_yticks([-i for i in range(len(names))], names)
    axes.set_xlabel("patients abstained for, %")
    axes.set_title(f"by {title}", fontsize=10)


def families_figure(found: ResponseEvaluation) -> Figure:
    """AUC that each family adds to the clinical ones, and that all lose without it."""
    figure, (left, right) = panels(2, width=5.0, height=3.4)
    forest(left, {name: one.added for name, one in found.families.items() if one.added is not None})
    forest(right, {name: one.dropped for name, one in found.families.items()})
    left.set_xlabel("AUC gained when added to the clinical ones")
    right.set_xlabel("AUC lost when taken from all")
    for one in (left, right):
        one.axvline(0, color=GREY, linewidth=0.8, linestyle=":")
    return figure


def policy_figure(policy: PolicyTest) -> Figure:
    """True chance of response, and regret, of each way of choosing the site."""
    figure, (left, right) = panels(2, width=5.6, height=3.6)
    order = sorted(policy.values, key=lambda name: -policy.values[name].probability.value)
    forest(left, {name: policy.values[name].probability for name in order}, first=MODEL)
    forest(right, {name: policy.values[name].regret for name in order}, first=MODEL)
    left.set_xlabel("true chance of response, mean over patients")
    right.set_xlabel("regret: the oracle has so much more")
    right.set_yticklabels([])
    return figure
