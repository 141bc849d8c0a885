"""Folds of patients: a patient lies in one fold with all of their rows, and classes are spread evenly over the folds.

A scikit-learn splitter, so the same class serves the outer folds and, as `GridSearchCV(model, grid, cv=PatientFolds())`,
the inner folds of nested cross-validation.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.model_selection import KFold, StratifiedKFold

from ml.evaluation.intervals import Int


class PatientFolds:
    """Shuffled k-fold cross-validation over patients.

    Args:
        folds: how many.
        random_state: seed of the shuffle.
        stratified: y is a class, and each fold gets its share of each. A patient whose rows differ counts as the class
            of most of them, and where that leaves a class with too few to share out, as the commonest (our choice).
    """

    def __init__(self, folds: int = 5, *, random_state: int = 0, stratified: bool = True) -> None:
        self.folds = folds
        self.random_state = random_state
        self.stratified = stratified

    def split(self, X: object, y: ArrayLike, groups: ArrayLike | None = None) -> Iterator[tuple[Int, Int]]:  # noqa: ARG002, N803
        """(train, test) row numbers of each fold.

        Args:
            X: not looked at; scikit-learn passes it.
            y: (n,) classes, or numbers if not stratified.
            groups: (n,) patient of each row; None: every row is another patient.

        Raises:
            ValueError: for one class only, or fewer patients than folds, overall or in a class.
        """
        patients = patient_numbers(groups, len(np.asarray(y)))
        n_patients = int(patients.max()) + 1
        seeded = {"n_splits": self.folds, "shuffle": True, "random_state": self.random_state}
        if self.stratified:
            strata = self._class_of_patients(np.asarray(y), patients)
            splits = StratifiedKFold(**seeded).split(np.zeros(n_patients), strata)
        else:
            if n_patients < self.folds:
                raise ValueError(f"{n_patients} patients cannot fill {self.folds} folds; use folds={n_patients}")
            splits = KFold(**seeded).split(np.zeros(n_patients))
        for _, test_patients in splits:
            in_test = np.isin(patients, test_patients)
            yield np.flatnonzero(~in_test), np.flatnonzero(in_test)

    def get_n_splits(self, X: object = None, y: object = None, groups: object = None) -> int:  # noqa: ARG002, N803
        """Number of folds, as scikit-learn asks for it."""
        return self.folds

    def _class_of_patients(self, y: NDArray[np.generic], patients: Int) -> Int:
        """(patients,) number of the class that each is shared out with."""
        classes, codes = np.unique(y, return_inverse=True)
        rows = np.zeros((int(patients.max()) + 1, len(classes)), dtype=np.int64)
        np.add.at(rows, (patients, codes), 1)
        if len(classes) < 2:
            raise ValueError(f"all {len(rows)} patients are of class {classes[0]!s}; need two classes at least")
        counts = (rows > 0).sum(axis=0)
        few = np.flatnonzero(counts < self.folds)
        if few.size:
            raise ValueError(
                f"class {classes[few[0]]!s} has {counts[few[0]]} patients, need one per fold = {self.folds} at least "
                f"({few.size} of {len(classes)} classes have fewer). Use fewer folds or leave the class out."
            )
        most = rows.argmax(axis=1)
        members = np.bincount(most, minlength=len(classes))
        return np.where(members[most] < self.folds, members.argmax(), most)


def patient_numbers(groups: ArrayLike | None, n: int) -> Int:
    """(n,) patients numbered 0..m-1 in the order of their names; None: every row is another patient.

    Raises:
        ValueError: if there is not one name per row, or a name is missing (nan).
    """
    if n == 0:
        raise ValueError("there are no rows")
    if groups is None:
        return np.arange(n)
    names = np.asarray(groups)
    if names.shape != (n,):
        raise ValueError(f"groups has shape {names.shape}, need ({n},): one patient per row")
    if np.issubdtype(names.dtype, np.floating) and np.isnan(names).any():
        bad = np.flatnonzero(np.isnan(names))
        raise ValueError(f"groups[{bad[0]}] is nan ({bad.size} of {n} are); give every row its patient")
    return np.unique(names, return_inverse=True)[1].astype(np.int64)
