"""Out-of-fold answers kept in a folder, so that a long evaluation that was cut off goes on to the same numbers.

The answers of each fit stand under a hash of all that they follow from: the model with its settings, the rows it was fitted
to with their outcomes and patients, the rows it was asked, the seed, and the version of this package. So what belongs to
other data or settings is never found. A file is whole or not there, and one that is damaged or was renamed is fitted anew.

Models whose `fit` takes `checkpoints` (the networks) also get a folder for the state of an unfinished fit; it is removed
once the answers are kept. Nothing is pickled.
"""

import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Any

import joblib  # type: ignore[import-untyped]
import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, clone

from ml.evaluation.intervals import Float, Int
from ml.model_store import ModelParts, read_parts, write_parts

_NAME = "out-of-fold answers"


class KeptFits:
    """The answers of fits to some of these rows.

    Args:
        folder: made when the first fit is done.
        samples: (n, ...) all rows of the evaluation, or a pandas table.
    """

    def __init__(self, folder: Path, samples: Any) -> None:
        self.folder = folder
        # How an array or a table lies in memory may change from run to run.
        table = hasattr(samples, "iloc")
        values = (
            {str(name): np.ascontiguousarray(samples[name]) for name in samples}
            if table
            else np.ascontiguousarray(samples)
        )
        self._samples: str = joblib.hash(values)

    def key(
        self,
        estimator: BaseEstimator,
        outcome: NDArray[np.generic],
        patients: Int,
        train: Int,
        test: Int,
        *,
        seed: int,
        classes: tuple[str, ...],
    ) -> str:
        """What the answers of a fit stand under.

        Args:
            estimator: not fitted, or as if it were not.
            outcome: (n,) of all rows; only those of `train` matter.
            patients: (n,) likewise.
            train: rows to fit to.
            test: rows to be asked.
            seed: of the fit.
            classes: the columns of the answers.

        Raises:
            ValueError: if the estimator holds what cannot be told apart from run to run, such as a lambda.
        """
        told = (version("crt-twin"), self._samples, outcome[train], patients[train], train, test, seed, classes)
        try:
            found: str = joblib.hash((clone(estimator), told))
        except Exception as error:  # pickle, which joblib hashes by, has several
            raise ValueError(
                f"{type(estimator).__name__} cannot be recognised from run to run: {error}. Evaluate without checkpoints, "
                "or make it of named functions and plain values"
            ) from error
        return found

    def read(self, key: str, rows: int) -> Float | None:
        """(rows, ...) the answers, or None if there are none that can be used."""
        path = self._path(key)
        if not path.is_file():
            return None
        try:
            name, parts = read_parts(path)
            answers: Float = parts.arrays["answers"]
        except (ValueError, KeyError):
            return None
        whole = name == _NAME and parts.state == {"key": key} and answers.shape[:1] == (rows,)
        return answers if whole and answers.dtype == np.float64 else None

    def write(self, key: str, answers: Float) -> None:
        """Keep the answers, and no longer the state of the fit."""
        self.folder.mkdir(parents=True, exist_ok=True)
        write_parts(self._path(key), _NAME, ModelParts(settings={}, state={"key": key}, arrays={"answers": answers}))
        shutil.rmtree(self.unfinished(key), ignore_errors=True)

    def unfinished(self, key: str) -> Path:
        """Folder for the state of the fit."""
        return self.folder / key

    def _path(self, key: str) -> Path:
        return self.folder / f"{key}.answers"
