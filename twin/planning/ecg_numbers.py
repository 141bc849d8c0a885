"""The evaluation of models that answer with several numbers at once: one evaluation per number, on the same folds.

`ml.evaluation` reads one outcome per row, so that each number is seen through a model that is fitted to all of them and
tells one; rows stand for the ECGs, which need not be copied.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ml.evaluation import Evaluation, evaluate


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluatedNumbers:
    """The evaluation of each number, by the name of its column."""

    each: Mapping[str, Evaluation]

    def table(self) -> str:
        """All pages as one, in markdown."""
        return "\n".join(one.table().replace("# Evaluation\n", f"# {name}\n", 1) for name, one in self.each.items())

    def to_json(self) -> dict[str, Any]:
        """Every evaluation as JSON, by column."""
        return {name: one.to_json() for name, one in self.each.items()}

    def write(self, folder: Path) -> None:
        """Write table.md, evaluation.json and a figure per number into a folder."""
        (folder / "table.md").write_text(self.table(), encoding="utf-8")
        (folder / "evaluation.json").write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        for name, one in self.each.items():
            one.figure(folder / f"figure_{name}.png")


def evaluate_numbers(
    name: str,
    model: Any,
    samples: NDArray[np.float32],
    numbers: Mapping[str, NDArray[np.float64]],
    *,
    progress: Callable[[int, int], None],
    **options: Any,
) -> EvaluatedNumbers:
    """Cross-validate a regressor of several numbers.

    Args:
        name: of the model.
        model: its `fit` takes (n, numbers), its `predict` gives that.
        samples: (n, ...) its input.
        numbers: (n,) by name of the column, in the order of the model.
        progress: called with fits done, over all numbers, and fits in all.
        options: of `ml.evaluation.evaluate`.

    Raises:
        ValueError: as `evaluate`.
    """
    targets = np.column_stack(list(numbers.values()))
    each: dict[str, Evaluation] = {}
    for i, column in enumerate(numbers):

        def told(done: int, total: int, before: int = i) -> None:
            progress(before * total + done, total * len(numbers))

        seen = _seen_through(model, samples, targets, i)
        each[column] = evaluate({name: seen}, np.arange(len(samples)), targets[:, i], progress=told, **options)
    return EvaluatedNumbers(each=each)


def _seen_through(model: Any, samples: NDArray[np.float32], targets: NDArray[np.float64], number: int) -> Any:
    """The same kind of model, which is fitted to rows instead of ECGs and tells one number."""
    kind = type(model)

    def fit(self: Any, rows: NDArray[np.int64], _: ArrayLike, groups: ArrayLike | None = None) -> Any:
        return kind.fit(self, samples[rows], targets[rows], groups=groups)

    def predict(self: Any, rows: NDArray[np.int64]) -> NDArray[np.float64]:
        found: NDArray[np.float64] = kind.predict(self, samples[rows])[:, number]
        return found

    one = type(kind.__name__, (kind,), {"fit": fit, "predict": predict})
    return one(**model.get_params(deep=False))
