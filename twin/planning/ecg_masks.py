"""The evaluation of a network that draws scar: Dice by folds of patients, beside drawings that need no learning."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from ml.evaluation.intervals import Estimate, resample
from ml.evaluation.masks import dice_by_folds
from ml.evaluation.report import RESEARCH_ONLY, text

Float = NDArray[np.float64]
Float32 = NDArray[np.float32]

NAME = "scar-segmentation"


@dataclass(frozen=True, kw_only=True, eq=False)
class EvaluatedMasks:
    """Dice of the drawings.

    Attributes:
        population: "patients" or "virtual patients".
        names: (m,) of the patients.
        patients: (n,) number of the patient of each slice.
        folds, repeats: of the cross-validation.
        shares: (n,) Dice of each slice by the name of who drew, of the network the mean over the repeats.
        means: over the slices, with BCa intervals over patients.
    """

    population: str
    names: tuple[str, ...]
    patients: NDArray[np.int64]
    folds: int
    repeats: int
    shares: Mapping[str, Float]
    means: Mapping[str, Estimate]

    def table(self) -> str:
        """All of it as markdown."""
        head = (
            f"{len(self.names)} {self.population}, {len(self.patients)} slices. {self.folds}-fold cross-validation over "
            f"patients, {self.repeats} repeat(s). {RESEARCH_ONLY}"
        )
        rows = "".join(f"| {name} | {text(mean)} |\n" for name, mean in self.means.items())
        return (
            f"# Evaluation\n\n{head}\n\n| who drew the scar of {self.population} | mean Dice |\n| --- | --- |\n{rows}"
            "| Le, pretrained Swin-Unet | not published |\n\n"
            "Brackets: 95 % BCa intervals, patients random, fitted networks as given. Dice is 1 where neither mask has scar.\n"
        )

    def to_json(self) -> dict[str, Any]:
        """All numbers, also of every slice; null where there is no interval."""
        return {
            "format": 1,
            "intended_use": "research",
            "population": self.population,
            "folds": self.folds,
            "repeats": self.repeats,
            "dice": {
                name: {
                    key: value if np.isfinite(value) else None
                    for key, value in (("value", mean.value), ("low", mean.low), ("high", mean.high))
                }
                for name, mean in self.means.items()
            },
            "slices": [
                {"patient": self.names[patient], **{name: float(share[i]) for name, share in self.shares.items()}}
                for i, patient in enumerate(self.patients)
            ],
        }

    def write(self, folder: Path) -> None:
        """Write table.md, figure.png and evaluation.json into a folder."""
        (folder / "table.md").write_text(self.table(), encoding="utf-8")
        (folder / "evaluation.json").write_text(json.dumps(self.to_json(), indent=1) + "\n", encoding="utf-8")
        figure = Figure(figsize=(6, 4), layout="constrained")
        axes = figure.add_subplot(ylabel="Dice of a slice", ylim=(0, 1.02))
        axes.set_title(f"{len(self.names)} {self.population}. {RESEARCH_ONLY}")
        axes.boxplot(list(self.shares.values()), tick_labels=list(self.shares))
        figure.savefig(folder / "figure.png", dpi=120)


def evaluate_masks(
    model: Any,
    slices: Float32,
    masks: NDArray[np.bool_],
    patients: NDArray[np.generic],
    *,
    folds: int,
    seeds: int,
    virtual: bool,
    progress: Callable[[int, int], None] | None = None,
    checkpoints: Path | None = None,
) -> EvaluatedMasks:
    """Cross-validate a `ScarSegmenter`.

    Args:
        model: left as it is.
        slices: (n, 2, height, width) image and myocardium.
        masks: (n, height, width) scar.
        patients: (n,) names.
        folds: of a repeat.
        seeds: repeats.
        virtual: whether these are virtual patients.
        progress: called with fits done and fits in all.
        checkpoints: as `ml.evaluation.evaluate`.

    Raises:
        ValueError: if the model refuses the data.
    """
    from ml.segmentation import dice  # needs torch, as its model does

    drawn = dice_by_folds(
        model, slices, masks, patients, dice, folds=folds, seeds=seeds, progress=progress, checkpoints=checkpoints
    )
    names, numbers = np.unique(patients, return_inverse=True)
    image, muscle = slices[:, 0], slices[:, 1] == 1
    lowest, highest = (
        pick(np.where(muscle, image, np.nan), axis=(1, 2), keepdims=True) for pick in (np.nanmin, np.nanmax)
    )
    shares = {
        NAME: drawn.mean(axis=0),
        "brighter than the middle of the range": dice(muscle & (image > (lowest + highest) / 2), masks),
        "all muscle": dice(muscle, masks),
    }
    found = resample(
        lambda weights: {name: weights @ share / weights.sum(axis=1) for name, share in shares.items()},
        numbers,
    )
    return EvaluatedMasks(
        population="virtual patients" if virtual else "patients",
        names=tuple(names.tolist()),
        patients=numbers,
        folds=folds,
        repeats=seeds,
        shares=shares,
        means={name: found.estimate(name) for name in shares},
    )
