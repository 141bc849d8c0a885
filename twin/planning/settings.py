"""What a user may set about a plan; every default is that of the dataclass which uses it.

Settings come from the command line, a settings file and the patient's own `patient.yaml`, in this order of precedence.
"""

from collections.abc import Callable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import InitErrorDetails, PydanticCustomError

from anatomy.access import LeadRules
from anatomy.fibres import FibreAngles
from anatomy.meshing import EDGE_MM
from twin.activation import CaptureLatency
from twin.conduction import Conduction
from twin.personalise import FitRules
from twin.planning.errors import SettingsError

Model = TypeVar("Model", bound=BaseModel)


def _every_fault(kind: type) -> WrapValidator:
    """Name every fault in the values of a dataclass at once.

    By itself pydantic drops keys that the dataclass does not have, and its own check stops at the first bad value.
    """
    known = [field.name for field in fields(kind)]

    def check(value: Any, build: ValidatorFunctionWrapHandler) -> Any:
        if not isinstance(value, Mapping):
            return build(value)
        faults = [_fault(key, f"unknown key; known are {', '.join(known)}") for key in value if key not in known]
        rest = {key: item for key, item in value.items() if key in known}
        while True:
            try:
                built = build(rest)
            except ValidationError as error:
                faults += [_fault(fault["loc"], fault["msg"]) for fault in error.errors()]
                named = {
                    key for key in rest for fault in error.errors() if key in (*fault["loc"], *fault["msg"].split())
                }
                rest = {key: item for key, item in rest.items() if key not in named}
                if named:
                    continue
            else:
                if not faults:
                    return built
            raise ValidationError.from_exception_data(kind.__name__, faults)

    return WrapValidator(check)


def _fault(key: Any, message: str) -> InitErrorDetails:
    loc = key if isinstance(key, tuple) else (str(key),)
    text = message.removeprefix("Value error, ")
    return InitErrorDetails(type=PydanticCustomError("setting", "{text}", {"text": text}), loc=loc, input=None)


class Settings(BaseModel):
    """Settings of one plan.

    Attributes:
        edge_mm: edge length of the mesh made from labels or surfaces.
        rhythm: the patient's own rhythm; "auto" reads it off the ECG.
        rv_site: where the right-ventricular lead sits, unless patient.yaml names the implanted place.
        vv_delays_ms: delays tried at every site; positive: left stimulus after the right one.
        tie_zone_ms: sites within this of a better one share its rank; about the error of the electrical index.
        pictures: draw the heart for the report.
        outputs: "table" leaves out heart.vtu and report.html, as cohorts do.
        response_model: a model file that `crt-twin train` wrote, or "none"; the one that comes with the package if not given.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    edge_mm: float = Field(default=EDGE_MM, ge=0.6, le=3.0)
    rhythm: Literal["auto", "normal", "lbbb", "rbbb"] = "auto"
    rv_site: Literal["apex", "septum"] = "apex"
    vv_delays_ms: tuple[Annotated[float, Field(ge=-100, le=100)], ...] = Field(
        default=(-40.0, -20.0, 0.0, 20.0, 40.0), min_length=1
    )
    tie_zone_ms: float = Field(default=5.0, gt=0, le=50)
    pictures: bool = True
    outputs: Literal["full", "table"] = "full"
    response_model: Literal["none"] | Path | None = None
    conduction: Annotated[Conduction, _every_fault(Conduction)] = Conduction()
    fit: Annotated[FitRules, _every_fault(FitRules)] = FitRules()
    lead: Annotated[LeadRules, _every_fault(LeadRules)] = LeadRules()
    fibres: Annotated[FibreAngles, _every_fault(FibreAngles)] = FibreAngles()
    latency: Annotated[CaptureLatency, _every_fault(CaptureLatency)] = CaptureLatency()


def validated(
    model: type[Model], values: Any, error: Callable[[str], Exception], where: Callable[[tuple[Any, ...]], str]
) -> Model:
    """Build a pydantic model, or raise one error that names every fault on a line of its own.

    Args:
        model: what to build.
        values: of what.
        error: makes the exception out of the lines.
        where: names the file, or whatever else, that a key came from.
    """
    try:
        return model.model_validate(values)
    except ValidationError as fault:
        lines = []
        for item in fault.errors():
            if item["type"] == "too_short" and item["loc"] in [other["loc"][:-1] for other in fault.errors()]:
                continue  # pydantic counts the good items only
            key = ".".join(str(part) for part in item["loc"]) or "the whole file"
            message = item["msg"].removeprefix("Value error, ")
            if item["type"] == "extra_forbidden":
                message = f"unknown key; known are {', '.join(model.model_fields)}"
            if item["type"] == "string_type":
                message += "; put it in quotes"
            lines.append(f"{where(item['loc'])}: {key}: {message}")
        raise error("\n".join(lines)) from None


def read_yaml(path: Path, error: Callable[[str], Exception]) -> dict[str, Any]:
    """The mapping that a YAML file holds; an empty file is an empty mapping."""
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as fault:
        raise error(f"{path.name}: cannot be read: {fault.strerror}") from None
    except RecursionError:
        raise error(f"{path.name}: cannot be read as YAML: it is nested too deeply") from None
    except (ValueError, yaml.YAMLError) as fault:  # a date such as 2024-13-45 is a ValueError
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

    def where(key: tuple[Any, ...]) -> str:
        """The strongest layer that sets the key; a joint fault of several keys is that of all layers."""
        return next(
            (name for name, layer in reversed(layers) if _sets(layer, key)), ", ".join(name for name, _ in layers)
        )

    return validated(Settings, values, SettingsError, where)


def _sets(layer: Mapping[str, Any], key: tuple[Any, ...]) -> bool:
    at: Any = layer
    for part in key:
        if not isinstance(at, Mapping):
            return True
        if part not in at:
            return False
        at = at[part]
    return True


def _merge(into: dict[str, Any], layer: Mapping[str, Any]) -> None:
    for key, value in layer.items():
        if isinstance(value, Mapping) and isinstance(into.get(key), dict):
            _merge(into[key], value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value
