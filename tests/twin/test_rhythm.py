import numpy as np
import pytest

from anatomy.heart import Heart, Surface
from twin.rhythm import LEFT_STARTS, RHYTHMS, Rhythm, Start, start_nodes

every_rhythm = pytest.mark.parametrize("rhythm", RHYTHMS.values(), ids=lambda rhythm: rhythm.name)


@every_rhythm
def test_starts_lie_on_the_living_endocardium_that_they_name(small_heart: Heart, rhythm: Rhythm) -> None:
    for start in rhythm.starts:
        nodes, _ = start_nodes(small_heart, [start])
        assert np.isin(nodes, small_heart.nodes_of(start.surface)).all()
        assert small_heart.living[nodes].all()
        assert (small_heart.coordinates.in_left_ventricle[nodes] != start.right).all()


@every_rhythm
def test_starts_lie_near_the_coordinates_that_they_name(small_heart: Heart, rhythm: Rhythm) -> None:
    nodes, _ = start_nodes(small_heart, rhythm.starts)
    found = small_heart.coordinates
    for node, start in zip(nodes, rhythm.starts, strict=True):
        turn = abs(found.rotational[node] - start.rotational)
        assert abs(found.apicobasal[node] - start.apicobasal) < 0.06
        assert min(turn, 1 - turn) < 0.03


def test_a_blocked_branch_takes_the_starts_of_its_own_ventricle_alone() -> None:
    """Left and right block are each other's mirror: together their starts are those of the normal rhythm."""
    places = {name: {(s.surface, s.apicobasal, s.rotational) for s in r.starts} for name, r in RHYTHMS.items()}
    assert {start.surface for start in RHYTHMS["lbbb"].starts} == {Surface.RV_ENDOCARDIUM}
    assert {start.surface for start in RHYTHMS["rbbb"].starts} == {Surface.LV_ENDOCARDIUM}
    assert places["lbbb"] | places["rbbb"] == places["normal"]
    assert not places["lbbb"] & places["rbbb"]


@every_rhythm
def test_a_ventricle_has_starts_exactly_if_its_branch_is_intact(rhythm: Rhythm) -> None:
    surfaces = {start.surface for start in rhythm.starts}
    assert (Surface.LV_ENDOCARDIUM in surfaces) == rhythm.left_intact
    assert (Surface.RV_ENDOCARDIUM in surfaces) == rhythm.right_intact


@every_rhythm
def test_the_first_start_is_at_time_zero(rhythm: Rhythm) -> None:
    assert min(start.time_ms for start in rhythm.starts) == 0.0


def test_starts_that_fall_on_one_node_begin_with_the_first_of_them(small_heart: Heart) -> None:
    place = LEFT_STARTS[0]
    late = Start(surface=place.surface, apicobasal=place.apicobasal, rotational=place.rotational, time_ms=9.0)
    for order in ([place, late], [late, place]):
        nodes, times = start_nodes(small_heart, order)
        assert len(nodes) == 1
        assert times.tolist() == [0.0]
