"""What is odd about a recorded beat is said."""

import shutil
from pathlib import Path

import numpy as np

from ml.ecg.readers import read_ecg, write_csv
from ml.ecg.recording import STANDARD_LEADS, Ecg
from twin.planning.patient import read_patient
from twin.planning.recorded_beat import recorded_beat
from twin.planning.settings import merged_settings


def warnings(folder: Path) -> str:
    return "\n".join(recorded_beat(read_patient(folder), merged_settings()).warnings)


def test_exchanged_electrodes_of_the_arms_are_noticed_and_right_ones_are_not(
    virtual_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "patient"
    shutil.copytree(virtual_folder, folder)
    assert "lead I goes against V6" not in warnings(folder)
    right = read_ecg(folder / "ecg.csv")
    i, ii, iii, avr, avl, avf = (right.signal_mv[right.leads.index(lead)] for lead in STANDARD_LEADS[:6])
    chest = [right.signal_mv[right.leads.index(lead)] for lead in STANDARD_LEADS[6:]]
    swapped = np.array([-i, iii, ii, avl, avr, avf, *chest])
    write_csv(Ecg(leads=STANDARD_LEADS, signal_mv=swapped, rate_hz=right.rate_hz), folder / "ecg.csv")
    assert "lead I goes against V6" in warnings(folder)


def test_without_an_ecg_the_rhythm_is_assumed_and_that_is_said(small_folder: Path) -> None:
    found = recorded_beat(read_patient(small_folder), merged_settings())
    assert (found.beat, found.qrs, found.rhythm) == (None, None, "lbbb")
    assert "no ECG" in found.warnings[0]
