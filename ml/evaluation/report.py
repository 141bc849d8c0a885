"""An evaluation as a page of markdown: every number with its interval, the published ones beside, and what is random."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ml.evaluation.intervals import Estimate, Float
from ml.evaluation.metrics import METRICS

if TYPE_CHECKING:
    from ml.evaluation.published import Published
    from ml.evaluation.result import Comparison, Evaluation, ModelResult

RESEARCH_ONLY = "Research use only."
MISSING = "-"


def markdown(evaluation: Evaluation) -> str:
    """The whole page."""
    parts = [
        "# Evaluation",
        headline(evaluation),
        _metrics(evaluation),
        _published(evaluation.published),
        _net_benefit(evaluation),
        _further(evaluation),
        _corrected(evaluation),
        _comparisons(evaluation),
        _subgroups(evaluation),
        _reading(evaluation),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def headline(evaluation: Evaluation) -> str:
    """Who was evaluated, and how, in a few lines."""
    problem = evaluation.problem
    who = "virtual patients" if evaluation.virtual else "patients"
    counts = [f"{int((problem.truth == k).sum())} of class {name}" for k, name in enumerate(problem.task.classes)]
    if problem.task.kind == "two classes":
        counts[1] += f" (positive, called from a probability of {problem.task.threshold:g})"
    per_class = f": {', '.join(counts)}" if counts else ""
    how = "stratified, " if problem.task.classes else ""
    return (
        f"{problem.n_patients} {who}, {len(problem.truth)} rows{per_class}. "
        f"{evaluation.folds}-fold cross-validation over patients, {how}{len(evaluation.fold_of)} repeat(s). {RESEARCH_ONLY}"
    )


def text(estimate: Estimate) -> str:
    """Value and interval."""
    if not np.isfinite(estimate.value):
        return MISSING
    interval = f"{number(estimate.low)}, {number(estimate.high)}" if estimate.has_interval else "no interval"
    return f"{number(estimate.value)} [{interval}]"


def number(value: float) -> str:
    """Three decimals; no minus before 0."""
    return f"{round(value, 3) + 0.0:.3f}"


def _metrics(evaluation: Evaluation) -> str:
    models, published = evaluation.models, evaluation.published
    header = ["metric", *(model.name for model in models), *(f"{one.study}: {one.model}" for one in published)]
    rows = []
    for name in models[0].metrics:
        ours = [_headline_cell(model, name) for model in models]
        rows.append([METRICS[name].title, *ours, *(_published_cell(one, name) for one in published)])
    first = next(iter(models[0].metrics))
    title = f"{METRICS[first].title}, mean over folds"
    rows.insert(1, [title, *(_spread(model.by_fold[first]) for model in models), *([MISSING] * len(published))])
    whose = "Virtual patients (published numbers: real patients)" if evaluation.virtual else "Out-of-fold performance"
    return f"## {whose}\n\n{_grid(header, rows)}"


def _headline_cell(model: ModelResult, name: str) -> str:
    cell = text(model.metrics[name])
    repeats = model.by_repeat[name]
    defined = np.isfinite(repeats)
    if model.is_baseline or len(repeats) == 1 or not defined.any():
        return cell
    if not defined.all():
        cell += f" ({defined.sum()} of {len(repeats)} repeats)"
    return f"{cell} ± {repeats[defined].std(ddof=1) if defined.sum() > 1 else 0:.3f}"


def _published_cell(one: Published, name: str) -> str:
    if name not in one.values:
        return MISSING
    cell = f"{one.values[name]:.3g}"
    if name in one.deviations:
        cell += f" ± {one.deviations[name]:.3g}"
    if name == "accuracy" and one.accuracy_interval is not None:
        low, high = one.accuracy_interval
        cell += f" ({low:.3f}, {high:.3f})*"
    return cell


def _published(published: Sequence[Published]) -> str:
    if not published:
        return ""
    lines = []
    for one in published:
        n = "number of patients not known" if one.patients is None else f"{one.patients} patients"
        others = ", ".join(f"{k.replace('_', ' ')} {v:g}" for k, v in one.values.items() if k not in METRICS)
        details = "; ".join(part for part in (n, others, one.remark, one.source) if part)
        lines.append(f"- {one.study}, {one.model}: {details}.")
    star = (
        "\n\n\\* Wilson's 95 % interval from the number of patients, computed here."
        if any(one.accuracy_interval for one in published)
        else ""
    )
    return "Published, on other patients:\n\n" + "\n".join(lines) + star


def _net_benefit(evaluation: Evaluation) -> str:
    if not evaluation.treat_everybody:
        return ""
    header = ["acting from a probability of", *evaluation.treat_everybody]
    rows = [
        [model.name, *map(text, model.net_benefit.values())] for model in evaluation.models if not model.is_baseline
    ]
    rows.append(["treat everybody", *map(text, evaluation.treat_everybody.values())])
    rows.append(["treat nobody", *["0"] * len(evaluation.treat_everybody)])
    return f"## Net benefit, in useful treatments per row\n\n{_grid(header, rows)}"


def _further(evaluation: Evaluation) -> str:
    """DeLong's interval, parts of the Brier score, leak test: what each model has of them."""
    rows = []
    for model in evaluation.models:
        if model.auc_delong is not None:
            rows.append([model.name, "AUC of the mean prediction per patient, DeLong", text(model.auc_delong)])
        if model.brier_parts is not None:
            p = model.brier_parts
            rows.append(
                [
                    model.name,
                    "Brier score = reliability - resolution + uncertainty + within bins",
                    f"{p.reliability:.3f} - {p.resolution:.3f} + {p.uncertainty:.3f} + {p.within:.3f}",
                ]
            )
        if model.leak is not None:
            verdict = "no leak found" if model.leak.passed else "LEAK: better or worse than chance"
            said = f"{text(model.leak.mean)} (99 % interval), chance {model.leak.chance:g}: {verdict}"
            rows.append([model.name, f"leak test, {len(model.leak.scores)} shuffles of the outcome", said])
    if not any(model.leak for model in evaluation.models):
        rows.append(["all", "leak test", "not run"])
    return f"## Further checks\n\n{_grid(['model', 'what', 'result'], rows)}"


