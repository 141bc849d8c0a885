"""What was published for the systems that this toolkit implements, to stand beside our own numbers.

Other patients, other labels, often other protocols: a difference from ours is no finding. Values are shares of 1 and as
printed; what was not printed is missing. Only the intervals of `accuracy_interval` are ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from ml.evaluation.intervals import wilson


@dataclass(frozen=True, kw_only=True)
class Published:
    """One published result.

    Attributes:
        study: short name.
        model: as described there.
        values: by name of `METRICS`, or `hazard_ratio`.
        source: where it stands.
        patients: how many it was tested on, None where not known.
        deviations: standard deviations as printed, by metric.
        remark: what one must know to compare.
    """

    study: str
    model: str
    values: Mapping[str, float]
    source: str
    patients: int | None = None
    deviations: Mapping[str, float] = field(default_factory=dict)
    remark: str = ""

    @property
    def accuracy_interval(self) -> tuple[float, float] | None:
        """Wilson's 95 % interval of the accuracy, had each patient been scored once; ours, not the authors'."""
        if self.patients is None or "accuracy" not in self.values:
            return None
        return wilson(round(self.values["accuracy"] * self.patients), self.patients)


_MORI_2025 = partial(
    Published,
    study="Mori 2025",
    patients=285,
    source="doi:10.1111/jce.70212",
    remark="CRT response, LVESV down by 15 % at 6 months; means over 10 seeds; split not known",
)
_LE = partial(Published, study="Le", source="text of the author, no DOI known")
_LE_RESPONSE = partial(
    _LE,
    patients=196,
    remark="CRT response; stratified 5-fold, mean over folds; stopped early, it seems, on the fold that is scored",
)
_LE_CAUSE = partial(_LE, remark="two of the three causes of 500 patients; test AUC")
_DUONG_2024 = partial(Published, study="Duong 2024", source="doi:10.1161/JAHA.123.031671")
_TWIN_74 = partial(Published, study="74-patient twin study", patients=74, source="medRxiv, known from a summary only")

PUBLISHED: Mapping[str, tuple[Published, ...]] = {
    "resnet18-image": (_MORI_2025(model="ResNet-18", values={"accuracy": 0.741, "ppv": 0.842}),),
    "ssl-resnet18-image": (
        _MORI_2025(
            model="SSL + ResNet-18",
            values={"accuracy": 0.785, "ppv": 0.813},
            deviations={"accuracy": 0.055},
        ),
    ),
    "lightgbm": (_MORI_2025(model="LightGBM", values={"accuracy": 0.794, "ppv": 0.728}),),
    "composite": (
        _LE_RESPONSE(model="composite net, pre-CRT", values={"auc": 0.84}),
        _LE_RESPONSE(model="composite net, post-CRT", values={"auc": 0.76}),
        _LE_RESPONSE(model="composite net, pre- and post-CRT", values={"auc": 0.87}),
    ),
    "sliding-scar": (
        _LE(
            model="sliding CNN",
            patients=235,
            values={"auc": 0.533},
            deviations={"auc": 0.090},
            remark="ventricular arrhythmia; 5-fold, mean and standard deviation over folds",
        ),
    ),
    "cardiomyopathy": (
        _LE_CAUSE(model="composite net, QRS, GEN against MYO", values={"auc": 0.89}),
        _LE_CAUSE(model="composite net, RR, GEN against MYO", values={"auc": 0.82}),
        _LE_CAUSE(model="composite net, QRS, GEN against SARC", values={"auc": 0.64}),
        _LE_CAUSE(model="composite net, RR, GEN against SARC", values={"auc": 0.50}),
    ),
    "rv-function": (
        _DUONG_2024(
            model="RVEF in %",
            values={"mae": 7.8, "hazard_ratio": 1.40},
            remark="ratio per 10 % lower RVEF",
        ),
        _DUONG_2024(model="RVEDV in mL/m2", values={"mae": 17.6}),
        *(
            _DUONG_2024(
                model=f"{what}, {cohort} cohort",
                values={"auc": auc},
                remark="which cohort each AUC belongs to follows their order in our notes",
            )
            for what, aucs in (("RVEF <= 40 %", (0.86, 0.81, 0.77)), ("RVEDV > 120 mL/m2", (0.91, 0.81, 0.92)))
            for cohort, auc in zip(("UK Biobank", "health-system", "prospective"), aucs, strict=True)
        ),
    ),
    "qrs-pca": (
        Published(
            study="Feeny 2020",
            model="QRS PCA + k-means, two groups",
            patients=946,
            values={"hazard_ratio": 0.44},
            source="Feeny 2020, abstract",
            remark="death, LVAD or transplant; 521 against 425 patients; printed 95 % interval 0.38-0.53",
        ),
    ),
    "twin": (
        _TWIN_74(
            model="digital twin + classifier",
            values={"accuracy": 0.78, "f1": 0.75, "sensitivity": 0.80, "specificity": 0.77, "auc": 0.85},
            remark="fits 30 responders of 74 only, where the majority class scores 0.595 (computed by us)",
        ),
        _TWIN_74(
            model="Feeny calculator on the same patients",
            values={"accuracy": 0.58, "f1": 0.43},
            remark="fits no whole numbers of 74 patients exactly (computed by us)",
        ),
    ),
    "dokuchaev": (
        Published(
            study="Dokuchaev 2022/2023",
            model="logistic regression, clinical and simulated",
            patients=57,
            values={"accuracy": 0.77, "auc": 0.84},
            source="abstracts of Dokuchaev 2022 and 2023",
            remark="LVEF up by 10; the cross-validation is not known to us",
        ),
    ),
    "smart-av": (
        Published(
            study="SMART-AV (Howell 2021)",
            model="adaptive lasso, 19 of 43 variables",
            patients=741,
            values={"auc": 0.759},
            source="Howell 2021, abstract",
            remark="80/20 split; printed 95 % interval 0.678-0.840; 45.5 % responded",
        ),
        Published(
            study="SMART-AV (Howell 2021)",
            model="guideline",
            patients=741,
            values={"auc": 0.639},
            source="Howell 2021, abstract",
        ),
    ),
}
