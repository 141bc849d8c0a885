"""Does a picture of the ECG tell who will respond to CRT? A ResNet-18 on pages of virtual patients, beside Mori 2025.

    python examples/learn_response_from_images.py [PATIENTS SEEDS EPOCHS PIXELS]

Without numbers a small version runs; 285 10 100 224 is as near to the published one as is known.
"""

import sys

from ml.evaluation import PUBLISHED, evaluate
from ml.image_resnet import ImageResNetClassifier
from twin.planning.virtual_ecgs import virtual_ecgs

patients, seeds, epochs, pixels = [int(word) for word in sys.argv[1:]] or (64, 2, 5, 64)
people = virtual_ecgs(patients, seed=1, question="crt-response")

# A panel of the page is filled by one beat. So few epochs need longer steps than those published by Le.
model = ImageResNetClassifier(
    sampling_hz=people.sampling_hz, panel_s=1.0, size=pixels, max_epochs=epochs, learning_rate=1e-3
)
result = evaluate(
    {"ResNet-18": model},
    people.signals,
    people.labels,
    folds=3,
    seeds=seeds,
    published=PUBLISHED["resnet18-image"],
    virtual=True,
)
print(result.table())
print(f"The best that any model is expected to reach on these virtual patients: AUC {people.ceiling_auc:.2f}.")
