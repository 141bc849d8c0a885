import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.spatial import KDTree

from anatomy.heart import Heart, HeartMesh
from anatomy.torso import ELECTRODES, Electrodes, electrodes_by_rule, read_electrodes

PLACES = {name: [10.0 * i, -5.0, 3.0] for i, name in enumerate(ELECTRODES)}


def written(tmp_path: Path, content: Any) -> Path:
    path = tmp_path / "electrodes.json"
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def place(electrodes: Electrodes, name: str) -> np.ndarray:
    return electrodes.positions_mm[ELECTRODES.index(name)]


def test_electrodes_by_rule_stand_outside_of_the_heart_and_say_that_they_are_a_stand_in(small_heart: Heart) -> None:
    electrodes = electrodes_by_rule(small_heart)
    distance, _ = KDTree(small_heart.nodes_mm).query(electrodes.positions_mm)
    assert distance.min() > 20
    assert electrodes.is_template


def test_chest_leads_run_from_right_to_left_and_from_front_to_back(small_heart: Heart) -> None:
    chest = np.array([place(electrodes_by_rule(small_heart), f"V{i}") for i in range(1, 7)])
    assert (np.diff(chest[:, 0]) > 0).all()
    assert chest[:3, 1].max() < small_heart.nodes_mm[:, 1].min()
    assert (np.diff(chest[2:, 1]) > 0).all()


def test_limb_leads_stand_where_the_limbs_are(small_heart: Heart) -> None:
    electrodes = electrodes_by_rule(small_heart)
    ra, la, ll = (place(electrodes, name) for name in ("RA", "LA", "LL"))
    low, high = small_heart.nodes_mm.min(axis=0), small_heart.nodes_mm.max(axis=0)
    assert ra[0] < low[0] < high[0] < la[0]
    assert min(ra[2], la[2]) > high[2]
    assert ll[2] < low[2]


def test_electrodes_by_rule_move_with_the_heart(small_heart: Heart) -> None:
    shift = np.array([30.0, -200.0, 77.0])
    moved = HeartMesh(
        nodes_mm=small_heart.nodes_mm + shift,
        tets=small_heart.tets,
        triangles=small_heart.triangles,
        surface=small_heart.surface,
    )
    still = electrodes_by_rule(small_heart).positions_mm
    np.testing.assert_allclose(electrodes_by_rule(moved).positions_mm, still + shift, atol=1e-9)


def test_electrodes_are_read_by_name_and_further_ones_ignored(tmp_path: Path) -> None:
    positions = dict(reversed(PLACES.items())) | {"RL": [1, 2, 3]}
    electrodes = read_electrodes(written(tmp_path, {"units": "mm", "positions": positions}))
    assert np.array_equal(electrodes.positions_mm, list(PLACES.values()))
    assert not electrodes.is_template


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{not json", "is no electrode file"),
        ("[1, 2]", "is no electrode file"),
        ({"units": "mm"}, "is no electrode file"),
        ({"positions": 3}, "is no electrode file"),
        ({"units": "cm", "positions": PLACES}, "has units 'cm': convert"),
        ({"positions": {k: v for k, v in PLACES.items() if k not in ("V3", "LL")}}, "lacks the electrode LL, V3"),
        ({"positions": PLACES | {"V3": [1, 2]}}, "needs three numbers"),
        ({"positions": PLACES | {"V3": "here"}}, "needs three numbers"),
        ({"positions": PLACES | {"V3": [1, 2, float("nan")]}}, r"positions_mm\[5, 2\] is not a finite number"),
    ],
)
def test_an_unfit_electrode_file_is_refused(tmp_path: Path, content: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says) as error:
        read_electrodes(written(tmp_path, content))
    assert "\n" not in str(error.value)
