"""A long evaluation that was cut off goes on to the same numbers, and never with parts of another one."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ml.evaluation import Evaluation, evaluate
from ml.evaluation.kept_fits import KeptFits

RNG = np.random.default_rng(0)
N = 40
Y = np.arange(N) % 2
X = RNG.normal(size=(N, 3)) + Y[:, None]


class Counted(LogisticRegression):
    """Logistic regression that counts its fits and can be told to break off before one of them."""

    fits: ClassVar[int] = 0
    broken_off_at: ClassVar[int | None] = None

    def __init__(self, C: float = 1.0) -> None:  # noqa: N803
        super().__init__(C=C)

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803
        if Counted.fits == Counted.broken_off_at:
            raise KeyboardInterrupt
        Counted.fits += 1
        return super().fit(X, y)


OTHERS = {"b": make_pipeline(Counted(C=0.1))}


def numbers_of(table: pd.DataFrame) -> pd.DataFrame:
    return table[["a", "b", "c"]]


def run(
    folder: Path | None, *, model: Any = None, others: Any = OTHERS, x: Any = X, y: Any = Y, **options: Any
) -> Evaluation:
    """Of each model two fits of cross-validation, three of the bootstrap, four of the leak test."""
    Counted.fits = 0
    options = {"seeds": 1, "refits": 2, "shuffles": 2, "folds": 2, "resamples": 50, **options}
    return evaluate({"a": model or Counted(), **others}, x, y, checkpoints=folder, **options)


@pytest.fixture(autouse=True)
def _never_broken_off() -> None:
    Counted.broken_off_at = None


def as_text(evaluation: Evaluation) -> str:
    return json.dumps(evaluation.to_json())


@pytest.mark.parametrize("done", [0, 1, 5, 12, 17])
def test_a_run_that_was_cut_off_goes_on_to_the_same_numbers_with_the_fits_that_are_left(
    tmp_path: Path, done: int
) -> None:
    whole = as_text(run(None))
    fits = Counted.fits
    Counted.broken_off_at = done
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    Counted.broken_off_at = None
    assert as_text(run(tmp_path)) == whole
    assert Counted.fits == fits - done


def test_a_run_that_is_done_is_read_whole_and_tells_its_progress(tmp_path: Path) -> None:
    run(tmp_path)
    total = Counted.fits
    steps = []
    run(tmp_path, progress=lambda done, of: steps.append((done, of)))
    assert Counted.fits == 0
    assert steps == [(done, total) for done in range(1, total + 1)]


CHANGES: dict[str, Callable[[], dict[str, Any]]] = {
    "one number of the data": lambda: {"x": X + np.eye(N, 3) * 1e-12},
    "the names of the patients": lambda: {"groups": np.arange(N)[::-1]},
    "the outcomes": lambda: {"y": 1 - Y},
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_was_made_of_other_data_is_not_used(tmp_path: Path, what: str) -> None:
    changed = CHANGES[what]()
    run(None, **changed)
    fits = Counted.fits
    run(tmp_path)
    run(tmp_path, **changed)
    assert Counted.fits == fits


def test_a_fit_is_kept_apart_from_those_of_other_settings_seeds_and_folds(tmp_path: Path) -> None:
    run(tmp_path, refits=0, shuffles=0)
    run(tmp_path, refits=0, shuffles=0, model=Counted(C=2.0))
    assert Counted.fits == 2  # of the model that changed, not of the other one
    run(tmp_path, refits=0, shuffles=0, seeds=2)
    assert Counted.fits == 4  # of the second seed
    run(tmp_path, refits=0, shuffles=0, folds=4)
    assert Counted.fits == 8


@pytest.mark.parametrize(
    "spoil", [lambda data: data[:-40], lambda _: b"", lambda data: data.replace(b'"key"', b'"kez"')]
)
def test_a_damaged_file_is_fitted_anew(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    whole = as_text(run(tmp_path))
    files = sorted(tmp_path.glob("*.answers"))
    files[0].write_bytes(spoil(files[0].read_bytes()))
    assert as_text(run(tmp_path)) == whole
    assert Counted.fits == 1


def test_a_file_under_the_name_of_another_is_not_used(tmp_path: Path) -> None:
    whole = as_text(run(tmp_path))
    first, second, *_ = sorted(tmp_path.glob("*.answers"))
    first.write_bytes(second.read_bytes())
    assert as_text(run(tmp_path)) == whole
    assert Counted.fits == 1


def test_a_table_is_recognised_by_its_values(tmp_path: Path) -> None:
    table = pd.DataFrame(X, columns=list("abc")).assign(kind=np.where(Y, "yes", "no"))
    model = make_pipeline(FunctionTransformer(numbers_of), Counted())
    run(tmp_path, x=table, model=model, others={})
    run(tmp_path, x=pd.concat([table[["a"]].copy(), table[["b", "c", "kind"]]], axis=1), model=model, others={})
    assert Counted.fits == 0
    run(tmp_path, x=table.replace("no", "No"), model=model, others={})
    assert Counted.fits > 0


def test_a_model_that_cannot_be_recognised_is_refused_before_it_is_fitted(tmp_path: Path) -> None:
    nameless = make_pipeline(FunctionTransformer(lambda rows: 2 * rows), Counted())
    with pytest.raises(ValueError, match="Evaluate without checkpoints"):
        run(tmp_path, model=nameless)
    assert Counted.fits == 0


def test_a_network_cut_off_within_an_epoch_goes_on_to_the_same_numbers_and_leaves_no_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = pytest.importorskip("torch")
    torch.set_num_threads(1)
    from ml import training
    from ml.network_classifier import CompositeClassifier
    from tests.ml.heartbeats import RATE_HZ, beats

    monkeypatch.setattr(training, "_WRITING_SHARE", np.inf)
    x, y = beats(12)
    model = CompositeClassifier(sampling_hz=RATE_HZ, max_epochs=4, patience=None, batch_size=4, window="whole")
    learn, epochs = training._Run.learn, []

    def counted(self: Any, *rest: Any) -> float:
        if len(epochs) == 6:  # in the third epoch of the second fit
            epochs.append(-1)
            raise KeyboardInterrupt
        epochs.append(len(self.curve.training))
        return learn(self, *rest)

    def whole(folder: Path | None) -> str:
        return as_text(evaluate({"net": model}, x, y, folds=2, seeds=1, resamples=50, checkpoints=folder))

    expected = whole(None)
    monkeypatch.setattr(training._Run, "learn", counted)
    with pytest.raises(KeyboardInterrupt):
        whole(tmp_path)
    assert whole(tmp_path) == expected
    assert epochs == [0, 1, 2, 3, 0, 1, -1, 2, 3]
    assert [path.suffix for path in tmp_path.iterdir()] == [".answers"] * 2


def test_the_seed_the_rows_asked_and_the_classes_have_part_in_the_name(tmp_path: Path) -> None:
    kept = KeptFits(tmp_path, X)
    rows = np.arange(N)
    same: dict[str, Any] = {"seed": 0, "classes": ("0", "1")}
    names = {
        kept.key(Counted(), Y, rows, rows[10:], test, **{**same, **changed})
        for test, changed in (
            (rows[:10], {}),
            (rows[:9], {}),
            (rows[:10], {"seed": 1}),
            (rows[:10], {"classes": ("1", "0")}),
        )
    }
    assert len(names) == 4
