"""What `twin.eikonal` promises: closed forms, symmetries, and the same answer as a slow plain solver."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial import Delaunay

from anatomy.arrays import Float, Int
from anatomy.heart import Surface, Tissue
from tests.twin.boxes import as_matrices, box_heart, kuhn_box
from tests.twin.plain_eikonal import plain_times
from twin.conduction import Conduction, metric_of_axes, metric_tensors
from twin.eikonal import Eikonal
from twin.fast_endocardium import fast_triangles

# Times are counted in float32: their rounding along the way, as a share of the time.
ROUNDING = 1e-5
SLAB_MM, CUBE_MM, SLAB_SPEEDS = (20.0, 7.0, 3.0), 1.5, (0.6, 0.25)


def node_at(nodes_mm: Float, place_mm: tuple[float, float, float]) -> int:
    distance = np.linalg.norm(nodes_mm - place_mm, axis=1)
    assert distance.min() < 1e-9
    return int(distance.argmin())


def along(direction: tuple[float, float, float], m: int) -> Float:
    return np.tile(np.array(direction) / np.linalg.norm(direction), (m, 1))


def random_axes(rng: np.random.Generator, m: int) -> tuple[Float, Float]:
    axes = np.linalg.qr(rng.normal(size=(m, 3, 3)))[0]
    return axes[:, :, 0], axes[:, :, 1]


def random_mesh(rng: np.random.Generator, flatness: float) -> tuple[Float, Int]:
    """A Delaunay mesh: obtuse tetrahedra throughout, slivers the more the smaller the flatness."""
    nodes = rng.random((int(rng.integers(8, 50)), 3)) * [10.0, 8.0, 8.0 * flatness]
    return nodes, Delaunay(nodes).simplices.astype(np.int32)


def twisted_box(size_mm: float, edge_mm: float) -> tuple[Eikonal, Float]:
    """A cube whose fibres turn by 120 degrees from bottom to top, as across a ventricular wall."""
    nodes, tets = kuhn_box((size_mm,) * 3, edge_mm)
    angle = np.radians(60 - 120 * nodes[tets].mean(axis=1)[:, 2] / size_mm)
    fibres = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(len(tets))])
    return Eikonal.from_arrays(nodes, tets, fibres, speeds_m_per_s=(0.65, 0.26)), nodes


def irregular_box(size_mm: float, edge_mm: float) -> tuple[Eikonal, Float]:
    """A cube of uniform anisotropic tissue in a mesh of the same resolution throughout, without order."""
    nodes, _ = kuhn_box((size_mm,) * 3, edge_mm)
    inside = ((nodes > 0) & (nodes < size_mm)).all(axis=1)
    nodes[inside] += np.random.default_rng(4).uniform(-0.25, 0.25, (inside.sum(), 3)) * edge_mm
    tets = Delaunay(nodes).simplices
    return Eikonal.from_arrays(nodes, tets, along((1.0, 2.0, 0.5), len(tets)), speeds_m_per_s=(0.65, 0.26)), nodes


# Closed forms


def test_a_point_source_in_anisotropic_tissue_converges_to_the_metric_distance() -> None:
    fibre, sheet, speeds = (1.0, 1.0, 0.0), (-1.0, 1.0, 1.0), (0.6, 0.4, 0.2)
    means = []
    for edge_mm in (1.0, 0.5, 0.25):
        nodes, tets = kuhn_box((6.0, 6.0, 6.0), edge_mm)
        fibres, sheets = along(fibre, len(tets)), along(sheet, len(tets))
        source = node_at(nodes, (3.0, 3.0, 3.0))
        times = Eikonal.from_arrays(nodes, tets, fibres, sheets, speeds_m_per_s=speeds, ball_mm=0).solve(source)
        metric = as_matrices(metric_of_axes(fibres[:1], sheets[:1], speeds))[0]
        steps = nodes - nodes[source]
        error = times - np.sqrt(np.einsum("ni,ij,nj->n", steps, metric, steps))
        assert error.min() > -ROUNDING * times.max()  # linear interpolation of a convex function is never early
        means.append(error.mean())
    # The source's kink makes it h log h: the order rises towards 1 as the mesh gets finer.
    orders = np.log2(np.array(means[:-1]) / means[1:])
    assert orders[1] > orders[0] > 0.5, (means, orders)
    assert orders[1] > 0.6, (means, orders)


@pytest.mark.parametrize("direction", [(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)])
def test_a_plane_front_is_exact(direction: tuple[float, float, float]) -> None:
    nodes, tets = kuhn_box((5.0, 4.0, 3.0), 0.5)
    solver = Eikonal.from_arrays(nodes, tets, along((1.0, 0.0, 0.0), len(tets)), speeds_m_per_s=(0.5, 0.5))
    depth = nodes @ direction
    np.testing.assert_allclose(solver.solve(np.flatnonzero(depth == 0)), depth / 0.5, rtol=ROUNDING)


def test_an_oblique_plane_front_in_anisotropic_tissue_is_exact() -> None:
    nodes, tets = kuhn_box((4.0, 4.0, 4.0), 0.5)
    fibres = along((1.0, 2.0, 0.5), len(tets))
    metric = as_matrices(metric_of_axes(fibres[:1], None, (0.6, 0.3)))[0]
    slowness = np.array([1.0, 0.7, 0.4])
    slowness /= np.sqrt(slowness @ np.linalg.inv(metric) @ slowness)
    exact = nodes @ slowness
    sources = np.flatnonzero((nodes == 0).any(axis=1))
    times = Eikonal.from_arrays(nodes, tets, fibres, speeds_m_per_s=(0.6, 0.3)).solve(sources, exact[sources])
    # The rays go up in x, y and z, so that each comes from a source face.
    assert (np.linalg.inv(metric) @ slowness > 0).all()
    np.testing.assert_allclose(times, exact, rtol=ROUNDING)


def test_the_far_corner_of_the_niederer_slab_is_late_by_at_most_3_2_percent() -> None:
    nodes, tets = kuhn_box(SLAB_MM, 0.5)
    fibres = along((1.0, 0.0, 0.0), len(tets))
    solver = Eikonal.from_arrays(nodes, tets, fibres, speeds_m_per_s=SLAB_SPEEDS, ball_mm=0)
    times = solver.solve(np.flatnonzero((nodes <= CUBE_MM).all(axis=1)))
    beyond = np.maximum(nodes - CUBE_MM, 0)
    exact = np.linalg.norm(beyond / np.array([0.6, 0.25, 0.25]), axis=1)
    corner = node_at(nodes, SLAB_MM)
    assert exact[corner] == pytest.approx(38.350, abs=5e-4)
    assert 0 <= times[corner] / exact[corner] - 1 < 0.032
    assert (times - exact).min() > -ROUNDING * times.max()


# The slow plain solver


@settings(max_examples=30, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    flatness=st.sampled_from([1.0, 0.1, 0.01]),
    speeds=st.sampled_from([(0.6, 0.4, 0.2), (0.65, 0.26, 0.26), (0.5, 0.5, 0.5), (1.0, 0.3, 0.05)]),
)
def test_obtuse_and_sliver_meshes_get_the_times_of_the_plain_solver(
    seed: int, flatness: float, speeds: tuple[float, ...]
) -> None:
    rng = np.random.default_rng(seed)
    nodes, tets = random_mesh(rng, flatness)
    fibres, sheets = random_axes(rng, len(tets))
    sources, starts = rng.integers(0, len(nodes), 2), 10 * rng.random(2)
    times = Eikonal.from_arrays(nodes, tets, fibres, sheets, speeds_m_per_s=speeds, ball_mm=0).solve(sources, starts)
    plain = plain_times(
        nodes, [(tets, as_matrices(metric_of_axes(fibres, sheets, speeds)))], sources.tolist(), starts.tolist()
    )
    np.testing.assert_allclose(times, plain, rtol=ROUNDING)


def test_a_heart_with_scar_and_fast_endocardium_gets_the_times_of_the_plain_solver() -> None:
    rng = np.random.default_rng(3)
    heart = box_heart(15.0)
    fibres, sheets = random_axes(rng, len(heart.tets))
    tissue = rng.choice([0, 0, 0, 1, 2], len(heart.tets)).astype(np.int8)
    heart = replace(heart, fibres=fibres, sheets=sheets, tissue=tissue)
    conduction = Conduction(lv_endocardium_m_per_s=1.5, rv_endocardium_m_per_s=1.2)
    solver = Eikonal(heart, conduction, ball_mm=0)
    sources, starts = np.flatnonzero(solver.conducting)[[0, 40]], [0.0, 7.0]
    alive = tissue != Tissue.CORE
    triangles, speeds, _ = fast_triangles(heart, conduction)
    layer = np.eye(3) / speeds[:, None, None] ** 2
    plain = plain_times(
        heart.nodes_mm,
        [(heart.tets[alive], as_matrices(metric_tensors(heart, conduction))[alive]), (triangles, layer)],
        sources.tolist(),
        starts,
    )
    np.testing.assert_allclose(solver.solve(sources, starts), plain, rtol=ROUNDING)


def test_long_lines_of_obtuse_tetrahedra_do_not_keep_it_from_the_fixed_point() -> None:
    # Strong anisotropy askew to an aligned mesh: nodes are retaken over and over, where label correcting could go astray.
    nodes, tets = kuhn_box((12.0, 12.0, 6.0), 1.0)
    fibres = along((1.0, -1.0, 0.3), len(tets))
    source = node_at(nodes, (6.0, 6.0, 3.0))
    times = Eikonal.from_arrays(nodes, tets, fibres, speeds_m_per_s=(0.8, 0.1), ball_mm=0).solve(source)
    plain = plain_times(nodes, [(tets, as_matrices(metric_of_axes(fibres, None, (0.8, 0.1))))], [source])
    np.testing.assert_allclose(times, plain, rtol=ROUNDING)


def test_flat_tetrahedra_get_the_times_of_the_plain_solver() -> None:
    nodes, tets = kuhn_box((4.0, 4.0, 4.0), 1.0)
    floor = np.flatnonzero(nodes[:, 2] == 0)
    corner = floor[(nodes[floor, :2] < 4).all(axis=1)]
    x, y = (node_at(nodes, (step == 0, step == 1, 0.0)) - node_at(nodes, (0.0, 0.0, 0.0)) for step in range(2))
    squares = np.column_stack([corner, corner + x, corner + y, corner + x + y])
    tets = np.concatenate([tets, squares]).astype(np.int32)
    fibres, speeds = along((1.0, 2.0, 0.5), len(tets)), (0.65, 0.26)
    times = Eikonal.from_arrays(nodes, tets, fibres, speeds_m_per_s=speeds, ball_mm=0).solve(62)
    plain = plain_times(nodes, [(tets, as_matrices(metric_of_axes(fibres, None, speeds)))], [62])
    np.testing.assert_allclose(times, plain, rtol=ROUNDING)


# Symmetries


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_the_numbering_of_nodes_and_tetrahedra_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes, tets = random_mesh(rng, 1.0)
    fibres, sheets = random_axes(rng, len(tets))
    order, tet_order = rng.permutation(len(nodes)), rng.permutation(len(tets))
    number = np.argsort(order)
    speeds = (0.6, 0.4, 0.2)
    times = Eikonal.from_arrays(nodes, tets, fibres, sheets, speeds_m_per_s=speeds).solve(0)
    corners = rng.permuted(number[tets[tet_order]], axis=1)
    renumbered = Eikonal.from_arrays(
        nodes[order], corners, fibres[tet_order], -sheets[tet_order], speeds_m_per_s=speeds
    ).solve(number[0])
    np.testing.assert_allclose(renumbered, times[order], rtol=ROUNDING)


def test_the_way_back_takes_as_long_as_the_way_there_to_half_a_percent() -> None:
    # What differs is the error of the mesh, so the mesh is irregular and fine, and the tissue uniform.
    solver, nodes = irregular_box(12.0, 0.5)
    ends = np.random.default_rng(5).choice(len(nodes), 24, replace=False)
    times = solver.solve_each(ends)[:, ends].astype(np.float64)
    there, back = times[np.triu_indices(24, 1)], times.T[np.triu_indices(24, 1)]
    difference = np.abs(there - back)
    assert difference.max() < 0.005 * times.max()
    assert np.quantile(difference / there, 0.95) < 0.005


@pytest.mark.parametrize("factor", [0.5, 4.0])
def test_scaling_every_speed_divides_every_time(factor: float) -> None:
    heart = box_heart(10.0)
    conduction = Conduction(lv_endocardium_m_per_s=1.5)
    times = Eikonal(heart, conduction).solve([7, 90], [0.0, 4.0])
    scaled = Eikonal(heart, conduction.scaled(factor)).solve([7, 90], [0.0, 4.0 / factor])
    np.testing.assert_allclose(scaled, times / factor, rtol=ROUNDING)


def test_the_sources_together_are_the_earliest_of_each_but_where_fronts_collide() -> None:
    solver, nodes = irregular_box(20.0, 1.0)
    sources = np.random.default_rng(7).choice(len(nodes), 3, replace=False)
    delays = np.array([0.0, 6.0, 11.0])
    joint = solver.solve(sources, delays)
    each = np.sort(np.stack([solver.solve(source) for source in sources]) + delays[:, None], axis=0)
    late = each[0] - joint
    assert late.min() > -ROUNDING * joint.max()
    assert late.max() < 2.0
    assert late.mean() < 0.05
    away = each[1] - each[0] > 10
    assert away.mean() > 0.1
    assert late[away].max() < 0.01


# Sources and starts


def test_a_source_reached_before_it_starts_takes_the_earlier_time() -> None:
    solver, nodes = twisted_box(6.0, 1.0)
    other = node_at(nodes, (1.0, 0.0, 0.0))
    np.testing.assert_array_equal(solver.solve([0, other], [0.0, 1e4]), solver.solve(0))


def test_a_source_that_starts_long_after_all_else_is_reached_still_starts() -> None:
    nodes, tets = kuhn_box((2.0, 2.0, 2.0), 1.0)
    both, cells = np.concatenate([nodes, nodes + 10.0]), np.concatenate([tets, tets + len(nodes)])
    solver = Eikonal.from_arrays(both, cells, along((1.0, 0.0, 0.0), len(cells)), speeds_m_per_s=(0.6, 0.3))
    times = solver.solve([0, len(nodes)], [0.0, 5e4])
    np.testing.assert_array_equal(times[: len(nodes)], solver.solve(0)[: len(nodes)])
    np.testing.assert_allclose(times[len(nodes) :] - 5e4, times[: len(nodes)], atol=0.02)  # float32 at 5e4 ms


def test_the_zero_of_time_does_not_matter() -> None:
    solver, _ = twisted_box(6.0, 1.0)
    times = solver.solve([0, 40], [0.0, 3.0])
    np.testing.assert_allclose(solver.solve([0, 40], [-100.0, -97.0]), times - 100, rtol=ROUNDING)
    np.testing.assert_allclose(solver.solve([0, 40], 5.0), solver.solve([0, 40]) + 5, rtol=ROUNDING)


def test_the_earliest_start_of_a_source_named_twice_counts() -> None:
    solver, _ = twisted_box(6.0, 1.0)
    np.testing.assert_array_equal(solver.solve([3, 3, 3], [4.0, 2.0, 9.0]), solver.solve(3, 2.0))


@pytest.mark.parametrize("threads", [1, 3, None])
def test_each_row_is_the_solution_from_one_source_whatever_the_threads(threads: int | None) -> None:
    solver, _ = twisted_box(6.0, 1.0)
    sources, seen = [0, 17, 200, 5, 17], []
    rows = solver.solve_each(sources, threads, lambda done, total: seen.append((done, total)))
    assert rows.dtype == np.float32
    for row, source in zip(rows, sources, strict=True):
        np.testing.assert_array_equal(row, solver.solve(source).astype(np.float32))
    assert seen == [(k, 5) for k in range(1, 6)]


@pytest.mark.parametrize("sources", [[0, 17, 200], list(range(12))])
def test_a_front_that_may_come_by_a_time_is_followed_to_it_and_no_further(sources: list[int]) -> None:
    solver, _ = twisted_box(6.0, 1.0)
    rows, until = solver.solve_each(sources), np.full(len(solver.conducting), 8.0)
    assert (rows > 8).any()
    cut = solver.solve_each(sources, until_ms=until)
    # Just before the end a simplex may lack a corner that lies beyond.
    np.testing.assert_allclose(cut[rows < 4], rows[rows < 4], rtol=1e-5)
    assert np.isinf(cut[rows > 8]).all()
    assert (cut >= rows - 1e-3).all()


def test_times_by_which_nodes_must_be_reached_come_for_every_node() -> None:
    solver, _ = twisted_box(6.0, 1.0)
    with pytest.raises(ValueError, match=r"until_ms has shape \(3,\)"):
        solver.solve_each([0], until_ms=np.ones(3))


# What does not conduct


def test_nothing_arrives_in_a_part_that_no_tetrahedron_joins() -> None:
    nodes, tets = kuhn_box((2.0, 2.0, 2.0), 1.0)
    both = np.concatenate([nodes, nodes + 10.0, [[50.0, 0.0, 0.0]]])
    cells = np.concatenate([tets, tets + len(nodes)])
    solver = Eikonal.from_arrays(both, cells, along((1.0, 0.0, 0.0), len(cells)), speeds_m_per_s=(0.6, 0.3))
    times = solver.solve(0)
    assert np.isfinite(times[: len(nodes)]).all()
    assert np.isinf(times[len(nodes) :]).all()
    np.testing.assert_array_equal(solver.conducting, np.arange(len(both)) < 2 * len(nodes))
    assert np.isinf(solver.solve(len(both) - 1)).all()


def test_core_is_never_activated_and_blocks() -> None:
    heart = box_heart(10.0)
    x = heart.nodes_mm[:, 0]
    middle = heart.nodes_mm[heart.tets].mean(axis=1)[:, 0]
    wall = np.where((middle > 20) & (middle < 40), Tissue.CORE, Tissue.HEALTHY).astype(np.int8)
    solver = Eikonal(replace(heart, tissue=wall), Conduction(lv_endocardium_m_per_s=2.0))
    times = solver.solve(node_at(heart.nodes_mm, (0.0, 0.0, 0.0)))
    np.testing.assert_array_equal(np.isfinite(times), x <= 20)
    np.testing.assert_array_equal(solver.conducting, x != 30)
    inside = node_at(heart.nodes_mm, (30.0, 30.0, 30.0))
    assert np.isinf(solver.solve(inside)).all()
    np.testing.assert_allclose(solver.solve([inside, 0], [-50.0, 0.0]), solver.solve(0), rtol=ROUNDING)


def test_the_way_round_core_is_longer_and_the_border_zone_slows() -> None:
    heart = box_heart(10.0)
    middle = heart.nodes_mm[heart.tets].mean(axis=1)
    patch = (np.abs(middle - 30) < 20).all(axis=1)
    source, beyond = (node_at(heart.nodes_mm, (x, 30.0, 30.0)) for x in (0.0, 60.0))
    times = {}
    for kind in Tissue:
        tissue = np.where(patch, kind, Tissue.HEALTHY).astype(np.int8)
        times[kind] = Eikonal(replace(heart, tissue=tissue), Conduction()).solve(source)[beyond]
    assert times[Tissue.HEALTHY] == pytest.approx(60 / 0.65)
    assert times[Tissue.HEALTHY] < times[Tissue.BORDER_ZONE] <= times[Tissue.CORE] < np.inf


# Fast endocardium


def test_along_the_fast_layer_a_straight_line_takes_its_length_over_its_speed() -> None:
    heart = box_heart(10.0)
    solver = Eikonal(heart, Conduction(lv_endocardium_m_per_s=1.5, endocardium_extent=1.0))
    line = np.flatnonzero((heart.nodes_mm[:, 0] == 30) & (heart.nodes_mm[:, 2] == 0))
    times = solver.solve(node_at(heart.nodes_mm, (30.0, 0.0, 0.0)))
    np.testing.assert_allclose(times[line], heart.nodes_mm[line, 1] / 1.5, rtol=ROUNDING)


def test_a_plane_front_in_the_fast_layer_is_exact_in_any_direction() -> None:
    heart = box_heart(10.0)
    solver = Eikonal(heart, Conduction(rv_endocardium_m_per_s=1.2, endocardium_extent=1.0))
    x, y, z = heart.nodes_mm.T
    layer = z == 60
    exact = (0.6 * x + 0.8 * y) / 1.2
    rim = np.flatnonzero(layer & ((x == 0) | (y == 0)))
    np.testing.assert_allclose(solver.solve(rim, exact[rim])[layer], exact[layer], rtol=ROUNDING)


def test_the_fast_layer_ends_at_its_extent_and_stays_in_its_ventricle() -> None:
    heart = box_heart(10.0)
    conduction = Conduction(lv_endocardium_m_per_s=1.5, endocardium_extent=0.5)
    triangles, speeds, sides = fast_triangles(heart, conduction)
    np.testing.assert_array_equal(np.unique(heart.nodes_mm[triangles][:, :, 0]), [0, 10, 20, 30])
    assert (heart.nodes_mm[triangles][:, :, 2] == 0).all()
    assert (speeds == 1.5).all()
    assert (sides == 0).all()


@pytest.mark.parametrize("tissue", [Tissue.BORDER_ZONE, Tissue.CORE])
def test_there_is_no_fast_layer_on_scar(tissue: Tissue) -> None:
    heart = box_heart(10.0)
    middle = heart.nodes_mm[heart.tets].mean(axis=1)[:, 1]
    heart = replace(heart, tissue=np.where(middle < 20, tissue, 0).astype(np.int8))
    triangles, _, _ = fast_triangles(heart, Conduction(lv_endocardium_m_per_s=1.5, endocardium_extent=1.0))
    assert heart.nodes_mm[triangles][:, :, 1].min() == 20
    assert len(triangles) == len(heart.triangles_of(Surface.LV_ENDOCARDIUM)) * 2 // 3


def test_without_a_stated_speed_there_is_no_fast_layer() -> None:
    heart = box_heart(20.0)
    bare = Eikonal.from_arrays(heart.nodes_mm, heart.tets, heart.fibres, speeds_m_per_s=(0.65, 0.26))
    np.testing.assert_array_equal(Eikonal(heart, Conduction()).solve(5), bare.solve(5))


# Other speeds on the same heart


@pytest.mark.parametrize(
    "other",
    [
        Conduction(),
        Conduction(border_zone_factor=0.7),
        Conduction().scaled(1.3),
        Conduction(lv_endocardium_m_per_s=1.8, rv_endocardium_m_per_s=1.2),
        replace(Conduction().scaled(0.8), border_zone_factor=0.9, lv_endocardium_m_per_s=2.0),
        Conduction(fibre_m_per_s=0.65, sheet_m_per_s=0.4, normal_m_per_s=0.2),
    ],
)
def test_a_solver_at_other_speeds_is_that_of_a_solver_made_anew(other: Conduction) -> None:
    rng = np.random.default_rng(3)
    heart = box_heart(10.0)
    fibres, sheets = random_axes(rng, len(heart.tets))
    tissue = rng.choice([0, 0, 0, 1, 1, 2], len(heart.tets)).astype(np.int8)
    heart = replace(heart, fibres=fibres, sheets=sheets, tissue=tissue)
    changed = Eikonal(heart, Conduction(rv_endocardium_m_per_s=1.5)).with_conduction(other)
    sources = np.flatnonzero(changed.conducting)[[0, 200]]
    np.testing.assert_allclose(changed.solve(sources), Eikonal(heart, other).solve(sources), rtol=ROUNDING)


def test_a_solver_at_other_speeds_leaves_the_first_as_it_was() -> None:
    heart = box_heart(20.0)
    solver = Eikonal(heart, Conduction())
    before = solver.solve(5)
    solver.with_conduction(Conduction().scaled(2.0)).solve(5)
    np.testing.assert_array_equal(solver.solve(5), before)


def test_a_solver_made_from_arrays_has_no_tissues_to_change() -> None:
    solver, _ = twisted_box(3.0, 1.0)
    with pytest.raises(ValueError, match="made from arrays"):
        solver.with_conduction(Conduction())


def test_thousands_of_stimuli_are_the_earliest_of_the_fronts() -> None:
    solver, nodes = irregular_box(15.0, 1.0)
    rng = np.random.default_rng(9)
    sources, starts = rng.choice(len(nodes), 3000), 200 * rng.random(3000)
    times = solver.solve(sources, starts)
    assert np.isfinite(times).all()
    assert (times[sources] <= starts * (1 + ROUNDING)).all()
    # What the late stimuli add: nothing where the front from the first ones came by before.
    early = np.argsort(starts)[:50]
    first = solver.solve(sources[early], starts[early])
    assert (times <= first + ROUNDING * 200).all()
    before = first < starts[np.argsort(starts)[50]]
    assert before.any()
    np.testing.assert_allclose(times[before], first[before], atol=ROUNDING * 200)


# Wrong input


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tets": [[1, 2, 3, 8]]}, r"names a node outside 0..7 .*count from 1"),
        ({"tets": [[-1, 2, 3, 4]]}, "names a node outside"),
        ({"fibres": [[2.0, 0.0, 0.0]]}, r"fibres\[0\] has length 2"),
        ({"fibres": [[1.0, 0.0, 0.0]] * 2}, "fibres has shape"),
        ({"sheets": [[0.8, 0.6, 0.0]]}, "right angles"),
        ({"nodes_mm": np.full((8, 3), np.nan)}, "not a finite number"),
        ({"speeds_m_per_s": (0.6,)}, "1 speeds, need 2"),
        ({"speeds_m_per_s": (0.6, 0.0)}, "positive, finite"),
        ({"speeds_m_per_s": (0.6, np.inf)}, "positive, finite"),
        ({"speeds_m_per_s": (0.6, 0.4, 0.2)}, "three speeds need `sheets`"),
    ],
)
def test_wrong_meshes_are_refused(change: dict[str, Any], message: str) -> None:
    nodes, tets = kuhn_box((1.0, 1.0, 1.0), 1.0)
    given: dict[str, Any] = {"nodes_mm": nodes, "tets": tets[:1], "fibres": [[1.0, 0.0, 0.0]]}
    given |= {"speeds_m_per_s": (0.6, 0.3)} | change
    with pytest.raises(ValueError, match=message):
        Eikonal.from_arrays(**given)


def test_a_node_with_more_neighbours_than_a_record_can_name_is_refused() -> None:
    rim = np.random.default_rng(0).normal(size=(1100, 3))
    nodes = np.concatenate([rim / np.linalg.norm(rim, axis=1, keepdims=True), np.zeros((1, 3))])
    tets = Delaunay(nodes).simplices
    with pytest.raises(ValueError, match="more than 1023 neighbours"):
        Eikonal.from_arrays(nodes, tets, along((1.0, 0.0, 0.0), len(tets)), speeds_m_per_s=(0.6, 0.3))


@pytest.mark.parametrize(
    ("nodes", "start_ms", "message"),
    [
        ([0, 343], None, r"source 1 is node 343, outside 0..342"),
        ([-1], None, "outside"),
        ([], None, "one or more node numbers"),
        ([0.5], None, "one or more node numbers"),
        ([0, 1], [0.0], "start_ms has shape"),
        ([0], [np.inf], "not a finite number"),
        ([0, 1], [0.0, 2e5], r"source 1 starts 200000 ms after the first, need at most 100000"),
    ],
)
def test_wrong_sources_are_refused(nodes: Any, start_ms: Any, message: str) -> None:
    solver, _ = twisted_box(6.0, 1.0)
    with pytest.raises(ValueError, match=message):
        solver.solve(nodes, start_ms)


def test_wrong_thread_counts_are_refused() -> None:
    solver, _ = twisted_box(6.0, 1.0)
    with pytest.raises(ValueError, match="threads = 0"):
        solver.solve_each([0], threads=0)
