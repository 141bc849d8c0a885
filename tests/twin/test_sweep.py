import numpy as np
import pytest

from anatomy.heart import Heart, Surface
from anatomy.sites import node_by_coordinates
from anatomy.torso import electrodes_by_rule
from twin.activation import Activation, CaptureLatency
from twin.conduction import Conduction
from twin.dyssynchrony import DyssynchronyMeter
from twin.leadfield import LeadField
from twin.personalise import FitRules, Twin, fit_twins
from twin.rhythm import RHYTHMS
from twin.sweep import Sweep

LATENCY = CaptureLatency()
DELAYS_MS = (-60.0, -20.0, 0.0, 20.0, 60.0)
# On the epicardium: rotational 0 and 2/3 are the insertions of the right ventricle, 1/3 lies opposite of the septum.
LATERAL, BESIDE_RV = 0, 1


@pytest.fixture(scope="module")
def nodes(small_heart: Heart) -> list[int]:
    return [
        node_by_coordinates(small_heart, Surface.EPICARDIUM, apicobasal=0.6, rotational=rotational)
        for rotational in (0.33, 0.64)
    ]


@pytest.fixture(scope="module")
def rv_node(small_heart: Heart) -> int:
    """The apex of the right ventricle, where its lead usually lies."""
    return node_by_coordinates(small_heart, Surface.RV_ENDOCARDIUM, apicobasal=0.2, rotational=0.4, right=True)


@pytest.fixture(scope="module")
def twin(small_heart: Heart) -> Twin:
    field = LeadField(small_heart, electrodes_by_rule(small_heart))
    return fit_twins(small_heart, field, RHYTHMS["lbbb"], None, conduction=Conduction(), rules=FitRules())[0]


@pytest.fixture(scope="module")
def sweep(small_heart: Heart, twin: Twin, nodes: list[int], rv_node: int) -> Sweep:
    return Sweep(small_heart, twin, nodes, rv_node, LATENCY)


@pytest.mark.parametrize("delay", [-60.0, 0.0, 60.0])
@pytest.mark.parametrize("site", [LATERAL, BESIDE_RV])
def test_a_beat_is_that_of_a_joint_solution_from_both_electrodes(
    small_heart: Heart, twin: Twin, sweep: Sweep, nodes: list[int], rv_node: int, site: int, delay: float
) -> None:
    """Superposition: never early, and late only where both fronts meet within one tetrahedron.

    Single nodes are late by up to a fraction of the time along an edge, 13 ms here in healthy tissue and 34 ms in the
    border zone; what is made of the times hardly notices.
    """
    starts = np.array([max(delay, 0) + LATENCY.lv_ms, max(-delay, 0) + LATENCY.rv_ms])
    joint = twin.started(np.array([nodes[site], rv_node], dtype=np.int32), starts).times_ms
    living, times = small_heart.living, sweep.beat(site, delay).times_ms
    late = times[living] - joint[living]
    assert np.isinf(times[~living]).all()
    assert late.min() > -1e-3
    assert late.max() < 10.0
    assert np.quantile(late, 0.999) < 3.0
    assert late.mean() < 0.05
    meter = DyssynchronyMeter(small_heart)
    one, other = meter.measure(sweep.beat(site, delay)), meter.measure(Activation(times_ms=joint))
    assert one.index_ms == pytest.approx(other.index_ms, abs=0.25)


def test_indices_come_by_site_and_then_by_delay(small_heart: Heart, sweep: Sweep) -> None:
    meter, found = DyssynchronyMeter(small_heart), sweep.dyssynchrony(DELAYS_MS)
    assert found == [[meter.measure(sweep.beat(site, delay)) for delay in DELAYS_MS] for site in (0, 1)]


def test_in_left_bundle_branch_block_pacing_both_sides_beats_the_intrinsic_rhythm(
    small_heart: Heart, twin: Twin, sweep: Sweep
) -> None:
    intrinsic = DyssynchronyMeter(small_heart).measure(twin.intrinsic)
    best = min(sweep.dyssynchrony(DELAYS_MS)[LATERAL], key=lambda indices: indices.index_ms)
    assert best.index_ms < 0.9 * intrinsic.index_ms
    assert best.lvat95_ms < 0.9 * intrinsic.lvat95_ms


def test_a_lateral_site_beats_one_beside_the_right_ventricle(sweep: Sweep) -> None:
    lateral, beside = sweep.dyssynchrony(DELAYS_MS)
    for one, other in zip(lateral, beside, strict=True):
        assert one.lvat95_ms < other.lvat95_ms


def test_an_earlier_left_stimulus_makes_up_for_slower_capture(
    small_heart: Heart, twin: Twin, nodes: list[int], rv_node: int
) -> None:
    quick = Sweep(small_heart, twin, nodes, rv_node, CaptureLatency(lv_ms=15.0)).dyssynchrony([-20.0])[0][0]
    slow = Sweep(small_heart, twin, nodes, rv_node, CaptureLatency(lv_ms=45.0)).dyssynchrony([-50.0])[0][0]
    for name, value in vars(quick).items():
        assert getattr(slow, name) == pytest.approx(value, abs=1e-6)


def test_the_later_the_left_stimulus_the_later_the_left_ventricle_after_the_right(sweep: Sweep) -> None:
    by_delay = [indices.interventricular_ms for indices in sweep.dyssynchrony(DELAYS_MS)[LATERAL]]
    assert by_delay == sorted(by_delay)


@pytest.mark.parametrize("delays", [(0.0,), (-20.0, 20.0), DELAYS_MS])
def test_a_sweep_that_knows_its_delays_gives_the_beats_of_one_that_does_not(
    small_heart: Heart, twin: Twin, sweep: Sweep, nodes: list[int], rv_node: int, delays: tuple[float, ...]
) -> None:
    knowing = Sweep(small_heart, twin, nodes, rv_node, LATENCY, delays)
    for site in (LATERAL, BESIDE_RV):
        for delay in delays:
            expected = sweep.beat(site, delay).times_ms
            np.testing.assert_allclose(knowing.beat(site, delay).times_ms, expected, rtol=0, atol=0.02)
    for of_site, of_same in zip(knowing.dyssynchrony(delays), sweep.dyssynchrony(delays), strict=True):
        for one, same in zip(of_site, of_same, strict=True):
            assert vars(one) == pytest.approx(vars(same), abs=1e-3)


def test_a_sweep_refuses_a_delay_earlier_on_the_left_than_those_it_was_made_for(
    small_heart: Heart, twin: Twin, nodes: list[int], rv_node: int
) -> None:
    knowing = Sweep(small_heart, twin, nodes[:1], rv_node, LATENCY, (-20.0, 0.0))
    for ask in (lambda delay: knowing.beat(0, delay), lambda delay: knowing.dyssynchrony([delay])):
        with pytest.raises(ValueError, match="vv_delay_ms = -30"):
            ask(-30.0)
