"""The published studies, as far as they are known, as recipes for virtual cohorts of their size.

What was not published is our choice and stands under `unknown`. Only the number of patients, the label, the kind of
predictors and the kind of split are theirs: the patients are virtual, and other classifiers stand in where theirs is not
known. Facts: summaries and abstracts, see `ml.evaluation.published`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from ml.evaluation.published import PUBLISHED, Published

Split = Literal["folds", "80/20"]
Model = Literal["elastic net", "nine-variable naive Bayes", "guideline"]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """One model of a study.

    Attributes:
        name: as shown.
        model: what is fitted.
        families: of predictors that the elastic net is offered; empty: all.
        names: single predictors that it is offered instead of families.
        published: what stands beside it.
    """

    name: str
    model: Model = "elastic net"
    families: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    published: Published | None = None


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study to repeat.

    Attributes:
        title: who, with how many patients.
        patients, pilot: sizes of the two cohorts, drawn without a patient in both.
        label: key of `twin.planning.response_cohort.LABELS`.
        arms: the first is the study's own.
        split: folds, stratified 5-fold with each patient tested once; or 80/20, tested on a fifth.
        seeds: how many splits of each cohort are averaged.
        shown: metrics of `ml.evaluation.metrics.METRICS`, the most important first.
        further: published results that stand beside no arm.
        unknown: what we do not know of the study, and chose.
        counts: hits and number of patients behind shares published for the first arm, where they follow from what was printed.
        over_folds: metrics are means over folds, and not of all out-of-fold predictions together.
    """

    title: str
    patients: int
    label: str
    arms: tuple[Arm, ...]
    shown: tuple[str, ...]
    unknown: tuple[str, ...]
    pilot: int = 0
    split: Split = "folds"
    seeds: int = 1
    counts: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    over_folds: bool = False
    further: tuple[Published, ...] = ()

    @property
    def published(self) -> tuple[Published, ...]:
        """All that stands beside."""
        return (*(arm.published for arm in self.arms if arm.published is not None), *self.further)


_NAIVE_BAYES = Arm(name="nine-variable naive Bayes (refit)", model="nine-variable naive Bayes")
_HYBRID = ("clinical", "ecg", "place", "reach", "scar", "simulated")
_HYBRID_ARMS = (
    Arm(name="clinical and simulated", families=_HYBRID),
    Arm(name="clinical only", families=("clinical", "ecg")),
    _NAIVE_BAYES,
)

STUDIES: Mapping[str, Study] = {
    "digital-twin": Study(
        title="The digital-twin study of 74 patients and its pilot of 19",
        patients=74,
        pilot=19,
        label="lvesv15",
        arms=(
            Arm(name="elastic net on all features", published=PUBLISHED["twin"][0]),
            replace(_NAIVE_BAYES, published=PUBLISHED["twin"][1]),
        ),
        shown=("accuracy", "f1", "sensitivity", "specificity", "auc"),
        # The only whole numbers of 74 that give the printed shares (computed by us).
        counts={"accuracy": (58, 74), "sensitivity": (24, 30), "specificity": (34, 44)},
        unknown=(
            (
                "The label, the classifier, the predictors and the validation behind the published numbers are not known: "
                "here LV end-systolic volume down by 15 %, logistic regression with an elastic net, every feature of the "
                "table, and stratified 5-fold cross-validation."
            ),
            (
                "What the bootstrap mean AUC averaged is not known: here, the AUC of the out-of-fold predictions over "
                "resamples of the patients."
            ),
            (
                "The coefficients of the clinical calculator were not found: a naive Bayes on its nine variables, refitted "
                "inside the folds, stands in and is favoured by that."
            ),
            "From which probability on a site counted as promising is not known: here 0.5.",
        ),
    ),
    "dokuchaev": Study(
        title="Dokuchaev 2022/2023, 57 patients",
        patients=57,
        label="lvef10",
        arms=(replace(_HYBRID_ARMS[0], published=PUBLISHED["dokuchaev"][0]), *_HYBRID_ARMS[1:]),
        shown=("accuracy", "auc", "f1", "sensitivity", "specificity"),
        unknown=(
            (
                "The validation and the list of predictors are not known: here stratified 5-fold cross-validation, the "
                "clinical, ECG and simulated features of the table, and an elastic net in their logistic regression."
            ),
            "The time at which LVEF was measured has no counterpart in virtual patients.",
        ),
    ),
    "khamzin": Study(
        title="Khamzin 2021, 57 patients",
        patients=57,
        label="lvef10",
        arms=_HYBRID_ARMS,
        shown=("accuracy", "auc", "f1", "sensitivity", "specificity"),
        unknown=(
            "No result of this study could be read at its source, so that none stands beside.",
            "They compared several classifiers; here a logistic regression with an elastic net, stratified 5-fold.",
        ),
    ),
    "mori": Study(
        title="Mori 2025, 285 patients",
        patients=285,
        label="lvesv15",
        arms=(
            Arm(name="elastic net on ECG features", families=("ecg",), published=PUBLISHED["lightgbm"][0]),
            _NAIVE_BAYES,
        ),
        split="80/20",
        seeds=10,
        shown=("accuracy", "ppv", "npv", "auc"),
        further=(*PUBLISHED["ssl-resnet18-image"], *PUBLISHED["resnet18-image"]),
        unknown=(
            (
                "Their three models read ECG images and time series. Here an elastic net reads the measured ECG features of "
                "the table: this repeats the size of the study, not its models. `crt-twin ecg train` has those."
            ),
            "The split behind the ten seeds is not known: here ten random splits, a fifth tested.",
        ),
    ),
    "le": Study(
        title="Le, 196 patients",
        patients=196,
        label="clinical",
        arms=(
            Arm(name="network on the own and the paced ECG", names=("net_both",), published=PUBLISHED["composite"][2]),
            Arm(name="network on the own ECG", names=("net_own",), published=PUBLISHED["composite"][0]),
            Arm(name="network on the paced ECG", names=("net_paced",), published=PUBLISHED["composite"][1]),
        ),
        shown=("auc", "accuracy"),
        over_folds=True,
        unknown=(
            (
                "The networks' outputs are features of the table, learnt on other virtual patients; a logistic regression "
                "turns each into a probability. Their networks were trained on the 196 patients themselves and stopped, it "
                "seems, on the fold that was scored."
            ),
            "Their paced ECG was recorded after implantation; here it is simulated before.",
            "How response was defined is not known: here, as in SMART-AV.",
        ),
    ),
    "smart-av": Study(
        title="SMART-AV (Howell 2021), 741 patients",
        patients=741,
        label="clinical",
        arms=(
            Arm(
                name="elastic net on clinical and ECG features",
                families=("clinical", "ecg"),
                published=PUBLISHED["smart-av"][0],
            ),
            Arm(name="guideline class, ESC 2021", model="guideline", published=PUBLISHED["smart-av"][1]),
            _NAIVE_BAYES,
        ),
        split="80/20",
        shown=("auc", "accuracy"),
        unknown=(
            (
                "They chose among 43 variables by an adaptive lasso; the table has fewer clinical ones, and an elastic net "
                "takes its place."
            ),
            "Here a fifth is tested; which fifth was tested there, and how often, is not known.",
        ),
    ),
}
