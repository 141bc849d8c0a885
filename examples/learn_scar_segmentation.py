"""Can a network draw the scar on LGE slices? A Swin UNETR on virtual patients, beside a threshold.

    python examples/learn_scar_segmentation.py [PATIENTS SEEDS EPOCHS PIXELS]

Without numbers a small version runs. Le used a pretrained Swin-Unet whose Dice is not published.
"""

import sys

import numpy as np
from scipy.ndimage import gaussian_filter
from sklearn.model_selection import cross_val_predict

from ml.evaluation import PatientFolds
from ml.evaluation.intervals import resample
from ml.evaluation.report import text
from ml.segmentation import ScarSegmenter, dice
from twin.planning.virtual_ecgs import virtual_ecgs

patients, seeds, epochs, pixels = [int(word) for word in sys.argv[1:]] or (64, 2, 4, 64)
people = virtual_ecgs(patients, seed=1, question="ventricular-arrhythmia")
every = np.asarray(people.scar)[..., :: 128 // pixels, :: 128 // pixels]
scarred = np.nansum(every[:, :, 1], axis=(2, 3)).argmax(axis=1)  # one slice each: that with the most scar
muscle, scar = every[np.arange(patients), scarred].transpose(1, 0, 2, 3)

# Not an MR simulation: blurred brightness of the scar, uneven over the slice, with noise.
rng = np.random.default_rng(0)
shading = gaussian_filter(rng.normal(size=scar.shape), (0, pixels / 6, pixels / 6))
shading *= 0.3 / shading.std()
brightness = gaussian_filter(scar, (0, 0.7, 0.7)) + shading + rng.normal(0, 0.25, scar.shape)
slices, truth = np.stack([brightness, muscle], axis=1), scar > 0

# So few epochs need longer steps than the default.
model = ScarSegmenter(within_myocardium=True, feature_size=12, max_epochs=epochs, learning_rate=3e-3, batch_size=8)
drawn = []
for seed in range(seeds):
    folds = PatientFolds(3, random_state=seed, stratified=False)
    masks = cross_val_predict(model.set_params(random_state=seed), slices, truth, cv=folds)
    drawn.append(dice(masks, truth))
inside = np.where(muscle == 1, brightness, np.nan)
middle = (np.nanmin(inside, axis=(1, 2)) + np.nanmax(inside, axis=(1, 2))) / 2
shares = {
    "Swin UNETR": np.mean(drawn, axis=0),
    "brighter than the middle of the range": dice(inside > middle[:, None, None], truth),
    "all muscle": dice(muscle, truth),
}

print(f"{patients} virtual patients, one slice each, 3-fold cross-validation, {seeds} repeats. Research use only.\n")
print("| scar of virtual patients | mean Dice [95 % over patients] |")
print("| --- | --- |")
resampled = resample(
    lambda weights: {name: weights @ each / weights.sum(axis=1) for name, each in shares.items()}, np.arange(patients)
)
for name in shares:
    print(f"| {name} | {text(resampled.estimate(name))} |")
print("| Le, pretrained Swin-Unet | not published |")
