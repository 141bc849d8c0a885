"""`crt-twin ecg models|train|predict|explain`: what is written, what is refused, and with which exit code."""

import csv
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ml.ecg.recording import STANDARD_LEADS, Ecg
from ml.model_store import load_model, save_model
from ml.models import MODELS
from tests.ml.heartbeats import RATE_HZ
from tests.planning.ecg_tables import FEW, N, left, refused, write_table
from twin.planning.ecg_models import INFO, rows_named

ROOT = Path(__file__).parents[2]
_INTERRUPTIBLE = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
_MAIN = "from twin.planning.cli import main; main()"


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_table(tmp_path_factory.mktemp("ecgs"))


@pytest.fixture
def trained(run: Any, table: Path, tmp_path: Path) -> Path:
    """A LightGBM model, not evaluated."""
    out = tmp_path / "lightgbm.model"
    result = run("ecg", "train", "--model", "lightgbm", "--data", table, "--out", out, "--seeds", 0, "-q")
    assert result.exit_code == 0, result.stderr
    return out


# models


def test_every_model_is_described_and_listed_in_one_order(run: Any) -> None:
    assert set(INFO) == set(MODELS) - {"response"}
    listed = json.loads(run("ecg", "models", "--json").stdout)
    assert [row["name"] for row in listed] == list(INFO)
    assert {"summary", "source", "reads", "learns", "missing"} < set(listed[0])


