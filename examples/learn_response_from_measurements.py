"""Do measurements of the ECG tell who will respond to CRT? LightGBM on virtual patients, beside Mori 2025.

    python examples/learn_response_from_measurements.py [PATIENTS SEEDS]

Without numbers a small version runs; 285 10 is the published size.
"""

import sys

import numpy as np

from ml.evaluation import PUBLISHED, evaluate
from ml.lightgbm_classifier import LightGbmClassifier
from twin.planning.virtual_ecgs import virtual_ecgs

patients, seeds = [int(word) for word in sys.argv[1:]] or (64, 2)
people = virtual_ecgs(patients, seed=1, question="crt-response")
model = LightGbmClassifier(sampling_hz=people.sampling_hz)
result = evaluate(
    {"LightGBM": model},
    people.signals,
    people.labels,
    seeds=seeds,
    published=PUBLISHED["lightgbm"],
    virtual=True,
)
print(result.table())
print(f"The best that any model is expected to reach on these virtual patients: AUC {people.ceiling_auc:.2f}.\n")

print("What moves the log-odds of response most, fitted to all virtual patients (mean size of the SHAP values):")
moved = np.abs(model.fit(people.signals, people.labels).contributions(people.signals))[:, 0, :-1].mean(axis=0)
for i in np.argsort(-moved)[:5]:
    print(f"  {moved[i]:.2f}  {model.columns_[i].name}")
