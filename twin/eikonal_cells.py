"""The simplices that a front runs through, each with its metric: what `twin.eikonal_star` makes records of.

The other parts of the solver look back at them where the records no longer say which simplex is which: straight lines from
a source, the winning simplex of a node, records under another speed.

Units: mm, ms.
"""

from dataclasses import dataclass, replace

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anatomy.arrays import Byte, Float, Int

Single = NDArray[np.float32]
Long = NDArray[np.int64]

# nodes_mm, corners, metric, tissue, first and of_node, for the kernels.
CellArrays = tuple[Float, Int, Single, Byte, Long, Int]
# The record of a face holds its tissue in two bits.
MOST_TISSUES = 4


@dataclass(frozen=True, kw_only=True, eq=False)
class Cells:
    """Tetrahedra or triangles of conducting tissue.

    Attributes:
        nodes_mm: (n, 3).
        corners: (m, 4) or (m, 3) int32 node numbers.
        metric: (m, 6) float32, the entries xx, xy, xz, yy, yz, zz in ms^2/mm^2.
        tissue: (m,) int8, 0 to 3.
        first, of_node: the cells at node v are `of_node[first[v]:first[v + 1]]`; int64 and int32.
    """

    nodes_mm: Float
    corners: Int
    metric: Single
    tissue: Byte
    first: Long
    of_node: Int

    @classmethod
    def of(cls, nodes_mm: Float, corners: Int, metric: Float, tissue: Byte) -> "Cells":
        """All parts from these."""
        first, of_node = _incidence(corners, len(nodes_mm))
        return cls(
            nodes_mm=nodes_mm,
            corners=corners,
            metric=metric.astype(np.float32),
            tissue=tissue,
            first=first,
            of_node=of_node,
        )

    @property
    def arrays(self) -> "CellArrays":
        """All that a kernel reads."""
        return self.nodes_mm, self.corners, self.metric, self.tissue, self.first, self.of_node

    def slowed(self, factors: Float) -> "Cells":
        """The same cells, a step in each tissue taking (4,) times as long."""
        return replace(self, metric=self.metric * (factors**2).astype(np.float32)[self.tissue, None])


@njit(cache=True)
def _incidence(cells: Int, n: int) -> tuple[Long, Int]:
    """Which cells meet at each of n nodes: (n + 1,) first place of each node, and the cells."""
    first = np.zeros(n + 1, dtype=np.int64)
    for cell in cells:
        for v in cell:
            first[v + 1] += 1
    first = np.cumsum(first)
    free = first[:-1].copy()
    out = np.empty(first[-1], dtype=np.int32)
    for i in range(len(cells)):
        for v in cells[i]:
            out[free[v]] = i
            free[v] += 1
    return first, out
