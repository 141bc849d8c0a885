"""One patient's folder in the output of a cohort: all of it or nothing, with a status.json that says what it was made from.

The key is a hash of the bytes of every input, the settings and the version: a folder whose status has the key of today's
inputs, and whose files have the sizes that it names, is finished and need not be made again.
"""

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

_STATUS = "status.json"


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why a patient could not be planned.

    Attributes:
        stage: where it happened.
        error: class of the error.
        message: one line, without names, dates or absolute paths.
    """

    stage: str
    error: str
    message: str


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the tables of a cohort need of a patient beside the plan.

    Attributes:
        centre: where the patient was treated, if known.
        virtual: nobody real.
        outcome: of patient.yaml, as far as it is known.
    """

    centre: str | None
    virtual: bool
    outcome: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a patient ended.

    Attributes:
        key: hash of inputs, settings and version.
        settings_key: hash of settings and version alone.
        outcome: facts of a planned patient, or the failure.
        files: sizes in bytes of what was written, by name.
    """

    key: str
    settings_key: str
    outcome: Facts | Failure
    files: Mapping[str, int] = field(default_factory=dict)


def input_hashes(folder: Path) -> dict[str, str]:
    """SHA-256 of every file of a patient folder, by relative name; hidden files do not count."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and not any(part.startswith(".") for part in name.split("/")):
            hashes[name] = _hash(path)
    return hashes


def read_status(folder: Path) -> Status | None:
    """What was written into a patient's folder of the output, or None where it is not whole."""
    try:
        content = json.loads((folder / _STATUS).read_text(encoding="utf-8"))
        kind = Failure if "failure" in content else Facts
        outcome = kind(**content.pop("failure", None) or content.pop("facts"))
        status = Status(outcome=outcome, **content)
        sizes = {name: (folder / name).stat().st_size for name in status.files}
    except (OSError, ValueError, TypeError, KeyError):
        return None
    return status if sizes == status.files else None


def staging_folder(folder: Path) -> Path:
    """Where a patient is worked on, beside the folder that it will become."""
    return folder.with_name(f".{folder.name}.part")


def clean(folder: Path) -> None:
    """Remove what an interrupted run left beside a patient's folder."""
    for leftover in (staging_folder(folder), _old(folder)):
        shutil.rmtree(leftover, ignore_errors=True)


def publish(plan: Path, folder: Path, *, key: str, settings_key: str, outcome: Facts | Failure) -> None:
    """Give a finished folder its status and put it, by renaming, in the place of what an earlier run made.

    Killed between the two renames, the patient is without a folder, which the next run makes again.
    """
    if isinstance(outcome, Failure):  # half a plan may lie there
        shutil.rmtree(plan, ignore_errors=True)
    plan.mkdir(parents=True, exist_ok=True)
    files = {path.name: path.stat().st_size for path in sorted(plan.iterdir())}
    content = {
        "key": key,
        "settings_key": settings_key,
        "failure" if isinstance(outcome, Failure) else "facts": asdict(outcome),
        "files": files,
    }
    (plan / _STATUS).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if folder.exists():
        folder.rename(_old(folder))
    plan.rename(folder)
    clean(folder)


def _old(folder: Path) -> Path:
    return folder.with_name(f".{folder.name}.old")


def _hash(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as fault:  # named by the reader that needs the file
        return f"unreadable: {fault.strerror}"
