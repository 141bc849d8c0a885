"""How fast `twin.eikonal` is, beside what every machine has: scipy's Dijkstra, and the slow plain solver."""

from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter, process_time

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import dijkstra
from scipy.spatial import Delaunay

from anatomy.arrays import Float, Int
from tests.twin.boxes import kuhn_box
from tests.twin.plain_eikonal import plain_times
from twin.conduction import metric_of_axes
from twin.eikonal import Eikonal

SPEEDS = (0.65, 0.26)
SOURCES = 8


def median_seconds(run: Callable[[], object], times: int = 5, clock: Callable[[], float] = process_time) -> float:
    """Median after one warm-up call: processor time, which other work on the machine disturbs least."""
    run()
    seconds = []
    for _ in range(times):
        start = clock()
        run()
        seconds.append(clock() - start)
    return median(seconds)


def wall(size_mm: float, edge_mm: float) -> tuple[Float, Int, Float]:
    """An irregular block of ventricular wall whose fibres turn by 120 degrees from bottom to top."""
    nodes, _ = kuhn_box((size_mm,) * 3, edge_mm)
    nodes = nodes + np.random.default_rng(0).uniform(-0.3, 0.3, nodes.shape) * edge_mm
    tets = Delaunay(nodes).simplices.astype(np.int32)
    angle = np.radians(60 - 120 * nodes[tets].mean(axis=1)[:, 2] / size_mm)
    return nodes, tets, np.column_stack([np.cos(angle), np.sin(angle), np.zeros(len(tets))])


def edge_graph(nodes_mm: Float, tets: Int, metric: Float) -> csr_matrix:
    """Each edge of the mesh with its metric length, the least over the tetrahedra at it."""
    pairs = np.array([[0, 1], [0, 2], [0, 3], [1, 2], [1, 3], [2, 3]])
    ends = np.sort(tets[:, pairs].reshape(-1, 2), axis=1)
    steps = nodes_mm[ends[:, 1]] - nodes_mm[ends[:, 0]]
    lengths = np.sqrt(np.einsum("ni,nij,nj->n", steps, np.repeat(metric, 6, axis=0), steps))
    order = np.lexsort((lengths, ends[:, 1], ends[:, 0]))
    _, first = np.unique(ends[order], axis=0, return_index=True)
    kept = order[first]
    return csr_matrix((lengths[kept], tuple(ends[kept].T)), shape=(len(nodes_mm),) * 2)


@pytest.mark.benchmark
@pytest.mark.parametrize(("size_mm", "edge_mm"), [(12.0, 1.5), (45.0, 1.5)])
def test_eikonal_rate(size_mm: float, edge_mm: float) -> None:
    nodes, tets, fibres = wall(size_mm, edge_mm)
    metric = metric_of_axes(fibres, None, SPEEDS)
    source = len(nodes) // 2
    prepare = partial(Eikonal.from_arrays, nodes, tets, fibres, speeds_m_per_s=SPEEDS)
    solver = prepare()
    graph = edge_graph(nodes, tets, metric)
    times, along_edges = solver.solve(source), dijkstra(graph, directed=False, indices=source)
    sources = np.random.default_rng(1).choice(len(nodes), SOURCES, replace=False)
    one = median_seconds(partial(solver.solve, source))
    each = median_seconds(partial(solver.solve_each, sources), times=3, clock=perf_counter) / SOURCES
    edges = median_seconds(partial(dijkstra, graph, directed=False, indices=source))
    late = (along_edges - times).mean() / times.mean()
    print(f"\n{len(tets):,} tetrahedra, {len(nodes):,} nodes, latest {times.max():.1f} ms")
    print(f"  prepare     {median_seconds(prepare, times=3) / len(tets) * 1e9:8.0f} ns per tetrahedron")
    print(f"  solve       {one / len(tets) * 1e9:8.0f} ns per tetrahedron")
    print(f"  solve_each  {each / len(tets) * 1e9:8.0f} ns per tetrahedron and source, wall time on all cores")
    print(f"  Dijkstra    {edges / len(tets) * 1e9:8.0f} ns per tetrahedron; solve takes {one / edges:.2f} x as long,")
    print(f"              and Dijkstra is late by {100 * late:.1f} % on average")
    if len(tets) < 10_000:
        plain = median_seconds(partial(plain_times, nodes, [(tets, metric)], [source]), times=1)
        print(f"  plain       {plain / len(tets) * 1e9:8.0f} ns per tetrahedron; {plain / one:.0f} x solve")
    assert (along_edges - times).min() > -1e-6 * times.max()
