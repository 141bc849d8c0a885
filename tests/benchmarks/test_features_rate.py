"""How fast tables are made of ECGs and learnt from, beside scikit-fda, neurokit2 and LightGBM's own settings.

scikit-fda and neurokit2 are no part of the project: where they are not installed, ours is timed alone. scikit-fda 0.10.1
needs multimethod < 2. On a busy machine set OMP_NUM_THREADS=1: threads that wait for each other count as processor time.
"""

import warnings
from collections.abc import Callable
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from time import process_time

import numpy as np
import pytest
from lightgbm import LGBMClassifier
from sklearn.datasets import make_classification
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold

from ml.ecg.measure import measure
from ml.ecg.readers import read_ecg
from ml.ecg.recording import STANDARD_LEADS, Ecg, Float
from ml.fpca import FunctionalPca
from ml.lightgbm_classifier import fit_trees
from tests.ml.heartbeats import DATA, RATE_HZ, recordings

TREES = 200


def seconds_of(run: Callable[[], object]) -> float:
    """Processor seconds of one call, which other work on the machine disturbs least."""
    start = process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # those of the peers
        run()
    return process_time() - start


def medians(*runs: Callable[[], object], times: int) -> list[float]:
    """Median processor seconds of each run, taken in turns after one warm-up call."""
    for run in runs:
        seconds_of(run)
    return [median(column) for column in zip(*([seconds_of(run) for run in runs] for _ in range(times)), strict=True)]


@pytest.mark.benchmark
def test_boosted_trees_rate() -> None:
    table, labels = make_classification(285, 500, n_informative=12, n_redundant=30, class_sep=0.6, random_state=1)
    names = [f"column_{i}" for i in range(table.shape[1])]
    folds = [
        (seed, *rows)
        for seed in range(10)
        for rows in StratifiedKFold(5, shuffle=True, random_state=seed).split(table, labels)
    ]

    # Every fold makes its own bins: bins of the whole table would have seen the rows that are scored.
    def ours(seed: int, train: np.ndarray, test: np.ndarray) -> float:
        trees = fit_trees(table[train], labels[train], names=names, trees=TREES, threads=1, random_state=seed)
        return float(roc_auc_score(labels[test], trees.predict(table[test], num_threads=1)))

    def plain(seed: int, train: np.ndarray, test: np.ndarray) -> float:
        model = LGBMClassifier(n_estimators=TREES, n_jobs=1, random_state=seed, verbosity=-1)
        model.fit(table[train], labels[train])
        return float(roc_auc_score(labels[test], model.predict_proba(table[test])[:, 1]))

    auc: dict[str, list[float]] = {}
    seconds = {}
    for name, run in (("ours", ours), ("defaults", plain)):
        seconds[name] = seconds_of(lambda name=name, run=run: auc.update({name: [run(*fold) for fold in folds]}))
    print(f"\n285 x 500, {len(folds)} folds, {TREES} trees, processor seconds on one thread")
    for name in ("ours", "defaults"):
        print(f"  {name:<9}{seconds[name]:7.1f} s   AUC {np.mean(auc[name]):.3f} +- {np.std(auc[name]):.3f} over folds")
    print(f"  {seconds['defaults'] / seconds['ours']:.1f} x faster")


@pytest.mark.benchmark
def test_functional_components_rate() -> None:
    components = 10
    rng = np.random.default_rng(0)
    walks = np.cumsum(rng.normal(size=(5000, 4, 250)), axis=2)
    curves = np.einsum("lk,nkt->nlt", rng.normal(size=(12, 4)), walks) + 0.1 * rng.normal(size=(5000, 12, 250))
    model = FunctionalPca(components, step=1 / 250)
    runs = [partial(model.fit_transform, curves), lambda: [model.fit_transform(curves[:, i]) for i in range(12)]]
    if find_spec("skfda") is None:
        together, each = medians(*runs, times=5)
        print(
            f"\n5,000 x 12 x 250: {together:.2f} s all leads together, {each:.2f} s lead by lead; scikit-fda: not installed"
        )
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        skfda = import_module("skfda")
        peer = import_module("skfda.preprocessing.dim_reduction").FPCA

    def others(values: Float) -> Float:
        grid = np.arange(values.shape[1]) / 250
        scores: Float = peer(n_components=components).fit_transform(skfda.FDataGrid(values, grid))
        return scores

    # It takes one lead at a time, or the leads one behind the other as a single long curve.
    runs += [lambda: others(curves.reshape(5000, -1)), lambda: [others(curves[:, i]) for i in range(12)]]
    together, each, their_together, their_each = medians(*runs, times=5)
    print(f"\n5,000 x 12 x 250, {components} components, processor seconds    ours  scikit-fda")
    print(
        f"  all leads together                   {together:16.2f} {their_together:11.2f}  {their_together / together:5.1f} x"
    )
    print(f"  lead by lead                         {each:16.2f} {their_each:11.2f}  {their_each / each:5.1f} x")
    mine, theirs = model.fit_transform(curves[:, 0]), others(curves[:, 0])
    agreement = [abs(np.corrcoef(mine[:, k], theirs[:, k])[0, 1]) for k in range(components)]
    print(f"  scores of one lead agree: |r| >= {min(agreement):.6f}")


@pytest.mark.benchmark
def test_qrs_bounds_rate() -> None:
    paths = sorted((DATA / "challenge").glob("E0750*.hea"))[:6]
    ecgs = [read_ecg(path).twelve_leads() for path in paths] or [
        Ecg(leads=STANDARD_LEADS, signal_mv=signal, rate_hz=RATE_HZ) for signal in recordings(6, beat_count=12)[0]
    ]

    def all_of(run: Callable[[Ecg], object]) -> None:
        for ecg in ecgs:
            run(ecg)

    kind = "real" if paths else "made-up"
    if find_spec("neurokit2") is None:
        (ours,) = medians(partial(all_of, measure), times=5)
        print(f"\n{ours / len(ecgs) * 1e3:.1f} ms per recording ({kind}): R peaks, beat, QRS; neurokit2: not installed")
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nk = import_module("neurokit2")

    def others(ecg: Ecg) -> None:
        for signal in ecg.signal_mv:
            clean = nk.ecg_clean(signal, sampling_rate=int(ecg.rate_hz))
            _, peaks = nk.ecg_peaks(clean, sampling_rate=int(ecg.rate_hz))
            nk.ecg_delineate(clean, peaks["ECG_R_Peaks"], sampling_rate=int(ecg.rate_hz), method="dwt")

    ours, theirs = medians(partial(all_of, measure), partial(all_of, others), times=3)
    print(f"\n12-lead recordings ({kind}, {ecgs[0].duration_ms / 1e3:.0f} s), processor ms each")
    print(f"  ours, one onset and end over all leads of the median beat   {ours / len(ecgs) * 1e3:8.1f}")
    print(f"  neurokit2, every beat of every lead (dwt)                   {theirs / len(ecgs) * 1e3:8.1f}")
    print(f"  {theirs / ours:.1f} x faster")
