"""Laws of the readers: what was written is read, units are right, and every bad file ends in one clear line."""

from pathlib import Path

import numpy as np
import pytest

from ml.ecg.readers import check_plausible, read_ecg, write_csv
from ml.ecg.recording import STANDARD_LEADS, Ecg

DATA = Path(__file__).parents[3] / "../shared/data"

HEADER = "rec 2 500 1000\nrec.dat 16 {gain}/{unit} 16 0 0 0 0 i\nrec.dat 16 {gain}/{unit} 16 0 0 0 0 avr\n"
COUNTS = np.random.default_rng(0).integers(-1000, 1000, size=(1000, 2)).astype("<i2")


def wfdb_record(folder: Path, gain: float = 1000, unit: str = "mV") -> Path:
    """Two leads of 1000 samples, written by hand: format 16 is plain little-endian pairs."""
    (folder / "rec.dat").write_bytes(COUNTS.tobytes())
    header = folder / "rec.hea"
    header.write_text(HEADER.format(gain=gain, unit=unit))
    return header


def csv_file(folder: Path, text: str) -> Path:
    path = folder / "ecg.csv"
    path.write_text(text)
    return path


def table(times_ms: list[float], names: str = "time_ms,I", scale: float = 1.0) -> str:
    return names + "\n" + "".join(f"{t},{scale * np.sin(i)}\n" for i, t in enumerate(times_ms))


@pytest.mark.parametrize("rate_hz", [182.04948, 256.0, 500.0, 1000.0])
def test_a_csv_comes_back_as_it_was_written(tmp_path: Path, rate_hz: float) -> None:
    signal = np.random.default_rng(1).normal(size=(12, 300))
    ecg = Ecg(leads=STANDARD_LEADS, signal_mv=signal, rate_hz=rate_hz)
    write_csv(ecg, tmp_path / "ecg.csv")
    again = read_ecg(tmp_path / "ecg.csv")
    assert again.leads == ecg.leads
    assert again.rate_hz == pytest.approx(rate_hz, rel=1e-12)
    np.testing.assert_array_equal(again.signal_mv, signal)


@pytest.mark.parametrize(("unit", "gain"), [("mV", 1000), ("uV", 1), ("V", 1_000_000)])
def test_every_unit_of_a_wfdb_header_gives_the_same_millivolts(tmp_path: Path, unit: str, gain: float) -> None:
    ecg = read_ecg(wfdb_record(tmp_path, gain=gain, unit=unit))
    np.testing.assert_allclose(ecg.signal_mv, COUNTS.T / 1000, atol=1e-12)
    assert ecg.leads == ("I", "aVR")
    assert ecg.rate_hz == 500


def test_leads_are_spelt_as_the_standard_spells_them(tmp_path: Path) -> None:
    names = "time_ms,dI,Lead II,AVR,avl,v1,V6,-aVR,vx"
    rows = "".join(f"{2 * i}" + f",{np.sin(i)}" * 8 + "\n" for i in range(9))
    assert read_ecg(csv_file(tmp_path, f"{names}\n{rows}")).leads == ("I", "II", "aVR", "aVL", "V1", "V6", "-aVR", "vx")


