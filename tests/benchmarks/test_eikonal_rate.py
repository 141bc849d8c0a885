"""How fast `twin.eikonal` is, beside what every machine has and what others made. Prints the table of the README:

    python -m pytest -m benchmark -s tests/benchmarks/test_eikonal_rate.py

Everything is measured in one run, medians after a warm-up. "On one core" is processor time, which other work disturbs least;
all cores are timed by the clock on the wall. Hearts are meshed in the first run and kept (`tests.benchmarks.meshes`).

Other solvers are timed where `CRT_TWIN_PEERS_PYTHON` names a Python that has them (peers.txt); on a whole heart they take
minutes, so there only if `CRT_TWIN_BENCHMARK_LONG` is set.
"""

import os
import platform
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, is_dataclass
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter, process_time

import numba
import numpy as np
import pytest
from scipy.sparse.csgraph import dijkstra

from anatomy.arrays import Float, Int
from tests.benchmarks.fresh_process import measured_afresh
from tests.benchmarks.memory_floor import read_once
from tests.benchmarks.meshes import REAL_HEART, SITES, BenchmarkMesh, block, phantom, real_heart
from tests.benchmarks.reference import fixed_point_ms
from tests.benchmarks.rivals import PEERS, PeerAnswer, edge_graph, peer_answer
from tests.twin.plain_eikonal import plain_times
from twin.eikonal import Eikonal
from twin.eikonal_star import Star

SPEEDS = (0.65, 0.26)
# About 0.4, 1.5 and 3 million tetrahedra.
PHANTOM_EDGES_MM = (1.8, 1.15, 0.9)
REAL_EDGES_MM = (1.5, 0.95, 0.76)
SOURCES = 5
BEHIND_MS = 30.0
LEAST_S = 0.05
# What the project promises of float32.
MOST_ERROR_MS = 0.01
# Up to so many tetrahedra the plain solver and those of others take seconds; up to so many, minutes.
SMALL, MEDIUM = 10_000, 600_000
LONG = "CRT_TWIN_BENCHMARK_LONG" in os.environ


def records(solver: Eikonal) -> tuple[Star, Int]:
    """What a solution reads, and which node each record belongs to. The only place that knows the solver's inside."""
    return solver._star, solver._order


def arrays_of(thing: object) -> dict[int, int]:
    """Identity and bytes of all arrays that an object holds, directly or in dataclasses."""
    if isinstance(thing, np.ndarray):
        return {id(thing): thing.nbytes}
    names: Iterable[str] = vars(thing) if isinstance(thing, Eikonal) else ()
    if is_dataclass(thing):
        names = [field.name for field in fields(thing)]
    return {key: size for name in names for key, size in arrays_of(getattr(thing, name)).items()}


@dataclass(frozen=True, kw_only=True)
class Seconds:
    """Medians of several calls.

    Attributes:
        wall: what a clock on the wall shows.
        core: processor time of all cores together.
    """

    wall: float
    core: float


def seconds_of(run: Callable[[int], object], sources: Sequence[int]) -> Seconds:
    """One call per source, after a warm-up; what is over at once is repeated."""
    start = perf_counter()
    run(sources[0])
    repeats = 1 + int(LEAST_S / (perf_counter() - start))
    wall, core = [], []
    for source in sources:
        starts = perf_counter(), process_time()
        for _ in range(repeats):
            run(source)
        wall.append((perf_counter() - starts[0]) / repeats)
        core.append((process_time() - starts[1]) / repeats)
    return Seconds(wall=median(wall), core=median(core))


def column(mesh: BenchmarkMesh) -> dict[str, str]:
    """The cells of one mesh, by the name of their row."""
    m, n = len(mesh.tets), len(mesh.nodes_mm)
    prepare = partial(Eikonal.from_arrays, mesh.nodes_mm, mesh.tets, mesh.fibres, speeds_m_per_s=SPEEDS)
    solver = prepare()
    sources = [int(source) for source in np.random.default_rng(1).choice(n, SOURCES, replace=False)]
    one, preparing = seconds_of(solver.solve, sources), seconds_of(lambda _: prepare(), sources[:3])
    cells = {
        "tetrahedra": f"{m:,}",
        "nodes": f"{n:,}",
        "**one source, one core**": f"**{1e3 * one.core:.3g} ms**",
        "per tetrahedron": f"{1e9 * one.core / m:.0f} ns",
        "preparation of a million tetrahedra": (
            f"{1e6 * preparing.wall / m:.2f} s, {1e6 * preparing.core / m:.2f} s on one core"
        ),
        "memory per tetrahedron": f"{sum(arrays_of(solver).values()) / m:.0f} B",
    }
    if len(mesh.vein) and m <= MEDIUM:
        anywhere = np.random.default_rng(2).choice(n, SITES, replace=False)
        for where, nodes in (("anywhere", anywhere), ("along veins", mesh.vein)):
            each = seconds_of(lambda _, nodes=nodes: solver.solve_each(nodes), range(3))
            cells[f"{SITES} sources {where}, all cores"] = f"{each.wall:.2f} s, {each.core:.2f} s on one core"
        # As the left sites of biventricular pacing, which the right one leaves half of the heart.
        behind = solver.solve(int(anywhere[0])) + BEHIND_MS
        each = seconds_of(lambda _: solver.solve_each(anywhere, until_ms=behind), range(3))
        cells[f"the sources anywhere, each ending {BEHIND_MS:g} ms behind the first"] = (
            f"{each.wall:.2f} s, {each.core:.2f} s on one core"
        )
    # Others know no exact ball around the source: without it all have the same answer.
    return cells | afresh_cells(mesh) | against_others(mesh, prepare(ball_mm=0.0), sources)