def _corrected(evaluation: Evaluation) -> str:
    """Optimism and .632+ of the models that were fitted to bootstrap draws."""
    rows = []
    for model in evaluation.models:
        for name, one in (model.corrected or {}).items():
            plus = number(one.plus_632) if np.isfinite(one.plus_632) else MISSING
            rows.append([model.name, METRICS[name].title, number(one.apparent), number(one.corrected), plus])
    header = ["model", "metric", "apparent", "optimism-corrected", ".632+"]
    return f"## Fitted to all, corrected by bootstrap refits\n\n{_grid(header, rows)}" if rows else ""


def _comparisons(evaluation: Evaluation) -> str:
    if not evaluation.comparisons:
        return ""
    names = list(evaluation.comparisons[0].over_folds)
    header = ["first minus second"]
    for name in names:
        header += [f"{METRICS[name].title}, same patients resampled", f"{METRICS[name].title}, corrected t over folds"]
    header += ["DeLong", "McNemar"]
    rows = []
    for one in evaluation.comparisons:
        row = [f"{one.first} - {one.second}"]
        for name in names:
            over_folds = one.over_folds[name]
            row += [text(one.differences[name]), f"{text(over_folds.estimate)}, {_p(over_folds.p)}"]
        rows.append([*row, _delong(one), _mcnemar(one)])
    return f"## Differences on the same patients and folds\n\n{_grid(header, rows)}"


def _delong(one: Comparison) -> str:
    return MISSING if one.delong is None else f"{text(one.delong.estimate)}, {_p(one.delong.p)}"


def _mcnemar(one: Comparison) -> str:
    if one.mcnemar is None:
        return MISSING
    test = one.mcnemar
    return f"only first right {test.only_first}, only second {test.only_second}; mid-{_p(test.p_mid)}, exact {_p(test.p_exact)}"


def _subgroups(evaluation: Evaluation) -> str:
    if not evaluation.subgroups:
        return ""
    names = list(next(iter(evaluation.subgroups[0].metrics.values())))
    header = ["subgroup", "patients", "rows", "model", *(METRICS[name].title for name in names)]
    rows = []
    for one in evaluation.subgroups:
        classes = ", ".join(f"{count} of {name}" for name, count in one.per_class.items())
        n_rows = f"{one.rows} ({classes})" if classes else str(one.rows)
        for model, metrics in one.metrics.items():
            rows.append(
                [
                    f"{one.column}: {one.level}",
                    str(one.patients),
                    n_rows,
                    model,
                    *(text(metrics[name]) for name in names),
                ]
            )
    return f"## Subgroups\n\n{_grid(header, rows)}"


def _reading(evaluation: Evaluation) -> str:
    who = "virtual patients" if evaluation.virtual else "patients"
    pooled = "The line below the first has it fold by fold, mean ± standard deviation over all folds."
    drawn = f"which {who} were met ({evaluation.resamples} resamples of them, each with all rows)"
    fixed = "the fitted models are held fixed, so that it leaves out what other training sets would change"
    lines = [
        f"Square brackets: 95 % BCa interval. Random in it: {drawn}; {fixed}.",
        "±: standard deviation over the repeats, whose folds and seeds differ; it says nothing of other patients.",
        f"A metric is computed on all out-of-fold predictions of a repeat, then averaged over the repeats. {pooled}",
        "DeLong, McNemar: patients random, one prediction per patient, the mean over repeats and rows.",
        "Corrected t: training sets random, one difference per fold and repeat.",
        f"{MISSING}: not defined, as follows. "
        + " ".join(
            f"{METRICS[name].title}: {METRICS[name].undefined}."
            for name in evaluation.models[0].metrics
            if METRICS[name].undefined != "never"
        ),
    ]
    return "## How to read this\n\n" + "\n".join(f"- {line}" for line in lines)


def _spread(values: Float) -> str:
    finite = values[np.isfinite(values)]
    return f"{finite.mean():.3f} ± {finite.std(ddof=1):.3f}" if len(finite) > 1 else MISSING


def _p(p: float) -> str:
    return "p not defined" if not np.isfinite(p) else "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _grid(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)
