"""What looks like a person's name in a patient folder is refused, and never repeated.

Looked at: the folder's own name, `id` and keys of patient.yaml, comments of WFDB headers, lines above an ECG table, every
person name and comment of a DICOM header (the attributes that PS3.15 Annex E wants removed), the name fields of an XML
header. The rules are ours. They err towards refusing, for the cure is cheap; they cannot know a name that stands alone in
lower case.
"""

import re
import warnings
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from ml.ecg.extra import formats_module
from twin.planning.errors import InputError
from twin.planning.settings import read_yaml

_CURE = "looks like a person's name; use a pseudonym such as P017"
_WORD = r"[^\W\d_]+(?:['’-][^\W\d_]+)*"
_CARET = re.compile(r"[^\W\d_]\^[^\W\d_]")
_SURNAME_FIRST = re.compile(rf"{_WORD}(?:\s+{_WORD})*\s*,\s*{_WORD}\.?(?:\s+{_WORD}\.?)*")
_WORDS_ONLY = re.compile(rf"{_WORD}(?:[\s_.-]+{_WORD})+")
_HUMP = re.compile(r"(?<=[a-z])(?=[A-Z])")
_PARTICLES = {"al", "bin", "da", "de", "del", "den", "der", "di", "du", "el", "la", "le", "van", "von"}
# Fields under which a name is written; without spaces, in lower case.
_NAME_KEYS = {
    "name", "names", "patient", "patientname", "patientsname", "subjectname", "fullname", "firstname", "middlename",
    "lastname", "givenname", "familyname", "surname", "forename", "maidenname", "birthname", "prefix", "suffix",
}  # fmt: skip
_KEY = re.compile(r"([^\W\d_][^:=<>\d]*)>?\s*[:=]")
# What stands in such a field where the name was taken out.
_NO_NAME = {
    "anon", "anonymised", "anonymized", "anonymous", "deidentified", "identified", "none", "null", "not", "available",
    "patient", "redacted", "removed", "subject", "test", "unknown", "virtual",
}  # fmt: skip
_TABLE_HEAD_LINES = 50


class PrivacyError(InputError):
    """A patient folder that names a person."""


def check_no_names(folder: Path) -> None:
    """Refuse a patient folder in which a person is named.

    Raises:
        PrivacyError: naming the file and the field, not what stands there.
        InputError: if patient.yaml cannot be read.
    """
    if names_a_person(folder.name):
        raise PrivacyError(f"the folder's name {_CURE}")
    yaml_file = folder / "patient.yaml"
    if yaml_file.exists():
        _check_yaml(read_yaml(yaml_file, InputError))
    for path in sorted([*folder.glob("ecg.*"), *folder.glob("ecg_paced.*")]):
        for where in _named_in(path):
            raise PrivacyError(f"{path.name}: {where} looks like a person's name; remove it from the file")


def names_a_person(id_: str) -> bool:
    """Whether an id is the name of a person: two words with capitals and no digit, or surname, comma, first name.

    Example:
        >>> [names_a_person(id_) for id_ in ("Jane Doe", "DOE^JANE", "JaneDoe", "P017", "lbbb_17", "left-bundle")]
        [True, True, True, False, False, False]
    """
    return _is_name(_HUMP.sub(" ", id_))


def _is_name(text: str) -> bool:
    text = text.strip()
    if _CARET.search(text):
        return True
    words = re.findall(_WORD, text)
    if any(word[0].islower() and word not in _PARTICLES for word in words):
        return False
    capitals = sum(word[0].isupper() and len(word) > 1 for word in words)
    return bool((_SURNAME_FIRST.fullmatch(text) and capitals) or (_WORDS_ONLY.fullmatch(text) and 2 <= capitals <= 4))


def _holds_name(value: str) -> bool:
    """Whether a field that is there for a name holds one: any word of letters that does not say it was taken out."""
    words = [word for word in re.split(r"[\s^_.,;/-]+", value) if re.fullmatch(_WORD, word)]
    return any(len(word) > 1 and word.lower() not in _NO_NAME and set(word.lower()) != {"x"} for word in words)


def _is_name_key(key: str) -> bool:
    return "".join(re.findall(r"[^\W\d_]+", key)).lower() in _NAME_KEYS


def _comment_names(line: str) -> bool:
    """Whether a line of comment has a field for a name that is filled, or is nothing but a name."""
    fields = (line[key.end() :] for key in _KEY.finditer(line) if _is_name_key(key[1]))
    return _is_name(line) or any(_holds_name(value) for value in fields)


def _check_yaml(content: Mapping[str, Any], above: str = "") -> None:
    for key, value in content.items():
        if isinstance(value, Mapping):
            _check_yaml(value, f"{above}{key}.")
        elif isinstance(value, str) and (
            names_a_person(value) if key == "id" else _is_name_key(str(key)) and _holds_name(value)
        ):
            raise PrivacyError(f"patient.yaml: {above}{key} {_CURE}, or remove it")


def _named_in(path: Path) -> Iterator[str]:
    """Where the header of an ECG names a person; a file that cannot be read is left to its reader."""
    finder = {".hea": _named_in_wfdb, ".csv": _named_in_table, ".dcm": _named_in_dicom, ".xml": _named_in_xml}
    if path.suffix.lower() in finder and path.is_file():
        yield from finder[path.suffix.lower()](path)


def _named_in_wfdb(path: Path) -> Iterator[str]:
    for number, line in enumerate(_lines(path), start=1):
        record, _, comment = line.partition("#")
        if number == 1 and record.strip() and _is_name(record.split()[0].split("/")[0]):
            yield "the name of the record"
        if _comment_names(comment.strip()):
            yield f"the comment in line {number}"


def _named_in_table(path: Path) -> Iterator[str]:
    for number, line in enumerate(_lines(path)[:_TABLE_HEAD_LINES], start=1):
        if not line.startswith("time_ms") and _comment_names(line.strip("#,\"' \t")):
            yield f"line {number}"


def _named_in_dicom(path: Path) -> Iterator[str]:
    pydicom = formats_module("pydicom", "DICOM files (.dcm)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            elements = list(pydicom.dcmread(path).iterall())
    except Exception:  # pydicom lets through whatever a damaged file leads to
        return
    for element in elements:
        text = str(element.value or "")
        if (
            (element.VR == "PN" and _holds_name(text))
            or (element.keyword == "PatientID" and names_a_person(text))
            or (element.keyword.endswith("Comments") and any(map(_comment_names, text.splitlines())))
        ):
            yield element.keyword or f"element {element.tag}"


def _named_in_xml(path: Path) -> Iterator[str]:
    try:
        root = ElementTree.parse(path).getroot()  # noqa: S314  fetches nothing, bounds how far entities expand
    except (ElementTree.ParseError, LookupError, ValueError):
        return
    for element in root.iter():
        tag = str(element.tag).rpartition("}")[2]
        # <name> alone names measurements and settings there.
        if tag.lower() != "name" and _is_name_key(tag) and _holds_name(element.text or ""):
            yield f"<{tag}>"


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8", errors="replace").splitlines()
