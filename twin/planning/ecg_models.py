"""The models of `ml` as the command line shows them: what each is and reads, and the files that keep trained ones.

A model file is one of `ml.model_store` that also keeps, as the text "training", how its ECGs were prepared and whom it learnt
from, so that every later answer can say so.

Units: mV, Hz.
"""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from ml.datasets.rows import EcgRow
from ml.datasets.stack import EcgTable, Length
from ml.model_store import Storable, load_model, read_parts, write_parts
from twin.planning.errors import InputError, SettingsError

Which: TypeAlias = Literal["before", "after", "both"]
Float32: TypeAlias = NDArray[np.float32]

_TRAINING = "training"
_VIRTUAL, _YES = "virtual", ("yes", "true", "1", "1.0")
_FOLLOW_UP = ("time", "event")
SCAR_SLICES: Literal["3 to 10 scar slices"] = "3 to 10 scar slices"


@dataclass(frozen=True, kw_only=True)
class ModelInfo:
    """What a user wants to know of a model before its packages are loaded.

    Attributes:
        summary: what it is.
        source: where it was described.
        reads: what it needs of each row of a table.
        learns: what it answers with.
        packages: that it needs beside those of every installation; all are in the extra [deep].
        columns: of the table that it learns; empty: the user names one, unless it finds groups.
    """

    summary: str
    source: str
    reads: Literal["one ECG", "one or two ECGs", "3 to 10 scar slices", "LGE images"]
    learns: Literal["classes", "numbers", "groups", "masks"]
    packages: tuple[str, ...]
    columns: tuple[str, ...] = ()


_MORI, _LE = "Mori 2025, doi:10.1111/jce.70212", "Le, text of the author, no DOI known"
_MONAI = ("torch", "monai")

INFO: Mapping[str, ModelInfo] = {
    "resnet18-image": ModelInfo(
        summary="ResNet-18 on the picture of a 12-lead ECG",
        source=_MORI,
        reads="one ECG",
        learns="classes",
        packages=_MONAI,
    ),
    "ssl-resnet18-image": ModelInfo(
        summary="the same, pretrained on ECGs without labels",
        source=_MORI,
        reads="one ECG",
        learns="classes",
        packages=_MONAI,
    ),
    "lightgbm": ModelInfo(
        summary="boosted trees on measurements of the ECG",
        source=_MORI,
        reads="one ECG",
        learns="classes",
        packages=(),
    ),
    "composite": ModelInfo(
        summary="convolutions lead by lead, on the ECG before implantation, after it, or both",
        source=_LE,
        reads="one or two ECGs",
        learns="classes",
        packages=("torch",),
    ),
    "sliding-scar": ModelInfo(
        summary="one encoder that slides over short-axis slices of scar",
        source=_LE,
        reads=SCAR_SLICES,
        learns="classes",
        packages=("torch",),
    ),
    "cardiomyopathy": ModelInfo(
        summary="the composite net for genetic cardiomyopathy, myocarditis and sarcoidosis",
        source=_LE,
        reads="one ECG",
        learns="classes",
        packages=("torch",),
    ),
    "rv-function": ModelInfo(
        summary="function or size of the right ventricle",
        source="Duong 2024, doi:10.1161/JAHA.123.031671",
        reads="one ECG",
        learns="numbers",
        packages=_MONAI,
        columns=("rvef_percent", "rvedv_ml_per_m2"),
    ),
    "qrs-pca": ModelInfo(
        summary="two groups by the shape of the QRS, found without outcomes",
        source="Feeny 2020, doi:10.1161/CIRCEP.119.008210",
        reads="one ECG",
        learns="groups",
        packages=(),
    ),
    "scar-segmentation": ModelInfo(
        summary="Swin-UNETR that draws scar in LGE images",
        source="the class of network is published, nothing else",
        reads="LGE images",
        learns="masks",
        packages=_MONAI,
    ),
}


