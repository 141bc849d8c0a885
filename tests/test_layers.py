"""Who may import whom, and what an import may load."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MAY_IMPORT: dict[str, set[str]] = {
    "anatomy": set(),
    "ml.ecg": set(),
    "ml": {"ml.ecg"},
    "twin": {"anatomy", "ml.ecg"},
    "twin.planning": {"anatomy", "ml", "ml.ecg", "twin"},
}
LEARNING = {"torch", "lightgbm", "sklearn"}
# Calls whose first argument names a module: importlib.import_module, lazy_loader.load and the builtin.
IMPORTING_CALLS = {"import_module", "load", "__import__"}
ASK_FOR_HELP = """
sys.argv = ["crt-twin", "--help"]
from twin.planning.cli import main
try:
    main()
except SystemExit as end:
    assert not end.code, end.code
"""


def layer_of(module: str) -> str | None:
    """The deepest layer that holds a module; None for packages of others."""
    parts = module.split(".")
    prefixes = (".".join(parts[:n]) for n in range(len(parts), 0, -1))
    return next((prefix for prefix in prefixes if prefix in MAY_IMPORT), None)


def imported_modules(source: str, package: str) -> Iterator[tuple[int, str]]:
    """(line, module) of every import in a source, also inside functions; `from a import b` counts as `a.b`."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, name.name) for name in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                above = package.split(".")[: len(package.split(".")) - level + 1] if level else []
                base = ".".join([*above, *([module] if module else [])])
                yield from ((node.lineno, f"{base}.{name.name}") for name in names)
            case ast.Call(func=func, args=[ast.Constant(value=str(module)), *_]):
                if (func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")) in IMPORTING_CALLS:
                    yield node.lineno, module


def wrong_imports(source: str, path: str) -> list[str]:
    """What a source at this path, relative to the root, imports and may not."""
    package = ".".join(Path(path).parts[:-1])
    name = Path(path).stem
    here = layer_of(package if name == "__init__" else f"{package}.{name}")
    assert here is not None, f"{path} lies outside of every layer"
    wrong = []
    for line, module in imported_modules(source, package):
        there = layer_of(module)
        if there is not None and there != here and there not in MAY_IMPORT[here]:
            wrong.append(f"{path}:{line} imports {module}, but {here} may not import {there}")
        if module.split(".")[0] in LEARNING and here != "ml":
            wrong.append(f"{path}:{line} imports {module}, whose only home is ml outside ml.ecg")
    return wrong


def loaded_modules(statements: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after these statements."""
    code = f"import sys\n{statements}\nsys.stderr.write('LOADED ' + ' '.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120)  # noqa: S603
    assert done.returncode == 0, done.stderr
    return {module.split(".")[0] for module in done.stderr.rpartition("LOADED ")[2].split()}


@pytest.mark.parametrize("top", ["anatomy", "ml", "twin"])
def test_no_package_imports_from_a_layer_above_it(top: str) -> None:
    paths = [*(ROOT / top).rglob("*.py"), *(ROOT / top).rglob("*.pyi")]
    assert paths
    wrong = [
        line for path in paths for line in wrong_imports(path.read_text("utf-8"), path.relative_to(ROOT).as_posix())
    ]
    assert not wrong, "\n".join(sorted(wrong))


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("anatomy/heart.py", "import twin.eikonal"),
        ("anatomy/heart.py", "from ml.ecg import read"),
        ("anatomy/heart.py", "def f():\n    from twin import sweep"),
        ("twin/sweep.py", "from twin import planning"),
        ("twin/sweep.py", "from .planning.patient import Patient"),
        ("twin/__init__.pyi", "from .planning import plan as plan"),
        ("twin/sweep.py", "import ml"),
        ("twin/sweep.py", "import importlib\nimportlib.import_module('ml.features')"),
        ("ml/features.py", "import twin"),
        ("ml/ecg/beats.py", "from ..features import table"),
        ("ml/ecg/beats.py", "import sklearn.linear_model"),
        ("twin/planning/study.py", "import lazy_loader\ntorch = lazy_loader.load('torch')"),
    ],
)
def test_the_checker_catches_a_forbidden_import(path: str, source: str) -> None:
    assert len(wrong_imports(source, path)) == 1


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("anatomy/heart.py", "import numpy as np\nfrom anatomy.arrays import Float\nfrom . import veins"),
        ("ml/networks.py", "import torch\nfrom .ecg import beats\nfrom ml import ecg"),
        ("twin/sweep.py", "import anatomy.heart, ml.ecg.beats\nfrom . import eikonal"),
        ("twin/planning/study.py", "from ml import ecg, features\nfrom .. import sweep\nfrom . import patient"),
    ],
)
def test_the_checker_lets_an_allowed_import_pass(path: str, source: str) -> None:
    assert wrong_imports(source, path) == []


def test_the_table_in_contributing_says_the_same() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
    rows = re.findall(r"^\| `([\w.]+)` \|([^|]*)\|$", text, flags=re.MULTILINE)
    assert {package: set(re.findall(r"`([\w.]+)`", imports)) for package, imports in rows} == MAY_IMPORT


def test_no_module_of_ml_ecg_loads_a_learning_library() -> None:
    everything = (
        "import importlib, pkgutil, ml.ecg\n"
        "for module in pkgutil.walk_packages(ml.ecg.__path__, 'ml.ecg.'):\n"
        "    importlib.import_module(module.name)"
    )
    assert not loaded_modules(everything) & LEARNING


@pytest.mark.parametrize("statements", ["import twin.planning.cli", ASK_FOR_HELP], ids=["import", "help"])
def test_the_command_line_answers_help_without_loading_a_heavy_library(statements: str) -> None:
    assert not loaded_modules(statements) & {"numba", "pyvista", "vtk", "vtkmodules", "scipy", "matplotlib", *LEARNING}
