"""Out-of-fold predictions: every row predicted by a model that has seen nothing of its patient.

A model is a scikit-learn estimator. Each fold fits a fresh clone, so that whatever the estimator does (scaling, selection,
tuning, early stopping) happens inside the fold. Each repeat has a seed: it shuffles the patients into folds and becomes
every `random_state` of the estimator, also of its parts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import signature
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, clone, is_classifier, is_regressor
from sklearn.model_selection._search import BaseSearchCV

from ml.evaluation.intervals import Float, Int
from ml.evaluation.kept_fits import KeptFits
from ml.evaluation.metrics import Kind, Task
from ml.evaluation.splits import PatientFolds, patient_numbers

Rows = NDArray[np.generic]  # (n, ...) arrays, or a pandas table
Model = BaseEstimator  # for those who only pass models on
Progress = Callable[[int, int], None]  # fits done, fits in all
_ROUNDING = 1e-6  # of a probability in single precision


class FitCounter:
    """Tells `progress` of each fit, out of a total."""

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.done = 0
        self.total = total
        self.progress = progress

    def __call__(self) -> None:
        """One more fit is done."""
        self.done += 1
        if self.progress is not None:
            self.progress(self.done, self.total)


@dataclass(frozen=True, kw_only=True, eq=False)
class Problem:
    """Checked inputs of an evaluation.

    Attributes:
        task: what is predicted.
        samples: (n, ...) what models read, row by row.
        outcome: (n,) as the models see it.
        truth: (n,) class numbers in the order of `task.classes`, or the outcome itself.
        patients: (n,) number of the patient of each row.
        names: (patients,) as given.
    """

    task: Task
    samples: Rows
    outcome: NDArray[np.generic]
    truth: Float | Int
    patients: Int
    names: tuple[str, ...]

    @property
    def n_patients(self) -> int:
        """How many patients."""
        return len(self.names)


def state_problem(
    estimators: Sequence[BaseEstimator],
    samples: Rows,
    outcome: ArrayLike,
    groups: ArrayLike | None,
    *,
    positive: object = None,
    threshold: float = 0.5,
) -> Problem:
    """Check the inputs and find what kind of task they pose.

    Raises:
        ValueError: if lengths differ, the outcome has gaps or one class only, classifiers and regressors are mixed, or it
            is not clear which of two classes is the positive one; for a threshold that is no probability.
    """
    if not 0 < threshold < 1:
        raise ValueError(f"threshold = {threshold:g}, need a probability between 0 and 1")
    y = np.asarray(outcome)
    if y.ndim != 1 or len(y) != len(samples):
        raise ValueError(f"y has shape {y.shape}, need ({len(samples)},): one outcome per row of X")
    if np.issubdtype(y.dtype, np.floating) and not np.isfinite(y).all():
        bad = np.flatnonzero(~np.isfinite(y))
        raise ValueError(f"y[{bad[0]}] = {y[bad[0]]} ({bad.size} of {len(y)} are not finite); leave those rows out")
    patients = patient_numbers(groups, len(y))
    names = np.unique(np.arange(len(y)) if groups is None else np.asarray(groups))
    kind = _kind(estimators, y)
    if kind == "number":
        task, truth = Task(kind=kind), y.astype(np.float64)
    else:
        classes = _ordered_classes(y, kind, positive)
        task = Task(kind=kind, classes=tuple(str(c) for c in classes), threshold=threshold)
        truth = (y[:, None] == classes).argmax(axis=1)
    return Problem(
        task=task, samples=samples, outcome=y, truth=truth, patients=patients, names=tuple(str(name) for name in names)
    )


def folds_of(problem: Problem, folds: int, seed: int) -> Int:
    """(n,) number of the fold that tests each row."""
    splitter = PatientFolds(folds, random_state=seed, stratified=problem.task.kind != "number")
    fold_of = np.full(len(problem.truth), -1)
    for fold, (_, test) in enumerate(splitter.split(None, problem.outcome, problem.patients)):
        fold_of[test] = fold
    return fold_of


def out_of_fold(
    estimator: BaseEstimator,
    problem: Problem,
    fold_of: Int,
    *,
    seed: int,
    name: str,
    thin: Callable[[Int], Int] | None = None,
    done: FitCounter | None = None,
    kept: KeptFits | None = None,
) -> Float:
    """Predictions of every row by the clone that was not fitted on its fold.

    Args:
        estimator: left as it is.
        problem: what to predict.
        fold_of: (n,) from `folds_of`.
        seed: becomes every `random_state` of the clones.
        name: of the model, for messages.
        thin: picks the rows to train on from those of a fold's training set; None: all of them.
        done: called after each fit.
        kept: answers of an earlier run, and those of this one.

    Returns:
        (n, classes) probabilities, or (n,) numbers.

    Raises:
        ValueError: if the model refuses the data or answers with something else; names model and fold.
    """
    parts = []
    for fold in range(int(fold_of.max()) + 1):
        train, test = np.flatnonzero(fold_of != fold), np.flatnonzero(fold_of == fold)
        try:
            learnt = train if thin is None else thin(train)
            parts.append((test, answers_of_fit(estimator, problem, learnt, test, seed=seed, kept=kept)))
        except ValueError as error:
            raise ValueError(
                f"model {name!r} failed in fold {fold} of seed {seed}{_gaps(problem.samples)}: {error}"
            ) from error
        if done is not None:
            done()
    filled = np.empty((len(fold_of), *parts[0][1].shape[1:]))
    for test, predicted in parts:
        filled[test] = predicted
    return filled


def answers_of_fit(
    estimator: BaseEstimator, problem: Problem, train: Int, test: Int, *, seed: int, kept: KeptFits | None = None
) -> Float:
    """Predictions of some rows by a clone fitted on others, or those that an earlier run has kept."""
    if kept is None:
        return predictions(fit_clone(estimator, problem, train, seed=seed), problem, test)
    key = kept.key(estimator, problem.outcome, problem.patients, train, test, seed=seed, classes=problem.task.classes)
    answers = kept.read(key, len(test))
    if answers is None:
        fitted = fit_clone(estimator, problem, train, seed=seed, checkpoints=kept.unfinished(key))
        answers = predictions(fitted, problem, test)
        kept.write(key, answers)
    return answers


def fit_clone(
    estimator: BaseEstimator, problem: Problem, train: Int, *, seed: int, checkpoints: Path | None = None
) -> BaseEstimator:
    """A clone fitted on some rows, also several times the same.

    Searches and models that take `groups` get the patients; models that take `checkpoints` get the folder.
    """
    fresh = clone(estimator)
    states = [key for key in fresh.get_params() if key == "random_state" or key.endswith("__random_state")]
    fresh.set_params(**dict.fromkeys(states, seed))
    asked = signature(fresh.fit).parameters
    further: dict[str, object] = {}
    if isinstance(fresh, BaseSearchCV) or "groups" in asked:
        further["groups"] = problem.patients[train]
    if checkpoints is not None and "checkpoints" in asked:
        further["checkpoints"] = checkpoints
    return fresh.fit(rows(problem.samples, train), problem.outcome[train], **further)


def predictions(fitted: BaseEstimator, problem: Problem, test: Int) -> Float:
    """(m, classes) probabilities in the order of the task, or numbers, (m,) or with columns as the outcome, of some rows.

    Raises:
        ValueError: for another shape, numbers that are not finite, or probabilities outside 0..1 or not adding up to 1.
    """
    samples = rows(problem.samples, test)
    if problem.task.kind == "number":
        values = np.asarray(fitted.predict(samples), dtype=np.float64)
        shape = (len(test), *problem.outcome.shape[1:])
        if values.shape != shape or not np.isfinite(values).all():
            raise ValueError(f"predict gave shape {values.shape} or not finite numbers, need {shape} finite ones")
        return values
    given = np.asarray(fitted.predict_proba(samples), dtype=np.float64)
    own = [str(c) for c in fitted.classes_]
    if given.shape != (len(test), len(own)):
        raise ValueError(f"predict_proba gave shape {given.shape}, need {(len(test), len(own))}")
    if not ((given > -_ROUNDING) & (given < 1 + _ROUNDING)).all() or not np.allclose(given.sum(axis=1), 1, atol=1e-4):
        raise ValueError("predict_proba gave rows that are no probabilities: outside 0..1, nan, or not adding up to 1")
    probabilities = np.zeros((len(test), len(problem.task.classes)))
    probabilities[:, [problem.task.classes.index(c) for c in own]] = given.clip(0, 1)
    return probabilities


def rows(samples: Rows, which: Int) -> Rows:
    """Some rows of an array, or of a pandas table."""
    picked: Rows = samples.iloc[which] if hasattr(samples, "iloc") else samples[which]
    return picked


def _kind(estimators: Sequence[BaseEstimator], y: NDArray[np.generic]) -> Kind:
    if all(is_regressor(estimator) for estimator in estimators):
        return "number"
    if not all(is_classifier(estimator) and hasattr(estimator, "predict_proba") for estimator in estimators):
        raise ValueError(
            "all models must be regressors, or all classifiers with predict_proba; evaluate the others apart"
        )
    return "two classes" if len(np.unique(y)) <= 2 else "several classes"


def _ordered_classes(y: NDArray[np.generic], kind: Kind, positive: object) -> NDArray[np.generic]:
    """Class labels, of two the positive one last."""
    classes = np.unique(y)
    if len(classes) < 2:
        raise ValueError(f"all {len(y)} rows are of class {classes[0]!s}; need two classes at least")
    if kind == "several classes":
        if positive is not None:
            raise ValueError(
                f"positive={positive!r} needs two classes, got {len(classes)}; pass y == {positive!r} instead"
            )
        return classes
    if positive is None:
        if classes.tolist() != [0, 1]:  # also 0.0 and 1.0, False and True
            raise ValueError(f"the classes are {classes.tolist()}; say which is meant by `positive=`")
        return classes
    if positive not in classes.tolist():
        raise ValueError(f"positive={positive!r} is none of the classes {classes.tolist()}")
    return classes if classes[1] == positive else classes[::-1]


def _gaps(samples: Rows) -> str:
    """What to say of missing numbers, as they are the usual reason why a model refuses its data."""
    array = np.asarray(samples)
    if not np.issubdtype(array.dtype, np.floating):
        return ""
    missing = np.isnan(array.reshape(len(array), -1)).any(axis=1)
    if not missing.any():
        return ""
    first = np.flatnonzero(missing)[0]
    return f" (X has nan in {missing.sum()} of {len(array)} rows, first in row {first}: fill the gaps inside the model)"
