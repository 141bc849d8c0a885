"""A repeated study as one page, one JSON file, and its figures."""

from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from ml.evaluation.intervals import wilson
from ml.evaluation.metrics import METRICS
from ml.evaluation.published import Published
from twin.planning.report.sections import Picture, Section, Table, page
from twin.planning.response_cohort import LABELS, Bool, Float
from twin.planning.response_figures import BLUE, COLOURS, GREEN, GREY, RED, panels
from twin.planning.response_page import VIRTUAL, write_page
from twin.planning.study import POSITIVE, Pilot, StudyResult
from twin.planning.study_plans import Arm, Study

_NONE = "–"
_PILOT_PUBLISHED = {"no": 8, "elsewhere": 5, "of": 13}  # known from a summary only
_TITLES = {name: one.title for name, one in METRICS.items()} | {"bootstrap_auc": "bootstrap mean AUC"}


def write_study(name: str, result: StudyResult, out: Path) -> None:
    """Write report.html, study.json and every figure as SVG into a folder; all or nothing."""
    study = result.study
    sections = [_numbers(result), *([] if result.pilot is None else [_pilot(result, result.pilot)]), _unknown(study)]
    subtitle = (
        f"{result.repeats} virtual cohorts of {study.patients}"
        + (f" and {study.pilot}" if study.pilot else "")
        + f", each drawn without replacement from {result.pool} virtual patients. Label: {LABELS[study.label].meaning}. "
        f"crt-twin {version('crt-twin')}."
    )
    html = page(f"{study.title}, repeated on virtual patients", subtitle, VIRTUAL, answers(result), sections)
    write_page(out, html, study_json(name, result), "study.json", sections)


def study_json(name: str, result: StudyResult) -> dict[str, Any]:
    """Every number of every repeat."""
    return {
        "format": 1,
        "intended_use": "research",
        "population": "virtual patients",
        "study": name,
        "version": version("crt-twin"),
        "repeats": result.repeats,
        "pool": result.pool,
        "arms": {arm: dict(metrics) for arm, metrics in result.arms.items()},
        "majority_accuracy": result.majority,
        "ceiling_auc": result.ceiling,
        "pilot": None if result.pilot is None else asdict(result.pilot),
        "published": [asdict(one) for one in result.study.published],
        "unknown": result.study.unknown,
    }


def answers(result: StudyResult) -> list[str]:
    """What the page says, in a few sentences."""
    study = result.study
    name, metrics = next(iter(result.arms.items()))
    first = study.shown[0]
    lines = [
        (
            f"In virtual cohorts of {study.patients}, {name} had {_titled(first)} {_spread(metrics[first])} (mean, and range of "
            f"95 % of the cohorts); always calling the commoner outcome had an accuracy of {_spread(result.majority)}, and the "
            f"truth itself an AUC of {_spread(result.ceiling)}."
        )
    ]
    own = study.arms[0].published
    if own is not None and first in own.values:
        lines.append(
            f"Published, on real patients: {_titled(first)} {_published(study, own, first)}. "
            f"{100 * np.mean(metrics[first] >= own.values[first]):.0f} % of the virtual cohorts reached it. A difference is "
            "no finding: other patients, and not the same classifier."
        )
    if result.pilot is not None:
        lines += _pilot_answers(result.pilot)
    return lines


def _numbers(result: StudyResult) -> Section:
    study = result.study
    shown = [*study.shown, *(["bootstrap_auc"] if "auc" in study.shown and study.pilot else [])]
    rows = []
    for arm in study.arms:
        values = result.arms[arm.name]
        rows += [
            (f"{arm.name}: {_titled(one)}", _spread(values[one]), *_beside(study, arm, one, values[one]))
            for one in shown
        ]
    rows += [
        ("always the commoner outcome: accuracy", _spread(result.majority), _NONE, _NONE),
        ("the truth itself: AUC", _spread(result.ceiling), _NONE, _NONE),
        ("share that responded", _spread(result.responders), _NONE, _NONE),
    ]
    published = tuple(
        (
            f"{one.study}: {one.model}",
            ", ".join(f"{_titled(name)} {_published(study, one, name)}" for name in one.values),
            str(one.patients or "not known"),
            "; ".join(part for part in (one.remark, one.source) if part),
        )
        for one in study.published
    )
    how = {"folds": "stratified 5-fold cross-validation", "80/20": "four fifths to train on, one to test"}[study.split]
    averaged = f", mean over {study.seeds} splits" if study.seeds > 1 else ""
    averaged += ", mean over the folds" if study.over_folds else ""
    tables = [
        Table(
            caption="Mean over the virtual cohorts, and the range that holds 95 % of them. Published: the study's own "
            "model, its numbers as printed; Wilson's 95 % interval where the counts are known.",
            header=(
                "virtual patients",
                "mean (95 % of the cohorts)",
                "published, real patients",
                "cohorts that reach it",
            ),
            rows=tuple(rows),
        )
    ]
    if published:
        tables.append(
            Table(
                caption="All that was published and is known to us. Intervals: Wilson, computed here.",
                header=("published", "numbers", "patients", "remarks and source"),
                rows=published,
            )
        )
    return Section(
        title="Which numbers could such a study see?",
        text=(f"In each cohort: {how}{averaged}. Nothing is kept from one cohort to the next.",),
        pictures=(
            Picture(
                name="numbers",
                caption="How often each number was seen in the virtual cohorts. Black line: published on real patients; grey "
                "band: its Wilson interval where computable. Dashed: mean of always calling the commoner outcome (accuracy) "
                "or of the truth itself (AUC).",
                figure=_histograms(result),
            ),
        ),
        tables=tuple(tables),
    )


