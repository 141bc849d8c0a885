"""The coronary venous tree: the way a left-ventricular lead takes from the coronary sinus to the heart's surface.

Units: mm.
"""

from dataclasses import dataclass

import numpy as np

from anatomy.arrays import Byte, Float, Int, frozen


@dataclass(frozen=True, kw_only=True, eq=False)
class VenousTree:
    """Centre lines of the veins as a rooted tree.

    Attributes:
        nodes_mm: (k, 3) points along the centre lines.
        parent: (k,) int32, the next point towards the coronary sinus ostium; -1 at the ostium, which is point 0.
            A parent's number is smaller than its child's.
        radius_mm: (k,) inner radius, > 0.
        vein: (k,) int8, which of `names` the point belongs to.
        names: the veins, the coronary sinus first.
        is_template: true where the tree was laid on the heart from published averages, not seen in the patient.

    Raises:
        ValueError: naming the first point that breaks a rule.
    """

    nodes_mm: Float
    parent: Int
    radius_mm: Float
    vein: Byte
    names: tuple[str, ...]
    is_template: bool

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        k = len(self.nodes_mm)
        set_(self, "nodes_mm", frozen(self.nodes_mm, np.float64, name="nodes_mm", shape=(None, 3)))
        set_(self, "parent", frozen(self.parent, np.int32, name="parent", shape=(k,)))
        set_(self, "radius_mm", frozen(self.radius_mm, np.float64, name="radius_mm", shape=(k,)))
        set_(self, "vein", frozen(self.vein, np.int8, name="vein", shape=(k,)))
        if k < 2:
            raise ValueError(f"a venous tree needs at least 2 points, got {k}")
        loose = np.flatnonzero((self.parent < 0) | (self.parent >= np.arange(k)))
        if self.parent[0] != -1 or loose.tolist() != [0]:
            i = int(loose[-1])
            raise ValueError(
                f"point {i} has parent {self.parent[i]}: point 0 is the ostium (parent -1), every other point's parent "
                "comes before it"
            )
        if self.radius_mm.min() <= 0:
            i = int(self.radius_mm.argmin())
            raise ValueError(f"radius_mm[{i}] = {self.radius_mm[i]:.3g}, need > 0")
        if self.vein.min() < 0 or self.vein.max() >= len(self.names):
            raise ValueError(f"vein must lie in 0..{len(self.names) - 1}, got {self.vein.min()}..{self.vein.max()}")
