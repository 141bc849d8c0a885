"""LBBB, RBBB and healthy told apart on 75 real beats: every ECG model beside PCA and logistic regression.

25 subjects of each, one beat per subject, its time axis warped onto landmarks by its makers: models see form and amplitude,
and nothing here says how well QRS widths or intervals would do. Whether the makers looked at the class when they laid the
landmarks is not known; if they did, all models look better than they are.

20 repeats of stratified 5-fold cross-validation, all models on the same folds. All settings are our choice, made by time and
the loss in training, before any out-of-fold result was seen. Most are small so that two cores can do it: images of 64 x 64
pixels (16 across a beat), 15 or 25 epochs without early stopping, a learning rate of 1e-3.

Pretraining without labels is on the median beats of the Challenge recordings, once per method and for all folds: other people,
so that nothing of a test fold is seen. Their time axis is real, that of the 75 is not.

From nothing, this takes about an hour of one core. Answers are kept in the folder of temporary files (see `remembered`): a
run that was cut off goes on, one after a change of a model needs the folder removed. A row is printed once its model is done.
"""

import tempfile
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.base import BaseEstimator
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from ml.datasets.public import DATASETS
from ml.datasets.stack import stack_rows
from ml.ecg.measure import qrs_bounds
from ml.ecg.recording import STANDARD_LEADS, Ecg
from ml.evaluation import evaluate
from ml.evaluation.report import text
from ml.image_resnet import ImageResNetClassifier
from ml.lightgbm_classifier import LightGbmClassifier
from ml.network_classifier import CompositeClassifier
from ml.pretraining import Method
from ml.qrs_pca import QrsPca
from ml.signals import Float32
from ml.ssl_image_resnet import SSLImageResNetClassifier
from tests.benchmarks.remembered import Remembered
from tests.ml.real_beats import bundle_branch_beats

CHALLENGE = Path(__file__).parents[2] / "../shared/data/ecg/challenge"
KEPT = Path(tempfile.gettempdir()) / "crt-twin-real-beats"

REPEATS = 20
REFERENCE, SCRATCH = "PCA + logistic regression", "resnet18-image"
RATE_HZ, SAMPLES = 1000.0, 1024
# Where the QRS of the registered beats begins (the README of the data).
ONSET = 315

TRAINING = {"sampling_hz": RATE_HZ, "learning_rate": 1e-3, "batch_size": 16, "patience": None, "device": "cpu"}
IMAGE = {**TRAINING, "size": 64, "panel_s": SAMPLES / RATE_HZ, "max_epochs": 15}


@pytest.fixture
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def flat(signals: Float32) -> Float32:
    return signals.reshape(len(signals), -1)


def reference() -> BaseEstimator:
    """Ten components of all samples of all leads, in mV, each scaled to deviation 1."""
    return make_pipeline(
        FunctionTransformer(flat), PCA(10, whiten=True, svd_solver="full"), LogisticRegression(max_iter=1000)
    )


@cache
def unlabelled_beats() -> Float32:
    """(47, 12, 1024) mV: the median beats of the Challenge recordings, their QRS beginning where that of the 75 does."""
    if not CHALLENGE.is_dir():
        pytest.skip("needs ../shared/data/ecg/challenge")
    rows = DATASETS["challenge-2021"].rows(CHALLENGE)
    beats = stack_rows(rows, sampling_hz=RATE_HZ, length="beat", leave_out_faulty=True).signals
    onset_ms = qrs_bounds(Ecg(leads=STANDARD_LEADS, signal_mv=beats[0].astype(np.float64), rate_hz=RATE_HZ)).onset_ms
    source = np.arange(SAMPLES) - ONSET + round(onset_ms * RATE_HZ / 1000)
    return beats[:, :, source.clip(0, beats.shape[2] - 1)]


def pretrained(method: Method) -> BaseEstimator:
    """The network of `resnet18-image` with other first weights."""
    made = SSLImageResNetClassifier(**IMAGE, method=method)
    return made.set_params(pretrained=made.pretrain(unlabelled_beats(), checkpoints=KEPT))


MODELS: dict[str, Callable[[], BaseEstimator]] = {
    REFERENCE: reference,
    "qrs-pca scores + logistic regression": lambda: make_pipeline(
        QrsPca(RATE_HZ, real_time=False), LogisticRegression(max_iter=1000)
    ),
    "lightgbm": lambda: LightGbmClassifier(RATE_HZ, real_time=False),
    "composite": lambda: CompositeClassifier(**TRAINING, window="whole", max_epochs=25),
    SCRATCH: lambda: ImageResNetClassifier(**IMAGE),
    "ssl-resnet18-image, contrastive": lambda: pretrained("contrastive"),
    "ssl-resnet18-image, masked": lambda: pretrained("masked"),
}
PAIRED = (REFERENCE, SCRATCH)
METRICS = {"auc": "AUC", "accuracy": "accuracy"}


def table_lines(names: Iterable[str], repeats: int) -> Iterator[str]:
    """A markdown table, each line as soon as its model is done; differences are on the same people and folds."""
    differences = [f"{title} - that of {other}" for other in PAIRED for title in METRICS.values()]
    header = ["model", "repeats", *METRICS.values(), *differences]
    yield f"| {' | '.join(header)} |"
    yield f"| {' | '.join(['---'] * len(header))} |"
    signals, labels = bundle_branch_beats()
    done: dict[str, BaseEstimator] = {}
    for name in names:
        # Of pretraining, what it adds to random weights is the question; of all others, what they add to the reference.
        beside = [other for other in PAIRED[: 2 if name.startswith("ssl") else 1] if other in done]
        done[name] = Remembered(MODELS[name](), KEPT)
        found = evaluate({model: done[model] for model in (name, *beside)}, signals, labels, seeds=repeats)
        paired = {one.second: one.differences for one in found.comparisons if one.first == name}
        cells = [text(found[name].metrics[metric]) for metric in METRICS]
        cells += [text(paired[other][metric]) if other in beside else "" for other in PAIRED for metric in METRICS]
        yield f"| {name} | {repeats} | {' | '.join(cells)} |"


@pytest.mark.benchmark
@pytest.mark.usefixtures("one_thread")
def test_real_beats_by_every_ecg_model() -> None:
    bundle_branch_beats()
    unlabelled_beats()  # both skip now, not after hours of work
    kept = len(list(KEPT.glob("*.npy")))
    print(f"\n75 real beats, 25 per class, 5 folds; {kept} answers of earlier runs are kept in {KEPT.name}")
    for line in table_lines(MODELS, REPEATS):
        print(line, flush=True)
    print("Brackets: 95 % BCa intervals, people random, fitted models as given. Chance: accuracy 0.333, AUC 0.5.")
