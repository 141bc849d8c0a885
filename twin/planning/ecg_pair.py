"""A model file and the folder of its evaluation: one pair, also where a run is cut off.

MODEL.partial/ holds what a run has done so far, and then the new pair while it is written. Two renames put it into place, the
evaluation first, which names the model by its hash: whatever happens between them shows.
"""

import hashlib
import shutil
from pathlib import Path
from typing import Protocol

from ml.model_store import Storable
from twin.planning.ecg_models import Training, store

_HASH = "model.sha256"


class Writable(Protocol):
    """An evaluation."""

    def write(self, folder: Path) -> None:
        """Write its files into a folder that exists: table.md, evaluation.json and figures."""


def evaluation_folder(model: Path) -> Path:
    """Where the evaluation of a model file is."""
    return model.with_name(f"{model.name}.evaluation")


def partial_folder(model: Path) -> Path:
    """Where a run that is to write this model file keeps what is done."""
    return model.with_name(f"{model.name}.partial")


def write_pair(path: Path, name: str, model: Storable, training: Training, evaluation: Writable | None) -> None:
    """Put model and evaluation into place and remove what the run had kept.

    Of the files in an earlier evaluation folder, those that no evaluation writes stay.

    Args:
        path: of the model file.
        name: of the model.
        model: fitted.
        training: what it says of itself.
        evaluation: None for the model alone.
    """
    partial = partial_folder(path)
    partial.mkdir(exist_ok=True)
    written = partial / "model.new"
    store(written, name, model, training)
    if evaluation is not None:
        folder, final, earlier = partial / "evaluation.new", evaluation_folder(path), partial / "evaluation.earlier"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        evaluation.write(folder)
        # `sha256sum -c` within the folder reads this.
        (folder / _HASH).write_text(f"{_sha256(written)}  ../{path.name}\n", encoding="utf-8")
        if final.exists():
            shutil.rmtree(earlier, ignore_errors=True)
        for mine in (final if final.exists() else earlier).glob("*"):
            if not _of_evaluation(mine):
                (shutil.copytree if mine.is_dir() else shutil.copy2)(mine, folder / mine.name)
        if final.exists():
            final.rename(earlier)
        folder.rename(final)
    written.replace(path)
    shutil.rmtree(partial, ignore_errors=True)


def foreign_evaluation(model: Path) -> str | None:
    """What is wrong with the evaluation beside a model file, in one line; None if it is of this model, or there is none."""
    folder = evaluation_folder(model)
    if not folder.is_dir():
        return None
    try:
        named = (folder / _HASH).read_text(encoding="utf-8").split()[:1]
    except (OSError, UnicodeDecodeError):
        named = []
    if named == [_sha256(model)]:
        return None
    return f"{folder.name} is not the evaluation of this {model.name}; train again for one that is"


def _of_evaluation(path: Path) -> bool:
    return path.name in ("table.md", "evaluation.json", _HASH) or path.match("figure*.png")


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
