import shutil
from pathlib import Path

import numpy as np
import pytest

from ml.ecg.measure import measure
from ml.ecg.readers import read_ecg, write_csv
from ml.ecg.recording import Ecg
from twin.planning.ecg_table import by_code, measure_files
from twin.planning.errors import InputError

DATA = Path(__file__).parents[2] / "../shared/data/ecg/challenge"


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """Ten seconds at 75 beats a minute, one lead, as CSV."""
    time_ms = np.arange(0, 10_000, 2.0)
    beats = sum(np.exp(-0.5 * ((time_ms - at) / 12) ** 2) for at in range(400, 10_000, 800))
    write_csv(Ecg(leads=("II",), signal_mv=np.array([beats]), rate_hz=500.0), tmp_path / "b.csv")
    return tmp_path / "b.csv"


def test_a_row_says_what_the_measurement_says(recording: Path) -> None:
    (row,) = measure_files([recording])
    measured = measure(read_ecg(recording))
    assert row == {
        "file": "b.csv",
        "qrs_ms": measured.qrs_duration_ms,
        "heart_rate_bpm": pytest.approx(75, abs=0.5),
        "snomed_codes": [],
        "fault": None,
    }


def test_three_seconds_are_measured_and_40_hz_are_refused_by_their_reason(recording: Path) -> None:
    whole = read_ecg(recording)
    for name, step, samples in (("short", 1, 1500), ("slow", 12, 5000)):
        rate_hz = 40.0 if name == "slow" else 500.0
        rows = [f"{1000 * i / rate_hz:g},{mv:.6f}" for i, mv in enumerate(whole.signal_mv[0][:samples:step])]
        recording.with_name(f"{name}.csv").write_text("\n".join(["time_ms,II", *rows]) + "\n")
    short, slow = measure_files([recording.with_name("short.csv"), recording.with_name("slow.csv")])
    assert short["fault"] is None
    assert short["qrs_ms"] == pytest.approx(measure_files([recording])[0]["qrs_ms"], abs=4)
    assert slow["qrs_ms"] is None
    assert "40, need 50 to 20000 samples per second: fewer leave too few within a QRS" in slow["fault"]


def test_a_folder_is_all_its_ecgs_in_the_order_of_their_names(recording: Path) -> None:
    shutil.copy(recording, recording.with_name("a.csv"))
    (recording.parent / "notes.txt").write_text("none")
    assert [row["file"] for row in measure_files([recording.parent, recording])] == ["a.csv", "b.csv", "b.csv"]


def test_codes_come_from_the_header(recording: Path) -> None:
    signal = np.round(1000 * read_ecg(recording).signal_mv[0]).astype("<i2")
    signal.tofile(recording.with_name("one.dat"))
    header = (
        f"one 1 500 {len(signal)}\none.dat 16 1000/mV 16 0 {signal[0]} 0 0 II\n#Age: 60\n# Dx: 164909002,426783006\n"
    )
    recording.with_name("one.hea").write_text(header)
    (row,) = measure_files([recording.with_name("one.hea")])
    assert row["fault"] is None
    assert row["snomed_codes"] == ["164909002", "426783006"]


def test_one_faulty_file_does_not_hide_the_others(recording: Path) -> None:
    recording.with_name("a.csv").write_text("hello\n")
    bad, good = measure_files([recording.parent])
    assert bad["fault"].startswith("a.csv: ")
    assert bad["qrs_ms"] is None
    assert good["fault"] is None


def test_a_folder_without_an_ecg_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no ECG"):
        measure_files([tmp_path])


def test_groups_count_each_recording_under_each_of_its_codes() -> None:
    rows = [
        {"snomed_codes": ["1", "2"], "qrs_ms": 100.0},
        {"snomed_codes": ["1"], "qrs_ms": 90.0},
        {"snomed_codes": [], "qrs_ms": None},
    ]
    assert by_code(rows) == [
        {"code": "1", "n": 2, "median_ms": 95.0, "low_ms": 90.0, "high_ms": 100.0},
        {"code": "2", "n": 1, "median_ms": 100.0, "low_ms": 100.0, "high_ms": 100.0},
    ]


def test_real_recordings_have_plausible_qrs_durations_and_codes() -> None:
    if not DATA.exists():
        pytest.skip("needs ../shared/data/ecg/challenge")
    rows = measure_files([DATA])
    good = [row for row in rows if row["fault"] is None]
    assert len(rows) == 50
    assert len(good) >= 48
    assert all(row["snomed_codes"] and 60 < row["qrs_ms"] < 200 for row in good)
    assert 75 < np.median([row["qrs_ms"] for row in good]) < 115
