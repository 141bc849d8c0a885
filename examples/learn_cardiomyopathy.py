"""Which cardiomyopathy is it, from the shape of the QRS or from a whole RR interval? Le's net on virtual patients.

    python examples/learn_cardiomyopathy.py [PATIENTS SEEDS EPOCHS]

Genetic (GEN), myocarditis (MYO) or sarcoidosis (SARC), the two pairs that were published. Without numbers a small version
runs; 500 1 100 is the published size.
"""

import sys

import numpy as np

from ml.evaluation import PUBLISHED, evaluate
from ml.network_classifier import CardiomyopathyClassifier
from twin.planning.virtual_ecgs import virtual_ecgs

patients, seeds, epochs = [int(word) for word in sys.argv[1:]] or (64, 2, 4)
people = virtual_ecgs(patients, seed=1, question="cardiomyopathy", recordings=True)
recordings = np.asarray(people.recordings)
causes = np.array(people.classes)[people.labels]

# So few epochs need longer steps than the published ones.
qrs = CardiomyopathyClassifier(sampling_hz=people.sampling_hz, max_epochs=epochs, learning_rate=1e-3)
rr = CardiomyopathyClassifier(**qrs.get_params() | {"window": "rr"})
for first, second in (("GEN", "MYO"), ("GEN", "SARC")):
    pair = np.isin(causes, (first, second))
    result = evaluate(
        {"QRS": qrs, "RR": rr},
        recordings[pair],
        causes[pair],
        positive=second,
        seeds=seeds,
        published=[one for one in PUBLISHED["cardiomyopathy"] if one.model.endswith(f"{first} against {second}")],
        virtual=True,
    )
    print(f"{first} against {second}\n\n{result.table()}")
