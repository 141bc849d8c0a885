"""The units in which files give an ECG, in mV."""

_MV_PER_UNIT = {"mv": 1.0, "uv": 1e-3, "µv": 1e-3, "μv": 1e-3, "nv": 1e-6, "v": 1e3}


def mv_per_unit(unit: str, lead: str) -> float:
    """What one unit of this lead is in mV.

    Raises:
        ValueError: if it is no unit of voltage.
    """
    factor = _MV_PER_UNIT.get(unit.strip().lower())
    if factor is None:
        raise ValueError(f"lead {lead} is in {unit!r}, need one of mV, uV, V; correct the unit in the file")
    return factor
