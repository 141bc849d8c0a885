import io
import json
import pickle
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from safetensors.numpy import save as bytes_from_arrays
from sklearn.base import BaseEstimator

from ml.model_store import ModelParts, from_settings, load_model, read_parts, save_model, settings_of
from ml.models import MODELS, model_class

ROOT = Path(__file__).parents[2]


class Toy(BaseEstimator):
    def __init__(self, *, factor: float, leads: tuple[str, ...] = ("I", "II"), random_state: Any = 0) -> None:
        self.factor = factor
        self.leads = leads
        self.random_state = random_state

    def fit(self, x: Any) -> Self:
        self.weights_ = np.asfortranarray(self.factor * x)
        self.epochs_ = 7
        return self

    def parts(self) -> ModelParts:
        return ModelParts(
            settings=settings_of(self),
            state={"epochs": self.epochs_, "none": None, "nested": [1, {"a": "µ"}]},
            arrays={"weights": self.weights_, "scalar": np.array(2.5), "mask": np.array([True, False])},
            texts={"trees": "tree\nÅ\n"},
        )

    @classmethod
    def from_parts(cls, parts: ModelParts) -> Self:
        made = from_settings(cls, parts.settings)
        made.weights_, made.epochs_ = parts.arrays["weights"], parts.state["epochs"]
        if made.weights_.shape != (3, 4):
            raise ValueError(f"weights have shape {made.weights_.shape}")
        return made


@pytest.fixture(autouse=True)
def toy_is_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "toy", f"{Toy.__module__}:{Toy.__qualname__}")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    save_model(Toy(factor=2.0).fit(np.arange(12.0).reshape(3, 4)), tmp_path / "toy.model")
    return tmp_path / "toy.model"


def rewritten(saved: Path, compression: int = zipfile.ZIP_STORED, **changes: bytes | None) -> Path:
    """The file with entries replaced, added or (None) taken away."""
    with zipfile.ZipFile(saved) as archive:
        entries: dict[str, bytes | None] = {name: archive.read(name) for name in archive.namelist()}
    entries |= changes
    with zipfile.ZipFile(saved, "w", compression) as archive:
        for name, data in entries.items():
            if data is not None:
                archive.writestr(name, data)
    return saved


def with_header(saved: Path, **changes: object) -> Path:
    with zipfile.ZipFile(saved) as archive:
        header = json.loads(archive.read("model.json"))
    return rewritten(saved, **{"model.json": json.dumps(header | changes).encode()})


def refusal(path: Path) -> str:
    with pytest.raises(ValueError) as caught:
        load_model(path)
    assert "\n" not in str(caught.value)
    assert path.name in str(caught.value)
    return str(caught.value)


def test_a_model_comes_back_as_it_was(saved: Path) -> None:
    made = load_model(saved)
    np.testing.assert_array_equal(made.weights_, 2 * np.arange(12.0).reshape(3, 4))
    assert made.get_params() == {"factor": 2.0, "leads": ("I", "II"), "random_state": 0}


def test_parts_come_back_in_a_fresh_process(saved: Path) -> None:
    code = (
        "import sys; from ml.model_store import read_parts; name, parts = read_parts(sys.argv[1]);"
        "print(name, parts.state, parts.texts, {k: (a.tolist(), a.dtype.str) for k, a in sorted(parts.arrays.items())})"
    )
    done = subprocess.run([sys.executable, "-c", code, saved], cwd=ROOT, capture_output=True, text=True, timeout=60)  # noqa: S603
    name, parts = read_parts(saved)
    arrays = {key: (array.tolist(), array.dtype.str) for key, array in sorted(parts.arrays.items())}
    assert done.stdout.strip() == f"{name} {parts.state} {parts.texts} {arrays}"
    assert parts.texts == {"trees": "tree\nÅ\n"}
    assert parts.state["nested"] == [1, {"a": "µ"}]


def test_the_same_model_gives_the_same_bytes(saved: Path) -> None:
    before = saved.read_bytes()
    save_model(load_model_as_fitted(), saved)
    assert saved.read_bytes() == before


def load_model_as_fitted() -> Toy:
    return Toy(factor=2.0).fit(np.arange(12.0).reshape(3, 4))