def test_times_rounded_to_whole_ms_keep_the_true_rate(tmp_path: Path) -> None:
    times = [float(round(i * 1000 / 256)) for i in range(257)]
    assert read_ecg(csv_file(tmp_path, table(times))).rate_hz == pytest.approx(256)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "0 lines are no ECG"),
        ("time_ms,I\n0,1\n", "2 lines are no ECG"),
        (table([0, 2, 4], names="time,I"), "first line is 'time,I'"),
        (table([0, 2, 4], names="time_ms;I"), "with commas between"),
        (table([0, 2, 4], names="time_ms,I,II"), "3 names stand above 2 columns"),
        ("time_ms,I\n0,1\n2,abc\n4,1\n", "could not convert string 'abc'.* at row 1"),
        ("time_ms,I\n0,1\n2\n4,1\n", "columns changed"),
        ("time_ms,I\n0,1\n2,\n4,1\n", "not a table of numbers"),
        ("time_ms,I\n0,1\n2,nan\n4,1\n", "lead I has nan at sample 1"),
        ("time_ms,I\n0,1\nnan,2\n4,1\n", "time_ms in row 2 is not a number"),
        ("time_ms,I,i\n0,1,2\n2,2,3\n4,1,1\n", "lead I occurs twice"),
        (table([0, 2, 4, 8, 10]), "from row 3 to 4 it rises by 4 ms, elsewhere by 2 ms"),
        (table([0, 2, 2, 4]), "does not rise from row 2 to 3"),
        (table([0, 0.002, 0.004]), "times must be in milliseconds"),
        (table([0, 2, 4], scale=1000), "spans .* mV .*looks like microvolts: divide by 1000"),
        (table([0, 2, 4], scale=0.001), "spans .* mV .*looks like volts: multiply by 1000"),
        ("time_ms,I,II\n0,1,0.5\n2,2,0.5\n4,1,0.5\n", r"lead II is flat: 0.5 mV throughout \(1 of 2 leads are\)"),
    ],
)
def test_a_bad_table_is_refused_in_one_line(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_ecg(csv_file(tmp_path, text))
    assert "\n" not in str(caught.value)


def test_a_binary_file_called_csv_is_refused(tmp_path: Path) -> None:
    (tmp_path / "ecg.csv").write_bytes(bytes(range(256)))
    with pytest.raises(ValueError, match="not a text file"):
        read_ecg(tmp_path / "ecg.csv")


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("", "not a complete WFDB record"),
        ("garbage\n\x00", "not a complete WFDB record"),
        (HEADER.format(gain=1000, unit="mV")[:40], "not a complete WFDB record"),
        (HEADER.format(gain=1000, unit="mmHg"), "lead i is in 'mmHg', need one of mV, uV, V"),
        (HEADER.format(gain=1, unit="mV"), "looks like microvolts"),
        (HEADER.format(gain=1000, unit="mV").replace("1000\n", "2000\n", 1), "not a complete WFDB record"),
    ],
)
def test_a_bad_header_is_refused_in_one_line(tmp_path: Path, header: str, message: str) -> None:
    path = wfdb_record(tmp_path)
    path.write_text(header)
    with pytest.raises(ValueError, match=message) as caught:
        read_ecg(path)
    assert "\n" not in str(caught.value)


def test_a_cut_signal_file_is_refused(tmp_path: Path) -> None:
    header = wfdb_record(tmp_path)
    (tmp_path / "rec.dat").write_bytes(COUNTS.tobytes()[:-100])
    with pytest.raises(ValueError, match="not a complete WFDB record"):
        read_ecg(header)


def test_missing_files_are_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no file none\.csv"):
        read_ecg(tmp_path / "none.csv")
    header = wfdb_record(tmp_path)
    (tmp_path / "rec.dat").unlink()
    with pytest.raises(FileNotFoundError, match=r"signal file that is not there: rec\.dat"):
        read_ecg(header)


def test_an_unknown_ending_is_refused_with_those_that_are_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"from \.mp3; give a WFDB header \(\.hea\) or a \.csv"):
        read_ecg(tmp_path / "ecg.mp3")


def test_a_simulated_scale_is_refused_only_where_it_is_asked_for() -> None:
    ecg = Ecg(leads=("I",), signal_mv=[[0, 500, 0]], rate_hz=1000)
    with pytest.raises(ValueError, match="microvolts"):
        check_plausible(ecg)


def test_real_records_obey_einthoven() -> None:
    folder = DATA / "ecg/challenge"
    if not folder.is_dir():
        pytest.skip("shared/data/ecg/challenge is not here")
    ecg = read_ecg(folder / "E07500.hea")
    assert ecg.leads == STANDARD_LEADS
    # Stored with 1/1000 mV.
    np.testing.assert_allclose(ecg.lead("III"), ecg.lead("II") - ecg.lead("I"), atol=0.002)


def test_a_real_record_with_leads_off_is_refused() -> None:
    path = DATA / "ecg/challenge/JS20004.hea"
    if not path.is_file():
        pytest.skip("shared/data/ecg/challenge is not here")
    with pytest.raises(ValueError, match=r"lead V2 is flat: 0 mV throughout \(3 of 12 leads are\)"):
        read_ecg(path)
