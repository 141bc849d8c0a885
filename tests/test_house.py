"""What holds for the repository as a whole: its texts, its version, its lock."""

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
# Neither pattern matches its own source.
MACHINE_PATH = re.compile(r"(?<![\w.~-])/(?:work|tmp|root|home|Users)/")
REGISTRY = re.compile(r"pypi\.org|pythonhosted\.org|download\.pytorch\.org|anaconda\.org|index[-_]url|find[-_]links")


def tracked_texts() -> dict[str, str]:
    """The text files that git tracks, by path; files that are not UTF-8 are no text."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git checkout, so nothing says which files are tracked")
    listed = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)  # noqa: S603
    texts = {}
    for name in filter(None, listed.stdout.decode().split("\0")):
        path = ROOT / name
        if path.is_file():
            data = path.read_bytes()
            try:
                texts[name] = data.decode()
            except UnicodeDecodeError:
                continue
    return texts


def lines_with(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in tracked_texts().items()
        for number, line in enumerate(text.splitlines(), start=1)
        if pattern.search(line)
    ]


def locked_versions() -> dict[str, str]:
    lines = (ROOT / "requirements.lock").read_text("utf-8").splitlines()
    pins = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pins}


def test_no_tracked_text_names_a_path_of_one_machine() -> None:
    assert lines_with(MACHINE_PATH) == []


def test_no_tracked_text_names_a_package_registry() -> None:
    assert lines_with(REGISTRY) == []


def test_the_patterns_find_what_they_are_for() -> None:
    for name in ("work", "tmp", "root", "home", "Users"):
        assert MACHINE_PATH.search(f"open('/{name}/someone/heart.vtu')")
    assert not MACHINE_PATH.search("see docs/home/index.html and tests/work/")
    assert REGISTRY.search("https://" + ".".join(["download", "pytorch", "org"]) + "/whl/cpu")


def test_the_version_is_the_top_entry_of_the_changelog() -> None:
    entries = re.findall(r"^## \[([^\]]+)\]", (ROOT / "CHANGELOG.md").read_text("utf-8"), flags=re.MULTILINE)
    assert entries[0] == PROJECT["project"]["version"]


def test_the_readme_says_research_use_only() -> None:
    assert "Research use only" in (ROOT / "README.md").read_text("utf-8")


def test_the_lock_meets_every_requirement_of_the_project() -> None:
    project = PROJECT["project"]
    lists = [project["dependencies"], *project["optional-dependencies"].values(), PROJECT["build-system"]["requires"]]
    locked = locked_versions()
    for requirement in (Requirement(line) for lines in lists for line in lines):
        version = locked.get(canonicalize_name(requirement.name))
        assert version is not None, f"{requirement.name} is not in requirements.lock; run `make lock`"
        assert requirement.specifier.contains(version), f"{requirement} is locked to {version}; run `make lock`"


def test_the_lock_fits_every_machine() -> None:
    locked = locked_versions()
    assert not [version for version in locked.values() if "+" in version or "@" in version]
    assert not [name for name in locked if re.match(r"nvidia|cuda|triton|torchvision", name)]
