import hashlib
from pathlib import Path

import pytest

from twin.planning.errors import InputError, SettingsError
from twin.planning.patient import read_patient, reading


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A patient whose heart is not looked into yet."""
    (tmp_path / "jane").mkdir()
    (tmp_path / "jane" / "heart.vtu").write_bytes(b"any")
    return tmp_path / "jane"


def test_a_heart_alone_is_a_patient_named_after_the_folder(folder: Path) -> None:
    patient = read_patient(folder)
    assert (patient.id, patient.ecg, patient.veins, patient.sites) == ("jane", None, None, ())
    assert patient.hashes == {"heart.vtu": hashlib.sha256(b"any").hexdigest()}


def test_a_finished_heart_goes_before_labels_and_what_is_not_used_is_named(folder: Path) -> None:
    for name in ("labels.nii.gz", "ecg.hea", "ecg.csv", "torso.stl"):
        (folder / name).write_bytes(b"any")
    (folder / "lge").mkdir()
    patient = read_patient(folder)
    assert patient.geometry.name == "heart.vtu"
    assert patient.ecg is not None
    assert patient.ecg.name == "ecg.hea"
    assert set(patient.left_out) == {"labels.nii.gz", "ecg.csv", "torso.stl", "lge"}


def test_files_that_belong_to_a_file_are_hashed_with_it(folder: Path) -> None:
    for name in ("ecg.hea", "ecg.mat", "ecg.dat"):
        (folder / name).write_bytes(name.encode())
    assert {"ecg.hea", "ecg.mat", "ecg.dat"} <= set(read_patient(folder).hashes)


def test_lead_in_patient_yaml_is_a_shorter_way_to_settings_lead(folder: Path) -> None:
    (folder / "patient.yaml").write_text("settings: {edge_mm: 2}\nlead: {lead_diameter_mm: 2.5}\n")
    assert read_patient(folder).settings_layer == {"edge_mm": 2, "lead": {"lead_diameter_mm": 2.5}}


def test_sites_keep_their_order_and_names(folder: Path) -> None:
    (folder / "sites.csv").write_text("\ufeffid,x_mm,y_mm,z_mm,vein,note\n b ,1,2,3,lateral vein,x\na,4,5,6,,\n")
    b, a = read_patient(folder).sites
    assert (b.id, b.position_mm, b.vein) == ("b", (1.0, 2.0, 3.0), "lateral vein")
    assert (a.id, a.vein) == ("a", "")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "needs at least one line"),
        ("id,x_mm,y_mm,z_mm\n", "needs at least one line"),
        ("id,x_mm,y_mm\na,1,2\n", "the columns id, x_mm, y_mm, z_mm"),
        ("id;x_mm;y_mm;z_mm\na;1;2;3\n", "the columns id, x_mm, y_mm, z_mm"),
        ("id,x_mm,y_mm,z_mm\na,1,2,left\n", "line 2: x_mm, y_mm, z_mm must be numbers"),
        ("id,x_mm,y_mm,z_mm\na,1,2\n", "line 2: x_mm, y_mm, z_mm must be numbers"),
        ("id,x_mm,y_mm,z_mm\na,1,2,nan\n", "line 2: needs an id of its own and three finite coordinates"),
        ("id,x_mm,y_mm,z_mm\n,1,2,3\n", "line 2: needs an id of its own"),
        ("id,x_mm,y_mm,z_mm\na,1,2,3\na,4,5,6\n", "line 3: needs an id of its own"),
    ],
)
def test_a_faulty_list_of_sites_is_refused_with_its_line(folder: Path, text: str, fault: str) -> None:
    (folder / "sites.csv").write_text(text)
    with pytest.raises(InputError, match=r"^sites\.csv: ") as caught:
        read_patient(folder)
    assert fault in str(caught.value)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("labelz: acdc\n", "labelz: unknown key; known are id, virtual, labels"),
        ("labels: klingon\n", "labels: "),
        ("id: 17\n", "put it in quotes"),
        ("id: ''\n", "id: "),
        ("clinical: {lvef_percent: 250}\n", "clinical.lvef_percent: "),
        ("clinical: {nyha: 7}\n", "clinical.nyha: "),
        ("implanted: {lv_mm: [1, 2]}\n", "implanted.lv_mm"),
        ("implanted: {lv_mm: [.nan, 0, 0]}\n", "implanted.lv_mm.0: "),
        ("implanted: {lead: 3}\n", "implanted.lead: "),
    ],
)
def test_a_fault_in_patient_yaml_is_unusable_input(folder: Path, text: str, fault: str) -> None:
    (folder / "patient.yaml").write_text(text)
    with pytest.raises(InputError, match=r"^patient\.yaml: ") as caught:
        read_patient(folder)
    assert fault in str(caught.value)
    assert "\n" not in str(caught.value)


def test_settings_in_patient_yaml_that_are_no_mapping_are_wrong_settings(folder: Path) -> None:
    (folder / "patient.yaml").write_text("settings: [1]\n")
    with pytest.raises(SettingsError, match=r"^patient\.yaml: settings: "):
        read_patient(folder)


@pytest.mark.parametrize("name", ["heart.vtu", "ecg.csv", "veins.vtp", "electrodes.json", "sites.csv", "patient.yaml"])
def test_a_folder_where_a_file_should_be_is_named(folder: Path, name: str) -> None:
    (folder / name).unlink(missing_ok=True)
    (folder / name).mkdir()
    with pytest.raises(InputError, match=f"^{name}: ") as caught:
        read_patient(folder)
    assert str(folder) not in str(caught.value)


def test_a_fault_names_its_file_once(tmp_path: Path) -> None:
    for message in ("is empty", "heart.vtu: is empty", "heart.vtu is empty"):
        with pytest.raises(InputError) as caught, reading(tmp_path / "heart.vtu"):
            raise ValueError(message)
        assert str(caught.value).count("heart.vtu") == 1
