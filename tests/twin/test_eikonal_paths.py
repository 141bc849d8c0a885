"""What `Eikonal.trace` promises: the derivative of the times by starts and speeds."""

from dataclasses import replace

import numpy as np
import pytest

from anatomy.arrays import Float
from anatomy.heart import Heart, Surface, Tissue
from anatomy.purkinje import PurkinjeTree
from tests.twin.boxes import box_heart
from twin.conduction import Conduction
from twin.eikonal import Eikonal
from twin.purkinje import Purkinje

LAYERED = Conduction(lv_endocardium_m_per_s=1.5, rv_endocardium_m_per_s=1.1, border_zone_factor=0.5)


def scarred(heart: Heart) -> Heart:
    """The heart with a border zone in a third of it."""
    middle = heart.nodes_mm[heart.tets].mean(axis=1)[:, 1]
    low, high = np.quantile(middle, [0.3, 0.6])
    tissue = np.where((middle > low) & (middle < high), Tissue.BORDER_ZONE, Tissue.HEALTHY).astype(np.int8)
    return replace(heart, tissue=tissue)


def random_weights(solver: Eikonal, seed: int) -> Float:
    rng = np.random.default_rng(seed)
    return np.where(solver.conducting, rng.random(len(solver.conducting)), 0.0)


@pytest.fixture(scope="module")
def heart(small_heart: Heart) -> Heart:
    return scarred(small_heart)


def two_sources(heart: Heart) -> tuple[list[int], Float]:
    living = np.flatnonzero(heart.living)
    return [int(living[10]), int(living[-50])], np.array([0.0, 6.0])


def test_a_trace_has_the_times_of_the_solution(heart: Heart) -> None:
    solver = Eikonal(heart, LAYERED)
    nodes, starts = two_sources(heart)
    np.testing.assert_array_equal(solver.trace(nodes, starts).times_ms, solver.solve(nodes, starts))


def test_when_every_source_is_late_by_as_much_so_is_every_node(heart: Heart) -> None:
    solver = Eikonal(heart, LAYERED)
    weights = random_weights(solver, 0)
    start = solver.trace(*two_sources(heart)).pull_back(weights).start
    assert start.sum() == pytest.approx(weights.sum(), rel=1e-6)
    assert (start > 0).all()


def test_when_every_tissue_is_faster_by_a_share_every_travel_time_is_shorter_by_it(heart: Heart) -> None:
    solver = Eikonal(heart, LAYERED)
    weights = random_weights(solver, 1)
    trace = solver.trace(two_sources(heart)[0])
    speed = trace.pull_back(weights).speed
    assert sum(speed.values()) == pytest.approx(-weights @ trace.times_ms, rel=1e-4)
    assert all(speed[name] < 0 for name in ("healthy", "border_zone", "lv_endocardium", "rv_endocardium"))
    assert speed["purkinje"] == 0


def test_the_derivative_by_a_start_is_that_of_finite_differences(heart: Heart) -> None:
    solver = Eikonal(heart, LAYERED)
    nodes, starts = two_sources(heart)
    weights = random_weights(solver, 2)
    start = solver.trace(nodes, starts).pull_back(weights).start
    for source in range(2):
        step = np.where(np.arange(2) == source, 0.05, 0.0)
        later, sooner = (weights @ solver.solve(nodes, starts + sign * step) for sign in (1, -1))
        assert start[source] == pytest.approx((later - sooner) / 0.1, rel=0.01)


@pytest.mark.parametrize("name", ["healthy", "border_zone", "lv_endocardium", "rv_endocardium"])
def test_the_derivative_by_a_speed_is_that_of_finite_differences(heart: Heart, name: str) -> None:
    nodes, starts = two_sources(heart)
    solver = Eikonal(heart, LAYERED)
    weights = random_weights(solver, 3)
    speed = solver.trace(nodes, starts).pull_back(weights).speed[name]

    def changed(factor: float) -> float:
        if name == "healthy":
            scaled = LAYERED.scaled(factor)
            others = {field: getattr(LAYERED, field) for field in ("lv_endocardium_m_per_s", "rv_endocardium_m_per_s")}
            conduction = replace(scaled, **others, border_zone_factor=LAYERED.border_zone_factor / factor)
        else:
            field = "border_zone_factor" if name == "border_zone" else f"{name}_m_per_s"
            conduction = replace(LAYERED, **{field: getattr(LAYERED, field) * factor})
        return float(weights @ solver.with_conduction(conduction).solve(nodes, starts))

    assert speed == pytest.approx((changed(1.005) - changed(0.995)) / 0.01, rel=0.02)


def test_the_derivative_by_the_speed_of_a_tree_is_that_of_finite_differences() -> None:
    heart = box_heart(10.0)
    ends = heart.nodes_of(Surface.LV_ENDOCARDIUM)[[5, 20, 40]]
    places = np.concatenate([[[-30.0, 0.0, -5.0]], heart.nodes_mm[ends] + [0.0, 0.0, -1.0]])
    lines = np.array([[0, 1], [0, 2], [0, 3]])
    tree = PurkinjeTree(nodes_mm=places, lines=lines, junctions=np.column_stack([[1, 2, 3], ends]))

    def solver(speed: float) -> Eikonal:
        fast = Purkinje(tree=tree, speed_m_per_s=speed, to_muscle_ms=3.0, to_tree_ms=5.0)
        return Eikonal(heart, Conduction(), trees=[fast])

    root = len(heart.nodes_mm)
    weights = random_weights(solver(2.0), 4)
    speed = solver(2.0).trace(root).pull_back(weights).speed["purkinje"]
    later, sooner = (weights @ solver(2.0 * factor).solve(root) for factor in (1.002, 0.998))
    assert speed == pytest.approx((later - sooner) / 0.004, rel=0.01)


def test_a_node_in_the_ball_owes_its_time_to_the_tissues_on_the_straight_line() -> None:
    heart = box_heart(10.0)
    middle = heart.nodes_mm[heart.tets].mean(axis=1)[:, 0]
    heart = replace(heart, tissue=np.where(middle > 40, Tissue.BORDER_ZONE, Tissue.HEALTHY).astype(np.int8))
    conduction = Conduction(border_zone_factor=0.5)
    start, end = (int(np.flatnonzero((heart.nodes_mm == [x, 30.0, 30.0]).all(axis=1))[0]) for x in (20.0, 60.0))
    trace = Eikonal(heart, conduction, ball_mm=40.0).trace(start)
    speed = trace.pull_back(np.arange(len(heart.nodes_mm)) == end).speed
    assert speed["healthy"] == pytest.approx(-20 / 0.65)
    assert speed["border_zone"] == pytest.approx(-20 / 0.325)


def test_a_source_that_is_overtaken_has_no_say() -> None:
    heart = box_heart(10.0)
    solver = Eikonal(heart, Conduction())
    change = solver.trace([100, 101], [0.0, 500.0]).pull_back(np.ones(len(heart.nodes_mm)))
    np.testing.assert_allclose(change.start, [len(heart.nodes_mm), 0.0])


def test_weights_that_mean_nothing_are_refused() -> None:
    heart = box_heart(20.0)
    core = np.where(heart.nodes_mm[heart.tets].mean(axis=1)[:, 0] > 40, Tissue.CORE, Tissue.HEALTHY).astype(np.int8)
    trace = Eikonal(replace(heart, tissue=core), Conduction()).trace(0)
    with pytest.raises(ValueError, match="nothing reaches"):
        trace.pull_back(np.ones(len(heart.nodes_mm)))
    with pytest.raises(ValueError, match="weights has shape"):
        trace.pull_back([1.0])
