"""The report: whole, self-contained, safe, and honest about what is missing."""

import json
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin

from ml.ecg.recording import STANDARD_LEADS
from ml.explain import explain, report
from ml.lightgbm_classifier import LightGbmClassifier
from ml.qrs_pca import QrsPca
from ml.rv_function import RVFunctionRegressor
from tests.ml.heartbeats import RATE_HZ
from tests.ml.heartbeats import beats as heartbeats
from tests.ml.test_network_classifier import beats, composite, image, scar, scars

torch.set_num_threads(1)
Array = NDArray[Any]
EVIL = '<script src="http://example.org/x.js">alert(1)</script> $\\frac{$'


class Height(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Answers the largest amplitude of lead I."""

    leads, sampling_hz = STANDARD_LEADS, RATE_HZ

    def predict(self, X: ArrayLike) -> Array:  # noqa: N803
        return np.abs(np.asarray(X)[:, 0]).max(axis=1)


def trees() -> tuple[Any, Array, Array]:
    x, y = heartbeats(12)
    return LightGbmClassifier(RATE_HZ, trees=10).fit(x, y), x, y


def network(make: Any, data: Any, **settings: Any) -> tuple[Any, Array, Array]:
    """Hardly trained, but with half of the rows in either class, and with its own answers as the truth."""
    x, y = data(n=8)
    if settings.get("recordings") == 2:
        x = np.concatenate([x, x[::-1]], axis=1)
    model = make(max_epochs=1, **settings).fit(x, y)
    with torch.no_grad():
        list(model.network_.parameters())[-1].sub_(float(np.median(model._answers(x))))
    return model, x, model.predict(x)


def right_ventricle() -> tuple[Any, Array, Array]:
    x, y = beats(n=6)
    volumes = np.stack([40 + 5 * y + np.arange(6), 100 - 10 * y], axis=1)
    model = RVFunctionRegressor(sampling_hz=500.0, max_epochs=1, patience=None, device="cpu")
    return model.fit(x, volumes), x, volumes


def values() -> tuple[Any, Array, Array]:
    x, y = heartbeats(6)
    return Height(), x, y


MODELS: dict[str, Any] = {
    "trees": trees,
    "image": lambda: network(image, beats),
    "composite": lambda: network(composite, beats),
    "two recordings": lambda: network(composite, beats, recordings=2),
    "scar": lambda: network(scar, scars),
    "right ventricle": right_ventricle,
    "values": values,
}
MISSING = {
    "trees": {"Grad-CAM"},
    "image": {"Contributions of features"},
    "composite": {"Contributions of features"},
    "two recordings": {"Contributions of features", "Counterfactuals"},
    "scar": {"Waveforms", "Contributions of features", "Counterfactuals"},
    "right ventricle": {"Contributions of features", "Counterfactuals"},
    "values": {"Grad-CAM", "Contributions of features", "Counterfactuals"},
}


@pytest.fixture(scope="module")
def explained(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """From the name of a model to the folder of its report and its result; each is made once."""

    @cache
    def made(name: str) -> tuple[Path, dict[str, Any]]:
        model, x, y = MODELS[name]()
        folder = tmp_path_factory.mktemp("report")
        names = [f"_patient {i} {EVIL}" for i in range(len(x))]
        page = explain(model, x, folder, y=y, names=names, cases=[0], virtual=True)
        assert page == folder / "report.html"
        return folder, json.loads((folder / "explanation.json").read_text(encoding="utf-8"))

    return made


class Seen(HTMLParser):
    """Tags, and what they refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.references: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]


every_model = pytest.mark.parametrize("name", MODELS)


@every_model
def test_the_page_refers_to_nothing_outside_and_runs_nothing(explained: Any, name: str) -> None:
    folder, _ = explained(name)
    page = (folder / "report.html").read_text(encoding="utf-8")
    seen = Seen(page)
    assert seen.references
    assert all(reference.startswith("data:image/png;base64,") for reference in seen.references)
    assert not {"script", "link", "iframe", "object"} & set(seen.tags)
    assert "default-src 'none'" in page
    assert not re.search(r"url\(|@import", page)


@every_model
def test_every_picture_is_a_file_and_in_the_page(explained: Any, name: str) -> None:
    folder, _ = explained(name)
    pictures = list(folder.glob("*.png"))
    seen = Seen((folder / "report.html").read_text(encoding="utf-8"))
    assert len(pictures) == seen.tags.count("img")
    assert {path.suffix for path in folder.iterdir()} <= {".png", ".html", ".json", ".csv"}