class Training(BaseModel):
    """What a model file says of its training; the defaults are of one that says nothing.

    Attributes:
        intended_use: of whatever the model answers.
        learnt_from: whom.
        patients, ecgs: how many; of scar, ECGs are slices, or patients' sets of them.
        unlabelled_ecgs: how many more it was pretrained on.
        columns: that were learnt.
        ecg: which of each row the model reads.
        length: how ECGs were prepared, see `ml.datasets.stack`.
        data_sha256: of samples, outcomes and patients.
        crt_twin: the version.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    intended_use: Literal["research"] = "research"
    learnt_from: Literal["patients", "virtual patients", "not stated"] = "not stated"
    patients: int = 0
    ecgs: int = 0
    unlabelled_ecgs: int = 0
    columns: tuple[str, ...] = ()
    ecg: Which = "before"
    length: Length = "shortest"
    data_sha256: str = ""
    crt_twin: str = ""


@dataclass(frozen=True, kw_only=True)
class StoredModel:
    """A model file, read: a fitted scikit-learn estimator and what is known of it."""

    name: str
    info: ModelInfo
    model: Any
    training: Training

    @property
    def sampling_hz(self) -> float:
        """The rate of the ECGs that it reads."""
        return float(getattr(self.model, "sampling_hz", 500.0))


def list_models() -> list[dict[str, Any]]:
    """One row per model: `name`, the texts of its `ModelInfo`, and `missing`, the packages that are not installed."""
    return [
        {
            "name": name,
            "summary": info.summary,
            "source": info.source,
            "reads": info.reads,
            "learns": info.learns,
            "missing": [package for package in info.packages if find_spec(package) is None],
        }
        for name, info in INFO.items()
    ]


def model_info(name: str) -> ModelInfo:
    """What a model is.

    Raises:
        SettingsError: if there is no such model.
    """
    if name not in INFO:
        raise SettingsError(f"--model {name}: no such model; there are {', '.join(INFO)}")
    return INFO[name]


def store(path: Path, name: str, model: Storable, training: Training) -> None:
    """Write a model file, all or nothing; the same model gives the same bytes."""
    parts = model.parts()
    write_parts(path, name, replace(parts, texts=parts.texts | {_TRAINING: training.model_dump_json()}))


def load_stored(path: Path) -> StoredModel:
    """Read a model file, also one that `ml.model_store.save_model` wrote.

    Raises:
        InputError: if it is missing, damaged, foreign, or its model answers no table.
        ModuleNotFoundError: naming the extra, if the packages of its model are not installed.
    """
    with as_input_error(path.name):
        name, parts = read_parts(path)
        try:
            training = Training.model_validate_json(parts.texts.get(_TRAINING, "{}"))
        except ValidationError as fault:
            raise ValueError(f"what it says of its training cannot be read: {fault.errors()[0]['msg']}") from fault
        if name not in INFO or INFO[name].learns == "masks":
            raise ValueError(f"a model {name!r} cannot be asked here; use ml.model_store.load_model in Python")
        return StoredModel(name=name, info=INFO[name], model=load_model(path), training=training)


def samples_of(data: EcgTable, info: ModelInfo, ecg: Which) -> Float32:
    """What the model reads: (n, leads, samples) mV, (n, 2 leads, samples) for two ECGs, or (n, slices, 2, height, width).

    Raises:
        ValueError: if the table lacks that.
    """
    if info.reads == SCAR_SLICES:
        if data.slices is None:
            raise ValueError("no scar slices; a table names them in its column scar")
        return data.slices
    if ecg == "before":
        return data.signals
    if data.signals_after is None:
        raise ValueError("no ECG after implantation; a table names it in its column ecg_after")
    if ecg == "after":
        return data.signals_after
    samples = min(data.signals.shape[2], data.signals_after.shape[2])
    return np.concatenate([data.signals[..., :samples], data.signals_after[..., :samples]], axis=1)


def needed_rows(
    rows: Iterable[EcgRow], info: ModelInfo, ecg: Which, columns: Sequence[str] = (), *, follow_up: bool = False
) -> Iterator[EcgRow]:
    """The rows with what is read of them alone: a fault in another file or column is none here.

    Of the columns, `virtual` stays, follow-up if asked for, and those named: among the covariates under `target_name`, where
    they may be text.
    """
    kept = (_VIRTUAL, *(_FOLLOW_UP if follow_up else ()))
    for row in rows:
        values = {name: row.values[name] for name in kept if name in row.values}
        values |= {target_name(name): row.values[name] for name in columns if name in row.values}
        yield replace(
            row,
            read=None if info.reads == SCAR_SLICES else row.read,
            read_after=None if ecg == "before" else row.read_after,
            scar=row.scar if info.reads == SCAR_SLICES else None,
            values=values,
        )


def target_name(column: str) -> str:
    """Of a column that is learnt: none of the names that tables of ECGs give a meaning."""
    return f"to learn: {column}"


def says_virtual(data: EcgTable) -> bool:
    """Whether a cell of the table's column `virtual` says yes."""
    return any(map(says_yes, data.covariates.get(_VIRTUAL, ())))


def says_yes(cell: object) -> bool:
    """Whether a cell of the column `virtual` says yes."""
    return str(cell).lower() in _YES


@contextmanager
def rows_named(sources: Sequence[str]) -> Iterator[None]:
    """Models know ECGs by their number in the array, users by file and line."""
    try:
        yield
    except ValueError as fault:
        named = re.sub(r"\bX\[(\d+)\]", lambda found: sources[int(found[1])], str(fault))
        raise ValueError(named) from fault


@contextmanager
def as_input_error(name: str = "") -> Iterator[None]:
    """What a library finds wrong in data or files is an input that cannot be used; `name` says which, if the library does not."""
    try:
        yield
    except (InputError, SettingsError):
        raise
    except (OSError, ValueError) as fault:
        text = fault.strerror if isinstance(fault, OSError) and fault.strerror else str(fault)
        raise InputError(text if name in text else f"{name}: {text}") from fault
