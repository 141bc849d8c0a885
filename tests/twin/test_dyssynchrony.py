from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from anatomy.heart import Heart, Tissue
from twin.activation import Activation
from twin.dyssynchrony import Dyssynchrony, DyssynchronyMeter

seeds = st.integers(0, 2**32 - 1)


@pytest.fixture(scope="module")
def box(box_heart: Callable[..., Heart]) -> Heart:
    return box_heart(cells=3)


def measured(heart: Heart, times: np.ndarray) -> Dyssynchrony:
    return DyssynchronyMeter(heart).measure(Activation(times_ms=times))


def some_times(heart: Heart, seed: int, *, whole: bool = False) -> np.ndarray:
    times = np.random.default_rng(seed).uniform(0, 150, len(heart.nodes_mm))
    return np.round(times / 10) if whole else times


def shortest_interval_slowly(times: np.ndarray, weights: np.ndarray, share: float) -> float:
    """Every pair of nodes, one at the beginning and one at the end of the interval."""
    lengths = [
        end - begin
        for begin in times
        for end in times[times >= begin]
        if weights[(times >= begin) & (times <= end)].sum() >= share * weights.sum() * (1 - 1e-9)
    ]
    return min(lengths)


def spread_evenly(weights: np.ndarray, last_ms: float) -> np.ndarray:
    """Times in the order of the nodes, such that every millisecond activates the same volume."""
    return (np.cumsum(weights) - weights / 2) / weights.sum() * last_ms


@settings(max_examples=15, deadline=None)
@given(seed=seeds, whole=st.booleans())
def test_intervals_equal_those_of_trying_all_pairs(box: Heart, seed: int, whole: bool) -> None:
    times, weights, left = some_times(box, seed, whole=whole), box.node_volumes_mm3, box.coordinates.in_left_ventricle
    found = measured(box, times)
    assert found.bivat90_ms == pytest.approx(shortest_interval_slowly(times, weights, 0.90), abs=1e-9)
    assert found.lvat95_ms == pytest.approx(shortest_interval_slowly(times[left], weights[left], 0.95), abs=1e-9)


def test_an_even_activation_takes_each_share_of_its_time(small_heart: Heart) -> None:
    left, weights = small_heart.coordinates.in_left_ventricle, small_heart.living_volumes_mm3
    assert measured(small_heart, spread_evenly(weights, 100.0)).bivat90_ms == pytest.approx(90, abs=0.1)
    times = np.zeros(len(weights))
    times[left] = spread_evenly(weights[left], 100.0)
    found = measured(small_heart, times)
    assert found.lvat95_ms == pytest.approx(95, abs=0.1)
    assert found.lv_dispersion_ms == pytest.approx(100 / np.sqrt(12), rel=1e-3)
    assert found.interventricular_ms == pytest.approx(50, abs=0.1)


def test_a_few_late_nodes_change_the_total_time_alone(small_heart: Heart) -> None:
    weights = small_heart.living_volumes_mm3
    times = spread_evenly(weights, 100.0)
    before, after = (
        measured(small_heart, times),
        measured(small_heart, np.where(np.arange(len(times)) == 7, 400, times)),
    )
    assert after.tat_ms == pytest.approx(400, abs=1)
    assert after.bivat90_ms == pytest.approx(before.bivat90_ms, abs=0.1)


@given(seed=seeds, shift=st.floats(-50, 500))
@settings(max_examples=15, deadline=None)
def test_a_later_start_changes_no_index(box: Heart, seed: int, shift: float) -> None:
    times = some_times(box, seed)
    for name, value in vars(measured(box, times)).items():
        assert getattr(measured(box, times + shift), name) == pytest.approx(value, abs=1e-9)


@given(seed=seeds, factor=st.floats(0.1, 10))
@settings(max_examples=15, deadline=None)
def test_slower_conduction_lengthens_every_index_in_proportion(box: Heart, seed: int, factor: float) -> None:
    times = some_times(box, seed)
    for name, value in vars(measured(box, times)).items():
        assert getattr(measured(box, times * factor), name) == pytest.approx(value * factor, rel=1e-9, abs=1e-9)


@given(seed=seeds)
@settings(max_examples=15, deadline=None)
def test_no_interval_is_longer_than_the_total_time(box: Heart, seed: int) -> None:
    found = measured(box, some_times(box, seed))
    assert 0 <= max(found.lvat95_ms, found.bivat90_ms, found.index_ms) <= found.tat_ms
    assert min(found.lvat95_ms, found.bivat90_ms) <= found.index_ms


def test_all_at_once_is_perfectly_synchronous(box: Heart) -> None:
    assert set(vars(measured(box, np.full(len(box.nodes_mm), 12.0))).values()) == {0.0}


def test_living_tissue_that_is_never_reached_makes_every_index_infinite(box: Heart) -> None:
    times = some_times(box, 0)
    times[5] = np.inf
    found = measured(box, times)
    assert set(vars(found).values()) == {np.inf}
    assert found.index_ms == np.inf


def test_core_takes_no_part(box: Heart) -> None:
    """The same as on a heart from which the core was cut: its own nodes and its share of the border's do not count."""
    core = (box.nodes_mm[box.tets][:, :, 1] <= 20).all(axis=1)
    scarred = replace(box, tissue=np.where(core, Tissue.CORE, Tissue.HEALTHY))
    times = some_times(box, 1)
    times[~scarred.living] = np.inf
    found = measured(scarred, times)
    living, weights = scarred.living, np.zeros(len(times))
    np.add.at(weights, box.tets[~core].ravel(), np.repeat(box.tet_volumes_mm3[~core] / 4, 4))
    assert 0 < living.sum() < len(living)
    assert found.bivat90_ms == pytest.approx(shortest_interval_slowly(times[living], weights[living], 0.9))
    assert found.tat_ms == np.ptp(times[living])


def test_a_right_ventricle_that_leads_makes_the_interventricular_delay_positive(box: Heart) -> None:
    late_left = np.where(box.coordinates.in_left_ventricle, 70.0, 30.0)
    assert measured(box, late_left).interventricular_ms == pytest.approx(40)
    assert measured(box, 100 - late_left).interventricular_ms == pytest.approx(-40)
