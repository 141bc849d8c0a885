"""The one home of the feature table: what is known of a candidate site, under which name, in which unit and range.

sites.csv has these columns in this order; a row that breaks a range is a fault of ours and is refused.
"""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

Value = float | int | str | bool | None


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column.

    Attributes:
        name: with its unit at the end where it has one.
        meaning: one line.
        low, high: bounds of a number; None for text and yes/no.
    """

    name: str
    meaning: str
    low: float | None = None
    high: float | None = None


_TIME = {"low": 0.0, "high": 1000.0}
_SIGNED_TIME = {"low": -1000.0, "high": 1000.0}
_PLACE = {"low": -10_000.0, "high": 10_000.0}

FEATURES = (
    Feature(name="id", meaning="name of the site within the plan"),
    Feature(name="rank", meaning="1 + number of sites better by more than the tie zone", low=1, high=10_000),
    Feature(name="source", meaning="vein, user, implanted or reference"),
    Feature(name="vein", meaning="vein it lies in"),
    Feature(name="reachable", meaning="a lead gets there; empty where no vein says"),
    Feature(name="captures", meaning="living tissue touches the electrode"),
    Feature(name="reasons", meaning="what speaks against it"),
    Feature(name="x_mm", meaning="place, to the left", **_PLACE),
    Feature(name="y_mm", meaning="place, to the back", **_PLACE),
    Feature(name="z_mm", meaning="place, to the head", **_PLACE),
    Feature(name="aha_segment", meaning="AHA-17 segment; 0 right ventricle", low=0, high=17),
    Feature(name="apicobasal", meaning="0 apex to 1 base", low=0, high=1),
    Feature(name="rotational", meaning="0 inferior, 1/3 lateral, 2/3 anterior", low=0, high=1),
    Feature(name="scar_at_tip", meaning="share of scar core within 5 mm", low=0, high=1),
    Feature(name="rv_lv_distance_mm", meaning="straight, between the two electrodes", low=0, high=250),
    Feature(name="q_lv_ms", meaning="QRS onset to activation of the site in the patient's own rhythm", **_SIGNED_TIME),
    Feature(name="q_lv_over_qrs", meaning="the same as a share of the simulated QRS", low=-1, high=2),
    Feature(name="rv_site", meaning="where the right-ventricular lead sits"),
    Feature(name="vv_delay_ms", meaning="best delay tried; positive: left after right", low=-100, high=100),
    Feature(name="qrs_ms", meaning="paced QRS duration", **_TIME),
    Feature(name="tat_ms", meaning="total activation time", **_TIME),
    Feature(name="lvat95_ms", meaning="shortest interval that activates 95 % of the LV", **_TIME),
    Feature(name="bivat90_ms", meaning="shortest interval that activates 90 % of both ventricles", **_TIME),
    Feature(name="lv_dispersion_ms", meaning="standard deviation over the LV", **_TIME),
    Feature(name="interventricular_ms", meaning="mean of the LV minus mean of the RV", **_SIGNED_TIME),
    Feature(name="index_ms", meaning="mean of LVAT95 and BIVAT90, mean over the twins", **_TIME),
    Feature(name="index_low_ms", meaning="smallest over the twins", **_TIME),
    Feature(name="index_high_ms", meaning="largest over the twins", **_TIME),
    Feature(name="delta_tat_ms", meaning="paced minus the patient's own rhythm", **_SIGNED_TIME),
    Feature(name="delta_qrs_ms", meaning="paced minus the patient's own rhythm, both simulated", **_SIGNED_TIME),
    Feature(name="gain_over_lateral_ms", meaning="index of the standard lateral site minus this one", **_SIGNED_TIME),
    Feature(
        name="tie_share", meaning="share of twins in which the site lies in the tie zone of the best", low=0, high=1
    ),
    Feature(name="response_probability", meaning="empty until a response model exists", low=0, high=1),
)
_BY_NAME = {feature.name: feature for feature in FEATURES}


def checked_row(row: Mapping[str, Value]) -> dict[str, Value]:
    """The row with every feature, missing ones as None, in the order of the table.

    Raises:
        ValueError: for an unknown name or a number out of its range; infinite counts as missing.
    """
    unknown = set(row) - set(_BY_NAME)
    if unknown:
        raise ValueError(f"no such feature: {', '.join(sorted(unknown))}")
    full: dict[str, Value] = {}
    for name, feature in _BY_NAME.items():
        value = row.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        low, high = feature.low, feature.high
        if value is not None and low is not None and high is not None and not low <= float(value) <= high:
            raise ValueError(f"{name} = {value} lies outside {low:g}..{high:g}")
        full[name] = value
    return full


def write_features(path: Path, rows: Iterable[Mapping[str, Value]]) -> None:
    """Write the table as CSV: what is missing or never reached is empty, yes/no are `true` and `false`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_BY_NAME)
        for row in rows:
            writer.writerow([_cell(value) for value in checked_row(row).values()])


def _cell(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    # A spreadsheet would run text that begins like a formula.
    text = str(value)
    return f"'{text}" if text[:1] in "=+-@" and text else text
