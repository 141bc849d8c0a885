"""The patient folder: what it holds, and what that says, before anything is computed.

Every file is looked up under the fixed names of the layout; whatever is unusable raises an `InputError` of one line that
names the file. Coordinates in patient.yaml and sites.csv are millimetres in the frame of the geometry.
"""

import csv
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from anatomy.labels import CONVENTIONS
from ml.ecg.readers import read_ecg
from ml.ecg.recording import Ecg
from twin.planning.errors import InputError, SettingsError
from twin.planning.settings import read_yaml, validated

GEOMETRY_NAMES = ("heart.vtu", "heart.vtk", "heart.pts", "labels.nii.gz", "labels.nii", "surfaces.vtp")
ECG_NAMES = ("ecg.hea", "ecg.csv", "ecg.dcm", "ecg.xml")
PACED_ECG_NAMES = ("ecg_paced.hea", "ecg_paced.csv", "ecg_paced.dcm", "ecg_paced.xml")
# Files of the layout that this version does not read yet; a plan says that it left them out.
UNREAD_NAMES = ("ct", "ct.nii.gz", "lge", "lge.nii.gz", "veins.nii.gz", "torso.stl", "ecg.npz")

Point = tuple[FiniteFloat, FiniteFloat, FiniteFloat]


class Clinical(BaseModel):
    """Clinical data; carried through to the plan, used by response models. Ranges tell units, not sick from healthy."""

    model_config = ConfigDict(extra="allow", frozen=True)

    age_years: Annotated[float, Field(ge=0, le=120)] | None = None
    sex: Literal["female", "male"] | None = None
    nyha: Annotated[int, Field(ge=1, le=4)] | None = None
    lvef_percent: Annotated[float, Field(ge=1, le=90)] | None = None
    lvedv_ml: Annotated[float, Field(ge=20, le=1000)] | None = None
    lvedd_mm: Annotated[float, Field(ge=20, le=150)] | None = None
    aetiology: Literal["ischaemic", "non-ischaemic"] | None = None
    af: bool | None = None


class Implanted(BaseModel):
    """Where the leads of an implanted device sit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    lv_mm: Point | None = None
    rv_mm: Point | None = None
    vv_delay_ms: FiniteFloat | None = None


class Outcome(BaseModel):
    """What became of the patient after implantation; response models learn from it. Ranges tell typing errors."""

    model_config = ConfigDict(extra="allow", frozen=True)

    lvesv_change_percent: Annotated[float, Field(ge=-100, le=300)] | None = None
    lvef_change_points: Annotated[float, Field(ge=-60, le=60)] | None = None
    hf_event: bool | None = None

    def measured(self) -> dict[str, float]:
        """What is known, as numbers, by name of the column."""
        known = {name: getattr(self, name) for name in type(self).model_fields}
        return {name: float(value) for name, value in known.items() if value is not None}


class PatientFile(BaseModel):
    """The content of patient.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    id: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    virtual: bool = False
    labels: Literal[tuple(CONVENTIONS)] = "acdc"  # type: ignore[valid-type]
    centre: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    clinical: Clinical = Clinical()
    lead: dict[str, Any] = {}
    settings: dict[str, Any] = {}
    implanted: Implanted = Implanted()
    outcome: Outcome = Outcome()


@dataclass(frozen=True, kw_only=True)
class UserSite:
    """A line of sites.csv."""

    id: str
    position_mm: Point
    vein: str