def test_no_truncated_file_is_read(saved: Path) -> None:
    data = saved.read_bytes()
    for end in (0, 1, 100, len(data) // 2, len(data) - 1):
        saved.write_bytes(data[:end])
        assert "no model file" in refusal(saved)


def test_no_damaged_byte_changes_a_model(saved: Path) -> None:
    data, whole = saved.read_bytes(), read_parts(saved)[1]
    rng = np.random.default_rng(0)
    for at in rng.integers(0, len(data), 300):
        saved.write_bytes(data[:at] + bytes([data[at] ^ int(rng.integers(1, 256))]) + data[at + 1 :])
        try:
            parts = read_parts(saved)[1]
        except ValueError:
            continue
        assert (parts.settings, parts.state, parts.texts) == (whole.settings, whole.state, whole.texts)
        np.testing.assert_equal(parts.arrays, whole.arrays)


def test_a_foreign_zip_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "book.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("chapter.txt", "Once upon a time")
    assert "model.json" in refusal(path)


class Evil:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return (exec, ("raise SystemExit('the pickle ran')",))


@pytest.mark.parametrize("name", ["data.pkl", "arrays.safetensors", "model.json", "texts/trees"])
def test_a_pickle_never_runs(saved: Path, name: str) -> None:
    assert "no model file" in refusal(rewritten(saved, **{name: pickle.dumps(Evil())}))


def test_a_file_that_is_a_pickle_never_runs(tmp_path: Path) -> None:
    path = tmp_path / "model.pkl"
    path.write_bytes(pickle.dumps(Evil()))
    assert "no model file" in refusal(path)


@pytest.mark.parametrize("name", ["../outside", "/outside", "texts/../outside", "texts/UP", "texts/", "texts\\x"])
def test_an_entry_of_another_name_is_refused(saved: Path, name: str) -> None:
    assert "is none of" in refusal(rewritten(saved, **{name: b""}))


def test_a_compressed_entry_is_refused_before_it_is_read(saved: Path) -> None:
    bomb = rewritten(saved, zipfile.ZIP_DEFLATED, **{"texts/bomb": bytes(10_000_000)})
    assert bomb.stat().st_size < 100_000
    assert "compressed" in refusal(bomb)


def test_an_entry_that_claims_to_be_larger_than_the_file_is_refused(saved: Path) -> None:
    data = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        at = archive.start_dir
    data[at + 20 : at + 28] = (2**31).to_bytes(4, "little") * 2  # both sizes in the central directory
    saved.write_bytes(data)
    assert "larger than the file" in refusal(saved)


def test_an_entry_that_occurs_twice_is_refused(saved: Path) -> None:
    with zipfile.ZipFile(saved, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("arrays.safetensors", bytes_from_arrays({"weights": np.zeros((3, 4))}))
    assert "twice" in refusal(saved)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "update crt-twin"),
        ({"version": "1"}, "version"),
        ({"format": "other"}, "format"),
        ({"settings": []}, "settings"),
        ({"state": None}, "state"),
        ({"model": ["toy"]}, "name"),
        ({"settings": {"factor": 1.0}}, "leads"),
        ({"settings": {"factor": 1.0, "leads": [], "random_state": 0, "hook": 1}}, "hook"),
    ],
)
def test_a_header_that_does_not_fit_is_refused(saved: Path, change: dict[str, Any], message: str) -> None:
    assert message in refusal(with_header(saved, **change))


@pytest.mark.parametrize("header", [b"[" * 100_000, b"[]", b'{"format": NaN}', b"\xff\xfe", b""])
def test_a_header_that_is_no_json_object_is_refused(saved: Path, header: bytes) -> None:
    assert "no model file" in refusal(rewritten(saved, **{"model.json": header}))


@pytest.mark.parametrize("name", ["no-such-model", "os:system", "tests.ml.test_model_store:Toy", "../toy"])
def test_a_name_that_is_no_model_is_refused(saved: Path, name: str) -> None:
    with pytest.raises(ValueError, match="no model"):
        load_model(with_header(saved, model=name))


def test_arrays_of_another_shape_are_refused(saved: Path) -> None:
    other = bytes_from_arrays({"weights": np.zeros((4, 3))})
    assert "(4, 3)" in refusal(rewritten(saved, **{"arrays.safetensors": other}))


def test_arrays_that_are_missing_are_refused(saved: Path) -> None:
    refusal(rewritten(saved, **{"arrays.safetensors": bytes_from_arrays({})}))
    refusal(rewritten(saved, **{"arrays.safetensors": None}))


def test_a_failed_save_leaves_the_old_file_and_nothing_else(saved: Path) -> None:
    before = saved.read_bytes()
    broken = load_model_as_fitted()
    broken.weights_ = np.array([object()])
    with pytest.raises(ValueError, match="numbers and booleans"):
        save_model(broken, saved)
    broken = load_model_as_fitted()
    broken.epochs_ = float("inf")  # type: ignore[assignment]
    with pytest.raises(ValueError):
        save_model(broken, saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_disk_that_fails_while_writing_leaves_the_old_file(saved: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = saved.read_bytes()

    def full(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(zipfile.ZipFile, "writestr", full)
    with pytest.raises(OSError, match="no space"):
        save_model(load_model_as_fitted(), saved)
    assert saved.read_bytes() == before
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


def test_a_setting_that_is_no_plain_value_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="random_state"):
        settings_of(Toy(factor=1.0, random_state=np.random.default_rng(0)))


def test_an_estimator_that_is_none_of_the_models_is_not_saved(tmp_path: Path) -> None:
    class Other(Toy):
        pass

    with pytest.raises(ValueError, match="Other is none of the models"):
        save_model(Other(factor=1.0).fit(np.ones((3, 4))), tmp_path / "other.model")


def test_a_package_that_is_missing_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(MODELS, "far", "a_package_that_is_not_there:Model")
    with pytest.raises(ModuleNotFoundError, match=r"a_package_that_is_not_there.*crt-twin\[deep\]"):
        model_class("far")


def test_bytes_of_a_model_hold_no_pickle(saved: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(saved.read_bytes())) as archive:
        assert set(archive.namelist()) == {"model.json", "arrays.safetensors", "texts/trees"}


@pytest.mark.parametrize("name", [name for name in MODELS if name != "toy"])
def test_every_model_of_the_table_can_be_taken_apart_and_has_one_name(name: str) -> None:
    model = model_class(name)
    assert callable(model.parts)
    assert callable(model.from_parts)
    assert [other for other, place in MODELS.items() if place == MODELS[name]] == [name]
