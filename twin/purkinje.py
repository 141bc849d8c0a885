"""How a Purkinje tree conducts: lines from node to node in the same min-plus graph as the muscle.

The tree's own nodes are numbered behind the heart's. A junction takes its time in each direction: muscle excited through it
is late by one delay, and a tree entered from the muscle (as the left one may be in left bundle branch block) by another.

Units: mm, ms, and so mm/ms = m/s.
"""

from dataclasses import dataclass

import numpy as np

from anatomy.arrays import Bool, Float, Int
from anatomy.purkinje import PurkinjeTree


@dataclass(frozen=True, kw_only=True, eq=False)
class Purkinje:
    """A tree with its speed.

    Attributes:
        tree: lines and junctions.
        speed_m_per_s: along every line.
        to_muscle_ms: from the tree's end of a junction to the muscle's, >= 0.
        to_tree_ms: back; `inf` for junctions that conduct in one direction.

    Raises:
        ValueError: if the speed is not positive and finite, or a delay is negative or not a number.
    """

    tree: PurkinjeTree
    speed_m_per_s: float
    to_muscle_ms: float
    to_tree_ms: float

    def __post_init__(self) -> None:
        if not 0 < self.speed_m_per_s < np.inf:
            raise ValueError(f"speed_m_per_s = {self.speed_m_per_s:g}, need a positive, finite speed in m/s")
        for name in ("to_muscle_ms", "to_tree_ms"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} = {getattr(self, name):g}, need a delay >= 0 ms (inf: does not conduct)")

    def ways(self, root: int, conducting: Bool) -> tuple[Int, Float, Float]:
        """All steps between nodes, each in one direction.

        Args:
            root: number of the tree's node 0.
            conducting: (n,) whether a node of the heart conducts; junctions with others are left out.

        Returns:
            (k, 2) start and end; (k,) milliseconds; (k,) how many of these depend on the tree's speed.
        """
        lines, junctions = self.tree.lines + root, self.tree.junctions
        bad = np.flatnonzero(junctions[:, 1] >= len(conducting))
        if bad.size:
            raise ValueError(
                f"junctions[{bad[0]}] names node {junctions[bad[0], 1]} of the heart, which has {len(conducting)} "
                f"({bad.size} of {len(junctions)} do). Join the tree to this heart."
            )
        junctions = junctions[conducting[junctions[:, 1]]] + np.array([root, 0], dtype=np.int32)
        travel = self.tree.lengths_mm / self.speed_m_per_s
        delays = np.repeat([self.to_muscle_ms, self.to_tree_ms], len(junctions))
        ends = np.concatenate([lines, lines[:, ::-1], junctions, junctions[:, ::-1]]).astype(np.int32)
        step = np.concatenate([travel, travel, delays])
        own = np.concatenate([travel, travel, np.zeros(len(delays))])
        open_ = np.isfinite(step)
        return ends[open_], step[open_], own[open_]
