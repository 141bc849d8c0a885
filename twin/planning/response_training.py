"""From a cohort to a response model and its card: what it was trained on, what can be expected of it, how to make it again.

The model is fitted to every patient; what the card says of its performance comes from cross-validation, in which a model of
the same kind never sees the patients it is measured on. The card stands in the model file and, with the SHA-256 of that
file, beside it.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path

import numpy as np

from ml.evaluation.intervals import Estimate
from ml.evaluation.protocol import FitCounter
from ml.evaluation.result_file import plain
from ml.response import ResponseModel
from twin.planning.errors import SettingsError
from twin.planning.response_cohort import LABELS, ResponseCohort
from twin.planning.response_folds import fold_answers, need_both_outcomes, random_folds
from twin.planning.response_metrics import drawn_metrics
from twin.planning.response_models import our_model
from twin.planning.response_results import Share, share
from twin.planning.scoring import ModelCard, save_carded_model
from twin.planning.whole_files import whole_files

Told = Callable[[int, int, str], None]
_FOLDS, _RESAMPLES = 5, 2000
_SHOWN = ("auc", "accuracy", "sensitivity", "specificity", "brier", "calibration_slope", "calibration_intercept")
_NOTES = (
    "Each patient has one lead: what the model says of other sites is an extrapolation from other patients' leads.",
    "Outside the data that it was trained on the model abstains.",
)
_VIRTUAL = "Virtual patients: nothing was measured in a person; in real patients it may be wrong without showing it."


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What was written.

    Attributes:
        card: as in the model file.
        metrics: out-of-fold, with 95 % intervals over patients.
        abstained: out-of-fold patients for whom the model abstained.
        predictors: columns that it reads.
        model_sha256: of the model file.
        data_sha256: of the rows learnt from, the outcomes included.
        version: of crt-twin.
    """

    card: ModelCard
    metrics: dict[str, Estimate]
    abstained: Share
    predictors: tuple[str, ...]
    model_sha256: str
    data_sha256: str
    version: str

    def as_json(self) -> str:
        """All of it."""
        content = {"format": 1, **asdict(self), "card": self.card.model_dump()}
        return json.dumps(plain(content), indent=1, ensure_ascii=False) + "\n"

    def as_markdown(self) -> str:
        """All of it as a page."""
        card = self.card
        rows = "\n".join(
            f"| {name.replace('_', ' ')} | {one.value:.3f} | {one.low:.3f} to {one.high:.3f} |"
            for name, one in self.metrics.items()
        )
        notes = "\n".join(f"- {note}" for note in card.notes)
        return f"""# {card.name}

**Intended use: {card.intended_use}. Not a medical device, not for diagnosis or treatment.**

- Response: {card.label}.
- Learnt from: {card.data}; {card.responders} of {card.patients} responded.
- Reads: {len(self.predictors)} features of a site and its patient (`twin.planning.features`).
- Tested: {card.protocol}.
- Abstained in the test: for {self.abstained.hits} of {self.abstained.of} patients.
{notes}

| out-of-fold | value | 95 % interval over patients |
| --- | --- | --- |
{rows}

- SHA-256 of the model: {self.model_sha256}
- SHA-256 of the data: {self.data_sha256}
- Made by crt-twin {self.version}; to make it again: `{card.rebuild}`
"""


def train_response(
    cohort: ResponseCohort, out: Path, *, rebuild: str, repeats: int = 2, seed: int = 0, told: Told
) -> Trained:
    """Test, fit, write: the model, `<model>.card.json` and `<model>.card.md`, all or nothing.

    Args:
        cohort: patients with outcomes.
        out: the model file.
        rebuild: the command that does this again, for the card.
        repeats: of the cross-validation.
        seed: of the model.
        told: called with fits done, fits in all, and what they are.

    Raises:
        SettingsError: if `out` cannot be written to.
        InputError: if there are fewer patients of an outcome than folds.
    """
    if out.is_dir() or not out.parent.is_dir():
        raise SettingsError(f"--out {out}: must name a file in a folder that exists")
    need_both_outcomes(cohort, _FOLDS)
    done = FitCounter(repeats * _FOLDS + 1, lambda i, n: told(i, n, "fits"))
    tested = [
        fold_answers(our_model(cohort.predictors), cohort, random_folds(cohort, _FOLDS, one), seed=one, done=done)
        for one in range(repeats)
    ]
    drawn = drawn_metrics(cohort.outcome, np.stack([one.probability for one in tested]), _RESAMPLES, calibration=True)
    metrics = {name: drawn.estimate(name) for name in _SHOWN}
    names = tuple(one.name for one in cohort.predictors)
    model = ResponseModel(cohort.predictors, random_state=seed)
    model.fit(cohort.implanted[list(names)], cohort.outcome, groups=cohort.implanted["patient"].to_numpy())
    done()
    who = "virtual patients" if cohort.virtual else "patients"
    card = ModelCard(
        name=f"Response model, {cohort.label}" + (", virtual patients" if cohort.virtual else ""),
        label=LABELS[cohort.label].meaning,
        data=f"{len(cohort.outcome)} {who} of {cohort.name}",
        virtual=cohort.virtual,
        patients=len(cohort.outcome),
        responders=int(cohort.outcome.sum()),
        protocol=f"{_FOLDS} random folds over patients, {repeats} repeats",
        auc=_ends(metrics["auc"]),
        calibration_slope=_ends(metrics["calibration_slope"]),
        calibration_intercept=_ends(metrics["calibration_intercept"]),
        rebuild=rebuild,
        notes=(_VIRTUAL, *_NOTES) if cohort.virtual else _NOTES,
    )
    files = [out.name, f"{out.name}.card.json", f"{out.name}.card.md"]
    with whole_files(out.parent, files) as folder:
        save_carded_model(model, card, folder / out.name)
        trained = Trained(
            card=card,
            metrics=metrics,
            abstained=share(~tested[0].supported),
            predictors=names,
            model_sha256=hashlib.sha256((folder / out.name).read_bytes()).hexdigest(),
            data_sha256=cohort.sha256,
            version=version("crt-twin"),
        )
        (folder / files[1]).write_text(trained.as_json(), encoding="utf-8", newline="\n")
        (folder / files[2]).write_text(trained.as_markdown(), encoding="utf-8", newline="\n")
    return trained


def _ends(estimate: Estimate) -> tuple[float, float, float] | None:
    """Value and interval, rounded; None where there is none."""
    if not (np.isfinite(estimate.value) and estimate.has_interval):
        return None
    return round(estimate.value, 4), round(estimate.low, 4), round(estimate.high, 4)
