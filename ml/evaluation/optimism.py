"""How much of the apparent performance is optimism? Two bootstrap answers that use all patients for fitting.

Patients are drawn with replacement and the model is fitted anew to each draw.

* Optimism (Harrell 1996, doi:10.1002/(SICI)1097-0258(19960229)15:4<361::AID-SIM168>3.0.CO;2-4): on average over the
  draws, performance on the draw itself minus performance on the original patients. It is taken off the apparent one.
* .632+ (Efron & Tibshirani 1997, doi:10.1080/01621459.1997.10474007): the error `out` on patients outside the draw is too
  high, the apparent error `in` too low. With the no-information error g, that of predictions paired with outcomes at
  random,  R = (out - in) / (g - in),  w = 0.632 / (1 - 0.368 R),  error = (1 - w) in + w min(out, g).

.632+ is given for the error rate, as in its source, and for the Brier score and 1 - AUC, where g = 1/2 (our extension:
`out` is then the mean over the draws of the AUC outside, as an AUC has no error of one patient).
"""

from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator

from ml.evaluation.intervals import Float, Int
from ml.evaluation.kept_fits import KeptFits
from ml.evaluation.metrics import Task, measure
from ml.evaluation.protocol import FitCounter, Problem, answers_of_fit

_ATTEMPTS = 1000  # at a draw with every class both in it and outside


@dataclass(frozen=True, slots=True, kw_only=True)
class Corrected:
    """One metric, fitted to and measured on all patients, then corrected.

    Attributes:
        apparent: on the patients it was fitted to.
        optimism: to be taken off.
        plus_632: the metric by .632+; nan for metrics other than accuracy, Brier score and AUC.
    """

    apparent: float
    optimism: float
    plus_632: float

    @property
    def corrected(self) -> float:
        """Apparent minus optimism."""
        return self.apparent - self.optimism


def bootstrap_corrected(
    estimator: BaseEstimator,
    problem: Problem,
    *,
    refits: int,
    seed: int = 0,
    done: FitCounter | None = None,
    kept: KeptFits | None = None,
) -> dict[str, Corrected]:
    """Apparent, optimism-corrected and .632+ performance, by metric.

    Args:
        estimator: left as it is.
        problem: what to predict.
        refits: number of draws; 100 to 200 where fits are cheap.
        seed: of the draws, and every `random_state` of the model.
        done: called after each fit.
        kept: answers of an earlier run, and those of this one.

    Raises:
        ValueError: if a class has so few patients that no draw holds some of it and leaves some out.
    """
    task, truth = problem.task, problem.truth
    n = len(truth)
    everyone = np.arange(n)

    def fit_to(rows: Int) -> Float:
        predicted = answers_of_fit(estimator, problem, rows, everyone, seed=seed, kept=kept)
        if done is not None:
            done()
        return predicted

    fitted = fit_to(everyone)
    apparent = {name: float(value[0]) for name, value in measure(task, truth, fitted, np.ones((1, n))).items()}
    rng = np.random.default_rng(seed)
    measured = []
    losses = dict.fromkeys(row_losses(task, truth, fitted), np.zeros(n))
    times_outside = np.zeros(n)
    for _ in range(refits):
        counts = _draw(problem, rng)
        predicted = fit_to(np.repeat(everyone, counts))
        outside = counts == 0
        measured.append(measure(task, truth, predicted, np.stack([counts, np.ones(n), outside])))
        losses = {name: losses[name] + outside * loss for name, loss in row_losses(task, truth, predicted).items()}
        times_outside += outside
    gains = {name: np.array([one[name][0] - one[name][1] for one in measured]) for name in apparent}

    seen = times_outside > 0
    plus = {}
    for name, loss in losses.items():
        error = float(np.mean(loss[seen] / times_outside[seen]))
        start = row_losses(task, truth, fitted)[name].mean()
        corrected = plus_632(float(start), error, no_information(task, truth, fitted)[name])
        plus[name] = 1 - corrected if name == "accuracy" else corrected
    if "auc" in apparent:
        plus["auc"] = 1 - plus_632(1 - apparent["auc"], 1 - float(np.mean([one["auc"][2] for one in measured])), 0.5)
    return {
        name: Corrected(
            apparent=value,
            optimism=float(gains[name][np.isfinite(gains[name])].mean()) if np.isfinite(gains[name]).any() else np.nan,
            plus_632=plus.get(name, np.nan),
        )
        for name, value in apparent.items()
    }


def plus_632(inside: float, outside: float, no_information: float) -> float:
    """The .632+ error from the apparent error, the error on patients outside the draw, and that of no information."""
    outside = min(outside, no_information)
    overfit = (outside - inside) / (no_information - inside) if inside < outside else 0.0
    weight = 0.632 / (1 - 0.368 * overfit)
    return (1 - weight) * inside + weight * outside


def row_losses(task: Task, truth: Float | Int, predicted: Float) -> dict[str, Float]:
    """(n,) error of each row, 0 or 1, under `accuracy`, and its part of the Brier score; nothing for a number."""
    if task.kind == "number":
        return {}
    one_hot = np.eye(len(task.classes))[np.asarray(truth, dtype=np.int64)]
    squares = ((predicted - one_hot) ** 2).sum(axis=1)
    if task.kind == "two classes":
        return {
            "accuracy": ((predicted[:, 1] >= task.threshold) != (truth == 1)).astype(np.float64),
            "brier": squares / 2,
        }
    return {"accuracy": (predicted.argmax(axis=1) != truth).astype(np.float64), "brier": squares}


def no_information(task: Task, truth: Float | Int, predicted: Float) -> dict[str, float]:
    """Mean loss over all pairs of an outcome and a prediction, whichever rows they come from."""
    total = dict.fromkeys(row_losses(task, truth, predicted), 0.0)
    for k in range(len(task.classes)):
        as_if = row_losses(task, np.full(len(truth), k), predicted)
        for name in total:
            total[name] += float(np.mean(truth == k) * as_if[name].mean())
    return total


def _draw(problem: Problem, rng: np.random.Generator) -> Int:
    """(n,) how often each row is drawn, with every class both in the draw and outside."""
    m = problem.n_patients
    for _ in range(_ATTEMPTS):
        counts = np.bincount(rng.integers(m, size=m), minlength=m)[problem.patients]
        parts = (problem.truth[counts > 0], problem.truth[counts == 0])
        if all(len(part) and set(part) >= set(range(len(problem.task.classes))) for part in parts):
            return counts
    raise ValueError(
        f"no draw of {m} patients held some of every class and left some out; a class has too few patients for refits"
    )
