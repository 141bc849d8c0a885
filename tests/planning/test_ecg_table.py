import shutil
from pathlib import Path

import numpy as np
import pytest

from ml.ecg.measure import measure
from ml.ecg.readers import read_ecg, write_csv
from ml.ecg.recording import Ecg
from twin.planning.ecg_table import measure_files
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
    }


def test_a_folder_is_all_its_ecgs_in_the_order_of_their_names(recording: Path) -> None:
    shutil.copy(recording, recording.with_name("a.csv"))
    (recording.parent / "notes.txt").write_text("none")
    assert [row["file"] for row in measure_files([recording.parent, recording])] == ["a.csv", "b.csv", "b.csv"]


def test_codes_come_from_the_header(tmp_path: Path) -> None:
    import wfdb

    time_ms = np.arange(0, 5000, 2.0)
    beats = sum(np.exp(-0.5 * ((time_ms - at) / 12) ** 2) for at in range(400, 5000, 800))
    wfdb.wrsamp(
        "one", fs=500, units=["mV"], sig_name=["II"], p_signal=beats[:, None], fmt=["16"],
        comments=["Age: 60", "Dx: 164909002,426783006", "Rx: 1"], write_dir=str(tmp_path),
    )  # fmt: skip
    (row,) = measure_files([tmp_path])
    assert row["snomed_codes"] == ["164909002", "426783006"]


def test_what_is_no_ecg_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "ecg.csv").write_text("hello\n")
    with pytest.raises(InputError, match=r"^ecg\.csv: "):
        measure_files([tmp_path / "ecg.csv"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"empty: holds no ECG"):
        measure_files([tmp_path / "empty"])


def test_fifty_real_recordings_have_plausible_qrs_durations_and_codes() -> None:
    if not DATA.exists():
        pytest.skip("needs ../shared/data/ecg/challenge")
    rows = measure_files([DATA])
    assert len(rows) == 50
    assert all(row["snomed_codes"] for row in rows)
    assert all(60 < row["qrs_ms"] < 200 for row in rows)
    assert 80 < np.median([row["qrs_ms"] for row in rows]) < 115
