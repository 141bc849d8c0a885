"""Laws of the Philips Sierra reader: what an encoder of our own packs is unpacked, and real files obey Einthoven."""

from base64 import b64encode
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from numpy.typing import NDArray

from ml.ecg.beats import median_beat
from ml.ecg.readers import read_ecg
from ml.ecg.recording import STANDARD_LEADS

FORMATS = Path(__file__).parents[3] / "../shared/data/ecg/formats"
Int = NDArray[np.int64]
RATE_HZ = 500
PULSE = 100


def lzw_codes(data: bytes) -> list[int]:
    """Textbook LZW with 10-bit codes, ended by the code that is never given out."""
    table = {bytes([value]): value for value in range(256)}
    codes, known = [], b""
    for value in data:
        longer = known + bytes([value])
        if longer not in table:
            codes.append(table[known])
            if len(table) < 1023:
                table[longer] = len(table)
            longer = longer[-1:]
        known = longer
    return [*codes, table[known], 1023]


def packed(samples: Int) -> bytes:
    """One channel, sample by sample: each stored number makes up for the bend that comes one sample later."""
    x = samples.tolist()
    bends = [x[i] - 2 * x[i - 1] + x[i - 2] for i in range(2, len(x))]
    stored = np.array([*x[:2], *(64 - bend for bend in bends[1:]), 0], dtype=np.int16).astype(">i2")
    halves = stored.view(np.uint8).reshape(-1, 2).T.tobytes()
    bits = "".join(f"{code:010b}" for code in lzw_codes(halves))
    bits += "0" * (-len(bits) % 8)
    body = bytes(int(bits[i : i + 8], 2) for i in range(0, len(bits), 8))
    return len(body).to_bytes(4, "little") + b"\x01\x00" + (-bends[0] % 65536).to_bytes(2, "little") + body


def sierra_file(path: Path, leads: Int, changes: dict[str, str] | None = None) -> Path:
    """A file of version 1.04: 12 leads in counts, then a pulse between zeros in all of them."""
    calibration = np.repeat([0, 200, 0], PULSE)
    whole = np.concatenate([leads, np.tile(calibration, (12, 1))], axis=1)
    i, ii, iii = whole[:3]
    predicted = [ii - i, -((i + ii) // 2), (i - iii) // 2, (ii + iii) // 2]
    stored = np.array([i, ii, *(p - w for p, w in zip(predicted, whole[2:6], strict=True)), *whole[6:]])
    stored[3] = predicted[1] - whole[3]
    text = (
        '<restingecgdata xmlns="http://www3.medical.philips.com"><signalcharacteristics><samplingrate>500</samplingrate>'
        "<resolution>5</resolution><numberchannelsallocated>12</numberchannelsallocated></signalcharacteristics>"
        f'<parsedwaveforms dataencoding="Base64" compression="XLI" durationperchannel="{whole.shape[1] * 2}">'
        f"{b64encode(b''.join(map(packed, stored))).decode()}</parsedwaveforms></restingecgdata>"
    )
    for old, new in (changes or {}).items():
        assert old in text
        text = text.replace(old, new)
    path.write_text(text, encoding="utf-8")
    return path


def twelve_counts(seed: int, samples: int = 700) -> Int:
    """Random walks that look like no ECG, every lead its own."""
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.integers(-9, 10, size=(12, samples)), axis=1)


def real_files() -> list[Path]:
    files = sorted(path for path in FORMATS.glob("*") if path.suffix.lower() == ".xml")
    if not files:
        pytest.skip("needs ../shared/data/ecg/formats")
    return files


@pytest.mark.parametrize("seed", [0, 1])
def test_what_is_packed_comes_back_in_mv_without_the_calibration(tmp_path: Path, seed: int) -> None:
    counts = twelve_counts(seed)
    ecg = read_ecg(sierra_file(tmp_path / "a.xml", counts))
    assert ecg.leads == STANDARD_LEADS
    assert ecg.rate_hz == RATE_HZ
    np.testing.assert_allclose(ecg.signal_mv, counts * 0.005, atol=1e-12)


def test_leads_are_named_by_the_file_where_it_names_them(tmp_path: Path) -> None:
    labels = "I II III AVR aVL aVF V6 V5 V4 V3 V2 V1"
    counts = twelve_counts(2)
    path = sierra_file(tmp_path / "a.xml", counts, {"compression=": f'leadlabels="{labels}" compression='})
    ecg = read_ecg(path)
    assert ecg.leads[3] == "aVR"
    np.testing.assert_allclose(ecg.lead("V6"), counts[6] * 0.005, atol=1e-12)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"<restingecgdata": "<other", "</restingecgdata": "</other"}, "another kind .<other>., need Philips"),
        ({"parsedwaveforms": "leadwaveforms"}, "holds no waveforms"),
        ({"XLI": "LZ"}, "compression LZ; only Base64 with XLI"),
        ({' compression="XLI"': ""}, "compression none; only"),
        ({"</restingecgdata>": ""}, "not a complete XML file"),
        ({"durationperchannel": "duration"}, "damaged .'durationperchannel'"),
        ({"<resolution>5<": "<resolution>five<"}, "damaged .*five"),
        ({'durationperchannel="2000"': 'durationperchannel="2200"'}, "holds 1000 samples, need 1100"),
        ({"<numberchannelsallocated>12": "<numberchannelsallocated>2"}, "damaged .'III'"),
    ],
)
def test_a_bad_file_is_refused_in_one_line(tmp_path: Path, changes: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        read_ecg(sierra_file(tmp_path / "a.xml", twelve_counts(3), changes))
    assert "\n" not in str(caught.value)


def test_a_file_whose_waveforms_end_early_is_refused(tmp_path: Path) -> None:
    path = sierra_file(tmp_path / "a.xml", twelve_counts(4))
    text = path.read_text("utf-8")
    end = text.index("</parsedwaveforms>")
    path.write_text(text[: end - 2000] + text[end:], "utf-8")
    with pytest.raises(ValueError, match="damaged"):
        read_ecg(path)


def test_real_files_obey_einthoven_to_a_few_counts() -> None:
    for path in real_files():
        ecg = read_ecg(path)
        np.testing.assert_allclose(ecg.lead("III"), ecg.lead("II") - ecg.lead("I"), atol=0.011)
        np.testing.assert_allclose(ecg.lead("aVF"), (ecg.lead("II") + ecg.lead("III")) / 2, atol=0.011)


def test_real_files_have_the_qrs_amplitudes_that_the_device_measured() -> None:
    for path in real_files():
        measured = ElementTree.parse(path).getroot().iterfind(".//{*}leadmeasurement")  # noqa: S314
        told_uv = np.array([float(lead.findtext("{*}qrsppk") or "nan") for lead in measured][:12])
        beat = median_beat(read_ecg(path))
        r = int(np.abs(beat.signal_mv).sum(axis=0).argmax())
        found_uv = 1000 * np.ptp(beat.signal_mv[:, max(r - 50, 0) : r + 50], axis=1)
        # In one lead of one file the device does not count the whole deflection.
        assert np.sum(np.abs(found_uv / told_uv - 1) < 0.05) >= 11
