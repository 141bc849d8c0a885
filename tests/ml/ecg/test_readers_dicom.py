"""Laws of the DICOM reader: samples come back in mV under the right lead, and what is no ECG is refused in one line."""

import sys
from pathlib import Path

import numpy as np
import pytest

from ml.ecg.readers import read_ecg
from ml.ecg.recording import STANDARD_LEADS

FORMATS = Path(__file__).parents[3] / "../shared/data/ecg/formats"
CODES = dict(zip(STANDARD_LEADS, (1, 2, 61, 62, 63, 64, 3, 4, 5, 6, 7, 8), strict=True))
COUNTS = np.random.default_rng(0).integers(-1000, 1000, size=(12, 400)).astype("<i2")
WHY = "needs pydicom (extra [formats])"


def dicom_file(path: Path, *, unit: str = "uV", prefix: str = "2:", beats_first: bool = False) -> Path:
    """A recording of COUNTS at 500 Hz, 2 units each, beside a shorter group of median beats."""
    pydicom = pytest.importorskip("pydicom", reason=WHY)
    uid = pydicom.uid
    meta = pydicom.dataset.FileMetaDataset()
    meta.MediaStorageSOPClassUID = uid.TwelveLeadECGWaveformStorage
    meta.MediaStorageSOPInstanceUID = uid.generate_uid()
    meta.TransferSyntaxUID = uid.ExplicitVRLittleEndian

    def item(**elements: object) -> object:
        made = pydicom.Dataset()
        for name, value in elements.items():
            setattr(made, name, value)
        return made

    def coded(value: str, meaning: str) -> list[object]:
        return [item(CodeValue=value, CodingSchemeDesignator="X", CodeMeaning=meaning)]

    def group(counts: np.ndarray) -> object:
        channels = []
        for lead, number in CODES.items():
            channel = item(ChannelSourceSequence=coded(f"{prefix}{number}", f"lead {lead} of the device"))
            channel.ChannelSensitivity, channel.ChannelBaseline = "2", "0"  # type: ignore[attr-defined]
            channel.ChannelSensitivityCorrectionFactor = "1"  # type: ignore[attr-defined]
            if unit:
                channel.ChannelSensitivityUnitsSequence = coded(unit, unit)  # type: ignore[attr-defined]
            channels.append(channel)
        return item(
            NumberOfWaveformChannels=12,
            NumberOfWaveformSamples=counts.shape[1],
            SamplingFrequency="500",
            ChannelDefinitionSequence=channels,
            WaveformBitsAllocated=16,
            WaveformSampleInterpretation="SS",
            WaveformData=counts.T.tobytes(),
        )

    groups = [group(COUNTS), group(COUNTS[:, :50])]
    file = pydicom.Dataset()
    file.file_meta, file.SOPClassUID = meta, meta.MediaStorageSOPClassUID
    file.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    file.WaveformSequence = groups[::-1] if beats_first else groups
    file.save_as(path, enforce_file_format=True)
    return path


@pytest.mark.parametrize("beats_first", [False, True])
@pytest.mark.parametrize("prefix", ["2:", "5.6.3-9-"])
def test_the_recording_comes_back_in_mv_by_its_lead_codes(tmp_path: Path, prefix: str, beats_first: bool) -> None:
    ecg = read_ecg(dicom_file(tmp_path / "a.dcm", prefix=prefix, beats_first=beats_first))
    assert ecg.leads == STANDARD_LEADS
    assert ecg.rate_hz == 500
    np.testing.assert_allclose(ecg.signal_mv, COUNTS * 0.002, atol=1e-12)


def test_leads_without_a_standard_code_keep_the_name_in_the_file(tmp_path: Path) -> None:
    assert read_ecg(dicom_file(tmp_path / "a.dcm", prefix="own-")).leads[0] == "lead I of the device"


@pytest.mark.parametrize(
    ("unit", "message"),
    [
        ("mmHg", "lead I is in 'mmHg', need one of mV"),
        ("", "lead I is in 'no unit'"),
        ("mV", "looks like microvolts: divide by 1000"),
    ],
)
def test_a_unit_that_cannot_be_right_is_refused(tmp_path: Path, unit: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        read_ecg(dicom_file(tmp_path / "a.dcm", unit=unit))


def test_what_is_no_ecg_is_refused_in_one_line(tmp_path: Path) -> None:
    pydicom = pytest.importorskip("pydicom", reason=WHY)
    path = dicom_file(tmp_path / "a.dcm")
    file = pydicom.dcmread(path)
    file.WaveformSequence[0].WaveformData = b"\0" * 10
    file.save_as(path)
    with pytest.raises(ValueError, match="waveforms of the DICOM file are damaged") as damaged:
        read_ecg(path)
    del file.WaveformSequence
    file.save_as(path)
    with pytest.raises(ValueError, match="holds no waveforms"):
        read_ecg(path)
    path.write_bytes(bytes(300))
    with pytest.raises(ValueError, match="not a DICOM file"):
        read_ecg(path)
    assert "\n" not in str(damaged.value)


def test_without_pydicom_the_extra_to_install_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pydicom", None)
    (tmp_path / "a.dcm").touch()
    with pytest.raises(ModuleNotFoundError, match=r"need pydicom, which is not installed: .*crt-twin\[formats\]"):
        read_ecg(tmp_path / "a.dcm")


def test_a_real_file_obeys_einthoven() -> None:
    pytest.importorskip("pydicom", reason=WHY)
    path = FORMATS / "waveform_ecg.dcm"
    if not path.is_file():
        pytest.skip("needs ../shared/data/ecg/formats")
    ecg = read_ecg(path)
    assert ecg.leads == STANDARD_LEADS
    assert ecg.signal_mv.shape == (12, 10_000)
    np.testing.assert_allclose(ecg.lead("III"), ecg.lead("II") - ecg.lead("I"), atol=0.002)
