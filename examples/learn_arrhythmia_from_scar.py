"""Does the picture of the scar tell who will have ventricular arrhythmia? Le's sliding net on virtual patients.

    python examples/learn_arrhythmia_from_scar.py [PATIENTS SEEDS EPOCHS PIXELS]

Without numbers a small version runs; 235 1 100 128 is the published size. Published is an AUC hardly above chance.
Every patient's LGE images are turned and sized at random, then prepared as published: pixels normalised within the
myocardium, the insertion point turned down, 128 x 128, binary scar. Here a rule draws it; a network drew theirs.
"""

import sys

import numpy as np
from scipy.ndimage import affine_transform, binary_fill_holes

from ml.datasets.scar import stacked
from ml.evaluation import PUBLISHED, evaluate
from ml.lge_slices import Float32, LgeSlices, bright_scar, lge_slices
from ml.network_classifier import SlidingScarClassifier
from ml.segmentation import dice
from twin.planning.virtual_ecgs import virtual_ecgs

MIDDLE, INSERTION = np.array([63.5, 63.5]), np.array([110.0, 63.5])  # the inferior insertion looks down already


def imaged(slices: Float32, rng: np.random.Generator) -> LgeSlices:
    """LGE of (n, 2, 128, 128) virtual slices and back: muscle is dark, blood and scar are bright; no MR simulation."""
    pixel_mm, turn = rng.uniform(1.2, 1.8), rng.uniform(0, 2 * np.pi)
    matrix = pixel_mm * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    offset = MIDDLE - matrix @ (MIDDLE + rng.uniform(-8, 8, 2))
    images, masks = [], []
    for muscle, scar in slices:
        blood = binary_fill_holes(muscle) & (muscle == 0)
        shades = 30 + 30 * muscle + 240 * scar + 220 * blood
        images.append(affine_transform(shades, matrix, offset, order=1, cval=30) + rng.normal(0, 12, shades.shape))
        # As people draw it: no pixel that is partly blood.
        masks.append(affine_transform(muscle, matrix, offset, order=1) > 0.9)
    return lge_slices(images, masks, np.linalg.solve(matrix, INSERTION - offset), pixel_mm)


patients, seeds, epochs, pixels = [int(word) for word in sys.argv[1:]] or (64, 2, 8, 32)
people = virtual_ecgs(patients, seed=1, question="ventricular-arrhythmia")
truth = [slices[~np.isnan(slices[:, 0, 0, 0])] for slices in np.asarray(people.scar)]
rng = np.random.default_rng(0)
found = [imaged(slices, rng).for_sliding_scar(bright_scar) for slices in truth]
agreement = np.mean([dice(one[:, 1], two[:, 1] > 0).mean() for one, two in zip(found, truth, strict=True)])

# So few epochs need longer steps than the published ones of his other net.
model = SlidingScarClassifier(max_epochs=epochs, learning_rate=1e-3)
result = evaluate(
    {"sliding net": model},
    stacked(found)[..., :: 128 // pixels, :: 128 // pixels],
    people.labels,
    seeds=seeds,
    published=PUBLISHED["sliding-scar"],
    virtual=True,
)
print(result.table())
print(f"The best that any model is expected to reach on these virtual patients: AUC {people.ceiling_auc:.2f}.")
print(
    f"Scar drawn by the rule, against what the virtual patients have: Dice {agreement:.2f}, mean over all their slices."
)
