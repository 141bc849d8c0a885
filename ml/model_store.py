"""Models as files: one zip of data, never of code.

    model.json          format, version, name of the model, constructor settings, JSON state
    arrays.safetensors  every array
    texts/NAME          what has a text format of its own (LightGBM)

Nothing in it is compressed, so that no file is larger inside than outside. Nothing is unpickled or unpacked onto the
disk, and no class is imported that `ml.models` does not list. The same model gives the same bytes.
"""

import inspect
import json
import os
import re
import zipfile
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load as arrays_from_bytes
from safetensors.numpy import save as bytes_from_arrays

from ml.models import model_class, model_name

JSON: TypeAlias = "bool | int | float | str | list[JSON] | dict[str, JSON] | None"

FORMAT = "crt-twin model"
VERSION = 1
_HEADER, _ARRAYS, _TEXT = "model.json", "arrays.safetensors", re.compile(r"texts/[a-z0-9_-]{1,80}")


@dataclass(frozen=True, kw_only=True)
class ModelParts:
    """What a fitted model consists of.

    Attributes:
        settings: the constructor's arguments, see `settings_of`.
        state: what was learnt, as far as JSON holds it.
        arrays: what was learnt in arrays of numbers or booleans.
        texts: what was learnt in a text format of its own; names of a-z, 0-9, _ and -.
    """

    settings: dict[str, JSON]
    state: dict[str, JSON] = field(default_factory=dict)
    arrays: dict[str, NDArray[Any]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)


class Storable(Protocol):
    """A scikit-learn estimator that can be taken apart and put together again."""

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The constructor's arguments, as scikit-learn has it."""

    def parts(self) -> ModelParts:
        """All that `from_parts` needs."""

    @classmethod
    def from_parts(cls, parts: ModelParts) -> Self:
        """The fitted estimator; raises what it likes if the parts do not fit."""


Model = TypeVar("Model", bound=Storable)


def save_model(model: Storable, path: Path | str) -> None:
    """Write a fitted estimator of `ml.models`; a file of this name is replaced, once the new one is complete.

    Raises:
        ValueError: if the estimator is none of the models, or holds what is no data.
    """
    write_parts(path, model_name(model), model.parts())


def load_model(path: Path | str) -> Any:
    """The fitted estimator that `save_model` wrote.

    Raises:
        FileNotFoundError: if there is no such file.
        ModuleNotFoundError: if its model needs a package that is not installed.
        ValueError: in one line, if the file is damaged, foreign, or of a newer version.
    """
    name, parts = read_parts(path)
    model: type[Storable] = model_class(name)
    try:
        return model.from_parts(parts)
    except ImportError:
        raise
    except Exception as error:  # whatever parts that do not fit lead to
        raise ValueError(f"{Path(path).name} does not hold a complete {name} model: {_first_line(error)}") from error


def settings_of(model: Storable) -> dict[str, JSON]:
    """The constructor's arguments as JSON.

    Raises:
        ValueError: if one is no plain value (a random generator, say).
    """
    settings: dict[str, JSON] = {}
    for name, value in model.get_params(deep=False).items():
        try:
            settings[name] = json.loads(json.dumps(value, allow_nan=False, default=_plain))
        except (TypeError, ValueError):
            raise ValueError(
                f"{name} is {value!r}: a model that is saved needs plain numbers, texts or tuples"
            ) from None
    return settings


def from_settings(model: type[Model], settings: dict[str, JSON]) -> Model:
    """The estimator, not yet fitted, with these arguments and no others; lists become the tuples that they were.

    Raises:
        ValueError: if an argument is unknown or missing.
    """
    known = set(inspect.signature(model).parameters)
    if known != set(settings):
        raise ValueError(f"settings {sorted(known ^ set(settings))} are unknown or missing")
    return model(**{name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()})


