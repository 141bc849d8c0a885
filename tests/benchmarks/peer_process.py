"""One other solver on one mesh, run as a program by the Python that has it: `peer_process.py NAME PROBLEM ANSWER RUNS`.

PROBLEM (.npz): nodes_mm, tets, fibres, speeds_m_per_s (along and across), source. ANSWER (.npz): times_ms, and the processor
seconds of preparing and of one solution, the median after a warm-up, or of the only run where RUNS is 1. The exit code is 3
where the solver is not installed.
"""

import sys
from collections.abc import Callable
from statistics import median
from time import process_time

import numpy as np

NOT_INSTALLED = 3


def fim(nodes: np.ndarray, tets: np.ndarray, fibres: np.ndarray, speeds: np.ndarray, source: int) -> Callable:
    """fim-python's active list, float32."""
    from fimpy.solver import create_fim_solver

    along, across = speeds**2
    squared_velocity = across * np.eye(3) + (along - across) * np.einsum("ni,nj->nij", fibres, fibres)
    solver = create_fim_solver(nodes, tets, squared_velocity, precision=np.float32, device="cpu")
    return lambda: solver.comp_fim(np.array([source]), np.array([0.0]))


def torchcor(nodes: np.ndarray, tets: np.ndarray, fibres: np.ndarray, speeds: np.ndarray, source: int) -> Callable:
    """TorchCor, float32, with its own tolerance of 0.001 ms."""
    import torch
    from torchcor.core.mesh import Element, Elems
    from torchcor.simulator.reaction_eikonal import build_ops, fim_eikonal

    torch.set_num_threads(1)
    cpu, region = torch.device("cpu"), np.zeros(len(tets), dtype=int)
    elements = Elems()
    elements.Tt = Element(data=tets, idx=np.arange(len(tets)), region=region)
    elements.to_torch(cpu)
    places, axes = (torch.tensor(array, dtype=torch.float32) for array in (nodes, fibres))
    velocities = {0: (float(speeds[0]), float(speeds[1]))}
    edges, faces = build_ops(places, elements, velocities, axes, cpu, torch.float32)
    starts = torch.full((len(nodes),), 1e9)
    starts[source] = 0
    return lambda: fim_eikonal(edges, faces, starts, verbose=False).numpy()


def main(name: str, problem: str, answer: str, runs: int) -> int:
    """Solve and write; returns the exit code."""
    with np.load(problem) as data:
        mesh = (data["nodes_mm"], data["tets"], data["fibres"], data["speeds_m_per_s"], int(data["source"]))
    make = {"fim-python": fim, "TorchCor": torchcor}[name]
    try:
        make(np.eye(4, 3), np.array([[0, 1, 2, 3]], dtype=np.int32), np.eye(1, 3), mesh[3], 0)  # loads what it needs
    except ImportError as error:
        print(error, file=sys.stderr)
        return NOT_INSTALLED
    start = process_time()
    solve = make(*mesh)
    prepare = process_time() - start
    seconds = []
    for _ in range(runs):
        start = process_time()
        times = solve()
        seconds.append(process_time() - start)
    np.savez(answer, times_ms=times, prepare_s=prepare, solve_s=median(seconds[1:] or seconds))
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:4], runs=int(sys.argv[4])))