def _histograms(result: StudyResult) -> Figure:
    study = result.study
    shown = study.shown[:5]
    figure, axes = panels(len(shown), width=min(3.6, 15 / len(shown)), height=3.4)
    for panel, metric in zip(axes, shown, strict=True):
        values = {name: one[metric][np.isfinite(one[metric])] for name, one in result.arms.items()}
        edges = np.linspace(
            min(v.min() for v in values.values()), max(v.max() for v in values.values()) + 1e-9, 25
        ).tolist()
        for i, (name, one) in enumerate(values.items()):
            panel.hist(
                one,
                edges,
                histtype="stepfilled" if i == 0 else "step",
                color=COLOURS[i],
                alpha=0.45 if i == 0 else 1.0,
                label=name,
            )
        own = study.arms[0].published
        if own is not None and metric in own.values:
            panel.axvline(own.values[metric], color="black", linewidth=1.5)
            counted = _counts(study, own, metric)
            if counted is not None:
                panel.axvspan(*wilson(*counted), color=GREY, alpha=0.15, linewidth=0)
        other = {"accuracy": result.majority, "auc": result.ceiling}.get(metric)
        if other is not None:
            panel.axvline(float(other.mean()), color=GREEN, linewidth=1.5, linestyle="--")
        panel.set(xlabel=_titled(metric), yticks=[])
        panel.spines["left"].set_visible(False)
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside upper left", ncols=len(labels) if len(shown) > 3 else 1, frameon=False, fontsize=9
    )
    return figure


def _pilot(result: StudyResult, pilot: Pilot) -> Section:
    moved = pilot.promising
    none = ~moved
    low, high = wilson(_PILOT_PUBLISHED["no"], _PILOT_PUBLISHED["of"])
    per_cohort = _per_cohort(pilot, none)
    rows = (
        (
            f"no reachable site with a predicted chance of {POSITIVE:g} or more",
            _percent(none),
            f"{_spread(100 * per_cohort, 0)} %",
            f"8 of 13, 62 % ({100 * low:.0f} to {100 * high:.0f})",
        ),
        (
            "such a site elsewhere",
            _percent(moved),
            f"{_spread(100 * (1 - per_cohort), 0)} %",
            f"5 of 13, 38 % ({100 * (1 - high):.0f} to {100 * (1 - low):.0f})",
        ),
    )
    here, there, best = pilot.chance_here, pilot.chance_there, pilot.chance_best
    by_group = (moved, none)
    in_truth = (
        ("true chance of response where the lead was put", *(_mean(here[one]) for one in by_group)),
        ("at the model's best site", *(_mean(there[one]) for one in by_group)),
        ("at the truly best reachable site", *(_mean(best[one]) for one in by_group)),
        ("for whom the model's site is truly better", *(_percent(there[one] > here[one]) for one in by_group)),
        ("true chance at the model's site is 0.5 or more", *(_percent(there[one] >= POSITIVE) for one in by_group)),
        ("a reachable site of 0.5 or more exists in truth", *(_percent(best[one] >= POSITIVE) for one in by_group)),
        ("true change of LVESV by moving, %", *(_mean(pilot.moved_percent[one], 1) for one in by_group)),
    )
    return Section(
        title=f"The pilot of {result.study.pilot}: is there another site, and would it have helped?",
        text=(
            (
                f"The model of each cohort of {result.study.patients} is asked about every reachable site of the "
                f"non-responders of another {result.study.pilot} virtual patients ({len(moved)} non-responders over "
                "all cohorts). What would have become of them there is known of virtual patients only."
            ),
        ),
        pictures=(
            Picture(
                name="pilot",
                caption="Left: share of a pilot's non-responders without a promising reachable site; black: published, "
                "with its Wilson interval. Right: true chance of response where the lead was put and at the model's site, "
                "non-responders with a promising site; above the diagonal moving helps.",
                figure=_pilot_figure(pilot, per_cohort),
            ),
        ),
        tables=(
            Table(
                caption="Non-responders of the pilots. Published: a pilot of 19 real patients, known from a summary.",
                header=("non-responders with", "all cohorts", "mean over pilots (95 % of them)", "published"),
                rows=rows,
            ),
            Table(
                caption="In truth.",
                header=("non-responders of the pilots", "with a promising site", "without one"),
                rows=in_truth,
            ),
        ),
    )


