"""How well does the ECG tell the right ventricle's function, and survival by it? Virtual patients, beside Duong 2024.

    python examples/learn_rv_function.py [PATIENTS SEEDS EPOCHS]

As published, a network learns in one cohort and is fine-tuned in another. Without numbers a small version runs.
"""

import sys

import numpy as np

from ml.evaluation import PUBLISHED
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
print(
    evaluate_numbers(
        "fine-tuned",
        tuned,
        people.signals,
        {name: people.outcomes[name] for name in TARGETS},
        groups=np.arange(patients),
        times=people.outcomes["time"],
        events=people.outcomes["event"].astype(np.int64),
        published=PUBLISHED["rv-function"],
        progress=lambda *_: None,
        seeds=seeds,
        virtual=True,
    ).table()
)
