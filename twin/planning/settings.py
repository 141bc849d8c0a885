"""What a user may set about a plan; every default is that of the dataclass which uses it.

Settings come from the command line, a settings file and the patient's own `patient.yaml`, in this order of precedence.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from anatomy.access import LeadRules
from anatomy.fibres import FibreAngles
from twin.activation import CaptureLatency
from twin.conduction import Conduction
from twin.personalise import FitRules
from twin.planning.errors import SettingsError

Model = TypeVar("Model", bound=BaseModel)


def _no_unknown_keys(kind: type) -> BeforeValidator:
    """Refuse keys that a dataclass does not have; pydantic would drop them in silence."""
    known = [field.name for field in fields(kind)]

    def check(value: Any) -> Any:
        unknown = sorted(set(value) - set(known)) if isinstance(value, Mapping) else []
        if unknown:
            raise ValueError(f"unknown key {', '.join(unknown)}; known are {', '.join(known)}")
        return value

    return BeforeValidator(check)


class Settings(BaseModel):
    """Settings of one plan.

    Attributes:
        edge_mm: edge length of the mesh made from labels or surfaces.
        rhythm: the patient's own rhythm; "auto" reads it off the ECG.
        rv_site: where the right-ventricular lead sits, unless patient.yaml names the implanted place.
        vv_delays_ms: delays tried at every site; positive: left stimulus after the right one.
        tie_zone_ms: sites within this of a better one share its rank; about the error of the electrical index.
        pictures: draw the heart for the report.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    edge_mm: float = Field(default=1.5, ge=0.6, le=3.0)
    rhythm: Literal["auto", "normal", "lbbb", "rbbb"] = "auto"
    rv_site: Literal["apex", "septum"] = "apex"
    vv_delays_ms: tuple[Annotated[float, Field(ge=-100, le=100)], ...] = Field(
        default=(-40.0, -20.0, 0.0, 20.0, 40.0), min_length=1
    )
    tie_zone_ms: float = Field(default=5.0, gt=0, le=50)
    pictures: bool = True
    conduction: Annotated[Conduction, _no_unknown_keys(Conduction)] = Conduction()
    fit: Annotated[FitRules, _no_unknown_keys(FitRules)] = FitRules()
    lead: Annotated[LeadRules, _no_unknown_keys(LeadRules)] = LeadRules()
    fibres: Annotated[FibreAngles, _no_unknown_keys(FibreAngles)] = FibreAngles()
    latency: Annotated[CaptureLatency, _no_unknown_keys(CaptureLatency)] = CaptureLatency()


def validated(model: type[Model], values: Any, error: Callable[[str], Exception], where: str) -> Model:
    """Build a pydantic model, or raise one error that names every fault on a line of its own."""
    try:
        return model.model_validate(values)
    except ValidationError as fault:
        lines = []
        for item in fault.errors():
            key = ".".join(str(part) for part in item["loc"]) or "the whole file"
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                message = f"unknown key; known are {', '.join(model.model_fields)}"
            lines.append(f"{where}: {key}: {message}")
        raise error("\n".join(lines)) from None


def read_yaml(path: Path, error: Callable[[str], Exception]) -> dict[str, Any]:
    """The mapping that a YAML file holds; an empty file is an empty mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise error(f"{path.name}: cannot be read as YAML: {' '.join(str(fault).split())}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise error(f"{path.name}: must hold `key: value` lines")
    return content


def merged_settings(*layers: tuple[str, Mapping[str, Any]]) -> Settings:
    """Settings from several named layers; a later layer replaces single values of an earlier one.

    Raises:
        SettingsError: naming every fault, with the names of the layers.
    """
    values: dict[str, Any] = {}
    for _, layer in layers:
        _merge(values, layer)
    where = ", ".join(name for name, layer in layers if layer) or "settings"
    return validated(Settings, values, SettingsError, where)


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value
