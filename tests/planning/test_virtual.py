from pathlib import Path

import numpy as np
import pytest
import yaml

from anatomy.labels import Label, read_label_map
from anatomy.veins import read_veins
from ml.ecg.measure import measure
from ml.ecg.readers import read_ecg
from twin.planning import virtual
from twin.planning.virtual import write_virtual_patient

FILES = ("ecg.csv", "labels.nii.gz", "patient.yaml", "veins.vtp")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_virtual_patient_is_these_files_and_nothing_of_its_truth(virtual_folder: Path) -> None:
    assert sorted(contents(virtual_folder)) == sorted(FILES)


def test_the_same_seed_gives_the_same_bytes_and_another_seed_another_patient(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(virtual, "_TRUE_EDGE_MM", 3.0)  # a coarser truth costs less and hides nothing here
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        write_virtual_patient(tmp_path / name, seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert all(a[name] != c[name] for name in FILES)


def test_it_says_that_it_is_no_person(virtual_folder: Path) -> None:
    text = (virtual_folder / "patient.yaml").read_text()
    content = yaml.safe_load(text)
    assert text.startswith("# A virtual patient")
    assert content["virtual"] is True
    assert content["id"] == "virtual-1"


def test_its_label_map_holds_both_ventricles_and_an_infarct(virtual_folder: Path) -> None:
    labels = read_label_map(virtual_folder / "labels.nii.gz", "crt-twin")
    assert set(np.unique(labels.labels)) == set(Label)
    clinical = yaml.safe_load((virtual_folder / "patient.yaml").read_text())["clinical"]
    blood_ml = (labels.labels == Label.LV_BLOOD).sum() * np.prod(labels.spacing_mm) / 1000
    assert clinical["lvedv_ml"] == pytest.approx(blood_ml, abs=0.1)


def test_its_ecg_is_a_recording_of_sinus_rhythm_with_a_broad_qrs(virtual_folder: Path) -> None:
    ecg = read_ecg(virtual_folder / "ecg.csv")
    assert not ecg.is_beat
    assert ecg.twelve_leads() is ecg
    measured = measure(ecg)
    assert measured.heart_rate_bpm is not None
    assert 60 <= measured.heart_rate_bpm <= 80
    assert 120 <= measured.qrs_duration_ms <= 230
    np.testing.assert_allclose(ecg.lead("III"), ecg.lead("II") - ecg.lead("I"), atol=1e-9)


def test_its_veins_are_its_own(virtual_folder: Path) -> None:
    tree = read_veins(virtual_folder / "veins.vtp")
    assert not tree.is_template
    assert tree.names[0] == "coronary sinus"
    assert len(set(tree.vein.tolist())) >= 3
