"""What is explained, and what becomes of it: the subject of a report, and its sections."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import is_classifier, is_regressor

from ml.ecg.recording import Float

# Pictures of single ECGs: enough to look at, few enough to read.
_CASES = 3


@dataclass(kw_only=True)
class Section:
    """A part of the page; `intro` says how to read it, `result` goes into explanation.json."""

    title: str
    intro: str
    text: list[str] = field(default_factory=list)
    pictures: list[tuple[str, Path]] = field(default_factory=list)
    header: Sequence[str] = ()
    table: Sequence[Sequence[str]] = ()
    result: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True, eq=False)
class Subject:
    """What is explained: `answers` (n,) are the model's for class or output number `target`, `meaning` says of what."""

    model: Any
    X: NDArray[np.floating]
    y: NDArray[Any] | None
    folder: Path
    names: Sequence[str]
    cases: Sequence[int] | None
    classes: list[str]
    target: int
    answers: Float
    predicted: NDArray[Any]
    meaning: str

    def titled(self, row: int) -> str:
        """Name and answer of a row."""
        return f"{self.names[row]}: {self.meaning} {self.answers[row]:.3g}"

    def shown(self) -> Sequence[int]:
        """Rows for pictures: the highest answers, unless told otherwise."""
        return np.argsort(-self.answers, kind="stable")[:_CASES].tolist() if self.cases is None else self.cases


def subject_of(
    model: Any,
    X: ArrayLike,  # noqa: N803
    folder: Path,
    *,
    y: ArrayLike | None,
    target: Any,
    names: Sequence[str] | None,
    cases: Sequence[int] | None,
) -> Subject:
    """What `explain` is asked for, checked and answered by the model.

    Raises:
        ValueError: as `explain`.
    """
    rows = np.asarray(X)
    n = len(rows)
    if n < 2:
        raise ValueError(f"X holds {n} row, need two or more to compare")
    for what, given in (("y", y), ("names", names)):
        if given is not None and len(np.asarray(given)) != n:
            raise ValueError(f"{what} has {len(np.asarray(given))} values, need one for each of the {n} rows of X")
    shown = [f"X[{i}]" for i in range(n)] if names is None else [str(name) for name in names]
    twice = [name for name, count in Counter(shown).items() if count > 1]
    if twice:
        raise ValueError(
            f"names holds {twice[0]!r} more than once ({len(twice)} names repeat); number the ECGs of one patient"
        )
    if cases is not None and (not len(cases) or not all(0 <= case < n for case in cases)):
        raise ValueError(f"cases is {list(cases)}, need rows of X, 0 to {n - 1}, at least one")
    if is_classifier(model):
        probabilities = model.predict_proba(rows)
        labels = model.classes_.tolist()
        if target is not None and target not in labels:
            raise ValueError(f"target is {target!r}, need one of the classes {labels}")
        number = len(labels) - 1 if target is None else labels.index(target)
        answers, meaning = probabilities[:, number], f"probability of {labels[number]}"
        predicted = model.classes_[probabilities.argmax(axis=1)]
    elif is_regressor(model):
        predicted = np.asarray(model.predict(rows), dtype=np.float64).reshape(n, -1)
        outputs = list(getattr(model, "output_names", (f"value {i}" for i in range(predicted.shape[1]))))
        labels, number = [], outputs.index(target) if target in outputs else 0 if target is None else target
        if number not in range(len(outputs)):
            raise ValueError(
                f"target is {target!r}, need one of the outputs {outputs}, or its number, 0 to {len(outputs) - 1}"
            )
        answers, meaning = predicted[:, number], f"predicted {outputs[number]}"
    else:
        raise ValueError(
            f"{type(model).__name__} is neither classifier nor regressor: it gives no answer per ECG to be explained"
        )
    return Subject(
        model=model,
        X=rows,
        y=None if y is None else np.asarray(y),
        folder=folder,
        names=shown,
        cases=cases,
        classes=[str(label) for label in labels],
        target=number,
        answers=answers.astype(np.float64),
        predicted=predicted,
        meaning=meaning,
    )
