"""`crt-twin ecg train`: goes on where it was cut off, writes model and evaluation as a pair, refuses impossible settings."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.lightgbm_classifier import LightGbmClassifier
from ml.model_store import load_model
from tests.planning.ecg_tables import FEW, N, left, refused, write_rows, write_table
from twin.planning.ecg_models import INFO
from twin.planning.ecg_pair import foreign_evaluation

QUICK = ("--set", "max_epochs=1", "--set", "patience=null")
SMALL_PAGE = (*QUICK, "--set", "size=32", "--set", "panel_s=0.2", "--set", "pretraining_epochs=1")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("ecgs"))


def train(run: Any, table: Path, out: Path, *options: object, model: str = "lightgbm", code: int = 0) -> Any:
    result = run("ecg", "train", "--model", model, "--data", table, "--out", out, *options)
    assert result.exit_code == code, result.stderr
    return result


def whole(out: Path) -> dict[str, bytes]:
    """Every byte of a model file and its evaluation but the picture's."""
    files = [out, *out.with_name(f"{out.name}.evaluation").iterdir()]
    return {path.name: path.read_bytes() for path in files if path.suffix != ".png"}


class Fits:
    """Counts the fits of a class and breaks off before the one with this number."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, kind: type, method: str = "fit") -> None:
        self.done, self.end = 0, -1
        original = getattr(kind, method)

        def counted(model: Any, *given: Any, **further: Any) -> Any:
            if self.done == self.end:
                raise KeyboardInterrupt
            self.done += 1
            return original(model, *given, **further)

        monkeypatch.setattr(kind, method, counted)

    def until(self, end: int) -> None:
        self.done, self.end = 0, end


# cut off


@pytest.mark.parametrize("done", [1, 2, 4])
def test_the_same_command_goes_on_to_the_same_bytes(
    run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, done: int
) -> None:
    options = ("--folds", 2, "--seeds", 2)
    for name in ("at once", "cut off"):
        (tmp_path / name).mkdir()
    train(run, table, tmp_path / "at once" / "m", *options)
    fits = Fits(monkeypatch, LightGbmClassifier)
    out = tmp_path / "cut off" / "m"
    fits.until(done)
    result = train(run, table, out, *options, code=130)
    assert not out.exists()
    if done > 1:  # the first fit, to everybody, is made again
        assert f"{out}.partial keeps what is done: the same command goes on with it" in result.stderr.splitlines()
    fits.until(-1)
    train(run, table, out, *options)
    assert fits.done == 5 - (done - 1)
    assert whole(out) == whole(tmp_path / "at once" / "m")
    assert left(out.parent) == ["m", "m.evaluation"]


def test_a_network_goes_on_within_a_fit(run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch").set_num_threads(1)
    from ml import training

    monkeypatch.setattr(training, "_WRITING_SHARE", np.inf)
    options = (*FEW, "--set", "max_epochs=2", "--set", "patience=null")
    train(run, table, tmp_path / "m", *options, model="composite")
    expected = whole(tmp_path / "m")
    epochs = Fits(monkeypatch, training._Run, "learn")
    again = tmp_path / "again"
    again.mkdir()
    for end in (1, 2):  # within the model itself, and then within a fold
        epochs.until(end)
        train(run, table, again / "m", *options, model="composite", code=130)
    epochs.until(-1)
    train(run, table, again / "m", *options, model="composite")
    assert epochs.done == 6 - 3
    assert whole(again / "m") == expected


def test_parts_of_a_run_with_other_settings_are_not_used(
    run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few_trees = (*FEW, "--set", "trees=20")
    (tmp_path / "fresh").mkdir()
    train(run, table, tmp_path / "fresh" / "m", *few_trees)
    fits = Fits(monkeypatch, LightGbmClassifier)
    fits.until(2)
    train(run, table, tmp_path / "m", *FEW, code=130)
    fits.until(-1)
    train(run, table, tmp_path / "m", *few_trees)
    assert fits.done == 3
    assert whole(tmp_path / "m") == whole(tmp_path / "fresh" / "m")


# the pair


def test_the_evaluation_names_its_model_and_one_of_another_model_is_told(run: Any, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    train(run, table, out, *FEW)
    digest = hashlib.sha256(out.read_bytes()).hexdigest()
    assert (tmp_path / "m.evaluation" / "model.sha256").read_text() == f"{digest}  ../m\n"
    assert "note:" not in run("ecg", "predict", out, table).stderr
    train(run, table, tmp_path / "other", "--seeds", 0, "--seed", 5)
    (tmp_path / "other").replace(out)
    assert "m.evaluation is not the evaluation of this m" in run("ecg", "predict", out, table).stderr


def test_figures_of_an_earlier_run_go_and_what_the_user_put_there_stays(run: Any, table: Path, tmp_path: Path) -> None:
    folder = tmp_path / "m.evaluation"
    (folder / "mine").mkdir(parents=True)
    for name in ("figure_rvef_percent.png", "notes.txt", "mine/a.txt", "table.md"):
        (folder / name).write_text("old")
    train(run, table, tmp_path / "m", *FEW)
    assert left(folder) == ["evaluation.json", "figure.png", "mine", "model.sha256", "notes.txt", "table.md"]
    assert (folder / "mine" / "a.txt").read_text() == (folder / "notes.txt").read_text() == "old"
    assert (folder / "table.md").read_text() != "old"


@pytest.mark.parametrize("step", ["evaluation.earlier", "evaluation", "m"])
def test_whatever_cuts_off_the_writing_of_the_pair_shows_and_the_next_run_mends_it(
    run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    out, folder = tmp_path / "m", tmp_path / "m.evaluation"
    train(run, table, out, *FEW)
    (folder / "notes.txt").write_text("mine")
    earlier, tables = out.read_bytes(), (folder / "table.md").read_text()
    with monkeypatch.context() as patch:
        for method in ("rename", "replace"):
            original = getattr(Path, method)

            def cut(path: Path, target: Path, original: Any = original) -> Any:
                if Path(target).name in (step, f"m.{step}"):
                    raise KeyboardInterrupt
                return original(path, target)

            patch.setattr(Path, method, cut)
        train(run, table, out, *FEW, "--seed", 1, "--set", "trees=20", code=130)
    assert out.read_bytes() == earlier
    if folder.exists() and (folder / "table.md").read_text() != tables:
        assert foreign_evaluation(out) is not None
    train(run, table, out, *FEW, "--seed", 1, "--set", "trees=20")
    assert out.read_bytes() != earlier
    assert foreign_evaluation(out) is None
    assert (folder / "notes.txt").read_text() == "mine"
    assert left(tmp_path) == ["m", "m.evaluation"]


# settings


IMPOSSIBLE = {
    "lightgbm": ("trees=-3", "components=0", "threads=-1"),
    "composite": (
        "learning_rate=0",
        "learning_rate=.nan",
        "batch_size=0",
        "max_epochs=-1",
        "patience=0",
        "device=abacus",
    ),
    "resnet18-image": ("size=0", "panel_s=-1"),
    "ssl-resnet18-image": ("pretraining_epochs=0", "method=guessing", "size=0"),
    "sliding-scar": ("max_epochs=0",),
    "cardiomyopathy": ("window=pr", "batch_size=0"),
    "rv-function": ("learning_rate=-1",),
    "scar-segmentation": ("feature_size=13", "within_myocardium=false"),
    "qrs-pca": ("real_time=perhaps",),
}


@pytest.mark.parametrize("model", INFO)
def test_a_setting_that_no_data_could_make_right_is_named_before_anything_is_read(
    run: Any, tmp_path: Path, model: str
) -> None:
    if INFO[model].packages:
        pytest.importorskip("torch")
    for setting in IMPOSSIBLE[model]:
        result = train(run, Path("nowhere.csv"), tmp_path / "m", "--set", setting, model=model, code=2)
        (line,) = refused(result)
        assert line.startswith("--set")
        assert setting.partition("=")[0] in line
    assert left(tmp_path) == []


# further ECGs without labels


def test_ecgs_without_labels_are_pretrained_on(run: Any, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    others = write_table(
        tmp_path / "others", seed=9, change=lambda rows: [row.update(patient=f"o{row['patient']}") for row in rows]
    )
    for name, source in (("table", others), ("folder", others.parent)):
        out = tmp_path / f"{name}.model"
        options = (*SMALL_PAGE, "--seeds", 0, "--unlabelled", source)
        result = train(run, table, out, *options, "--json", model="ssl-resnet18-image")
        assert json.loads(result.stdout)["training"]["unlabelled_ecgs"] == N
        assert load_model(out).pretraining_["ecgs"] == 2 * N


def test_who_is_scored_is_not_pretrained_on(run: Any, table: Path, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    other_beats = write_table(tmp_path / "same people", seed=9)
    result = train(run, table, tmp_path / "m", "--unlabelled", other_beats, model="ssl-resnet18-image", code=3)
    assert "patient p0 is in table.csv, too (16 are)" in refused(result)[0]
    result = train(run, table, tmp_path / "m", "--unlabelled", table.parent, model="ssl-resnet18-image", code=3)
    assert "16 of 32 rows cannot be used" in result.stderr
    assert "unlabelled: 0.csv: the same ECG as table.csv line 2 (0.csv)" in result.stderr
    assert left(tmp_path) == ["same people"]


# scar


def test_scar_needs_no_ecg_and_its_files_can_be_asked_one_by_one(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    rows = []
    for i in range(8):
        slices = rng.uniform(size=(3 + i % 2, 2, 16, 16)).round().astype(np.float32)
        np.savez(tmp_path / f"{i}.npz", slices=slices)
        rows.append({"patient": f"p{i}", "scar": f"{i}.npz", "label": str(i % 2)})
    table, out = write_rows(tmp_path / "t.csv", rows), tmp_path / "m"
    train(run, table, out, *QUICK, "--seeds", 0, model="sliding-scar")
    said = []
    for sources in ([table], [tmp_path / f"{i}.npz" for i in range(8)], [tmp_path]):
        result = run("ecg", "predict", out, *sources, "--json")
        assert result.exit_code == 0, result.stderr
        said.append([row["probability_1"] for row in json.loads(result.stdout)["recordings"]])
    assert said[0] == said[1] == said[2]
    assert len(set(said[0])) == 8


def test_scar_segmentation_is_trained_and_scored_by_folds_of_patients(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("monai")
    y, x = np.mgrid[-40:40, -40:40] + 0.5
    muscle = (np.hypot(x, y) < 30) & (np.hypot(x, y) > 20)
    rng = np.random.default_rng(0)
    for i in range(4):
        scar = muscle & (x > 5 * i - 10)
        image = scar + rng.normal(0, 0.1, scar.shape)
        arrays = {"image": image, "myocardium": muscle, "scar": scar}
        np.savez(
            tmp_path / f"{i}.npz",
            insertion_point=[70, 20],
            pixel_mm=1.0,
            **{name: np.stack([array] * 2) for name, array in arrays.items()},
        )
    table = write_rows(tmp_path / "t.csv", [{"patient": f"p{i}", "scar": f"{i}.npz"} for i in range(4)])
    out = tmp_path / "m"
    options = (*FEW, *QUICK, "--set", "feature_size=12", "--virtual")
    result = train(run, table, out, *options, model="scar-segmentation")
    assert "4 virtual patients, 8 slices" in result.stdout
    found = json.loads((tmp_path / "m.evaluation" / "evaluation.json").read_text())
    network = [row["scar-segmentation"] for row in found["slices"]]
    assert found["dice"]["scar-segmentation"]["value"] == pytest.approx(np.mean(network))
    assert network[::2] == pytest.approx(network[1::2])  # two slices alike in each patient
    assert found["dice"]["brighter than the middle of the range"]["value"] > 0.95
    share = [
        2 * (muscle & (x > 5 * i - 10)).sum() / (muscle.sum() + (muscle & (x > 5 * i - 10)).sum()) for i in range(4)
    ]
    assert found["dice"]["all muscle"]["value"] == pytest.approx(np.mean(share), abs=0.02)  # turned: not pixel by pixel
    assert load_model(out).feature_size == 12
    assert "cannot be asked here" in refused(run("ecg", "predict", out, table))[0]
