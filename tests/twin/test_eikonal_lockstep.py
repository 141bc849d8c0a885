"""What `twin.eikonal_lockstep` promises: the rows of the single solver, whatever the company."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from anatomy.arrays import Float, Int
from tests.twin.boxes import box_heart, kuhn_box
from twin import eikonal_lockstep
from twin.conduction import Conduction, isotropic_metric, metric_of_axes, metric_tensors
from twin.eikonal import Eikonal
from twin.eikonal_cells import Cells, Single
from twin.eikonal_front import arrivals_ms
from twin.eikonal_lockstep import Seeds, arrivals_each_ms, neighbourhoods
from twin.eikonal_star import Star, star_of
from twin.fast_endocardium import fast_triangles

CLOSE_MS = 2e-3
ROUNDING = 1e-5


def star_of_cells(nodes_mm: Float, cells: Int, metric: Float) -> Star:
    return star_of(Cells.of(nodes_mm, cells, metric, np.zeros(len(cells), dtype=np.int8)))


def no_layer(nodes_mm: Float) -> Star:
    return star_of_cells(nodes_mm, np.empty((0, 3), dtype=np.int32), np.empty((0, 6)))


def random_star(nodes_mm: Float, tets: Int, rng: np.random.Generator, speeds: tuple[float, ...]) -> Star:
    axes = np.linalg.qr(rng.normal(size=(len(tets), 3, 3)))[0]
    return star_of_cells(nodes_mm, tets, metric_of_axes(axes[:, :, 0], axes[:, :, 1], speeds))


def starts_at(nodes: Int) -> list[Seeds]:
    return [(np.array([v], dtype=np.int32), np.zeros(1, dtype=np.float32)) for v in nodes]


def assert_each_as_alone(rows: Single, star: Star, layer: Star, sources: list[Seeds]) -> None:
    alone = np.array([arrivals_ms(star, layer, *source) for source in sources])
    np.testing.assert_allclose(rows, alone, rtol=ROUNDING, atol=CLOSE_MS)


@pytest.fixture(scope="module", autouse=True)
def _never_alone() -> Iterator[None]:
    """Sources far apart in small meshes are what lockstep gives up on: here it may not."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(eikonal_lockstep, "_MOST_ASKED", 1e6)
        yield


@pytest.fixture(scope="module")
def box() -> tuple[Float, Star]:
    """A cube of random fibres, of several blocks."""
    nodes, tets = kuhn_box((24.0, 24.0, 24.0), 2.0)
    return nodes, random_star(nodes, tets, np.random.default_rng(1), (0.65, 0.26, 0.2))


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    flatness=st.sampled_from([1.0, 0.1, 0.01]),
    speeds=st.sampled_from([(0.6, 0.4, 0.2), (0.5, 0.5, 0.5), (1.0, 0.3, 0.05)]),
    size=st.integers(10, 18),
)
def test_obtuse_and_sliver_meshes_get_the_times_of_each_source_alone(
    seed: int, flatness: float, speeds: tuple[float, ...], size: int
) -> None:
    rng = np.random.default_rng(seed)
    nodes = rng.random((int(rng.integers(20, 300)), 3)) * [10.0, 8.0, 8.0 * flatness]
    star, layer = random_star(nodes, Delaunay(nodes).simplices.astype(np.int32), rng, speeds), no_layer(nodes)
    sources = [
        (rng.integers(0, len(nodes), k).astype(np.int32), (5 * rng.random(k)).astype(np.float32))
        for k in rng.integers(1, 4, size)
    ]
    assert_each_as_alone(arrivals_each_ms(star, layer, sources), star, layer, sources)


def test_a_heart_with_scar_and_fast_endocardium_gets_the_times_of_each_source_alone() -> None:
    rng = np.random.default_rng(3)
    heart = box_heart(6.0)
    tissue = rng.choice([0, 0, 0, 1, 2], len(heart.tets)).astype(np.int8)
    heart = replace(heart, tissue=tissue)
    conduction = Conduction(lv_endocardium_m_per_s=1.5, rv_endocardium_m_per_s=1.2)
    alive = tissue != 2
    star = star_of_cells(heart.nodes_mm, heart.tets[alive], metric_tensors(heart, conduction)[alive])
    triangles, speeds, _ = fast_triangles(heart, conduction)
    layer = star_of_cells(heart.nodes_mm, triangles, isotropic_metric(len(triangles), speeds**-2.0))
    sources = starts_at(np.linalg.norm(heart.nodes_mm - heart.nodes_mm[300], axis=1).argsort()[:18])
    rows = arrivals_each_ms(star, layer, sources)
    assert_each_as_alone(rows, star, layer, sources)
    assert (arrivals_each_ms(star, no_layer(heart.nodes_mm), sources) > rows + 1).any()


def test_islands_hear_of_their_own_sources_only() -> None:
    nodes, tets = kuhn_box((6.0, 6.0, 6.0), 1.0)
    k = len(nodes)
    star = random_star(
        np.concatenate([nodes, nodes + 20]), np.concatenate([tets, tets + k]), np.random.default_rng(0), (0.6, 0.3, 0.2)
    )
    layer = no_layer(np.zeros((2 * k, 3)))
    sources = starts_at(np.array([0, 5, k + 3, 9, k + 20, 30, k + 41, 77, 100, k + 100]))
    rows = arrivals_each_ms(star, layer, sources)
    assert_each_as_alone(rows, star, layer, sources)
    first = np.array([nodes[0] < k for nodes, _ in sources])
    assert np.isfinite(rows[first, :k]).all()
    assert np.isinf(rows[first, k:]).all()
    assert np.isfinite(rows[~first, k:]).all()
    assert np.isinf(rows[~first, :k]).all()


