"""How well does the ECG tell the right ventricle's function, and survival by it? Virtual patients, beside Duong 2024.

    python examples/learn_rv_function.py [PATIENTS SEEDS EPOCHS]

As published, a network learns in one cohort and is fine-tuned in another. Without numbers a small version runs.
"""

import sys

import numpy as np

from ml.evaluation import PUBLISHED, hazard_ratio
from ml.evaluation.comparison import auc_interval, delong
from ml.evaluation.report import text
from ml.rv_function import TARGETS, RVFunctionRegressor
from twin.planning.ecg_numbers import evaluate_numbers
from twin.planning.virtual_ecgs import virtual_ecgs

patients, seeds, epochs = [int(word) for word in sys.argv[1:]] or (64, 2, 5)
large = virtual_ecgs(patients, seed=2, question="rv-function")
people = virtual_ecgs(patients, seed=1, question="rv-function")

# So few epochs need longer steps than the default.
first = RVFunctionRegressor(sampling_hz=large.sampling_hz, max_epochs=epochs, learning_rate=1e-3)
first.fit(large.signals, np.column_stack([large.outcomes[name] for name in TARGETS]))
tuned = RVFunctionRegressor(**first.get_params() | {"pretrained": first.trained_weights()})
results = evaluate_numbers(
    "fine-tuned",
    tuned,
    people.signals,
    {name: people.outcomes[name] for name in TARGETS},
    progress=lambda *_: None,
    seeds=seeds,
    published=[one for one in PUBLISHED["rv-function"] if "mae" in one.values],
    virtual=True,
)
print(results.table())

rvef = results.each["rvef_percent"]["fine-tuned"].predicted.mean(axis=0)
areas, covariance = delong(people.labels, -rvef[None])
hazard = hazard_ratio(rvef, people.outcomes["time"], people.outcomes["event"], per=-10)
print(f"## By predicted RVEF, out of fold, {patients} virtual patients\n")
print(f"- AUROC of RVEF <= 40 %: {text(auc_interval(float(areas[0]), float(covariance[0, 0])))}", end="; published ")
print(*(f"{one.values['auc']:g}" for one in PUBLISHED["rv-function"] if one.model.startswith("RVEF <=")), sep=", ")
print(f"- hazard ratio per 10 % lower RVEF: {text(hazard.ratio)}, {hazard.events} deaths", end="; published ")
print(*(f"{one.values['hazard_ratio']:.2f}" for one in PUBLISHED["rv-function"] if "hazard_ratio" in one.values))
