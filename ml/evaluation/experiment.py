"""One call: models in, everything one must know to believe their numbers out."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from ml.evaluation.calibration import brier_parts, calibration_bins
from ml.evaluation.comparison import auc_interval, compare_aucs, corrected_t, delong, mcnemar
from ml.evaluation.decision import SHOWN, mean_net_benefit
from ml.evaluation.intervals import Bool, Estimate, Float, Int, Resampled, resample
from ml.evaluation.kept_fits import KeptFits
from ml.evaluation.leak import LeakTest, leak_test, row_of_patients
from ml.evaluation.metrics import Kind, Task, mean_over_repeats, measure
from ml.evaluation.optimism import bootstrap_corrected
from ml.evaluation.protocol import FitCounter, Problem, Progress, Rows, folds_of, out_of_fold, state_problem
from ml.evaluation.published import Published
from ml.evaluation.result import Comparison, Evaluation, ModelResult, Subgroup

MAJORITY = "majority class"
MEAN = "mean outcome"
HEADLINES: dict[Kind, tuple[str, ...]] = {
    "two classes": ("auc", "accuracy"),
    "several classes": ("auc", "accuracy"),
    "number": ("mae", "correlation"),
}
OF_SUBGROUPS: dict[Kind, tuple[str, ...]] = {
    "two classes": ("auc", "sensitivity", "specificity"),
    "several classes": ("auc", "accuracy", "balanced_accuracy"),
    "number": ("mae", "bias", "correlation"),
}
MAX_LEVELS = 20  # of a column of subgroups: more are numbers, not groups


def evaluate(
    models: Mapping[str, BaseEstimator],
    X: Rows,  # noqa: N803
    y: ArrayLike,
    *,
    groups: ArrayLike | None = None,
    folds: int = 5,
    seeds: int = 10,
    subgroups: Mapping[str, ArrayLike] | None = None,
    published: Sequence[Published] = (),
    positive: object = None,
    threshold: float = 0.5,
    virtual: bool = False,
    refits: int = 0,
    shuffles: int = 0,
    resamples: int = 2000,
    progress: Progress | None = None,
    checkpoints: Path | None = None,
) -> Evaluation:
    """Cross-validate models on the same folds of patients and compare them.

    Each metric is computed on all out-of-fold predictions of a repeat and averaged over the repeats. Its interval takes
    the patients as random and the fitted models as given; the corrected t over folds takes the training sets as random.

    Args:
        models: scikit-learn estimators by name, all classifiers with `predict_proba` or all regressors. For nested
            cross-validation give `GridSearchCV(model, grid, cv=PatientFolds())`.
        X: (n, ...) array or pandas table, one row per sample.
        y: (n,) classes or numbers.
        groups: (n,) patient of each row; None: every row is another patient.
        folds: per repeat.
        seeds: number of repeats; seeds 0, 1, ... shuffle the folds and become every `random_state`.
        subgroups: (n,) group of each row, by name of the column.
        published: results to stand beside, e.g. `PUBLISHED["lightgbm"]`.
        positive: label of the positive class; not needed for 0/1 and booleans.
        threshold: probability from which on a row is called positive.
        virtual: the patients are virtual; every output says so.
        refits: bootstrap fits per model for optimism and .632+; 0: neither.
        shuffles: repeats on shuffled outcomes per model for the leak test, 2 at least; 0: no test.
        resamples: of the patients, for intervals.
        progress: called with fits done and fits in all.
        checkpoints: folder that keeps the answers of each finished fit, and of a network the state of an unfinished one:
            the same call goes on where it was cut off and ends with the same numbers. Nothing removes it.

    Raises:
        ValueError: for inputs that do not fit together, too few patients of a class for the folds, one class only, or
            a model that refuses the data, does not answer with probabilities, or has no checkpoints.
    """
    if not models or seeds < 1 or folds < 2:
        raise ValueError(f"need a model, a seed and two folds at least, got {len(models)}, {seeds} and {folds}")
    problem = state_problem(list(models.values()), X, y, groups, positive=positive, threshold=threshold)
    columns = _levels(subgroups or {}, len(problem.truth))
    baseline = MEAN if problem.task.kind == "number" else MAJORITY
    if baseline in models:
        raise ValueError(f"{baseline!r} is the name of the baseline; give your model another one")
    count = FitCounter(len(models) * ((seeds + shuffles) * folds + (refits + 1 if refits else 0)), progress)
    kept = None if checkpoints is None else KeptFits(checkpoints, problem.samples)
    fold_of = np.stack([folds_of(problem, folds, seed) for seed in range(seeds)])
    predicted = {
        name: np.stack(
            [
                out_of_fold(model, problem, fold_of[seed], seed=seed, name=name, done=count, kept=kept)
                for seed in range(seeds)
            ]
        )
        for name, model in models.items()
    }
    predicted[baseline] = np.stack([_constant(problem)] * seeds)
    resampled = {
        name: resample(
            partial(mean_over_repeats, problem.task, problem.truth, one), problem.patients, resamples=resamples
        )
        for name, one in predicted.items()
    }
    results = tuple(
        replace(
            _summary(name, problem, predicted[name], resampled[name], fold_of),
            net_benefit=_net_benefit(problem, predicted[name], resamples),
            settings=" ".join(repr(models[name]).split()) if name in models else "",
            corrected=bootstrap_corrected(models[name], problem, refits=refits, done=count, kept=kept)
            if refits and name in models
            else None,
            leak=_leak(models[name], name, problem, folds, shuffles, count, kept)
            if shuffles and name in models
            else None,
        )
        for name in predicted
    )
    return Evaluation(
        problem=problem,
        virtual=virtual,
        folds=folds,
        fold_of=fold_of,
        resamples=resamples,
        models=results,
        treat_everybody=_net_benefit(problem, np.ones((1, *predicted[baseline].shape[1:])), resamples),
        comparisons=tuple(
            _compared(problem, first, second, resampled[first.name], resampled[second.name], folds)
            for first, second in combinations(results, 2)
        ),
        subgroups=tuple(
            _subgroup(problem, predicted, column, level, inside, resamples) for column, level, inside in columns
        ),
        published=tuple(published),
    )


def _constant(problem: Problem) -> Float:
    """What one predicts knowing no features: the shares of the classes, or the mean."""
    n = len(problem.truth)
    if problem.task.kind == "number":
        return np.full(n, problem.truth.mean())
    return np.tile(np.bincount(problem.truth.astype(np.int64)) / n, (n, 1))


def _summary(name: str, problem: Problem, predicted: Float, resampled: Resampled, fold_of: Int) -> ModelResult:
    """Metrics of one model, without what needs further fits."""
    task, truth = problem.task, problem.truth
    one = np.ones((1, len(truth)))
    by_repeat = [measure(task, truth, repeat, one) for repeat in predicted]
    by_fold = [
        [
            measure(task, truth[test], repeat[test], one[:, : test.sum()])
            for test in (folds == fold for fold in range(int(folds.max()) + 1))
        ]
        for repeat, folds in zip(predicted, fold_of, strict=True)
    ]
    two = task.kind == "two classes"
    labels = np.tile(truth.astype(np.int64), len(predicted))
    probabilities = predicted[..., 1].ravel() if two else predicted.ravel()
    averaged = _per_patient(problem, predicted)
    area = None
    if two and averaged is not None:
        areas, covariance = delong(averaged[0], averaged[1][:, 1])
        area = auc_interval(float(areas[0]), float(covariance[0, 0]))
    return ModelResult(
        name=name,
        settings="",
        predicted=predicted,
        metrics={metric: resampled.estimate(metric) for metric in resampled.values},
        by_repeat={metric: np.array([repeat[metric][0] for repeat in by_repeat]) for metric in by_repeat[0]},
        by_fold={
            metric: np.array([[fold[metric][0] for fold in repeat] for repeat in by_fold]) for metric in by_repeat[0]
        },
        auc_delong=area,
        calibration=calibration_bins(labels, probabilities, repeats=len(predicted)) if two else (),
        brier_parts=brier_parts(labels, probabilities) if two else None,
        net_benefit={},
        corrected=None,
        leak=None,
    )


def _net_benefit(problem: Problem, predicted: Float, resamples: int) -> dict[str, Estimate]:
    """Net benefit by threshold, with intervals over patients; nothing without two classes."""
    if problem.task.kind != "two classes":
        return {}
    labels = problem.truth.astype(np.int64)

    def statistics(weights: Float) -> dict[str, Float]:
        benefit = mean_net_benefit(labels, predicted[..., 1], weights, SHOWN)
        return {f"{threshold:g}": benefit[:, i] for i, threshold in enumerate(SHOWN)}

    drawn = resample(statistics, problem.patients, resamples=resamples)
    return {threshold: drawn.estimate(threshold) for threshold in drawn.values}


def _per_patient(problem: Problem, predicted: Float) -> tuple[Float | Int, Float] | None:
    """Outcome and mean prediction of each patient, over repeats and rows; None where a patient has two outcomes."""
    try:
        outcome = problem.truth[row_of_patients(problem.truth, problem.patients)]
    except ValueError:
        return None
    mean = predicted.mean(axis=0)
    sums = np.zeros((problem.n_patients, *mean.shape[1:]))
    np.add.at(sums, problem.patients, mean)
    counts = np.bincount(problem.patients)
    return outcome, sums / counts.reshape(-1, *[1] * (mean.ndim - 1))


def _called(task: Task, probabilities: Float) -> Int:
    """Class number of each row."""
    if task.kind == "two classes":
        return (probabilities[:, 1] >= task.threshold).astype(np.int64)
    called: Int = probabilities.argmax(axis=1)
    return called


def _compared(
    problem: Problem, first: ModelResult, second: ModelResult, a: Resampled, b: Resampled, folds: int
) -> Comparison:
    task = problem.task
    areas = errors = None
    one, other = _per_patient(problem, first.predicted), _per_patient(problem, second.predicted)
    if one is not None and other is not None and task.kind != "number":
        truth = one[0]
        errors = mcnemar(_called(task, one[1]) == truth, _called(task, other[1]) == truth)
        if task.kind == "two classes":
            areas = compare_aucs(truth, one[1][:, 1], other[1][:, 1])
    return Comparison(
        first=first.name,
        second=second.name,
        differences={metric: a.difference(b, metric) for metric in a.values},
        delong=areas,
        mcnemar=errors,
        over_folds={
            metric: corrected_t(first.by_fold[metric] - second.by_fold[metric], 1 / (folds - 1))
            for metric in HEADLINES[task.kind]
        },
    )


def _leak(
    model: BaseEstimator,
    name: str,
    problem: Problem,
    folds: int,
    shuffles: int,
    count: FitCounter,
    kept: KeptFits | None,
) -> LeakTest:
    """The leak test of the protocol that `evaluate` follows."""
    metric, chance = ("correlation", 0.0) if problem.task.kind == "number" else ("auc", 0.5)

    def score(donors: Int, seed: int) -> float:
        shuffled = replace(problem, truth=problem.truth[donors], outcome=problem.outcome[donors])
        fold_of = folds_of(shuffled, folds, seed)
        predicted = out_of_fold(model, shuffled, fold_of, seed=seed, name=name, done=count, kept=kept)
        parts = [
            measure(problem.task, shuffled.truth[test], predicted[test], np.ones((1, int(test.sum()))))[metric][0]
            for test in (fold_of == fold for fold in range(folds))
        ]
        # A constant prediction has no correlation; it has learnt nothing.
        return float(np.mean(np.nan_to_num(parts, nan=chance)))

    return leak_test(score, problem.truth, problem.patients, shuffles=shuffles, chance=chance)


def _levels(subgroups: Mapping[str, ArrayLike], n: int) -> list[tuple[str, str, Bool]]:
    """(column, level, rows) of each subgroup."""
    found = []
    for column, given in subgroups.items():
        values = np.asarray(given)
        if values.shape != (n,):
            raise ValueError(f"subgroups[{column!r}] has shape {values.shape}, need ({n},): one level per row")
        levels = np.unique(values.astype(str))
        if len(levels) > MAX_LEVELS:
            raise ValueError(f"subgroups[{column!r}] has {len(levels)} levels, at most {MAX_LEVELS} are groups; bin it")
        found += [(column, str(level), values.astype(str) == level) for level in levels]
    return found


def _subgroup(
    problem: Problem, predicted: Mapping[str, Float], column: str, level: str, inside: Bool, resamples: int
) -> Subgroup:
    truth = problem.truth[inside]
    patients = np.unique(problem.patients[inside], return_inverse=True)[1]
    names = OF_SUBGROUPS[problem.task.kind]
    metrics = {}
    for model, one in predicted.items():
        drawn = resample(
            partial(mean_over_repeats, problem.task, truth, one[:, inside], calibration=False),
            patients,
            resamples=resamples,
        )
        metrics[model] = {name: drawn.estimate(name) for name in names}
    return Subgroup(
        column=column,
        level=level,
        rows=len(truth),
        patients=int(patients.max()) + 1,
        per_class={name: int((truth == k).sum()) for k, name in enumerate(problem.task.classes)},
        metrics=metrics,
    )