def test_a_layer_can_be_the_only_way_out_of_an_island() -> None:
    nodes, tets = kuhn_box((6.0, 6.0, 6.0), 1.0)
    k = len(nodes)
    both = np.concatenate([nodes, nodes + 20])
    star = random_star(both, np.concatenate([tets, tets + k]), np.random.default_rng(0), (0.6, 0.3, 0.2))
    bridge = np.array([[k - 1, k, k + 7]], dtype=np.int32)
    layer = star_of_cells(both, bridge, isotropic_metric(1, 1.0))
    sources = starts_at(np.arange(k - 12, k))
    rows = arrivals_each_ms(star, layer, sources)
    assert np.isfinite(rows).all()
    assert_each_as_alone(rows, star, layer, sources)
    from_there = starts_at(np.repeat(k - 1, 12))
    assert_each_as_alone(arrivals_each_ms(star, layer, from_there), star, layer, from_there)


def test_a_source_that_does_not_conduct_is_never_heard_among_others() -> None:
    nodes, tets = kuhn_box((8.0, 8.0, 8.0), 1.0)
    muscle = tets[(nodes[tets][:, :, 0] <= 5).all(axis=1)]
    solver = Eikonal.from_arrays(nodes, muscle, np.tile([1.0, 0, 0], (len(muscle), 1)), speeds_m_per_s=(0.6, 0.3))
    dead, sources = len(nodes) - 1, np.arange(15) * 7
    sources[[0, 5, 14]] = dead
    rows = solver.solve_each(sources)
    np.testing.assert_array_equal(np.isinf(rows).all(axis=1), sources == dead)
    np.testing.assert_allclose(rows, [solver.solve(source) for source in sources], rtol=ROUNDING, atol=CLOSE_MS)


@pytest.mark.parametrize("threads", [1, 3])
def test_the_rows_of_neighbours_do_not_depend_on_the_threads(threads: int) -> None:
    nodes, tets = kuhn_box((12.0, 12.0, 12.0), 1.0)
    axes = np.linalg.qr(np.random.default_rng(0).normal(size=(len(tets), 3, 3)))[0]
    solver = Eikonal.from_arrays(nodes, tets, axes[:, :, 0], speeds_m_per_s=(0.6, 0.3))
    sources, seen = np.arange(0, 2000, 50), []
    rows = solver.solve_each(sources, threads, lambda done, total: seen.append((done, total)))
    np.testing.assert_array_equal(rows, solver.solve_each(sources, 2))
    assert seen[-1] == (40, 40)
    assert len(seen) < 40


def test_a_hub_of_more_neighbours_than_bits_gets_the_times_of_each_source_alone() -> None:
    rng = np.random.default_rng(2)
    shell = rng.normal(size=(400, 3))
    nodes = np.concatenate(
        [np.zeros((1, 3)), 10 * shell / np.linalg.norm(shell, axis=1)[:, None], 14 * rng.normal(size=(100, 3))]
    )
    star, layer = random_star(nodes, Delaunay(nodes).simplices.astype(np.int32), rng, (0.6, 0.3, 0.2)), no_layer(nodes)
    assert star.values.view(np.int32)[0] > 64
    sources = starts_at(rng.choice(len(nodes), 18, replace=False))
    assert_each_as_alone(arrivals_each_ms(star, layer, sources), star, layer, sources)


def test_the_order_of_the_sources_changes_nothing(box: tuple[Float, Star]) -> None:
    nodes, star = box
    layer, rng = no_layer(nodes), np.random.default_rng(5)
    sources = np.flatnonzero((nodes[:, 1] <= 2) & (nodes[:, 2] == 0))

    def solved(chosen: Int) -> Single:
        rows = np.empty((len(chosen), len(nodes)), dtype=np.float32)
        for group in neighbourhoods(nodes[chosen]):
            rows[group] = arrivals_each_ms(star, layer, starts_at(chosen[group]))
        return rows

    turned = rng.permutation(len(sources))
    np.testing.assert_array_equal(solved(sources)[turned], solved(sources[turned]))


def test_a_group_that_takes_too_long_is_solved_one_by_one(
    box: tuple[Float, Star], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes, star = box
    layer, sources = no_layer(nodes), starts_at(np.arange(0, 1700, 100))
    monkeypatch.setattr(eikonal_lockstep, "_MOST_ASKED", 0.0)
    alone = [arrivals_ms(star, layer, *source) for source in sources]
    np.testing.assert_array_equal(arrivals_each_ms(star, layer, sources), alone)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), s=st.integers(0, 120), spread_mm=st.sampled_from([0.0, 5.0, 60.0]))
def test_neighbourhoods_hold_each_source_once_and_lie_between_their_ends(seed: int, s: int, spread_mm: float) -> None:
    places = np.random.default_rng(seed).normal(size=(s, 3)) * spread_mm
    groups = neighbourhoods(places)
    assert sorted(k for group in groups for k in group) == list(range(s))
    for group in groups:
        distance = np.linalg.norm(places[group] - places[group][:, None], axis=2)
        assert len(group) == 1 or 10 <= len(group) <= 18
        assert distance.max() <= 30
        assert distance[0, -1] == distance[0].max()
