"""What every mesh of a heart must keep, whichever way it came: checks that name the first offender and the usual cure."""

import numpy as np

from anatomy.arrays import Float, Int

# Adult and canine ventricles measure 60 to 140 mm across; the limits catch metres and micrometres, not rare hearts.
MIN_SIZE_MM = 50.0
MAX_SIZE_MM = 200.0
# Below this a tetrahedron is flat up to rounding errors; edges of 0.1 mm enclose 1e-4 mm3.
_FLAT_MM3 = 1e-7


def check_node_numbers(name: str, cells: Int, n: int) -> None:
    """Refuse cells that name a node which does not exist, and a mesh without cells."""
    if not len(cells):
        raise ValueError(f"{name} is empty: the mesh holds no {name}; the file may be truncated")
    bad = np.flatnonzero(((cells < 0) | (cells >= n)).any(axis=1))
    if bad.size:
        raise ValueError(
            f"{name}[{bad[0]}] = {cells[bad[0]].tolist()} names a node outside 0..{n - 1} "
            f"({bad.size} of {len(cells)} do). Files that count from 1 need `{name} - 1`."
        )


def check_size(nodes_mm: Float) -> None:
    """Refuse hearts that are not in mm, naming the likely unit."""
    size = float(np.ptp(nodes_mm, axis=0).max())
    if MIN_SIZE_MM <= size <= MAX_SIZE_MM:
        return
    cure = "check that the nodes are in mm"
    for unit, factor in (("metres", 1e3), ("centimetres", 10.0), ("micrometres", 1e-3)):
        if MIN_SIZE_MM <= size * factor <= MAX_SIZE_MM:
            cure = f"the nodes look like {unit}: multiply them by {factor:g}"
    raise ValueError(f"the heart measures {size:.4g} mm, need {MIN_SIZE_MM:g} to {MAX_SIZE_MM:g} mm; {cure}")


def check_volumes(tets: Int, volumes: Float) -> None:
    """Refuse inverted and flat tetrahedra."""
    bad = np.flatnonzero(volumes < _FLAT_MM3)
    if bad.size:
        i = bad[0]
        raise ValueError(
            f"tets[{i}] = {tets[i].tolist()} has volume {volumes[i]:.3g} mm3, need > 0 ({bad.size} of {len(tets)} "
            "tetrahedra do not). Swap two node numbers of inverted ones (if all are, the heart may be mirrored), remove "
            "flat ones."
        )


def check_unit_vectors(name: str, vectors: Float) -> None:
    """Refuse vectors that are not of length 1."""
    lengths = np.linalg.norm(vectors, axis=1)
    bad = np.flatnonzero(np.abs(lengths - 1) > 1e-3)
    if bad.size:
        raise ValueError(
            f"{name}[{bad[0]}] has length {lengths[bad[0]]:.4g}, need 1 ({bad.size} of {len(vectors)} vectors). "
            "Divide the vectors by their lengths."
        )
