"""What a patient's ECG says to a plan: one beat, its QRS and the rhythm, and what is odd about them."""

from dataclasses import dataclass
from pathlib import Path

from ml.ecg.beats import find_r_peaks, median_beat
from ml.ecg.measure import QrsBounds, qrs_bounds
from ml.ecg.pattern import conduction_pattern
from ml.ecg.recording import Ecg
from twin.planning.ecg_descriptors import i_v6_correlation
from twin.planning.errors import InputError
from twin.planning.patient import Patient, read_twelve_leads, reading
from twin.planning.settings import Settings

# A QRS outside of these is noise or a wrong time axis; our choice, well beyond what people and dogs have.
_SHORTEST_QRS_MS, _LONGEST_QRS_MS = 40.0, 280.0
# The median of fewer beats than this removes no noise.
_FEW_BEATS = 3
# Lead I goes against V6 as where the arms' electrodes were exchanged; our choice, below all of 53 recordings of people (-0.38).
_EXCHANGED_ARMS = -0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Recorded:
    """What the patient's ECG says; without an ECG there is only an assumed rhythm.

    Attributes:
        beat: the median beat.
        qrs: of that beat.
        rhythm: key of `twin.rhythm.RHYTHMS`.
        warnings: what a reader must know, in words.
    """

    beat: Ecg | None
    qrs: QrsBounds | None
    rhythm: str
    warnings: tuple[str, ...]


def recorded_beat(patient: Patient, settings: Settings) -> Recorded:
    """Read the patient's ECG, as far as there is one.

    Raises:
        InputError: if it cannot be read, or its QRS is no QRS.
    """
    if patient.ecg is None:
        rhythm, block = (
            ("lbbb", "left bundle branch block and ") if settings.rhythm == "auto" else (settings.rhythm, "")
        )
        assumed = f"no ECG: {block}prior conduction speeds are assumed"
        return Recorded(beat=None, qrs=None, rhythm=rhythm, warnings=(assumed,))
    recording = read_twelve_leads(patient.ecg)
    beat, qrs = _measured(patient.ecg, recording)
    warnings = []
    if recording.is_beat:
        warnings.append(
            f"{patient.ecg.name} is one averaged beat: whether its time axis is real time cannot be seen from it; "
            "speeds fitted to a beat whose time axis was warped (registered) say nothing about the patient"
        )
    elif (beats := len(find_r_peaks(recording))) < _FEW_BEATS:
        warnings.append(f"{patient.ecg.name} holds {beats} beat{'s' * (beats > 1)}: its QRS duration is uncertain")
    alike = i_v6_correlation(beat, qrs)
    if alike is not None and alike < _EXCHANGED_ARMS:
        warnings.append(
            f"{patient.ecg.name}: lead I goes against V6 (correlation {alike:.2f}), as where the electrodes of the arms were "
            "exchanged; check them"
        )
    found = conduction_pattern(beat, qrs) if settings.rhythm == "auto" else settings.rhythm
    return Recorded(beat=beat, qrs=qrs, rhythm=found, warnings=tuple(warnings))


def paced_beat(patient: Patient) -> tuple[Ecg, QrsBounds] | None:
    """The beat under pacing of the implanted leads and its QRS, as far as it was recorded.

    Raises:
        InputError: as `recorded_beat`.
    """
    if patient.ecg_paced is None:
        return None
    return _measured(patient.ecg_paced, read_twelve_leads(patient.ecg_paced))


def _measured(path: Path, recording: Ecg) -> tuple[Ecg, QrsBounds]:
    with reading(path):
        beat = median_beat(recording)
        qrs = qrs_bounds(beat)
    if not _SHORTEST_QRS_MS <= qrs.duration_ms <= _LONGEST_QRS_MS:
        raise InputError(
            f"{path.name}: the QRS lasts {qrs.duration_ms:.0f} ms, need {_SHORTEST_QRS_MS:g} to {_LONGEST_QRS_MS:g}; check "
            "the time axis, and that the leads were connected"
        )
    return beat, qrs
