"""What a user asks to be trained: names, numbers and settings, checked before anything is read."""

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ml.datasets.stack import Length
from twin.planning.ecg_models import Which
from twin.planning.errors import SettingsError

# Arguments of models that follow from the table and the options, or that no text can hold.
_NOT_SETTABLE = ("sampling_hz", "leads", "recordings", "random_state", "pretrained", "unlabelled", "within_myocardium")


class Request(BaseModel):
    """What is to be trained, and how.

    Attributes:
        name: of the model.
        table: see `ml.datasets.plain`; a label may be text, too.
        out: the model file to write.
        folds: of the cross-validation.
        seeds: its repeats; 0: no evaluation.
        seed: of the model that is written.
        label: column to learn; None: `label`, or `value` where there is none.
        positive: of two classes, the one that metrics are about; None: 1 of 0 and 1.
        ecg: which of each row; None: both if the model can read two and the table has them, otherwise the first.
        length: what becomes of unequal lengths, see `ml.datasets.stack`.
        leave_out_faulty: leave out lines that cannot be used, instead of refusing the table.
        virtual: the patients are virtual. They also are if a cell of the table's column `virtual` says yes.
        unlabelled: tables, files and folders of ECGs of other people to pretrain on.
        settings: further arguments of the model.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    table: Path
    out: Path
    folds: Annotated[int, Field(ge=2)] = 5
    seeds: Annotated[int, Field(ge=0)] = 10
    seed: Annotated[int, Field(ge=0)] = 0
    label: str | None = None
    positive: str | None = None
    ecg: Which | None = None
    length: Length = "shortest"
    leave_out_faulty: bool = False
    virtual: bool = False
    unlabelled: tuple[Path, ...] = ()
    settings: dict[str, Any] = {}


def settings_from(texts: Iterable[str]) -> dict[str, Any]:
    """Settings of a model from texts such as `max_epochs=20`, the values as in YAML.

    Raises:
        SettingsError: for a text without a name and a value.
    """
    settings = {}
    for text in texts:
        name, equals, value = text.partition("=")
        try:
            settings[name.strip()] = yaml.safe_load(value)
        except yaml.YAMLError:
            equals = ""
        if not equals or not name.strip():
            raise SettingsError(f"--set {text}: need NAME=VALUE, such as max_epochs=20")
    return settings


def checked_settings(name: str, model_type: type, given: Mapping[str, object]) -> dict[str, object]:
    """Arguments of a model, each of the type that its constructor names, and none that no data could make right.

    Raises:
        SettingsError: one line per argument that is unknown, of another type or impossible.
    """
    arguments = inspect.signature(model_type).parameters
    known = [key for key in arguments if key not in _NOT_SETTABLE]
    faults, checked = [], {}
    for key, value in given.items():
        if key not in known:
            faults.append(f"--set {key}: {name} has no such setting; there are {', '.join(known)}")
            continue
        try:
            checked[key] = TypeAdapter(arguments[key].annotation).validate_python(value)
        except ValidationError as fault:
            faults.append(f"--set {key}={value}: {fault.errors()[0]['msg']}")
    if faults:
        raise SettingsError("\n".join(faults))
    model = model_type(**checked, **({"sampling_hz": 500.0} if "sampling_hz" in arguments else {}))
    if hasattr(model, "check_settings"):
        try:
            model.check_settings()
        except ValueError as fault:
            raise SettingsError(f"--set: {fault}") from fault
    return checked
