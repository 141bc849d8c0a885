"""Does the picture of the scar tell who will have ventricular arrhythmia? Le's sliding net on virtual patients.

    python examples/learn_arrhythmia_from_scar.py [PATIENTS SEEDS EPOCHS PIXELS]

Without numbers a small version runs; 235 1 100 128 is the published size. Published is an AUC hardly above chance.
"""

import sys

import numpy as np

from ml.evaluation import PUBLISHED, evaluate
from ml.network_classifier import SlidingScarClassifier
from twin.planning.virtual_ecgs import virtual_ecgs

patients, seeds, epochs, pixels = [int(word) for word in sys.argv[1:]] or (64, 2, 8, 32)
people = virtual_ecgs(patients, seed=1, question="ventricular-arrhythmia")
slices = np.asarray(people.scar)[..., :: 128 // pixels, :: 128 // pixels]

# So few epochs need longer steps than the published ones of his other net.
model = SlidingScarClassifier(max_epochs=epochs, learning_rate=1e-3)
result = evaluate(
    {"sliding net": model},
    slices,
    people.labels,
    seeds=seeds,
    published=PUBLISHED["sliding-scar"],
    virtual=True,
)
print(result.table())
print(f"The best that any model is expected to reach on these virtual patients: AUC {people.ceiling_auc:.2f}.")
