"""Patients, planned once for many tests: a virtual one, and the small heart as a finished mesh."""

import csv
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from anatomy.formats import write_heart
from anatomy.heart import Heart, Surface, Tissue
from twin.planning.cli import app
from twin.planning.plan import plan_patient
from twin.planning.virtual import write_virtual_patient

FAST = {"pictures": False, "edge_mm": 3.0, "response_model": "none"}


@dataclass(frozen=True)
class Planned:
    """A patient folder, the plan made of it, and what plan.json and sites.csv say."""

    folder: Path
    out: Path
    content: dict[str, Any]
    rows: list[dict[str, str]]

    def site(self, name: str) -> dict[str, Any]:
        return next(site for site in self.content["sites"] if site["id"] == name)


Plan = Callable[..., Planned]


def planned(folder: Path, out: Path, settings: Mapping[str, Any] | None = None) -> Planned:
    plan_patient(folder, out, [("test", {**FAST, **(settings or {})})])
    with (out / "sites.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    return Planned(folder, out, json.loads((out / "plan.json").read_text()), rows)


@pytest.fixture(scope="session")
def plan() -> Plan:
    """Plans a folder without pictures, coarsely."""
    return planned


@pytest.fixture(scope="session")
def virtual_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("virtual") / "patient"
    write_virtual_patient(folder, seed=1)
    return folder


@pytest.fixture(scope="session")
def virtual_plan(virtual_folder: Path) -> Planned:
    return planned(virtual_folder, virtual_folder.parent / "plan")


@pytest.fixture(scope="session")
def heart_file(small_heart: Heart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("heart") / "heart.vtu"
    write_heart(path, small_heart)
    return path


@pytest.fixture
def small_folder(heart_file: Path, tmp_path: Path) -> Path:
    """A patient folder with nothing but the small heart."""
    folder = tmp_path / "patient"
    folder.mkdir()
    shutil.copy(heart_file, folder)
    return folder


@pytest.fixture(scope="session")
def small_plan(heart_file: Path) -> Planned:
    return planned(heart_file.parent, heart_file.parent.parent / f"{heart_file.parent.name}-plan")


@pytest.fixture(scope="session")
def scarred_plan(small_heart: Heart, tmp_path_factory: pytest.TempPathFactory) -> Planned:
    """The small heart with a scar through the lateral wall, sites of the user's own in it and beside it, and a lead."""
    epicardium = small_heart.nodes_of(Surface.EPICARDIUM)
    aha = small_heart.coordinates.aha[epicardium]
    in_scar, beside = (int(epicardium[aha == segment][0]) for segment in (12, 10))
    centres = small_heart.nodes_mm[small_heart.tets].mean(axis=1)
    near = np.linalg.norm(centres - small_heart.nodes_mm[in_scar], axis=1) < 16
    tissue = np.where(near, np.int8(Tissue.CORE), small_heart.tissue)
    folder = tmp_path_factory.mktemp("scarred") / "patient"
    folder.mkdir()
    write_heart(folder / "heart.vtu", replace(small_heart, tissue=tissue))
    lines = [f"{name},{','.join(map(str, small_heart.nodes_mm[node]))}" for name, node in
             (("in-scar", in_scar), ("=beside", beside))]  # fmt: skip
    (folder / "sites.csv").write_text("id,x_mm,y_mm,z_mm\n" + "\n".join(lines) + "\n")
    lead = (small_heart.nodes_mm[beside] + 2).tolist()
    (folder / "patient.yaml").write_text(json.dumps({"id": "<b>scarred</b>", "implanted": {"lv_mm": lead}}))
    return planned(folder, folder.parent / "plan")


@pytest.fixture
def run() -> Callable[..., Result]:
    """Runs the command line in this process."""

    def invoke(*args: object) -> Result:
        result = CliRunner().invoke(app, [str(arg) for arg in args])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return invoke
