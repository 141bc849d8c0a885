"""What names a person is refused, what does not is let through, and no message repeats the name."""

from pathlib import Path

import pytest

from twin.planning.cohort_worker import scrubbed
from twin.planning.privacy import PrivacyError, check_no_names, names_a_person

pydicom = pytest.importorskip("pydicom")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "P017").mkdir()
    return tmp_path / "P017"


@pytest.mark.parametrize(
    "id_",
    [
        "Jane Doe",
        "DOE^JANE",
        "Doe, Jane",
        "Doe, J.",
        "JaneDoe",
        "Doe_Jane",
        "JANE DOE",
        "van der Berg, Jan",
        "Zoë O'Neil",
    ],
)
def test_an_id_that_is_a_name_is_known(id_: str) -> None:
    assert names_a_person(id_)


@pytest.mark.parametrize(
    "id_",
    ["P017", "sub-P001", "virtual-12", "Basel_012", "left-bundle", "lbbb", "LBBB", "s0010_re", "7", "Site_Basel_3"],
)
def test_a_pseudonym_is_let_through(id_: str) -> None:
    assert not names_a_person(id_)


@pytest.mark.parametrize(
    "comment",
    ["Patient name: Jane Doe", "Name: DOE^JANE", "<age>: 54 <name>: jane", "Jane Doe", "Doe, Jane", "Surname = doe"],
)
def test_a_comment_that_names_is_refused_without_the_name(folder: Path, comment: str) -> None:
    (folder / "ecg.hea").write_text(f"ecg 1 500 10\necg.dat 16 200/mV 16 0 0 0 0 I\n# {comment}\n")
    with pytest.raises(PrivacyError, match=r"^ecg\.hea: the comment in line 3") as caught:
        check_no_names(folder)
    assert "doe" not in str(caught.value).lower()
    assert "jane" not in str(caught.value).lower()


def test_comments_of_public_recordings_are_let_through(folder: Path) -> None:
    # The kinds of lines that PTB and the PhysioNet challenges have.
    comments = [
        "Age: 74", "Sex: Male", "Dx: 426783006", "Rx: Unknown", "Reason for admission: Myocardial infarction",
        "Additional diagnoses: Diabetes mellitus", "Ventriculography: Akinesia inferior wall", "Name: anonymous",
        "Patient: 1023", "Name:", "Patient name: XXXX", "File name: ecg one", "sinus rhythm", "Left bundle branch block",
    ]  # fmt: skip
    (folder / "ecg.hea").write_text("s0010_re 15 1000 38400\n" + "".join(f"# {comment}\n" for comment in comments))
    check_no_names(folder)


@pytest.mark.parametrize("where", ["ecg.hea", "ecg_paced.hea"])
def test_a_record_called_like_a_person_is_refused(folder: Path, where: str) -> None:
    (folder / where).write_text("Doe_Jane 1 500 10\n")
    with pytest.raises(PrivacyError, match="name of the record"):
        check_no_names(folder)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("id: Jane Doe\n", "id"),
        ("clinical: {patient_name: doe}\n", "clinical.patient_name"),
        ("clinical: {surname: Doe}\n", "clinical.surname"),
    ],
)
def test_patient_yaml_that_names_is_refused_with_its_key(folder: Path, text: str, key: str) -> None:
    (folder / "patient.yaml").write_text(text)
    with pytest.raises(PrivacyError, match=rf"^patient\.yaml: {key} ") as caught:
        check_no_names(folder)
    assert "doe" not in str(caught.value).lower()


def test_a_line_above_an_ecg_table_that_names_is_refused(folder: Path) -> None:
    (folder / "ecg.csv").write_text("# Patient: Jane Doe\ntime_ms,I,II\n0,1,2\n")
    with pytest.raises(PrivacyError, match=r"^ecg\.csv: line 1"):
        check_no_names(folder)
    (folder / "ecg.csv").write_text("time_ms,I,Lead II\n0,1,2\n2,1e-3,-4\n")
    check_no_names(folder)


@pytest.mark.parametrize(
    ("keyword", "value", "refused"),
    [
        ("PatientName", "DOE^JANE", True),
        ("OperatorsName", "Smith", True),
        ("PatientID", "Jane Doe", True),
        ("PatientComments", "Name: jane doe", True),
        ("PatientName", "Anonymous", False),
        ("PatientName", "P017", False),
        ("ReferringPhysicianName", "2721", False),
        ("PatientComments", "slept badly", False),
    ],
)
def test_the_header_of_a_dicom_file_is_looked_through(folder: Path, keyword: str, value: str, refused: bool) -> None:
    data = pydicom.Dataset()
    setattr(data, keyword, value)
    data.file_meta = pydicom.dataset.FileMetaDataset()
    data.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    data.save_as(folder / "ecg.dcm", enforce_file_format=False)
    with (folder / "ecg.dcm").open("rb") as file:
        body = file.read()
    (folder / "ecg.dcm").write_bytes(body if body[128:132] == b"DICM" else b"\0" * 128 + b"DICM" + body)
    if refused:
        with pytest.raises(PrivacyError, match=rf"^ecg\.dcm: {keyword} "):
            check_no_names(folder)
    else:
        check_no_names(folder)


@pytest.mark.parametrize(("value", "refused"), [("Doe", True), ("xxxxxx", False), ("", False)])
def test_name_fields_of_an_xml_header_are_looked_at(folder: Path, value: str, refused: bool) -> None:
    (folder / "ecg.xml").write_text(
        f'<a xmlns="urn:x"><name><lastname>{value}</lastname></name><name>stj</name><filename>Jane</filename></a>'
    )
    if refused:
        with pytest.raises(PrivacyError, match=r"^ecg\.xml: <lastname>"):
            check_no_names(folder)
    else:
        check_no_names(folder)


@pytest.mark.parametrize("name", ["ecg.hea", "ecg.csv", "ecg.dcm", "ecg.xml"])
def test_what_cannot_be_read_is_left_to_its_reader(folder: Path, name: str) -> None:
    (folder / name).write_bytes(bytes(range(256)) * 8)
    check_no_names(folder)


@pytest.mark.parametrize(
    ("message", "line"),
    [
        ("cannot read /data/jane/cohort/P1/heart.vtu:\n no such file", "cannot read heart.vtu: no such file"),
        (r"cannot read C:\Users\jane\heart.vtu", "cannot read heart.vtu"),
        ("line 2: 'Jane Doe', born 1950-03-12 or 12.3.1950", "line 2: '<name>', born <date> or <date>"),
        ("of DOE^JANE", "of <name>"),
        ("tets[0] = [1, 2] (1 of 4, 3/4 mm); RV endocardium", "tets[0] = [1, 2] (1 of 4, 3/4 mm); RV endocardium"),
    ],
)
def test_messages_lose_paths_dates_and_names_and_nothing_else(message: str, line: str) -> None:
    assert scrubbed(message) == line