@every_model
def test_what_there_is_not_is_told_with_its_reason(explained: Any, name: str) -> None:
    folder, result = explained(name)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert set(result["not_available"]) == MISSING[name]
    assert all(f"{kind}: {reason}." in page for kind, reason in result["not_available"].items())


@every_model
def test_the_page_says_virtual_patients_and_research_use(explained: Any, name: str) -> None:
    folder, result = explained(name)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("irtual patients") >= 3
    assert page.count("Research use only") >= 2
    assert result["virtual_patients"] is True


def test_real_patients_are_not_called_virtual(tmp_path: Path) -> None:
    model, x, y = values()
    assert "irtual" not in explain(model, x, tmp_path, y=y).read_text(encoding="utf-8")


def only(monkeypatch: pytest.MonkeyPatch, *kinds: str) -> None:
    """Saves the time for other pictures."""
    monkeypatch.setattr(report, "KINDS", {kind: report.KINDS[kind] for kind in kinds})


def test_counted_are_the_ecgs_of_the_class_by_the_truth_if_given_else_by_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, "Grad-CAM")
    model, x, y = MODELS["image"]()
    truth = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    assert truth.tolist() != y.tolist()
    for given, expected in ((truth, truth), (None, y)):
        explain(model, x, tmp_path, y=given, cases=[0])
        found = json.loads((tmp_path / "explanation.json").read_text())["grad_cam"]
        assert set(found["limb_share"]) == {f"X[{i}]" for i in np.flatnonzero(expected == 1)}
        assert sum(found["counts"].values()) == (expected == 1).sum()


def test_answers_in_the_result_are_the_models(explained: Any) -> None:
    _, result = explained("composite")
    model, x, _ = MODELS["composite"]()
    np.testing.assert_allclose(list(result["answers"].values()), model.predict_proba(x)[:, 1], rtol=1e-6)
    assert result["explained"] == "probability of 1"


def test_another_target_is_explained_by_its_own_probability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    only(monkeypatch)
    model, x, _ = trees()
    page = explain(model, x, tmp_path, target=0, cases=[3])
    result = json.loads((tmp_path / "explanation.json").read_text())
    assert "probability of 0" in page.read_text(encoding="utf-8")
    np.testing.assert_allclose(list(result["answers"].values()), model.predict_proba(x)[:, 0])


def test_the_same_call_gives_the_same_bytes(explained: Any, tmp_path: Path) -> None:
    folder, _ = explained("values")
    model, x, y = values()
    explain(model, x, tmp_path, y=y, names=[f"_patient {i} {EVIL}" for i in range(len(x))], cases=[0], virtual=True)
    assert {path.name for path in folder.iterdir()} == {path.name for path in tmp_path.iterdir()}
    assert all(path.read_bytes() == (tmp_path / path.name).read_bytes() for path in folder.iterdir())


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"y": [0, 1]}, "y has 2 values"),
        ({"names": ["one"]}, "names has 1 values"),
        ({"names": ["one"] * 12}, "'one' more than once"),
        ({"cases": [0, 12]}, "cases is"),
        ({"cases": []}, "cases is"),
        ({"target": "responder"}, "target is 'responder'"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_written(
    tmp_path: Path, wrong: dict[str, Any], message: str
) -> None:
    model, x, _ = trees()
    with pytest.raises(ValueError, match=message):
        explain(model, x, tmp_path / "new", **wrong)
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("real_time", [True, False])
def test_a_warped_time_axis_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, real_time: bool) -> None:
    only(monkeypatch, "Waveforms")
    x, y = heartbeats(12)
    model = LightGbmClassifier(RATE_HZ, trees=2, real_time=real_time).fit(x, y)
    assert ("warped" in explain(model, x, tmp_path).read_text(encoding="utf-8")) is not real_time


def test_explaining_trees_needs_no_torch() -> None:
    code = "import sys, ml.explain.report; sys.exit('torch' in sys.modules or 'monai' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[3], check=True, timeout=120)  # noqa: S603


def test_groups_are_no_answer_to_explain(tmp_path: Path) -> None:
    x, _ = heartbeats(6)
    with pytest.raises(ValueError, match="QrsPca is neither classifier nor regressor"):
        explain(QrsPca(RATE_HZ).fit(x), x, tmp_path)
