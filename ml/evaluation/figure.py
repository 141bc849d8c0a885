"""The picture of an evaluation.

Two classes: ROC, calibration and decision curves. Several: one confusion matrix per model. Numbers: predicted against
measured, and Bland and Altman's differences (doi:10.1016/S0140-6736(86)90837-8). Drawn without pyplot, so that no global
state is touched. The baseline is left out where it is a point.
"""

from __future__ import annotations

from math import ceil
from pathlib import Path
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from sklearn.metrics import roc_curve

from ml.evaluation.decision import THRESHOLDS, mean_net_benefit
from ml.evaluation.intervals import Estimate, Float
from ml.evaluation.report import headline

if TYPE_CHECKING:
    from ml.evaluation.result import Evaluation, ModelResult

# Okabe and Ito's palette without yellow, told apart by colour-blind readers; then the same again, dashed.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
_GREY = "#666666"
_DPI = 150
_FALSE_POSITIVE_RATES: Float = np.linspace(0, 1, 201)


def draw(evaluation: Evaluation, path: Path) -> None:
    """Write the picture; the suffix of the path says in which format."""
    shown = [model for model in evaluation.models if not model.is_baseline]
    if evaluation.problem.task.kind == "two classes":
        figure, (roc, calibration, decision) = _panels(1, 3)
        _roc(roc, evaluation, shown)
        _calibration(calibration, shown)
        _decision(decision, evaluation, shown)
    elif evaluation.problem.task.kind == "several classes":
        figure, panels = _panels(ceil(len(shown) / 3), min(3, len(shown)))
        for panel, model in zip(panels, shown, strict=False):
            _confusion(panel, evaluation, model)
        for panel in panels[len(shown) :]:
            panel.set_axis_off()
    else:
        figure, panels = _panels(len(shown), 2)
        for i, model in enumerate(shown):
            _agreement(panels[2 * i], panels[2 * i + 1], evaluation, model, COLOURS[i % len(COLOURS)])
    figure.suptitle(fill(headline(evaluation), int(16 * figure.get_figwidth())), fontsize=8.5, color=_GREY)
    figure.savefig(path, dpi=_DPI)


def mean_roc(labels: np.ndarray, scores: Float) -> tuple[Float, Float]:
    """False and true positive rates of the mean ROC curve over (repeats, n) scores.

    True positive rates are averaged at equal false positive rates, so that the area is close to the mean of the areas.
    """
    curves = [np.interp(_FALSE_POSITIVE_RATES, *roc_curve(labels, score)[:2]) for score in scores]
    return np.r_[0, _FALSE_POSITIVE_RATES], np.r_[0, np.mean(curves, axis=0)]


def _panels(n_rows: int, n_columns: int) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(4.8 * n_columns, 5.0 * n_rows + 0.5), layout="constrained")
    FigureCanvasAgg(figure)
    panels = figure.subplots(n_rows, n_columns, squeeze=False).ravel().tolist()
    for panel in panels:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, panels


def _style(i: int) -> dict[str, Any]:
    """Keywords of a curve, which matplotlib types one by one."""
    return {"color": COLOURS[i % len(COLOURS)], "linestyle": "-" if i < len(COLOURS) else "--"}


def _roc(axes: Axes, evaluation: Evaluation, shown: list[ModelResult]) -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":", label="no information")
    for i, model in enumerate(shown):
        rates = mean_roc(evaluation.problem.truth, model.predicted[..., 1])
        axes.plot(*rates, **_style(i), label=f"{model.name}: AUC {_short(model.metrics['auc'])}")
    axes.set(xlabel="1 - specificity", ylabel="sensitivity", title="ROC, mean of the repeats", aspect="equal")
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    _legend(axes)


