"""12-lead ECGs in DICOM waveform objects (`.dcm`): the recording, not the median beat that may lie beside it.

A lead is known by its coded source (PS3.16, context group 3001): the last number of an MDC code ("2:61") or an SCP-ECG
code ("5.6.3-9-61") is the same for the same lead. Samples are scaled by sensitivity, correction and baseline as
pydicom does it; units are those of the file.

Needs the extra [formats] (pydicom).

Units: mV, Hz.
"""

import re
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from ml.ecg.extra import formats_module
from ml.ecg.recording import CHEST_LEADS, Ecg, Float
from ml.ecg.units import mv_per_unit

_LEADS = {1: "I", 2: "II", 61: "III", 62: "aVR", 63: "aVL", 64: "aVF"} | dict(enumerate(CHEST_LEADS, start=3))
_SOURCE_CODE = re.compile(r"(?:2:|5\.6\.3-9-)(\d+)")


def read_dicom(path: Path) -> Ecg:
    """The longest group of waveforms in a DICOM file; leads that have no standard code keep the name in the file.

    Raises:
        ModuleNotFoundError: if pydicom is not installed.
        ValueError: in one line, if the file is no DICOM file, holds no waveform, or a channel has no unit of voltage.
    """
    pydicom = formats_module("pydicom", "DICOM files (.dcm)")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # values that break the standard elsewhere in the file
            file = pydicom.dcmread(path)
            channels, signal, rate_hz = _longest(file) if file.get("WaveformSequence") else ([], np.empty(0), 0.0)
            leads = [_lead(channel) for channel in channels]
            units = [_unit(channel) for channel in channels]
    except pydicom.errors.InvalidDicomError:
        raise ValueError("not a DICOM file; export or copy it again") from None
    except Exception as error:  # pydicom lets through whatever a damaged file leads to
        told = " ".join(str(error).split())
        raise ValueError(f"the waveforms of the DICOM file are damaged ({told}); export or copy it again") from None
    if not leads:
        raise ValueError("the DICOM file holds no waveforms; an image or a report is no ECG")
    for row, lead, unit in zip(signal, leads, units, strict=True):
        row *= mv_per_unit(unit, lead)
    return Ecg(leads=tuple(leads), signal_mv=signal, rate_hz=rate_hz)


def _longest(file: Any) -> tuple[list[Any], Float, float]:
    """Channels, samples (channels, n) in their units, and rate of the longest group; a pydicom Dataset goes in."""
    groups = file.WaveformSequence
    longest = max(range(len(groups)), key=lambda k: int(groups[k].NumberOfWaveformSamples))
    signal = np.array(file.waveform_array(longest).T, dtype=np.float64)
    return list(groups[longest].ChannelDefinitionSequence), signal, float(groups[longest].SamplingFrequency)


def _lead(channel: Any) -> str:
    source = channel.ChannelSourceSequence[0]
    code = _SOURCE_CODE.fullmatch(source.CodeValue)
    number = int(code[1]) if code else 0
    return _LEADS.get(number, str(source.CodeMeaning))


def _unit(channel: Any) -> str:
    units = channel.get("ChannelSensitivityUnitsSequence")
    return str(units[0].CodeValue) if units else "no unit"