def write_parts(path: Path | str, name: str, parts: ModelParts) -> None:
    """Write parts under a name, all or nothing.

    Raises:
        ValueError: if an array is not of numbers or booleans, the state is no JSON, or a text's name is not allowed.
    """
    path = Path(path)
    header = {"format": FORMAT, "version": VERSION, "model": name, "settings": parts.settings, "state": parts.state}
    # safetensors writes the memory as it lies: Fortran order would come back scrambled.
    arrays = {key: np.asarray(array, order="C") for key, array in parts.arrays.items()}
    wrong = [key for key, array in arrays.items() if array.dtype.kind not in "biuf"]
    if wrong:
        raise ValueError(f"array {wrong[0]} is of type {arrays[wrong[0]].dtype}; only numbers and booleans are stored")
    entries = {
        _HEADER: json.dumps(header, allow_nan=False).encode(),
        _ARRAYS: bytes_from_arrays(arrays),
    }
    entries |= {f"texts/{key}": text.encode() for key, text in parts.texts.items()}
    _check_names(list(entries))
    unfinished = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with zipfile.ZipFile(unfinished, "w", zipfile.ZIP_STORED) as archive:
            for entry, data in entries.items():
                archive.writestr(zipfile.ZipInfo(entry), data)  # ZipInfo: without the time of day
        unfinished.replace(path)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()


def read_parts(path: Path | str) -> tuple[str, ModelParts]:
    """Name and parts, as `write_parts` wrote them.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: in one line, if the file is damaged, foreign, or of a newer version.
    """
    path = Path(path)
    with path.open("rb") as file:
        try:
            with zipfile.ZipFile(file) as archive:
                return _read(archive, path.stat().st_size)
        except Exception as error:  # zipfile, json and safetensors let through whatever a damaged file leads to
            raise ValueError(f"{path.name} is no model file of crt-twin, or damaged: {_first_line(error)}") from error


def _read(archive: zipfile.ZipFile, size: int) -> tuple[str, ModelParts]:
    entries = archive.infolist()
    for entry in entries:
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size or entry.flag_bits & 1:
            raise ValueError(f"entry {entry.filename[:80]!r} is compressed or encrypted, which no model of ours is")
    if sum(entry.file_size for entry in entries) > size:
        raise ValueError("its entries are larger than the file")
    header = json.loads(archive.read(_HEADER), parse_constant=_refuse_constant)
    if header["format"] != FORMAT:
        raise ValueError(f"format is {header['format']!r}, need {FORMAT!r}")
    if not isinstance(header["version"], int) or not 1 <= header["version"] <= VERSION:
        raise ValueError(f"its version is {header['version']!r}, this crt-twin reads 1 to {VERSION}; update crt-twin")
    names = [entry.filename for entry in entries]
    _check_names(names)
    name, settings, state = header["model"], header["settings"], header["state"]
    if not (isinstance(name, str) and isinstance(settings, dict) and isinstance(state, dict)):
        raise ValueError(f"{_HEADER} lacks its name, settings or state")
    texts = {entry.removeprefix("texts/"): archive.read(entry).decode() for entry in names if _TEXT.fullmatch(entry)}
    return name, ModelParts(
        settings=settings, state=state, arrays=arrays_from_bytes(archive.read(_ARRAYS)), texts=texts
    )


def _check_names(names: list[str]) -> None:
    wrong = [name for name in names if name not in (_HEADER, _ARRAYS) and not _TEXT.fullmatch(name)]
    if wrong:
        raise ValueError(
            f"entry {wrong[0][:80]!r} is none of {_HEADER}, {_ARRAYS} and texts/NAME (NAME of a-z 0-9 _ -)"
        )
    if len(set(names)) < len(names):
        raise ValueError("an entry occurs twice")


def _plain(value: object) -> object:
    """What a number of numpy is in Python, as searches over settings pass them."""
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError


def _refuse_constant(text: str) -> float:
    raise ValueError(f"{text} is no JSON")


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(".")