def _calibration(axes: Axes, shown: list[ModelResult]) -> None:
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=0.8, linestyle=":", label="perfect")
    for i, model in enumerate(shown):
        bins = model.calibration
        x, y = np.array([one.predicted for one in bins]), np.array([one.observed for one in bins])
        error = [y - [one.low for one in bins], [one.high for one in bins] - y]
        slope, intercept = model.metrics["calibration_slope"], model.metrics["calibration_intercept"]
        label = f"{model.name}: slope {_short(slope)}, intercept {_short(intercept)}"
        axes.plot(x, y, marker="o", markersize=4, **_style(i), label=label)
        axes.errorbar(x, y, yerr=error, fmt="none", ecolor=_style(i)["color"], elinewidth=0.8, alpha=0.5)
    axes.set(
        xlabel="predicted probability", ylabel="observed share (95 % interval)", title="Calibration", aspect="equal"
    )
    axes.set(xlim=(-0.01, 1.01), ylim=(-0.01, 1.01))
    _legend(axes)


def _decision(axes: Axes, evaluation: Evaluation, shown: list[ModelResult]) -> None:
    labels = np.asarray(evaluation.problem.truth, dtype=np.int64)
    share = float(labels.mean())
    one = np.ones((1, len(labels)))
    everybody = mean_net_benefit(labels, [one[0]], one)[0]
    axes.axhline(0, color="black", linewidth=0.8, label="treat nobody")
    axes.plot(THRESHOLDS, everybody, color=_GREY, linewidth=0.8, linestyle="--", label="treat everybody")
    for i, model in enumerate(shown):
        benefit = mean_net_benefit(labels, model.predicted[..., 1], one)[0]
        axes.plot(THRESHOLDS, benefit, **_style(i), label=model.name)
    axes.set(xlabel="probability from which one would treat", ylabel="net benefit (useful treatments per patient)")
    axes.set(xlim=(0, 1), ylim=(-0.25 * share, 1.05 * share), title="Decision curve")
    _legend(axes)


def _confusion(axes: Axes, evaluation: Evaluation, model: ModelResult) -> None:
    names = evaluation.problem.task.classes
    truth = np.asarray(evaluation.problem.truth, dtype=np.int64)
    called = model.predicted.argmax(axis=-1)
    counts = np.zeros((len(names), len(names)))
    np.add.at(counts, (np.broadcast_to(truth, called.shape), called), 1 / len(called))
    shares = counts / counts.sum(axis=1, keepdims=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(names)):
        for column in range(len(names)):
            text = f"{counts[row, column]:.1f}\n{100 * shares[row, column]:.0f} %"
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=9)
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names, rotation=90, va="center")
    title = f"{model.name}\naccuracy {_short(model.metrics['accuracy'])}"
    axes.set(xlabel="called", ylabel="true (rows, mean of the repeats)", title=title)


def _agreement(left: Axes, right: Axes, evaluation: Evaluation, model: ModelResult, colour: str) -> None:
    truth, mean = evaluation.problem.truth, model.predicted.mean(axis=0)
    ends = [min(truth.min(), mean.min()), max(truth.max(), mean.max())]
    left.plot(ends, ends, color=_GREY, linewidth=0.8, linestyle=":")
    left.scatter(truth, mean, s=12, alpha=0.6, color=colour, edgecolors="none")
    numbers = f"MAE {_short(model.metrics['mae'])}, r {_short(model.metrics['correlation'])}"
    left.set(xlabel="measured", ylabel="predicted, mean of the repeats", title=f"{model.name}\n{numbers}")
    difference = mean - truth
    right.scatter((mean + truth) / 2, difference, s=12, alpha=0.6, color=colour, edgecolors="none")
    bias, spread = difference.mean(), difference.std(ddof=1)
    for level, style in ((bias, "-"), (bias - 1.96 * spread, "--"), (bias + 1.96 * spread, "--")):
        right.axhline(level, color=_GREY, linewidth=0.8, linestyle=style)
        right.annotate(
            f"{level:.3g}", (1, level), xycoords=("axes fraction", "data"), ha="right", va="bottom", fontsize=8
        )
    right.set(xlabel="mean of both", ylabel="predicted - measured", title="Bland-Altman: bias ± 1.96 SD")


def _legend(axes: Axes) -> None:
    """Below the panel, where it hides no curve."""
    axes.legend(loc="upper left", bbox_to_anchor=(0, -0.13), fontsize=8, frameon=False)


def _short(estimate: Estimate) -> str:
    if not np.isfinite(estimate.value):
        return "not defined"
    return f"{estimate.value:.2f}" + (f" ({estimate.low:.2f} to {estimate.high:.2f})" if estimate.has_interval else "")
