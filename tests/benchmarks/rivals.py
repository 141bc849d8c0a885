"""The same arrival times by other means: Dijkstra on the edges, and solvers of others where they are installed."""

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from anatomy.arrays import Float, Int
from tests.benchmarks.meshes import BenchmarkMesh
from tests.benchmarks.peer_process import NOT_INSTALLED

PEERS = ("fim-python", "TorchCor")
PEERS_PYTHON = os.environ.get("CRT_TWIN_PEERS_PYTHON", sys.executable)


def edge_graph(nodes_mm: Float, tets: Int, metric: Float) -> csr_matrix:
    """Each edge of the mesh with its metric length, the least over the tetrahedra at it; both ways round."""
    n = len(nodes_mm)
    keys, lengths = [], []
    for i, j in ((0, 1), (0, 2), (0, 3), (1, 2), (1, 3), (2, 3)):
        ends = np.sort(tets[:, [i, j]].astype(np.int64), axis=1)
        steps = nodes_mm[ends[:, 1]] - nodes_mm[ends[:, 0]]
        keys.append(ends[:, 0] * n + ends[:, 1])
        lengths.append(np.sqrt(np.einsum("ni,nij,nj->n", steps, metric, steps)))
    order = np.argsort(key := np.concatenate(keys), kind="stable")
    key, length = key[order], np.concatenate(lengths)[order]
    first = np.flatnonzero(np.diff(key, prepend=-1))
    least, ends = np.minimum.reduceat(length, first), np.divmod(key[first], n)
    half = csr_matrix((least, ends), shape=(n, n))
    return half + half.T


@dataclass(frozen=True, kw_only=True, eq=False)
class PeerAnswer:
    """What a solver of others made of a mesh: (n,) times, and the processor seconds it took."""

    times_ms: Float
    prepare_s: float
    solve_s: float


def peer_answer(
    name: str, mesh: BenchmarkMesh, speeds: tuple[float, float], source: int, runs: int
) -> PeerAnswer | None:
    """The answer of one of `PEERS` on one core, from a process of its own; None where it is not installed.

    Args:
        name: of `PEERS`.
        mesh: what to solve on.
        speeds: along the fibre and across it, m/s.
        source: node number.
        runs: 1 to time the only run, or more for the median of those after the first.
    """
    with tempfile.TemporaryDirectory() as folder:
        problem, answer = Path(folder) / "problem.npz", Path(folder) / "answer.npz"
        arrays = {"nodes_mm": mesh.nodes_mm, "tets": mesh.tets, "fibres": mesh.fibres}
        np.savez(problem, **arrays, speeds_m_per_s=np.array(speeds), source=source)
        script = Path(__file__).with_name("peer_process.py")
        one_core = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
        done = subprocess.run(  # noqa: S603
            [PEERS_PYTHON, "-P", str(script), name, str(problem), str(answer), str(runs)],
            env=os.environ | one_core,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode == NOT_INSTALLED:
            return None
        assert done.returncode == 0, done.stderr
        with np.load(answer) as data:
            return PeerAnswer(
                times_ms=data["times_ms"].astype(np.float64),
                prepare_s=float(data["prepare_s"]),
                solve_s=float(data["solve_s"]),
            )
