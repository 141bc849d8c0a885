"""Where the nine ECG electrodes stand on the chest: read from a file, or placed by rule as a stand-in.

Units: mm, LPS patient space.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from anatomy.arrays import Float, frozen
from anatomy.heart import HeartMesh

ELECTRODES = ("RA", "LA", "LL", "V1", "V2", "V3", "V4", "V5", "V6")

# Offsets (left, back, up) in mm from the middle of the ventricles; for the chest leads "back" counts from 30 mm in front
# of the foremost point of the heart. Our choice for an adult lying on the back, after the usual anatomical landmarks.
# A limb has one potential all along: its electrode counts where the limb leaves the trunk.
_FROM_MIDDLE_MM = {"RA": (-150.0, 0.0, 130.0), "LA": (110.0, 0.0, 130.0), "LL": (60.0, 0.0, -210.0)}
_FROM_CHEST_WALL_MM = {
    "V1": (-50.0, 0.0, 25.0),
    "V2": (-8.0, -2.0, 25.0),
    "V3": (28.0, 2.0, 5.0),
    "V4": (62.0, 12.0, -15.0),
    "V5": (98.0, 45.0, -18.0),
    "V6": (118.0, 90.0, -18.0),
}
_CHEST_WALL_MM = 30.0
# Largest extent of the nine electrodes, from small animals to limb electrodes on the ankles; tells mm from other units.
MIN_TORSO_MM = 80.0
MAX_TORSO_MM = 2500.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Electrodes:
    """Positions of the electrodes of the 12-lead ECG.

    Attributes:
        positions_mm: (9, 3) in the order of `ELECTRODES`.
        is_template: true where they were placed by rule, not seen in the patient.
    """

    positions_mm: Float
    is_template: bool

    def __post_init__(self) -> None:
        positions = frozen(self.positions_mm, np.float64, name="positions_mm", shape=(len(ELECTRODES), 3))
        object.__setattr__(self, "positions_mm", positions)


def electrodes_by_rule(mesh: HeartMesh) -> Electrodes:
    """Electrodes of an average adult around this heart, which must be in LPS."""
    low, high = mesh.nodes_mm.min(axis=0), mesh.nodes_mm.max(axis=0)
    middle = (low + high) / 2
    chest = np.array([middle[0], low[1] - _CHEST_WALL_MM, middle[2]])
    places = {name: middle + offset for name, offset in _FROM_MIDDLE_MM.items()}
    places |= {name: chest + offset for name, offset in _FROM_CHEST_WALL_MM.items()}
    return Electrodes(positions_mm=np.array([places[name] for name in ELECTRODES]), is_template=True)


def read_electrodes(path: Path) -> Electrodes:
    """Read `{"units": "mm", "positions": {"V1": [x, y, z], ...}}`; further electrodes are ignored.

    Raises:
        ValueError: if the file is no such JSON, the positions cannot be in mm, or an electrode is missing.
    """
    try:
        content = json.loads(path.read_text())
        unit, positions = content.get("units", "mm"), dict(content["positions"])
    except (
        OSError,
        UnicodeDecodeError,
        json.JSONDecodeError,
        AttributeError,
        KeyError,
        TypeError,
        ValueError,
        RecursionError,
    ) as error:
        raise ValueError('is no electrode file: need {"units": "mm", "positions": {"V1": [x, y, z], ...}}') from error
    if unit != "mm":
        raise ValueError(f"has units {unit!r}: convert the positions to mm")
    missing = [name for name in ELECTRODES if name not in positions]
    if missing:
        raise ValueError(f"lacks the electrode {', '.join(missing)}; need {', '.join(ELECTRODES)}")
    try:
        places = np.array([positions[name] for name in ELECTRODES], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError("every electrode needs three numbers [x, y, z]") from error
    electrodes = Electrodes(positions_mm=places, is_template=False)
    size = float(np.ptp(places, axis=0).max())
    if not MIN_TORSO_MM <= size <= MAX_TORSO_MM:
        raise ValueError(
            f"the electrodes span {size:.4g} mm, need {MIN_TORSO_MM:g} to {MAX_TORSO_MM:g} mm: check that they are in mm"
        )
    return electrodes
