"""What a worker process of a cohort does: take one patient's step, and turn whatever goes wrong into a named failure.

Heavy modules come with the step, which is named by `module:function`.
"""

import logging
import multiprocessing
import os
import re
import shutil
import threading
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from twin.planning.cohort_status import Facts, Failure

Layers = Sequence[tuple[str, Mapping[str, Any]]]

# Address space of a plan at edges of 1.5 mm, most of it never touched, was 2.7 GB; a smaller share would fail them all.
_LEAST_GB = 4.0
_STAGE = "stage"
_PLAN = "plan"


def prepare(step: str, memory_gb: float | None, workers: int) -> None:
    """Make this process a worker: it ends with its parent, and may use so much memory.

    Args:
        step: `module:function` that plans one patient, imported here so that no patient waits for it.
        memory_gb: address space, where the system can limit it; if not given, a share of the machine's memory.
        workers: that share the machine.
    """
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        share_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9 / workers
        limit_gb = max(share_gb, _LEAST_GB) if memory_gb is None else memory_gb
        resource.setrlimit(resource.RLIMIT_AS, (int(limit_gb * 1e9), resource.getrlimit(resource.RLIMIT_AS)[1]))
    _function(step)


def take_step(step: str, folder: Path, staging: Path, layers: Layers, needs_ecg: bool) -> Facts | Failure:
    """Plan one patient into `staging`, a folder of this patient alone.

    Args:
        step: `module:function`, called as step(folder, out, layers, needs_ecg), returns `Facts`.
        folder: of the patient.
        staging: made anew; `finished_plan` tells where the plan lies in it.
        layers: for the step.
        needs_ecg: for the step.
    """
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir()
    log, noted = logging.getLogger("crt-twin"), _Stages(staging / _STAGE)
    log.addHandler(noted)
    log.setLevel(logging.INFO)
    log.propagate = False  # lines of several patients at once would say nothing
    try:
        facts: Facts = _function(step)(folder, finished_plan(staging), layers, needs_ecg)
    except BaseException as fault:  # meshio ends in SystemExit
        message = scrubbed(str(fault)) or "no more was said"
        return Failure(stage=reached_stage(staging), error=type(fault).__name__, message=message)
    finally:
        log.removeHandler(noted)
    return facts


def finished_plan(staging: Path) -> Path:
    """Where the plan lies once a worker is done."""
    return staging / _PLAN


def reached_stage(staging: Path) -> str:
    """The stage that a patient has reached, also where its worker is no more."""
    try:
        return (staging / _STAGE).read_text(encoding="utf-8")
    except OSError:
        return "start"


def scrubbed(message: str) -> str:
    """One line without absolute paths, dates and what looks like a name: texts of errors may quote a file."""
    line = " ".join(message.split())
    line = re.sub(r"(?<![\w.])(?:[A-Za-z]:)?(?:[/\\][^/\\\s'\":;,]+)+[/\\]", "", line)
    line = re.sub(r"(?<!\d)(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}[-./]\d{1,2}[-./]\d{4})(?!\d)", "<date>", line)
    return re.sub(r"[^\W\d_]+(?:\^[^\W\d_]+)+|\b[A-Z][^\W\d_]+(?:,? [A-Z][^\W\d_]+)+\b", "<name>", line)


class _Stages(logging.Handler):
    """Notes every stage that is logged as it begins: "anatomy ..."."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self._path = path

    def emit(self, record: logging.LogRecord) -> None:
        message = record.getMessage()
        if message.endswith(" ..."):
            self._path.write_text(message.removesuffix(" ..."), encoding="utf-8")


def _function(step: str) -> Any:
    module, _, name = step.partition(":")
    return getattr(import_module(module), name)


def _end_with_parent() -> None:
    """Killed, a parent cannot stop its workers, which would go on writing where its successor writes."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
