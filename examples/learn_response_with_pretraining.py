"""Does it help to learn from ECGs without labels first? A ResNet-18 on pages, pretrained and not, on virtual patients.

    python examples/learn_response_with_pretraining.py [PATIENTS SEEDS EPOCHS PIXELS METHOD]

Without arguments a small version runs. METHOD is contrastive (two views of one ECG are alike) or masked (hidden patches
are guessed). Mori 2025 does not say which was used, nor on what.
"""

import sys

from ml.evaluation import PUBLISHED, evaluate
from ml.image_resnet import ImageResNetClassifier
from ml.pretraining import Method
from ml.ssl_image_resnet import SSLImageResNetClassifier
from twin.planning.virtual_ecgs import virtual_ecgs

patients, seeds, epochs, pixels = [int(word) for word in sys.argv[1:5]] or (64, 2, 5, 64)
method: Method = "masked" if "masked" in sys.argv else "contrastive"
people = virtual_ecgs(patients, seed=1, question="crt-response")

# Other people, so that no ECG that is scored has been seen, not even without its label.
others = virtual_ecgs(patients, seed=2, question="conduction")
pretrained = SSLImageResNetClassifier(
    sampling_hz=others.sampling_hz, panel_s=1.0, size=pixels, method=method, pretraining_epochs=epochs
).pretrain(others.signals)

# So few epochs need longer steps than those published by Le.
scratch = ImageResNetClassifier(
    sampling_hz=people.sampling_hz, panel_s=1.0, size=pixels, max_epochs=epochs, learning_rate=1e-3
)
result = evaluate(
    {"pretrained": SSLImageResNetClassifier(**scratch.get_params(), pretrained=pretrained), "from scratch": scratch},
    people.signals,
    people.labels,
    folds=3,
    seeds=seeds,
    published=PUBLISHED["ssl-resnet18-image"],
    virtual=True,
)
print(f"Pretrained on {len(others.signals)} further virtual patients without labels, {method} method.\n")
print(result.table())
print(f"The best that any model is expected to reach on these virtual patients: AUC {people.ceiling_auc:.2f}.")
