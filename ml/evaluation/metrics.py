"""What is measured: each metric's definition, its best value, and when it does not exist.

Metrics take *weights*, (b, n): how often each row counts, one line per resample (see `intervals`), and give (b,) values,
nan where the metric does not exist. A line of ones gives the metric itself.

A row is called positive where its probability reaches the threshold. With more than two classes the most probable one
is called, and AUC, F1 and recall are means over the classes, each against the rest, all classes counting the same.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ml.evaluation.calibration import recalibration
from ml.evaluation.intervals import Float, Int

Kind = Literal["two classes", "several classes", "number"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metric:
    """One metric: what it is, which value is best, when it is undefined (nan in arrays, null in JSON)."""

    title: str
    definition: str
    best: float
    undefined: str = "never"


METRICS: dict[str, Metric] = {
    "auc": Metric(
        title="AUC",
        definition="chance that a positive row scores above a negative one, ties counting half; several classes: mean "
        "over each class against the rest",
        best=1,
        undefined="a class is missing",
    ),
    "accuracy": Metric(title="accuracy", definition="share of rows called rightly", best=1),
    "balanced_accuracy": Metric(
        title="balanced accuracy",
        definition="mean over the classes of the share of their rows called rightly",
        best=1,
        undefined="a class is missing",
    ),
    "ppv": Metric(title="PPV", definition="TP / (TP + FP)", best=1, undefined="nothing is called positive"),
    "npv": Metric(title="NPV", definition="TN / (TN + FN)", best=1, undefined="nothing is called negative"),
    "sensitivity": Metric(title="sensitivity", definition="TP / (TP + FN)", best=1, undefined="no positive row"),
    "specificity": Metric(title="specificity", definition="TN / (TN + FP)", best=1, undefined="no negative row"),
    "f1": Metric(
        title="F1",
        definition="2 TP / (2 TP + FP + FN); several classes: mean over each class against the rest",
        best=1,
        undefined="no row is or is called positive",
    ),
    "brier": Metric(
        title="Brier score",
        definition="mean squared distance of the probability from 0 or 1; several classes: summed over them",
        best=0,
    ),
    "log_loss": Metric(
        title="log loss",
        definition="mean of -log of the probability given to the true class, probabilities held off 0 by 2e-16",
        best=0,
    ),
    "calibration_slope": Metric(
        title="calibration slope",
        definition="b of logit P(y) = a + b logit(p); below 1: predictions too extreme",
        best=1,
        undefined="a class is missing, predictions are all equal or separate the classes",
    ),
    "calibration_intercept": Metric(
        title="calibration intercept",
        definition="a of logit P(y) = a + logit(p); below 0: predictions too high",
        best=0,
        undefined="a class is missing",
    ),
    "mae": Metric(title="MAE", definition="mean absolute error, in the unit of the outcome", best=0),
    "bias": Metric(title="bias", definition="mean of predicted minus measured, in the unit of the outcome", best=0),
    "r2": Metric(
        title="R2",
        definition="1 - squared error / squared distance from the mean of the rows themselves",
        best=1,
        undefined="the outcome does not vary",
    ),
    "correlation": Metric(
        title="correlation",
        definition="Pearson's r of predicted and measured",
        best=1,
        undefined="the outcome or the prediction does not vary",
    ),
}
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, kw_only=True)
class Task:
    """What is predicted.

    Attributes:
        kind: two classes, several, or a number.
        classes: as text, in the order of the columns of the probabilities; the second of two is the positive one.
        threshold: probability from which on a row is called positive.
    """

    kind: Kind
    classes: tuple[str, ...] = ()
    threshold: float = 0.5


def measure(
    task: Task, truth: Float | Int, predicted: Float, weights: Float, *, calibration: bool = True
) -> dict[str, Float]:
    """Every metric of the task under every line of weights.

    Args:
        task: kind of prediction.
        truth: (n,) class numbers or outcomes.
        predicted: (n, classes) probabilities, or (n,) numbers.
        weights: (b, n), at least 0, no line all zero.
        calibration: also slope and intercept, which cost more than all others together.

    Returns:
        (b,) per metric.
    """
    if task.kind == "number":
        return _of_number(np.asarray(truth, dtype=np.float64), predicted, weights)
    labels = np.asarray(truth, dtype=np.int64)
    if task.kind == "several classes":
        return _of_several(labels, predicted, weights)
    metrics = _of_two(labels, predicted[:, 1], weights, task.threshold)
    if calibration:
        intercept, slope = recalibration(labels, predicted[:, 1], weights)
        metrics |= {"calibration_slope": slope, "calibration_intercept": intercept}
    return metrics


def mean_over_repeats(
    task: Task, truth: Float | Int, predicted: Iterable[Float], weights: Float, *, calibration: bool = True
) -> dict[str, Float]:
    """Every metric of each repeat's predictions, then the mean over the repeats in which it exists."""
    repeats = [measure(task, truth, one, weights, calibration=calibration) for one in predicted]
    return {name: _mean_of_finite(np.stack([repeat[name] for repeat in repeats])) for name in repeats[0]}


