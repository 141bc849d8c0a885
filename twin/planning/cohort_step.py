"""What a cohort does with one patient: look for names, see that nothing is missing, plan."""

import logging
from pathlib import Path

from twin.planning.cohort_status import Facts
from twin.planning.cohort_worker import Layers
from twin.planning.errors import InputError
from twin.planning.patient import read_patient
from twin.planning.plan import plan_patient
from twin.planning.privacy import check_no_names

log = logging.getLogger("crt-twin")


def plan_checked(folder: Path, out: Path, layers: Layers, needs_ecg: bool) -> Facts:
    """Plan one patient of a cohort.

    Args:
        folder: of the patient.
        out: of the plan.
        layers: named settings that take precedence over those in patient.yaml, the strongest last.
        needs_ecg: refuse a patient without an ECG; otherwise a rhythm is assumed.

    Raises:
        InputError: if somebody is named, the ECG is missing, or as `plan_patient`.
        SettingsError: as `plan_patient`.
    """
    log.info("privacy ...")
    check_no_names(folder)
    log.info("patient ...")
    patient = read_patient(folder)
    if needs_ecg and patient.ecg is None:
        raise InputError("no ECG: put ecg.csv or another ecg.* into the folder, or allow patients without one")
    plan_patient(folder, out, layers)
    return Facts(centre=patient.file.centre, virtual=patient.file.virtual, outcome=patient.file.outcome.measured())
