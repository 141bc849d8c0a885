"""What `twin.lanes` promises: each lane is what float32 arithmetic makes of one number."""

import numpy as np
from numba import njit

from twin.eikonal_star import Single
from twin.lanes import LANES, any_lane, load, lowest, root, save, spread, where


@njit
def _mixed(values: Single, out: Single) -> bool:
    a, b, c = load(values, 0), load(values, LANES), spread(values[3])
    save(lowest(a, b) - c * b, out, 0)
    save(root(a + b), out, LANES)
    save(where((a < b) & (c <= b), a, c), out, 2 * LANES)
    return any_lane(a < b)


def test_every_lane_is_the_arithmetic_of_one_number() -> None:
    values = np.random.default_rng(0).random(2 * LANES).astype(np.float32)
    values[LANES] = values[3]
    out = np.empty(3 * LANES, dtype=np.float32)
    assert _mixed(values, out)
    a, b, c = values[:LANES], values[LANES:], values[3]
    expected = np.concatenate([np.minimum(a, b) - c * b, np.sqrt(a + b), np.where((a < b) & (c <= b), a, c)])
    np.testing.assert_array_equal(out, expected)


def test_no_lane_is_true_where_none_is() -> None:
    assert not _mixed(np.ones(2 * LANES, dtype=np.float32), np.empty(3 * LANES, dtype=np.float32))


def test_one_lane_is_enough() -> None:
    for lane in range(LANES):
        values = np.ones(2 * LANES, dtype=np.float32)
        values[lane] = 0.5
        assert _mixed(values, np.empty(3 * LANES, dtype=np.float32))