def auc(labels: Int, score: Float, weights: Float) -> Float:
    """Area under the ROC curve under each line of weights: one sort for all lines, no pairs.

    In the order of the score, each positive row beats the negative weight below it and ties with half of the negative
    weight at it.
    """
    order = np.argsort(score, kind="stable")
    starts = np.flatnonzero(np.r_[True, np.diff(score[order]) > 0])
    sorted_weights = weights[:, order]
    positive = np.add.reduceat(sorted_weights * (labels[order] == 1), starts, axis=1)
    negative = np.add.reduceat(sorted_weights * (labels[order] != 1), starts, axis=1)
    below = np.cumsum(negative, axis=1) - negative
    wins = np.einsum("bi,bi->b", positive, below + 0.5 * negative)
    return _ratio(wins, positive.sum(axis=1) * negative.sum(axis=1))


def _of_two(labels: Int, p: Float, weights: Float, threshold: float) -> dict[str, Float]:
    positive, called = labels == 1, p >= threshold
    total = weights.sum(axis=1)
    positives = weights @ positive
    tp, fp = weights @ (positive & called), weights @ (~positive & called)
    fn, tn = positives - tp, total - positives - fp
    sensitivity, specificity = _ratio(tp, positives), _ratio(tn, total - positives)
    return {
        "auc": auc(labels, p, weights),
        "accuracy": _ratio(tp + tn, total),
        "balanced_accuracy": (sensitivity + specificity) / 2,
        "ppv": _ratio(tp, tp + fp),
        "npv": _ratio(tn, tn + fn),
        "sensitivity": sensitivity,
        "specificity": specificity,
        "f1": _ratio(2 * tp, 2 * tp + fp + fn),
        "brier": _ratio(weights @ (p - positive) ** 2, total),
        "log_loss": _ratio(weights @ _surprise(np.where(positive, p, 1 - p)), total),
    }


def _of_several(labels: Int, p: Float, weights: Float) -> dict[str, Float]:
    total = weights.sum(axis=1)
    called = p.argmax(axis=1)
    one_hot = np.eye(p.shape[1])[labels]
    areas, recalls, f1s = [], [], []
    for k in range(p.shape[1]):
        true, said = labels == k, called == k
        hits, positives = weights @ (true & said), weights @ true
        areas.append(auc(true.astype(np.int64), p[:, k], weights))
        recalls.append(_ratio(hits, positives))
        f1s.append(_ratio(2 * hits, positives + weights @ said))
    return {
        "auc": np.mean(areas, axis=0),
        "accuracy": weights @ (called == labels) / total,
        "balanced_accuracy": np.mean(recalls, axis=0),
        "f1": np.mean(f1s, axis=0),
        "brier": weights @ ((p - one_hot) ** 2).sum(axis=1) / total,
        "log_loss": weights @ _surprise(p[np.arange(len(p)), labels]) / total,
    }


def _of_number(truth: Float, predicted: Float, weights: Float) -> dict[str, Float]:
    total = weights.sum(axis=1)
    error = predicted - truth
    # Centred first: moments of numbers far from 0 lose digits.
    y, f = truth - truth.mean(), predicted - predicted.mean()
    mean_y, mean_f = weights @ y / total, weights @ f / total
    var_y, var_f = weights @ y**2 / total - mean_y**2, weights @ f**2 / total - mean_f**2
    covariance = weights @ (y * f) / total - mean_y * mean_f
    tiny = 1e-12 * np.mean(y**2)
    var_y = np.where(var_y > tiny, var_y, 0.0)
    var_f = np.where(var_f > 1e-12 * np.mean(f**2), var_f, 0.0)
    return {
        "mae": weights @ np.abs(error) / total,
        "bias": weights @ error / total,
        "r2": 1 - _ratio(weights @ error**2 / total, var_y),
        "correlation": _ratio(covariance, np.sqrt(var_y * var_f)),
    }


def _surprise(p: Float) -> Float:
    return -np.log(np.clip(p, _EPS, 1))


def _ratio(above: Float, below: Float) -> Float:
    """Their ratio, nan where it would divide by 0."""
    ratio: Float = np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0)
    return ratio


def _mean_of_finite(values: Float) -> Float:
    """Mean over the first axis of what is finite, nan where nothing is."""
    finite = np.isfinite(values)
    return _ratio(np.where(finite, values, 0.0).sum(axis=0), finite.sum(axis=0).astype(np.float64))