def test_the_list_says_which_models_lack_their_packages(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("twin.planning.ecg_models.find_spec", lambda name: None if name == "torch" else name)
    missing = {row["name"]: row["missing"] for row in json.loads(run("ecg", "models", "--json").stdout)}
    assert missing == {name: ["torch"] if INFO[name].packages else [] for name in INFO}
    page = run("ecg", "models").stdout
    assert page.count("needs torch: pip install 'crt-twin[deep]'") == 7
    assert page.count("can run here") == 2


# train


def test_training_writes_the_model_and_its_evaluation_and_nothing_else(run: Any, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "a.model"
    result = run("ecg", "train", "--model", "lightgbm", "--data", table, "--out", out, *FEW, "--virtual")
    assert result.exit_code == 0, result.stderr
    assert left(tmp_path) == ["a.model", "a.model.evaluation"]
    assert left(tmp_path / "a.model.evaluation") == ["evaluation.json", "figure.png", "model.sha256", "table.md"]
    page = (tmp_path / "a.model.evaluation" / "table.md").read_text()
    for text in (page, result.stdout):
        assert f"{N} virtual patients" in text
        assert "Mori 2025: LightGBM" in text
        assert "0.794" in text  # the published accuracy
        assert "Research use only" in text
    assert (
        json.loads((tmp_path / "a.model.evaluation" / "evaluation.json").read_text())["population"]
        == "virtual patients"
    )


def test_the_same_seed_gives_the_same_bytes_and_another_seed_others(run: Any, table: Path, tmp_path: Path) -> None:
    made = {}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        out = tmp_path / name
        run("ecg", "train", "--model", "lightgbm", "--data", table, "--out", out, "--seeds", 0, "--seed", seed)
        made[name] = out.read_bytes()
    assert made["a"] == made["b"] != made["c"]


def test_a_column_of_the_table_says_that_the_patients_are_virtual(run: Any, tmp_path: Path) -> None:
    for cell, who in (("yes", "virtual patients"), ("no", "patients")):
        table = write_table(tmp_path / cell, change=lambda rows, cell=cell: [row.update(virtual=cell) for row in rows])
        options = ("--out", tmp_path / f"{cell}.model", "--seeds", 0, "--json")
        said = json.loads(run("ecg", "train", "--model", "qrs-pca", "--data", table, *options).stdout)
        assert said["training"]["learnt_from"] == who


def test_classes_may_be_named_by_text(run: Any, table: Path, tmp_path: Path) -> None:
    command = ("ecg", "train", "--model", "lightgbm", "--data", table, "--out", tmp_path / "m", "--label", "kind")
    unnamed = run(*command, *FEW)
    assert unnamed.exit_code == 2
    assert refused(unnamed) == ["the classes are broad and narrow; say which is sought by --positive"]
    result = run(*command, *FEW, "--positive", "broad")
    assert result.exit_code == 0, result.stderr
    assert "8 of class broad (positive" in result.stdout
    answers = json.loads(run("ecg", "predict", tmp_path / "m", table, "--json").stdout)["recordings"]
    assert {"probability_broad", "probability_narrow"} < set(answers[0])


def test_groups_are_found_without_labels_and_compared_by_their_hazard(run: Any, tmp_path: Path) -> None:
    def follow(rows: list[dict[str, str]]) -> None:
        for i, row in enumerate(rows):
            row |= {"time": str(1 + i), "event": str(int(i % 3 == 0))}

    table = write_table(tmp_path / "ecgs", change=follow)
    out = tmp_path / "groups"
    result = run("ecg", "train", "--model", "qrs-pca", "--data", table, "--out", out)
    assert result.exit_code == 0, result.stderr
    found = json.loads((tmp_path / "groups.evaluation" / "evaluation.json").read_text())
    groups = [row["group"] for row in found["rows"]]
    assert groups == load_model(out).labels_.tolist()
    assert np.mean(np.array(groups) == [0, 1] * (N // 2)) > 0.9  # the broad ones are group 1
    assert 0 < found["hazard_ratio"]["low"] < found["hazard_ratio"]["value"] < found["hazard_ratio"]["high"]
    assert "hazard ratio 0.44" in result.stdout
    answers = json.loads(run("ecg", "predict", out, table, "--json").stdout)["recordings"]
    assert [row["group"] for row in answers] == groups


def test_groups_need_no_events(run: Any, tmp_path: Path) -> None:
    table = write_table(tmp_path / "ecgs", change=lambda rows: [row.update(time="1", event="0") for row in rows])
    result = run("ecg", "train", "--model", "qrs-pca", "--data", table, "--out", tmp_path / "groups")
    assert result.exit_code == 0, result.stderr
    assert "no hazard ratio: none of the 16 patients had the event" in result.stdout


def test_a_network_reads_both_ecgs_where_the_table_has_both(run: Any, tmp_path: Path) -> None:
    pytest.importorskip("torch").set_num_threads(1)

    def paced(rows: list[dict[str, str]]) -> None:
        for row, other in zip(rows, reversed(rows), strict=True):
            row["ecg_after"] = other["ecg"]

    table = write_table(tmp_path / "ecgs", change=paced)
    quick = ("--set", "max_epochs=1", "--seeds", 0)
    for name, options, recordings in (("both", (), 2), ("one", ("--ecg", "after"), 1)):
        out = tmp_path / name
        result = run("ecg", "train", "--model", "composite", "--data", table, "--out", out, *quick, *options)
        assert result.exit_code == 0, result.stderr
        assert load_model(out).recordings == recordings
    both, after = (
        json.loads(run("ecg", "predict", tmp_path / name, table, "--json").stdout) for name in ("both", "one")
    )
    assert [row["fault"] for row in (*both["recordings"], *after["recordings"])] == [None] * 2 * N
    # The ECG after is a file of its own, too: the answer to it is the same.
    alone = json.loads(run("ecg", "predict", tmp_path / "one", table.with_name(f"{N - 1}.csv"), "--json").stdout)
    assert alone["recordings"][0]["probability_1"] == after["recordings"][0]["probability_1"]


# predict


def test_a_fresh_process_predicts_what_the_model_in_memory_does(trained: Path, table: Path) -> None:
    command = [sys.executable, "-c", _MAIN, "ecg", "predict", str(trained), str(table), "--json"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120)  # noqa: S603
    said = json.loads(done.stdout)
    model = load_model(trained)
    signals = np.stack([np.loadtxt(table.with_name(f"{i}.csv"), delimiter=",", skiprows=1)[:, 1:].T for i in range(N)])
    ecgs = [Ecg(leads=STANDARD_LEADS, signal_mv=one, rate_hz=RATE_HZ).resampled(model.sampling_hz) for one in signals]
    probabilities = model.predict_proba(np.stack([ecg.signal_mv for ecg in ecgs]))
    assert [[row["probability_0"], row["probability_1"]] for row in said["recordings"]] == probabilities.tolist()
    assert said["intended_use"] == "research"


def test_every_way_to_name_the_same_ecgs_gives_the_same_answers(run: Any, trained: Path, table: Path) -> None:
    files = sorted(path for path in table.parent.glob("*.csv") if path != table)
    said = [
        json.loads(run("ecg", "predict", trained, *sources, "--json").stdout)["recordings"]
        for sources in ([table], [table.parent], files)
    ]
    by_file = [{row["recording"].split("(")[-1].strip(")"): row["probability_1"] for row in rows} for rows in said]
    assert by_file[0] == by_file[1] == by_file[2]
    assert len(by_file[0]) == N


def test_the_csv_holds_a_row_per_recording_also_for_those_that_cannot_be_read(
    run: Any, trained: Path, tmp_path: Path
) -> None:
    def spoil(rows: list[dict[str, str]]) -> None:
        rows[2]["ecg"] = "nowhere.csv"
        rows[3]["patient"] = "=cmd()"
        for row in rows:  # not known yet, and not needed
            row |= {"label": "", "time": "", "event": ""}

    table = write_table(tmp_path / "ecgs", change=spoil)
    microvolts = np.loadtxt(table.with_name("5.csv"), delimiter=",", skiprows=1) * ([1] + [1000] * 12)
    names = table.with_name("5.csv").read_text().splitlines()[0]
    np.savetxt(table.with_name("5.csv"), microvolts, delimiter=",", header=names, comments="")
    result = run("ecg", "predict", trained, table, "--out", tmp_path / "answers.csv")
    assert result.exit_code == 3
    assert "Research use only" in result.stderr
    missing, wrong_unit = refused(result)
    assert missing.startswith("table.csv line 4 (nowhere.csv): ")
    assert "looks like microvolts: divide by 1000" in wrong_unit
    with (tmp_path / "answers.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [bool(row["fault"]) for row in rows] == [i in (2, 5) for i in range(N)]
    assert [row["probability_1"] == "" for row in rows] == [i in (2, 5) for i in range(N)]
    assert rows[3]["patient"] == "'=cmd()"  # no formula


def test_a_model_saved_from_python_can_be_asked_and_says_that_its_origin_is_not_stated(
    run: Any, trained: Path, table: Path
) -> None:
    save_model(load_model(trained), trained)
    said = json.loads(run("ecg", "predict", trained, table, "--json").stdout)
    assert said["learnt_from"] == "not stated"


def test_answers_of_a_model_that_learnt_from_virtual_patients_say_so(run: Any, table: Path, tmp_path: Path) -> None:
    out = tmp_path / "m"
    run("ecg", "train", "--model", "lightgbm", "--data", table, "--out", out, "--seeds", 0, "--virtual")
    result = run("ecg", "predict", out, table.with_name("0.csv"), "--out", tmp_path / "a.csv")
    assert "learnt from: virtual patients" in result.stderr
    assert "virtual patients" in (tmp_path / "a.csv").read_text().splitlines()[1]


# explain


def test_an_explanation_is_a_page_that_says_whether_patients_are_virtual(
    run: Any, trained: Path, table: Path, tmp_path: Path
) -> None:
    result = run("ecg", "explain", trained, table, "--out", tmp_path / "why", "--virtual")
    assert result.exit_code == 0, result.stderr
    assert "virtual patients" in (tmp_path / "why" / "report.html").read_text().lower()
    assert json.loads((tmp_path / "why" / "explanation.json").read_text())["answers"].keys() >= {
        "table.csv line 2 (0.csv)"
    }


# what is refused


WRONG: dict[str, tuple[tuple[object, ...], int]] = {
    "no such model; there are": (("--model", "nonsense"), 2),
    "no column scar": (("--model", "scar-segmentation"), 3),
    "learns the masks of the scar alone": (("--model", "scar-segmentation", "--label", "kind"), 2),
    "lightgbm learns from labelled data alone": (("--unlabelled", "."), 2),
    "must name a file in a folder that exists": (("--out", "nowhere/m"), 2),
    "lightgbm has no such setting": (("--set", "colour=3"), 2),
    "--set trees=many: Input should be a valid integer": (("--set", "trees=many"), 2),
    "need NAME=VALUE": (("--set", "trees"), 2),
    "lightgbm reads one ECG": (("--ecg", "both"), 2),
    "'before', 'after' or 'both'": (("--ecg", "neither"), 2),
    "greater than or equal to 2": (("--folds", 1), 2),
    "has no such column; there are label, kind": (("--label", "colour"), 2),
    "no such class; there are 0 and 1": (("--positive", 7), 2),
    "Use fewer folds": (("--folds", 9), 3),
    "no file nowhere.csv": (("--data", "nowhere.csv"), 3),
    "no ECG after implantation": (("--ecg", "after"), 3),
}


@pytest.mark.parametrize("fault", WRONG)
def test_what_cannot_be_asked_is_refused_in_one_line_and_nothing_is_written(
    run: Any, table: Path, tmp_path: Path, fault: str
) -> None:
    options, code = WRONG[fault]
    result = run("ecg", "train", "--model", "lightgbm", "--data", table, "--out", tmp_path / "m", *options)
    assert result.exit_code == code, result.stderr
    (line,) = refused(result)
    assert fault in line
    assert left(tmp_path) == []


def one_class(rows: list[dict[str, str]]) -> None:
    for row in rows:
        row["label"] = "1"


def a_gap(rows: list[dict[str, str]]) -> None:
    rows[4]["label"] = ""


def a_fraction(rows: list[dict[str, str]]) -> None:
    rows[4]["label"] = "0.5"


def no_label(rows: list[dict[str, str]]) -> None:
    for row in rows:
        del row["label"]


def one_ecg_twice(rows: list[dict[str, str]]) -> None:
    rows[4]["ecg"] = "0.csv"


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (one_class, "label is 1 in all 16 rows"),
        (a_gap, "table.csv line 6 (4.csv): label is empty"),
        (a_fraction, "label holds 0.5, which is no class"),
        (no_label, "no column label or value"),
        (one_ecg_twice, "the same ECG as table.csv line 2"),
        (list.clear, ""),
    ],
)
def test_a_table_that_cannot_be_learnt_is_refused_and_nothing_is_written(
    run: Any, tmp_path: Path, change: Any, fault: str
) -> None:
    if change is list.clear:
        table = write_table(tmp_path / "ecgs")
        table.write_text("patient,ecg,label\n")
        fault = "table.csv: the table has no line below the names"
    else:
        table = write_table(tmp_path / "ecgs", change=change)
    result = run("ecg", "train", "--model", "lightgbm", "--data", table, "--out", tmp_path / "m")
    assert result.exit_code == 3, result.stderr
    assert fault in result.stderr
    assert left(tmp_path) == ["ecgs"]


def test_the_number_of_an_ecg_in_a_message_becomes_its_file() -> None:
    with (
        pytest.raises(ValueError, match=r"^recording 1 of 2: b\.csv has no rr window; a\.csv has$"),
        rows_named(("a.csv", "b.csv")),
    ):
        raise ValueError("recording 1 of 2: X[1] has no rr window; X[0] has")


def test_a_line_with_a_fault_can_be_left_out_and_is_named(run: Any, tmp_path: Path) -> None:
    def spoil(rows: list[dict[str, str]]) -> None:
        rows[4]["ecg"] = "nowhere.csv"
        rows[1]["patient"] = rows[0]["patient"]

    table = write_table(tmp_path / "ecgs", change=spoil)
    command = ("ecg", "train", "--model", "lightgbm", "--data", table, "--out", tmp_path / "m", "--seeds", 0)
    assert run(*command).exit_code == 3
    result = run(*command, "--leave-out-faulty")
    assert result.exit_code == 0, result.stderr
    assert "left out: table.csv line 6 (nowhere.csv)" in result.stderr
    assert f"learnt from {N - 1} ECGs of {N - 2} patients" in result.stdout


@pytest.mark.parametrize("spoil", [lambda data: data[:1000], lambda _: b"hello", lambda _: b""])
def test_a_file_that_is_no_model_is_refused(run: Any, trained: Path, table: Path, spoil: Any) -> None:
    trained.write_bytes(spoil(trained.read_bytes()))
    result = run("ecg", "predict", trained, table)
    assert result.exit_code == 3
    assert refused(result)[0].startswith("lightgbm.model is no model file of crt-twin")
    assert result.stdout == ""


def test_the_evaluation_of_another_model_is_never_left_beside_a_new_one(run: Any, table: Path, tmp_path: Path) -> None:
    (tmp_path / "m.evaluation").mkdir()
    result = run("ecg", "train", "--model", "lightgbm", "--data", table, "--out", tmp_path / "m", "--seeds", 0)
    assert result.exit_code == 2
    assert left(tmp_path) == ["m.evaluation"]


def test_a_model_without_its_packages_is_code_4_and_names_the_extra(
    run: Any, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_torch(_: str) -> None:
        raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setattr("ml.models.import_module", no_torch)
    result = run("ecg", "train", "--model", "composite", "--data", table, "--out", tmp_path / "m")
    assert result.exit_code == 4
    assert refused(result) == ["model composite needs torch, which is not installed: pip install 'crt-twin[deep]'"]


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGINT")
def test_an_interruption_of_a_long_evaluation_leaves_the_earlier_model_as_it_was(
    trained: Path, table: Path, tmp_path: Path
) -> None:
    before = trained.read_bytes()
    options = ["ecg", "train", "--model", "lightgbm", "--data", str(table), "--out", str(trained), "--seeds", "99"]
    options += ["--seed", "1"]  # so that the new model has other bytes
    command = [sys.executable, "-c", _INTERRUPTIBLE + _MAIN, *options]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)  # noqa: S603
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("fit 3 of"):
            process.send_signal(signal.SIGINT)
            break
    rest = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 130
    assert rest.splitlines()[-1] == "crt-twin: interrupted; nothing half-written was left"
    assert f"{trained.name}.partial keeps what is done: the same command goes on with it" in rest
    assert left(tmp_path) == [trained.name, f"{trained.name}.partial"]
    assert trained.read_bytes() == before
