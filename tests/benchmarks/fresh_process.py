"""What a user waits for first, and what a solution costs in memory, seen from a process of its own.

`python -m tests.benchmarks.fresh_process MESH` (.npz: nodes_mm, tets, fibres, speeds_m_per_s) prints as JSON the processor
seconds from the first import to the first answer, and the bytes that a source takes per node (null where the kernel does not
tell: not Linux).
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from time import process_time

import numpy as np

_ROOT = Path(__file__).parents[2]
_PROCESS = Path("/proc/self")


def measured_afresh(cache: Path | None = None, **mesh: np.ndarray) -> tuple[float, float | None]:
    """Processor seconds to the first answer, and bytes per node and source, for the arrays that MESH holds.

    Args:
        cache: where numba keeps its code; where it always does, if not given.
        mesh: the arrays.
    """
    # Large arrays each of their own: else memory that was freed before would serve again, unseen.
    env = os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"} | ({"NUMBA_CACHE_DIR": str(cache)} if cache else {})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mesh.npz"
        np.savez(path, **mesh)
        command = [sys.executable, "-m", "tests.benchmarks.fresh_process", str(path)]
        done = subprocess.run(command, cwd=_ROOT, env=env, capture_output=True, text=True, check=True)  # noqa: S603
    seconds, per_node = json.loads(done.stdout)
    return seconds, per_node


def _main(path: str) -> None:
    with np.load(path) as data:
        nodes, tets, fibres, speeds = (data[name] for name in ("nodes_mm", "tets", "fibres", "speeds_m_per_s"))
    start = process_time()
    from twin.eikonal import Eikonal

    solver = Eikonal.from_arrays(nodes, tets, fibres, speeds_m_per_s=speeds)
    solver.solve_each([0], threads=1)
    seconds = process_time() - start
    per_node = None
    if (_PROCESS / "clear_refs").exists():
        (_PROCESS / "clear_refs").write_text("5")  # the peak counts from now
        before = _resident_bytes("VmRSS")
        solver.solve_each([0], threads=1)
        per_node = (_resident_bytes("VmHWM") - before) / len(nodes)
    print(json.dumps([seconds, per_node]))


def _resident_bytes(kind: str) -> int:
    lines = (_PROCESS / "status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(kind))


if __name__ == "__main__":
    _main(sys.argv[1])
