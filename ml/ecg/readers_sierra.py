"""Philips Sierra ECG files (`.xml`, schema 1.03 to 1.04.02): the recording, not the representative beats.

Amplitudes are in microvolts (schema 1.04.01). The samples are compressed by "XLI", which Philips does not publish; it is
known from sierra-ecg-tools (github sixlettervariables/sierra-ecg-tools, MIT), whose account is followed here in code of our
own. Per lead: a length, a first value, then 10-bit LZW codes of 16-bit numbers, all high bytes first, then all low
bytes. They are second differences that begin one step late and are offset by 64. Of III, aVR, aVL and aVF only the
difference from what I and II predict is stored. Behind the recording every lead holds the same calibration pulse of 1 mV
between zeros (seen in all three files at hand); it is cut off.

Deviation: files that are not compressed are refused, since accounts differ on whether their limb leads are whole.

Units: mV, ms, Hz.
"""

from base64 import b64decode
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ml.ecg.recording import STANDARD_LEADS, Ecg, Int

_HEADER_BYTES = 8
_CODE_BITS = 10
_LAST_CODE = 2**_CODE_BITS - 2
_OFFSET = 64


def read_sierra(path: Path) -> Ecg:
    """The recording of a Philips Sierra file.

    Raises:
        ValueError: in one line, if it is another kind of XML, or its samples are missing, damaged or not as described.
    """
    try:
        # The parser fetches nothing and bounds how far entities expand.
        root = ElementTree.parse(path).getroot()  # noqa: S314
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise ValueError(f"not a complete XML file ({error}); export or copy it again") from None
    if root.tag.rpartition("}")[2] != "restingecgdata":
        raise ValueError(f"an XML file of another kind (<{root.tag.rpartition('}')[2]}>), need Philips Sierra ECG")
    waveforms = root.find(".//{*}parsedwaveforms")
    if waveforms is None:
        raise ValueError("the Philips file holds no waveforms; export it with them")
    told = {**_signal_characteristics(root), **waveforms.attrib}
    method = told.get("compression", told.get("compressmethod", "none"))
    if told.get("dataencoding") != "Base64" or method != "XLI":
        raise ValueError(
            f"its waveforms are {told.get('dataencoding')}, compression {method}; only Base64 with XLI is read"
        )
    try:
        rate_hz = float(told.get("samplespersecond", told.get("samplingrate", "")))
        resolution_uv = float(told.get("resolution", told.get("signalresolution", "")))
        samples = round(float(told["durationperchannel"]) * rate_hz / 1000)
        leads = tuple(told.get("leadlabels", " ".join(STANDARD_LEADS)).split())[: int(told["numberchannelsallocated"])]
        counts = _whole_limb_leads(_unpacked(b64decode(waveforms.text or ""), len(leads), samples), leads)
    except (ValueError, KeyError, IndexError, OverflowError) as error:
        raise ValueError(f"the waveforms of the Philips file are damaged ({error}); export or copy it again") from None
    return Ecg(leads=leads, signal_mv=_recorded(counts).astype(np.float64) * resolution_uv / 1000, rate_hz=rate_hz)


def _signal_characteristics(root: ElementTree.Element) -> dict[str, str]:
    return {e.tag.rpartition("}")[2]: (e.text or "").strip() for e in root.iterfind(".//{*}signalcharacteristics/*")}


def _unpacked(data: bytes, leads: int, samples: int) -> Int:
    """(leads, samples) counts as stored; channels beyond the leads hold nothing."""
    rows: list[Int] = []
    while len(rows) < leads:
        size = int.from_bytes(data[:4], "little")
        first = int.from_bytes(data[6:_HEADER_BYTES], "little")
        packed, data = data[_HEADER_BYTES : _HEADER_BYTES + size], data[_HEADER_BYTES + size :]
        rows.append(_summed(_lzw(packed), first))
        if len(rows[-1]) != samples:
            raise ValueError(f"channel {len(rows)} holds {len(rows[-1])} samples, need {samples}")
    return np.array(rows)


def _lzw(packed: bytes) -> bytes:
    bits = np.unpackbits(np.frombuffer(packed, dtype=np.uint8))
    codes = bits[: bits.size // _CODE_BITS * _CODE_BITS].reshape(-1, _CODE_BITS) @ (1 << np.arange(_CODE_BITS)[::-1])
    strings = [bytes([value]) for value in range(256)]
    previous, out = b"", []
    for code in codes.tolist():
        if code > _LAST_CODE:
            break
        if code > len(strings) or (code == len(strings) and not previous):
            raise ValueError("a code is used before it is defined")
        string = strings[code] if code < len(strings) else previous + previous[:1]
        if previous:
            strings.append(previous + string[:1])
        out.append(string)
        previous = string
    return b"".join(out)


def _summed(halves: bytes, first: int) -> Int:
    """(samples,) from the bytes of the second differences; 16-bit numbers wrap around."""
    half = (len(halves) + 1) // 2
    split = np.frombuffer(halves.ljust(2 * half, b"\0"), dtype=np.uint8).reshape(2, half).astype(np.int64)
    stored = split[0] << 8 | split[1]
    bends = -np.concatenate([[first], stored[2:-1] - _OFFSET])
    slopes = stored[1] - stored[0] + np.cumsum(bends)
    summed = np.concatenate([stored[:2], stored[1] + np.cumsum(slopes)])
    wrapped: Int = summed.astype(np.int16).astype(np.int64)
    return wrapped


def _recorded(counts: Int) -> Int:
    """Without the calibration behind the recording: it ends where leads last differ."""
    different = np.flatnonzero(np.ptp(counts, axis=0))
    return counts[:, : different[-1] + 1 if different.size else 0]


def _whole_limb_leads(counts: Int, leads: tuple[str, ...]) -> Int:
    row = {lead.upper(): counts[i] for i, lead in enumerate(leads)}
    i, ii = row["I"], row["II"]
    row["III"][:] = ii - i - row["III"]
    row["AVR"][:] = -((i + ii) // 2) - row["AVR"]
    row["AVL"][:] = (i - row["III"]) // 2 - row["AVL"]
    row["AVF"][:] = (ii + row["III"]) // 2 - row["AVF"]
    return counts