def against_others(mesh: BenchmarkMesh, solver: Eikonal, sources: Sequence[int]) -> dict[str, str]:
    """The same answers from elsewhere: how long one source takes beside them, and how far they are apart."""
    m, n, source = len(mesh.tets), len(mesh.nodes_mm), sources[0]
    metric = mesh.metric(*SPEEDS)
    one, times = seconds_of(solver.solve, sources).core, solver.solve(source)
    star, order = records(solver)
    as_they_lie, as_reached = (
        seconds_of(lambda _, way=way: read_once(star, way), sources).core
        for way in (np.arange(n), np.argsort(times[order], kind="stable"))
    )
    graph = edge_graph(mesh.nodes_mm, mesh.tets, metric)
    edges = seconds_of(lambda source: dijkstra(graph, indices=source), sources).core
    late = dijkstra(graph, indices=source) - times
    wrong = np.abs(times - fixed_point_ms(mesh.nodes_mm, mesh.tets, metric, source, times))
    cells = {
        "one source without the exact ball": f"{1e3 * one:.3g} ms",
        "reading its records once, as they lie and as they are reached": (
            f"{1e9 * as_they_lie / m:.0f} and {1e9 * as_reached / m:.0f} ns per tetrahedron"
        ),
        "beside the latter": f"{one / as_reached:.1f} x as long",
        "beside scipy's Dijkstra on the edges": f"{one / edges:.2f} x as long",
        "Dijkstra is late by": f"{100 * late.mean() / times.mean():.1f} % on average",
        "error against float64": f"at most {wrong.max():.0e} ms, mean {wrong.mean():.0e} ms",
    }
    assert late.min() > -1e-6 * times.max()
    assert wrong.max() < MOST_ERROR_MS
    if m <= SMALL:
        plain = seconds_of(lambda source: plain_times(mesh.nodes_mm, [(mesh.tets, metric)], [source]), sources[:1])
        cells["beside the plain solver"] = f"{plain.core / one:,.0f} x faster"
    if m <= SMALL or (LONG and mesh.name == "phantom" and m <= MEDIUM):
        # Small meshes: the median after a warm-up; else the only run.
        runs = 4 if m <= SMALL else 1
        answers = {name: peer_answer(name, mesh, SPEEDS, source, runs) for name in PEERS}
        cells |= {f"beside {name}, float32": beside_peer(one, times, answer) for name, answer in answers.items()}
    return cells


def beside_peer(seconds: float, times: Float, answer: PeerAnswer | None) -> str:
    """The cell of a solver of others, where ours took these seconds to these times."""
    if answer is None:
        return "not installed"
    apart = np.abs(answer.times_ms - times)
    return (
        f"{answer.solve_s / seconds:,.0f} x faster ({answer.solve_s:.3g} s, and {answer.prepare_s:.3g} s to prepare); "
        f"{apart.max():.3f} ms apart at most, {apart.mean():.0e} ms on average"
    )


def afresh_cells(mesh: BenchmarkMesh) -> dict[str, str]:
    """Waiting for the first answer is measured where compiling is all of it, memory where the nodes are."""
    arrays = {"nodes_mm": mesh.nodes_mm, "tets": mesh.tets, "fibres": mesh.fibres, "speeds_m_per_s": np.array(SPEEDS)}
    if len(mesh.tets) > SMALL:
        _, per_node = measured_afresh(**arrays)
        return {} if per_node is None else {"memory per node and source": f"{per_node:.0f} B"}
    with tempfile.TemporaryDirectory() as cache:
        (first, _), (second, _) = (measured_afresh(Path(cache), **arrays) for _ in range(2))
    return {"first answer on a new machine, and in a second process": f"{first:.1f} s, {second:.1f} s on one core"}


def machine() -> str:
    processor = platform.processor()
    if (info := Path("/proc/cpuinfo")).exists():
        models = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if line.startswith("model name")
        ]
        processor = (models or [processor])[0]
    versions = f"Python {platform.python_version()}, numba {numba.__version__}, numpy {np.__version__}"
    return f"{processor}, {os.cpu_count()} cores, {platform.system()}; {versions}; times on one core are processor time"


def table(columns: dict[str, dict[str, str]]) -> str:
    rows = dict.fromkeys(row for cells in columns.values() for row in cells)
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    lines += [[row, *(cells.get(row, "") for cells in columns.values())] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


@pytest.mark.benchmark
def test_eikonal_rate() -> None:
    makers = [block, *(partial(phantom, edge) for edge in PHANTOM_EDGES_MM)]
    if REAL_HEART.exists():
        makers += [partial(real_heart, edge) for edge in REAL_EDGES_MM]
    columns = {}
    for make in makers:
        mesh = make()
        columns[f"{mesh.name}, {len(mesh.tets) / 1e6:.2g} M"] = column(mesh)
    print(f"\n\n{table(columns)}\n\n{machine()}")
