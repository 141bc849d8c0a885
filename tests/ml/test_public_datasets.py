"""Laws of public collections of ECGs: what was laid out as they are is read, with the labels and patients given."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from ml.datasets import DATASETS, stack_rows
from ml.ecg.recording import STANDARD_LEADS
from tests.ml.dataset_files import wfdb_record, written
from tests.ml.heartbeats import DATA, RATE_HZ, recordings
from tests.ml.real_beats import bundle_branch_beats

WHY_H5PY = "needs h5py (extra [formats])"


def ptb_xl(folder: Path, rates: Sequence[int] = (500, 100)) -> Path:
    """Two patients of PTB-XL as it is laid out."""
    signals, _ = recordings(3)
    rows = []
    for i, (signal, codes) in enumerate(zip(signals, ("'NORM': 100.0, 'SR': 0.0", "'CLBBB': 100.0", ""), strict=True)):
        names = {500: f"records500/00000/{i:05}_hr", 100: f"records100/00000/{i:05}_lr"}
        for rate in rates:
            wfdb_record(folder / f"{names[rate]}.hea", signal, rate_hz=rate)
        row = {"ecg_id": i, "patient_id": f"{15709 + i // 2}.0", "age": 50 + i, "scp_codes": f"{{{codes}}}"}
        rows.append(row | {"strat_fold": i, "filename_lr": names[100], "filename_hr": names[500]})
    written(folder / "ptbxl_database.csv", rows)
    return folder


def code_15(folder: Path) -> Path:
    """Three exams of CODE-15 %, one in a part that is not there; in the HDF5 file in another order, with a filler."""
    h5py = pytest.importorskip("h5py", reason=WHY_H5PY)
    signals, _ = recordings(2)
    tracings = np.zeros((3, 4096, 12), dtype=np.float32)
    tracings[0, 600:1600] = signals[1].T
    tracings[1, 48:1048] = signals[0].T
    folder.mkdir(exist_ok=True)
    with h5py.File(folder / "exams_part0.hdf5", "w") as file:
        file["tracings"], file["exam_id"] = tracings, [22, 11, 0]
    flags = dict.fromkeys(("1dAVb", "RBBB", "SB", "AF", "ST"), False)
    rows = [
        {
            "exam_id": exam,
            "age": 50,
            "is_male": exam == 11,
            **flags,
            "LBBB": exam == 22,
            "patient_id": f"p{exam}",
            "trace_file": part,
        }
        for exam, part in ((11, "exams_part0.hdf5"), (22, "exams_part0.hdf5"), (33, "exams_part1.hdf5"))
    ]
    written(folder / "exams.csv", rows)
    return folder


def challenge_2021(folder: Path) -> Path:
    signals, _ = recordings(2)
    told = (
        ["Age: 61", "Sex: Female", "Dx: 164909002,426783006", "Rx: Unknown"],
        ["Age: NaN", "Sex: Male", "Dx: 426783006"],
    )
    for name, signal, comments in zip(("georgia/g1/E00001", "ptb/g2/S0001"), signals, told, strict=True):
        wfdb_record(folder / "training" / f"{name}.hea", signal, comments=comments)
    return folder


def mimic_iv_ecg(folder: Path) -> Path:
    signals, _ = recordings(2)
    records, measured = [], []
    for study, signal in zip((40689238, 49036311), signals, strict=True):
        path = f"files/p1000/p10000032/s{study}/{study}"
        wfdb_record(folder / f"{path}.hea", signal)
        ids = {"subject_id": 10000032, "study_id": study}
        records.append({**ids, "file_name": study, "ecg_time": "2180-07-23 08:44:00", "path": path})
        reports = {"report_0": "Sinus rhythm", "report_1": "Left bundle branch block." if study == 49036311 else ""}
        measured.append(
            {**ids, "cart_id": 6, **reports, "rr_interval": 659, "p_onset": 29999 if study == 49036311 else 40}
        )
    written(folder / "record_list.csv", records)
    written(folder / "machine_measurements.csv", measured[::-1])
    return folder


LAYOUTS: dict[str, tuple[Callable[[Path], Path], str, list[int], list[str]]] = {
    "ptb-xl": (ptb_xl, "CLBBB", [0, 1, 0], ["15709", "15709", "15710"]),
    "code-15": (code_15, "LBBB", [0, 1], ["p11", "p22"]),
    "challenge-2021": (challenge_2021, "164909002", [1, 0], ["E00001", "S0001"]),
    "mimic-iv-ecg": (mimic_iv_ecg, "Left bundle branch block", [0, 1], ["10000032", "10000032"]),
}


@pytest.mark.parametrize("name", DATASETS)
def test_a_folder_of_the_published_layout_gives_signals_labels_and_patients(tmp_path: Path, name: str) -> None:
    lay_out, label, labels, patients = LAYOUTS[name]
    rate_hz = {"ptb-xl": 500.0, "code-15": 400.0}.get(name, RATE_HZ)
    table = stack_rows(DATASETS[name].rows(lay_out(tmp_path)), label=label, sampling_hz=rate_hz)
    assert table.labels is not None
    assert table.labels.tolist() == labels
    assert table.patients.tolist() == patients
    np.testing.assert_allclose(table.signals, recordings(len(labels))[0], atol=6e-4)


@pytest.mark.parametrize("name", DATASETS)
def test_a_folder_of_another_layout_is_refused_with_the_file_that_is_missing(tmp_path: Path, name: str) -> None:
    missing = {"ptb-xl": "ptbxl_database.csv", "code-15": "exams.csv", "challenge-2021": ".hea"}
    with pytest.raises(FileNotFoundError, match=missing.get(name, "machine_measurements.csv")):
        next(DATASETS[name].rows(tmp_path))


def test_a_public_collection_is_filtered_before_any_signal_is_read(tmp_path: Path) -> None:
    rows = list(DATASETS["ptb-xl"].rows(ptb_xl(tmp_path, rates=())))
    assert [row.values["strat_fold"] for row in rows] == ["0", "1", "2"]
    assert rows[0].codes == {"NORM", "SR"}


def test_ptb_xl_at_100_hz_is_read_where_500_hz_is_not_there(tmp_path: Path) -> None:
    rows = DATASETS["ptb-xl"].rows(ptb_xl(tmp_path, rates=(100,)))
    assert next(rows).read().rate_hz == 100


def test_exams_without_a_part_end_in_one_line(tmp_path: Path) -> None:
    (code_15(tmp_path) / "exams_part0.hdf5").unlink()
    with pytest.raises(FileNotFoundError, match=r"none of the files .*unpack exams_part\*\.zip"):
        next(DATASETS["code-15"].rows(tmp_path))


def test_an_exam_that_its_part_does_not_hold_or_that_is_all_zero_is_a_fault(tmp_path: Path) -> None:
    code_15(tmp_path)
    text = (tmp_path / "exams.csv").read_text()
    (tmp_path / "exams.csv").write_text(text.replace("\n11,", "\n99,").replace("\n22,", "\n0,"))
    with pytest.raises(ValueError, match="2 of 2 rows") as caught:
        stack_rows(DATASETS["code-15"].rows(tmp_path))
    assert "no exam 99 in exams_part0.hdf5" in str(caught.value)
    assert "0 samples of it not 0" in str(caught.value)


def test_true_and_false_are_1_and_0(tmp_path: Path) -> None:
    table = stack_rows(DATASETS["code-15"].rows(code_15(tmp_path)), label="is_male", sampling_hz=400.0)
    assert table.labels is not None
    assert table.labels.tolist() == [1, 0]


def test_without_h5py_the_extra_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    row = next(DATASETS["code-15"].rows(code_15(tmp_path)))
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ModuleNotFoundError, match=r"h5py, which is not installed: .*crt-twin\[formats\]"):
        row.read()


def test_measurements_that_mimics_carts_could_not_take_are_missing_and_ids_are_kept(tmp_path: Path) -> None:
    table = stack_rows(DATASETS["mimic-iv-ecg"].rows(mimic_iv_ecg(tmp_path)), label="rr_interval")
    assert table.labels is not None
    assert table.labels.tolist() == [659, 659]
    np.testing.assert_array_equal(table.covariates["p_onset"], [40, np.nan])
    assert table.covariates["study_id"].tolist() == [40689238, 49036311]
    assert not [name for name in table.covariates if name.startswith("report")]


def test_a_study_without_diagnoses_is_not_taken_for_one_without_the_disease(tmp_path: Path) -> None:
    measured = mimic_iv_ecg(tmp_path) / "machine_measurements.csv"
    measured.write_text("\n".join(measured.read_text().splitlines()[:-1]))
    with pytest.raises(ValueError, match=r"40689238\): no diagnoses are known, so it is open whether AF holds"):
        stack_rows(DATASETS["mimic-iv-ecg"].rows(tmp_path), label="AF")


def test_an_age_of_nan_is_missing_and_not_text(tmp_path: Path) -> None:
    table = stack_rows(DATASETS["challenge-2021"].rows(challenge_2021(tmp_path)))
    np.testing.assert_array_equal(table.covariates["age"], [61, np.nan])
    assert table.covariates["sex"].tolist() == ["Female", "Male"]


def test_a_label_that_no_ecg_has_is_refused_with_those_that_there_are(tmp_path: Path) -> None:
    rows = list(DATASETS["challenge-2021"].rows(challenge_2021(tmp_path)))
    with pytest.raises(
        ValueError, match=r"'LBBB'; columns: age, sex; most frequent codes: 426783006 \(2\), 164909002 \(1\)"
    ):
        stack_rows(rows, label="LBBB")


def test_the_real_challenge_recordings_are_read_but_for_leads_off_and_one_that_is_there_twice() -> None:
    folder = DATA / "challenge"
    if not folder.is_dir():
        pytest.skip("needs ../shared/data/ecg/challenge")
    rows = list(DATASETS["challenge-2021"].rows(folder))
    table = stack_rows(rows, label="426177001", leave_out_faulty=True)
    assert table.signals.shape == (47, 12, 5000)
    twice, *leads_off = table.left_out
    assert twice == "E07510.hea: the same ECG as E07509.hea; leave one of them out"
    assert [fault[:28] for fault in leads_off] == [f"{name}.hea: lead V2 is flat" for name in ("JS20004", "JS20008")]
    np.testing.assert_array_equal(rows[9].read().signal_mv, rows[10].read().signal_mv)
    assert table.labels is not None
    used = [row for row in rows if not any(fault.startswith(row.where) for fault in table.left_out)]
    assert table.labels.tolist() == ["426177001" in (row.codes or ()) for row in used]
    np.testing.assert_allclose(table.signals[0], rows[0].read().signal_mv, atol=1e-6)


def test_the_75_real_beats_have_twelve_leads_in_mv() -> None:
    signals, labels = bundle_branch_beats()
    assert signals.shape == (75, 12, 1024)
    assert np.unique(labels, return_counts=True)[1].tolist() == [25, 25, 25]
    np.testing.assert_allclose(signals[:, 2], signals[:, 1] - signals[:, 0], atol=1e-6)
    # LBBB: the last forces point away from V1, RBBB: towards it.
    v1 = signals[:, STANDARD_LEADS.index("V1"), 315:490]
    assert v1[labels == "lbbb"].mean() < v1[labels == "rbbb"].mean()
