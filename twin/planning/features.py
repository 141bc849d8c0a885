"""The one home of the feature table: what is known of a candidate site, under which name, in which unit and range.

A row is a patient and a candidate site; what belongs to the patient is repeated in each of its rows. sites.csv and a
cohort's table have these columns in this order, and response models are offered those marked as predictors. A row that
breaks a range is a fault of ours and is refused; tables from elsewhere are read by `twin.planning.site_table`.

Simulated features are means over the twins that fit. "Paced" is the beat paced from both ventricles at the site's best delay,
"own" the patient's own rhythm in the same twins. The family "twin" says what heart was built and how it fits the patient:
amplifier, time axis, electrodes or segmentation that are wrong show there first.
"""

import csv
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from ml.response import Predictor

Value = float | int | str | bool | None
Family = Literal["identity", "place", "reach", "simulated", "twin", "ecg", "network", "scar", "clinical", "answer"]
Kind = Literal["number", "text", "yes/no"]


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One column; any may be missing but `id`.

    Attributes:
        name: with its unit at the end where it has one.
        meaning: one line.
        family: what it is about; families are added to and taken from response models as a whole.
        kind: what its values are.
        low, high: bounds of a number; None for all else.
        choices: the words that a text may be; () for any.
        predictor: offered to response models.
        increases: +1 or -1 where physiology is certain that response grows or falls with it, all else being equal; 0
            elsewhere.
    """

    name: str
    meaning: str
    family: Family
    kind: Kind = "number"
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    predictor: bool = False
    increases: int = 0


def _number(
    family: Family, name: str, meaning: str, low: float, high: float, *, offered: bool = True, increases: int = 0
) -> Feature:
    return Feature(
        name=name, meaning=meaning, family=family, low=low, high=high, predictor=offered, increases=increases
    )


def _time(family: Family, name: str, meaning: str, *, offered: bool = True) -> Feature:
    return _number(family, name, meaning, 0, 1000, offered=offered)


def _difference(name: str, meaning: str, *, increases: int = 0) -> Feature:
    return _number("simulated", name, meaning, -1000, 1000, increases=increases)


def _text(family: Family, name: str, meaning: str, *choices: str, offered: bool = False) -> Feature:
    return Feature(name=name, meaning=meaning, family=family, kind="text", choices=choices, predictor=offered)


def _yes_no(family: Family, name: str, meaning: str, *, offered: bool = False) -> Feature:
    return Feature(name=name, meaning=meaning, family=family, kind="yes/no", predictor=offered)


# Where `increases` is not 0: late places respond more [Gold 2011, doi:10.1093/eurheartj/ehr329], so do large QRS areas
# [van Deursen 2015, J Electrocardiol 48:45]; scar, and a lead in or near it, responds less [Bleeker 2006,
# doi:10.1161/CIRCULATIONAHA.105.543678]; that resynchronization is what helps is the idea of the therapy.
FEATURES = (
    _text("identity", "id", "name of the site within the plan"),
    _number("answer", "rank", "1 + number of sites better by more than the tie zone", 1, 10_000, offered=False),
    _text("identity", "source", "where the site comes from", "vein", "user", "implanted", "reference"),
    _text("place", "vein", "vein it lies in"),
    _yes_no("reach", "reachable", "a lead gets there; empty where no vein says"),
    _yes_no("reach", "captures", "living tissue touches the electrode"),
    _text("reach", "reasons", "what speaks against it"),
    _number("place", "x_mm", "place, to the left", -10_000, 10_000, offered=False),
    _number("place", "y_mm", "place, to the back", -10_000, 10_000, offered=False),
    _number("place", "z_mm", "place, to the head", -10_000, 10_000, offered=False),
    _number("place", "aha_segment", "AHA-17 segment; 0 right ventricle", 0, 17, offered=False),
    _number("place", "apicobasal", "0 apex to 1 base", 0, 1),
    _number("place", "rotational", "0 inferior, 1/3 lateral, 2/3 anterior", 0, 1),
    _number("place", "rv_lv_distance_mm", "straight, between the two electrodes", 0, 250),
    _number(
        "simulated",
        "q_lv_ms",
        "QRS onset to activation of the site in the patient's own rhythm",
        -1000,
        1000,
        increases=1,
    ),
    _number("simulated", "q_lv_over_qrs", "the same as a share of the simulated QRS; behind scar far above 1", -10, 10),
    _number("simulated", "late_distance_mm", "straight, to the nearest of the last 5 % of the LV", 0, 250),
    _text("place", "rv_site", "where the right-ventricular lead sits"),
    _number("simulated", "vv_delay_ms", "best delay tried; positive: left after right", -100, 100, offered=False),
    _time("simulated", "qrs_ms", "paced QRS duration"),
    _time("simulated", "tat_ms", "total activation time, paced"),
    _time("simulated", "lvat95_ms", "shortest interval that activates 95 % of the LV, paced"),
    _time("simulated", "bivat90_ms", "shortest interval that activates 90 % of both ventricles, paced"),
    _time("simulated", "lv_dispersion_ms", "standard deviation over the LV, paced"),
    _difference("interventricular_ms", "mean of the LV minus mean of the RV, paced"),
    _time("simulated", "index_ms", "mean of LVAT95 and BIVAT90, paced"),
    _time("simulated", "index_low_ms", "index, smallest over the twins", offered=False),
    _time("simulated", "index_high_ms", "index, largest over the twins", offered=False),
    _time("simulated", "index_spread_ms", "index, largest minus smallest over the twins"),
    _difference("delta_tat_ms", "total activation time, paced minus own"),
    _difference("delta_qrs_ms", "QRS duration, paced minus own, both simulated"),
    _difference("delta_lvat95_ms", "shortest interval that activates 95 % of the LV, paced minus own"),
    _difference("delta_index_ms", "index, paced minus own", increases=-1),
    _difference("gain_over_lateral_ms", "index of the standard lateral site minus this one"),
    _number(
        "simulated",
        "tie_share",
        "share of twins in which the site lies in the tie zone of the best",
        0,
        1,
        offered=False,
    ),
    _time("simulated", "own_qrs_ms", "simulated QRS duration, own"),
    _time("simulated", "own_tat_ms", "total activation time, own"),
    _time("simulated", "own_lvat95_ms", "shortest interval that activates 95 % of the LV, own"),
    _difference("own_interventricular_ms", "mean of the LV minus mean of the RV, own"),
    _number("simulated", "paced_qrs_area_uvs", "simulated QRS area, paced", 0, 10_000),
    _number("simulated", "delta_qrs_area_uvs", "simulated QRS area, paced minus own", -10_000, 10_000),
    _number("twin", "fibre_m_per_s", "fitted speed along the fibre", 0, 100),
    _number("twin", "ecg_correlation", "of recorded and simulated QRS, mean over the leads, own rhythm", -1, 1),
    _number("twin", "ecg_over_simulated", "recorded over simulated amplitude of the QRS, own rhythm", 0, 10_000),
    _number("twin", "lv_muscle_ml", "volume of the LV muscle in the mesh", 0, 2000),
    _time("ecg", "ecg_qrs_ms", "recorded QRS duration"),
    _number("ecg", "ecg_qrs_area_uvs", "recorded QRS area", 0, 10_000, increases=1),
    _number("ecg", "ecg_i_v6_correlation", "of leads I and V6 within the recorded QRS; both look from the left", -1, 1),
    _text("ecg", "ecg_pattern", "of the recorded QRS", "lbbb", "rbbb", "normal", "other", offered=True),
    *(
        _number("ecg", f"ecg_fpca_{k}", f"score {k} of the recorded QRS on curves of virtual patients", -10_000, 10_000)
        for k in range(1, 5)
    ),
    _number("network", "net_own", "response score of a network, recorded beat alone", 0, 1),
    _number("network", "net_paced", "response score of a network, simulated paced beat alone", 0, 1),
    _number("network", "net_both", "response score of a network, recorded and simulated paced beat", 0, 1),
    *(
        _number("network", f"net_embedding_{k}", f"component {k} of what that network sees in both", -10_000, 10_000)
        for k in range(1, 5)
    ),
    _number("scar", "scar_share", "share of the LV muscle that is scar core", 0, 1, increases=-1),
    _number("scar", "border_share", "share of the LV muscle that is border zone", 0, 1),
    _number("scar", "scar_at_tip", "share of scar core within 5 mm", 0, 1, increases=-1),
    _number("scar", "scar_distance_mm", "straight, to the nearest scar core; empty without core", 0, 250, increases=1),
    _number("clinical", "age_years", "age", 0, 120),
    _text("clinical", "sex", "sex", "female", "male", offered=True),
    _number("clinical", "nyha", "NYHA class", 1, 4),
    _number("clinical", "lvef_percent", "LV ejection fraction", 1, 90),
    _number("clinical", "lvedv_ml", "LV end-diastolic volume", 20, 1000),
    _number("clinical", "lvedd_mm", "LV end-diastolic diameter", 20, 150),
    _text("clinical", "aetiology", "of heart failure", "ischaemic", "non-ischaemic", offered=True),
    _yes_no("clinical", "af", "atrial fibrillation", offered=True),
    _number("answer", "response_probability", "empty without a model, and where it abstains", 0, 1, offered=False),
    _number("answer", "response_low", "lower end of its interval", 0, 1, offered=False),
    _number("answer", "response_high", "upper end of its interval", 0, 1, offered=False),
    _yes_no("answer", "response_supported", "like what the model was trained on; if not, it abstains"),
)
BY_NAME = {feature.name: feature for feature in FEATURES}


def predictors() -> "tuple[Predictor, ...]":
    """What a response model may learn from; yes and no are the numbers 1 and 0."""
    from ml.response import Predictor

    return tuple(
        Predictor(
            name=feature.name,
            family=feature.family,
            low=0.0 if feature.kind == "yes/no" else feature.low,
            high=1.0 if feature.kind == "yes/no" else feature.high,
            increases=feature.increases,
            choices=feature.choices,
        )
        for feature in FEATURES
        if feature.predictor
    )


def checked_row(row: Mapping[str, Value]) -> dict[str, Value]:
    """The row with every feature, missing ones as None, in the order of the table.

    Raises:
        ValueError: for an unknown name, a number out of its range or a word that is no choice; infinite counts as missing.
    """
    unknown = set(row) - set(BY_NAME)
    if unknown:
        raise ValueError(f"no such feature: {', '.join(sorted(unknown))}")
    full: dict[str, Value] = {}
    for name, feature in BY_NAME.items():
        value = row.get(name)
        if isinstance(value, float) and not math.isfinite(value):
            value = None
        low, high = feature.low, feature.high
        if value is not None and low is not None and high is not None and not low <= float(value) <= high:
            raise ValueError(f"{name} = {value} lies outside {low:g}..{high:g}")
        if value is not None and feature.choices and value not in feature.choices:
            raise ValueError(f"{name} = {value!r} is none of {', '.join(feature.choices)}")
        full[name] = value
    return full


def write_features(path: Path, rows: Iterable[Mapping[str, Value]]) -> None:
    """Write the table as CSV: what is missing or never reached is empty, yes/no are `true` and `false`."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(BY_NAME)
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
