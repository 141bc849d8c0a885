"""What a response model says of the sites of one plan, and what it says of itself.

A model file holds a `ml.response.ResponseModel` and, as the text `card`, its model card: what it was trained on, how well it did
there, and what it is not for. Where a site is unlike the training data the model abstains: no probability is shown.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict, ValidationError

from ml.model_store import load_model, read_parts, write_parts
from ml.models import model_name
from twin.planning.errors import SettingsError
from twin.planning.features import BY_NAME, Value, predictors
from twin.planning.site_table import table

DEFAULT_MODEL = "response.model"
INTENDED_USE = "research; not for clinical use"
NO_MODEL = "response_probability is empty: there is no response model"
OUTSIDE = "outside of the training data"
# Shown of each site.
_CONTRIBUTIONS, _NEAREST = 5, 3
_CARD = "card"


class ModelCard(BaseModel):
    """What a model says of itself.

    Attributes:
        name: of the model.
        label: what counts as response, in words.
        data: what it was trained on, in words.
        virtual: trained on virtual patients.
        patients: how many.
        responders: how many of them.
        protocol: how the figures below were found, in words.
        auc: with the ends of its 95 % interval, each out of fold.
        calibration_slope, calibration_intercept: likewise.
        rebuild: the command that makes the model anew.
        intended_use: what it is for.
        notes: anything else that a reader must know.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    label: str
    data: str
    virtual: bool
    patients: int
    responders: int
    protocol: str
    auc: tuple[float, float, float] | None = None
    calibration_slope: tuple[float, float, float] | None = None
    calibration_intercept: tuple[float, float, float] | None = None
    rebuild: str | None = None
    intended_use: str = INTENDED_USE
    notes: tuple[str, ...] = ()


class Responding(Protocol):
    """What is asked of a model: as `ml.response.ResponseModel` has it."""

    predictors: Any

    def answer(self, X: Any) -> Any:  # noqa: N803 (as scikit-learn)
        """`ml.response.ResponseAnswers` of a table."""

    def contributions(self, X: Any) -> Any:  # noqa: N803
        """(n, predictors) table of what each adds to the log-odds."""

    def drift(self, X: Any) -> Any:  # noqa: N803
        """Table of `predictor`, `column`, `shift` and `p`: how far the rows lie from the training rows as a group."""


@dataclass(frozen=True, kw_only=True, eq=False)
class CardedModel:
    """A fitted response model with its card.

    Attributes:
        model: the model.
        card: what it says of itself.
        file: name of the file it came from, and that file's SHA-256.
    """

    model: Responding
    card: ModelCard
    file: tuple[str, str] = ("", "")


@dataclass(frozen=True, kw_only=True)
class SiteScore:
    """What plan.json says of a site beside its row.

    Attributes:
        row: the features response_*.
        reason: why there is no probability; None where there is one.
        contributions: the strongest: name, meaning, value, and what it adds to the log-odds of response.
        nearest: training patients: name, whether they responded, and the distance.
    """

    row: dict[str, Value]
    reason: str | None = None
    contributions: list[dict[str, Any]] = field(default_factory=list)
    nearest: list[dict[str, Any]] = field(default_factory=list)


def save_carded_model(model: Any, card: ModelCard, path: Path) -> None:
    """Write a fitted `ResponseModel` with its card into one file, all or nothing."""
    parts = model.parts()
    write_parts(path, model_name(model), replace(parts, texts={**parts.texts, _CARD: card.model_dump_json(indent=1)}))


def load_carded_model(setting: Path | str | None) -> CardedModel | None:
    """The model that a setting names: a file, "none", or None for the one that comes with the package, if it does.

    Raises:
        SettingsError: if the file cannot be read, holds no response model with a card, or reads what no plan has.
    """
    if setting == "none":
        return None
    if setting is None:
        with as_file(files("twin.planning") / "data" / DEFAULT_MODEL) as shipped:
            return _loaded(shipped, shipped.stat().st_mtime_ns) if shipped.is_file() else None
    path = Path(setting)
    if not path.is_file():
        raise SettingsError(f"response_model: {path.name}: there is no such file")
    return _loaded(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)  # a worker of a cohort asks for every patient
def _loaded(path: Path, _modified_ns: int) -> CardedModel:
    where = f"response_model: {path.name}"
    try:
        name, parts = read_parts(path)
        if name != "response" or _CARD not in parts.texts:
            raise SettingsError(f"{where}: holds a {name} model without a card; name one that `crt-twin train` wrote")
        card = ModelCard.model_validate(json.loads(parts.texts[_CARD]))
        model: Responding = load_model(path)
    except OSError as fault:
        raise SettingsError(f"{where}: cannot be read: {fault.strerror}") from None
    except ValidationError as fault:
        raise SettingsError(f"{where}: its card lacks or garbles {fault.errors()[0]['loc']}") from None
    except ValueError as fault:
        raise SettingsError(f"{where}: {fault}") from None
    offered = {predictor.name for predictor in predictors()}
    unknown = [predictor.name for predictor in model.predictors if predictor.name not in offered]
    if unknown:
        raise SettingsError(f"{where}: reads {', '.join(unknown)}, which no plan has: train it anew")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return CardedModel(model=model, card=card, file=(path.name, digest))


def score_rows(rows: Sequence[Mapping[str, Value]], carded: CardedModel) -> list[SiteScore]:
    """A score for each row; sites that do not capture get an empty one.

    Raises:
        InputError: if a value is out of its range.
    """
    asked = [k for k, row in enumerate(rows) if row["captures"]]
    scores = [SiteScore(row={}) for _ in rows]
    if not asked:
        return scores
    sites = table(rows[k] for k in asked)
    answers, added = carded.model.answer(sites), carded.model.contributions(sites)
    for i, k in enumerate(asked):
        if not answers.supported[i]:
            where = "" if answers.furthest[i] == "all" else f" ({answers.furthest[i]})"
            scores[k] = SiteScore(row={"response_supported": False}, reason=f"{OUTSIDE}{where}")
            continue
        strongest = added.iloc[i].sort_values(key=abs, ascending=False, kind="stable")[:_CONTRIBUTIONS]
        scores[k] = SiteScore(
            row={
                "response_probability": float(answers.probability[i]),
                "response_low": float(answers.low[i]),
                "response_high": float(answers.high[i]),
                "response_supported": True,
            },
            contributions=[
                {"name": name, "meaning": BY_NAME[name].meaning, "value": rows[k][name], "log_odds": float(log_odds)}
                for name, log_odds in strongest.items()
            ],
            nearest=[
                {"patient": one.patient, "responded": bool(one.outcome), "distance": one.distance}
                for one in answers.nearest[i][:_NEAREST]
            ],
        )
    return scores