def _pilot_answers(pilot: Pilot) -> list[str]:
    moved, here, there = pilot.promising, pilot.chance_here, pilot.chance_there
    missed = pilot.chance_best[~moved] >= POSITIVE
    return [
        (
            f"Of the pilots' non-responders {100 * np.mean(~moved):.0f} % had no reachable site with a predicted chance of "
            f"{POSITIVE:g} or more (published: 8 of 13), {100 * np.mean(moved):.0f} % had one elsewhere (published: 5 of 13)."
        ),
        (
            f"Moving the lead there would have changed the true chance of response from {_mean(here[moved])} to "
            f"{_mean(there[moved])}; the site was truly better for {_percent(there[moved] > here[moved])}. Of those told that "
            f"there is no promising site, {_percent(missed)} had one in truth."
        ),
    ]


def _pilot_figure(pilot: Pilot, per_cohort: Float) -> Figure:
    figure, (left, right) = panels(2, width=4.8, height=3.8)
    left.hist(per_cohort, np.linspace(0, 1, 21).tolist(), color=BLUE, alpha=0.45)
    low, high = wilson(_PILOT_PUBLISHED["no"], _PILOT_PUBLISHED["of"])
    left.axvspan(low, high, color=GREY, alpha=0.15, linewidth=0)
    left.axvline(_PILOT_PUBLISHED["no"] / _PILOT_PUBLISHED["of"], color="black", linewidth=1.5)
    left.set(xlabel="share of non-responders without a promising site", ylabel="virtual pilots", xlim=(0, 1))
    shown = np.flatnonzero(pilot.promising)[:1000]  # more dots hide each other
    right.plot([0, 1], [0, 1], color=GREY, linewidth=0.8, linestyle=":")
    right.scatter(pilot.chance_here[shown], pilot.chance_there[shown], s=10, alpha=0.5, color=RED, edgecolors="none")
    right.set(xlabel="true chance where the lead was put", ylabel="true chance at the model's site", aspect="equal")
    right.set(xlim=(0, 1), ylim=(0, 1))
    return figure


def _unknown(study: Study) -> Section:
    common = "Only the size, the label, the kind of features and the kind of split are the study's; the patients are virtual."
    return Section(title="What is not known of the study, and was chosen", text=(common, *study.unknown))


def _beside(study: Study, arm: Arm, metric: str, values: Float) -> tuple[str, str]:
    """The published number of an arm, and how many cohorts reach it."""
    # The mean AUC over bootstrap draws is what was printed of the twins.
    name = {"bootstrap_auc": "auc", "auc": ""}.get(metric, metric) if study.pilot else metric
    if arm.published is None or name not in arm.published.values:
        return _NONE, _NONE
    return _published(study, arm.published, name), f"{100 * np.mean(values >= arm.published.values[name]):.0f} %"


def _published(study: Study, one: Published, metric: str) -> str:
    """A published number, with Wilson's interval where the counts are known."""
    number = f"{one.values[metric]:g}" + (f" ± {one.deviations[metric]:g}" if metric in one.deviations else "")
    counted = _counts(study, one, metric)
    if counted is None:
        return number
    low, high = wilson(*counted)
    return f"{number} ({low:.2f} to {high:.2f})"


def _counts(study: Study, one: Published, metric: str) -> tuple[int, int] | None:
    """Hits and patients behind a published share, where they are known."""
    if one is study.arms[0].published and metric in study.counts:
        return study.counts[metric]
    if metric != "accuracy" or one.patients is None:
        return None
    return round(one.values[metric] * one.patients), one.patients


def _per_cohort(pilot: Pilot, which: Bool) -> Float:
    """Share in each pilot that had a non-responder."""
    counts = np.bincount(pilot.repeat)
    share: Float = np.bincount(pilot.repeat, which)[counts > 0] / counts[counts > 0]
    return share


def _spread(values: Float, digits: int = 2) -> str:
    finite = values[np.isfinite(values)]
    if not len(finite):
        return _NONE
    low, high = np.quantile(finite, [0.025, 0.975])
    return f"{finite.mean():.{digits}f} ({low:.{digits}f} to {high:.{digits}f})"


def _mean(values: Float, digits: int = 2) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.mean():.{digits}f}".replace("-", "−") if len(finite) else _NONE


def _percent(of: Bool) -> str:
    return f"{100 * np.mean(of):.0f} % of {len(of)}" if len(of) else _NONE


def _titled(metric: str) -> str:
    return _TITLES.get(metric, metric.replace("_", " "))
