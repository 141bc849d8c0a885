"""What an evaluation found. Texts, pictures and files of it are made by `report`, `figure` and `result_file`."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ml.evaluation import figure, report, result_file
from ml.evaluation.calibration import BrierParts, CalibrationBin
from ml.evaluation.comparison import Difference, McNemar
from ml.evaluation.intervals import Estimate, Float, Int
from ml.evaluation.leak import LeakTest
from ml.evaluation.optimism import Corrected
from ml.evaluation.protocol import Problem
from ml.evaluation.published import Published


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelResult:
    """One model.

    Attributes:
        name: as given.
        settings: the estimator as text; empty for the baseline.
        predicted: (repeats, n, classes) out-of-fold probabilities, or (repeats, n) numbers.
        metrics: mean over the repeats, with the BCa interval over patients.
        by_repeat: (repeats,) each metric on all rows of a repeat.
        by_fold: (repeats, folds) each metric on the rows of one fold.
        auc_delong: AUC of the prediction averaged per patient, with DeLong's interval; None without two classes.
        calibration: bins of the curve, all repeats together; empty without two classes.
        brier_parts: of the Brier score, all repeats together; None without two classes.
        net_benefit: by threshold of `decision.SHOWN`, as text; empty without two classes.
        corrected: optimism and .632+, if asked for.
        leak: scores on shuffled outcomes, if asked for.
    """

    name: str
    settings: str
    predicted: Float
    metrics: Mapping[str, Estimate]
    by_repeat: Mapping[str, Float]
    by_fold: Mapping[str, Float]
    auc_delong: Estimate | None
    calibration: tuple[CalibrationBin, ...]
    brier_parts: BrierParts | None
    net_benefit: Mapping[str, Estimate]
    corrected: Mapping[str, Corrected] | None
    leak: LeakTest | None

    @property
    def is_baseline(self) -> bool:
        """Whether this is what one predicts without features."""
        return not self.settings


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """First minus second model on the same patients and folds.

    Attributes:
        first, second: names of the models.
        differences: of the mean over the repeats, with paired BCa intervals over patients.
        delong: AUCs of the predictions averaged per patient; None without two classes or one outcome per patient.
        mcnemar: the same predictions, called by the threshold; None for numbers or without one outcome per patient.
        over_folds: corrected resampled t, for the metrics of `HEADLINES`.
    """

    first: str
    second: str
    differences: Mapping[str, Estimate]
    delong: Difference | None
    mcnemar: McNemar | None
    over_folds: Mapping[str, Difference]


@dataclass(frozen=True, kw_only=True)
class Subgroup:
    """Some of the patients.

    Attributes:
        column, level: e.g. sex, female.
        rows, patients: how many.
        per_class: rows of each class; empty for numbers.
        metrics: by model, of the rows in the subgroup; predictions come from models fitted on everybody.
    """

    column: str
    level: str
    rows: int
    patients: int
    per_class: Mapping[str, int]
    metrics: Mapping[str, Mapping[str, Estimate]]


@dataclass(frozen=True, kw_only=True, eq=False)
class Evaluation:
    """Result of `evaluate`.

    Attributes:
        problem: the checked inputs.
        virtual: whether the patients are virtual; every output says so.
        folds: how many.
        fold_of: (repeats, n) the fold that tested each row; the repeats have seeds 0, 1, ...
        resamples: of the patients.
        models: those given, then the baseline.
        treat_everybody: net benefit by threshold, as text; empty without two classes. Treating nobody has 0.
        comparisons: every pair.
        subgroups: in the order given.
        published: to stand beside.
    """

    problem: Problem
    virtual: bool
    folds: int
    fold_of: Int
    resamples: int
    models: tuple[ModelResult, ...]
    treat_everybody: Mapping[str, Estimate]
    comparisons: tuple[Comparison, ...]
    subgroups: tuple[Subgroup, ...]
    published: tuple[Published, ...]

    def __getitem__(self, name: str) -> ModelResult:
        """The model of that name."""
        for model in self.models:
            if model.name == name:
                return model
        raise KeyError(f"no model {name!r}; there are {', '.join(repr(model.name) for model in self.models)}")

    def table(self) -> str:
        """All numbers as markdown, each with its interval."""
        return report.markdown(self)

    def figure(self, path: Path) -> None:
        """Draw ROC, calibration and decision curves (two classes), confusion (several) or agreement (numbers)."""
        figure.draw(self, path)

    def to_json(self) -> dict[str, result_file.Json]:
        """All numbers and every out-of-fold prediction; null where a number does not exist."""
        return result_file.as_json(self)

    def write(self, folder: Path) -> None:
        """Write table.md, figure.png and evaluation.json into a folder, made if missing."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "table.md").write_text(self.table(), encoding="utf-8")
        self.figure(folder / "figure.png")
        result_file.write_json(self, folder / "evaluation.json")