@dataclass(frozen=True, kw_only=True)
class Patient:
    """A patient folder, looked through.

    Attributes:
        id: pseudonym, from patient.yaml or the folder's name.
        folder: where the files lie.
        geometry: the file the heart is made from.
        ecg: the recorded ECG, if any.
        ecg_paced: recorded under biventricular pacing of the implanted leads, if any.
        veins, electrodes: files, if any.
        sites: the user's own candidates.
        file: what patient.yaml says.
        hashes: SHA-256 of every file used, by name.
        left_out: names of files that are there and not used.
    """

    id: str
    folder: Path
    geometry: Path
    ecg: Path | None
    ecg_paced: Path | None
    veins: Path | None
    electrodes: Path | None
    sites: tuple[UserSite, ...]
    file: PatientFile
    hashes: dict[str, str]
    left_out: tuple[str, ...]

    @property
    def unused(self) -> tuple[str, ...]:
        """What patient.yaml says and no stage takes into account."""
        implanted = self.file.implanted
        said = {"implanted.vv_delay_ms": implanted.vv_delay_ms is not None and implanted.lv_mm is None}
        return tuple(name for name, is_said in said.items() if is_said)

    @property
    def settings_layer(self) -> dict[str, Any]:
        """What patient.yaml sets: `settings`, and `lead` as a shorter way to `settings.lead`."""
        return {**self.file.settings, **({"lead": self.file.lead} if self.file.lead else {})}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Name the file in whatever is wrong with its content."""
    try:
        yield
    except InputError:
        raise
    except OSError as fault:
        raise InputError(f"{path.name}: {fault.strerror or fault}") from fault
    except ValueError as fault:
        message = " ".join(str(fault).split())
        # Readers of single files name the file themselves.
        raise InputError(message if message.startswith(path.name) else f"{path.name}: {message}") from fault


def read_patient(folder: Path) -> Patient:
    """Look through a patient folder and read its small files.

    Raises:
        InputError: if the folder has no geometry, or a file cannot be used.
        SettingsError: if patient.yaml sets something that cannot be set.
    """
    if not folder.is_dir():
        raise InputError(f"{folder}: is no folder; a patient is a folder with {', '.join(GEOMETRY_NAMES)} in it")
    yaml_file = folder / "patient.yaml"
    values = read_yaml(yaml_file, InputError) if yaml_file.exists() else {}
    file = validated(PatientFile, values, _fault_of, lambda _: yaml_file.name)
    geometry = _first(folder, GEOMETRY_NAMES)
    if geometry is None:
        raise InputError(f"{folder.name}: holds no heart; put one of {', '.join(GEOMETRY_NAMES)} into it")
    ecg, veins = _first(folder, ECG_NAMES), _first(folder, ("veins.vtp",))
    ecg_paced = _first(folder, PACED_ECG_NAMES)
    electrodes, sites = _first(folder, ("electrodes.json",)), _first(folder, ("sites.csv",))
    others = [folder / name for name in (*GEOMETRY_NAMES, *ECG_NAMES, *PACED_ECG_NAMES, *UNREAD_NAMES)]
    found = (yaml_file, geometry, ecg, ecg_paced, veins, electrodes, sites)
    used = [path for path in found if path is not None and path.exists()]
    used += [path for main in (geometry, ecg, ecg_paced) if main is not None for path in _companions(main)]
    return Patient(
        id=file.id or folder.resolve().name,
        folder=folder,
        geometry=geometry,
        ecg=ecg,
        ecg_paced=ecg_paced,
        veins=veins,
        electrodes=electrodes,
        sites=_read_sites(sites) if sites else (),
        file=file,
        hashes={path.name: _hash(path) for path in used},
        left_out=tuple(path.name for path in others if path.exists() and path not in used),
    )


def read_twelve_leads(path: Path) -> Ecg:
    """An ECG of a patient's folder with all twelve leads.

    Raises:
        InputError: if it cannot be used.
    """
    with reading(path):
        return read_ecg(path).twelve_leads()


def _fault_of(lines: str) -> Exception:
    """A wrong setting is wrong usage; anything else in patient.yaml is input that cannot be used."""
    if any(line.split(": ")[1].startswith(("settings", "lead")) for line in lines.splitlines()):
        return SettingsError(lines)
    return InputError(lines)


def _first(folder: Path, names: tuple[str, ...]) -> Path | None:
    return next((folder / name for name in names if (folder / name).exists()), None)


def _companions(path: Path) -> list[Path]:
    """Files that belong to this one: the samples of a WFDB header, the parts of an openCARP mesh."""
    endings = {".hea": (".mat", ".dat"), ".pts": (".elem", ".lon")}.get(path.suffix, ())
    return [path.with_suffix(ending) for ending in endings if path.with_suffix(ending).exists()]


def _hash(path: Path) -> str:
    with reading(path):
        return hashlib.sha256(path.read_bytes()).hexdigest()


def _read_sites(path: Path) -> tuple[UserSite, ...]:
    columns = ("id", "x_mm", "y_mm", "z_mm")
    try:
        rows = list(csv.DictReader(path.read_text(encoding="utf-8-sig").splitlines()))
    except OSError as fault:
        raise InputError(f"{path.name}: cannot be read: {fault.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as fault:
        raise InputError(f"{path.name}: cannot be read as CSV: {fault}; save it as CSV with commas, in UTF-8") from None
    if not rows or not set(columns) <= set(rows[0]):
        raise InputError(
            f"{path.name}: needs at least one line and the columns {', '.join(columns)} (and `vein` if known)"
        )
    sites: list[UserSite] = []
    for number, row in enumerate(rows, start=2):
        try:
            x, y, z = (float(row[name]) for name in columns[1:])
        except (TypeError, ValueError):
            raise InputError(f"{path.name}: line {number}: x_mm, y_mm, z_mm must be numbers") from None
        name = (row["id"] or "").strip()
        if not name or any(site.id == name for site in sites) or not np.isfinite([x, y, z]).all():
            raise InputError(f"{path.name}: line {number}: needs an id of its own and three finite coordinates")
        sites.append(UserSite(id=name, position_mm=(x, y, z), vein=(row.get("vein") or "").strip()))
    return tuple(sites)
