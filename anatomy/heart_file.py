"""What a file of a heart held, before it is a `Heart`: the tetrahedra, and whatever else was there.

Units: mm, whatever the file's own unit was.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from anatomy.arrays import Byte, Float, Int, frozen
from anatomy.checks import check_node_numbers, check_unit_vectors


@dataclass(frozen=True, kw_only=True, eq=False)
class HeartFile:
    """The content of a file; `None` where the file said nothing.

    Attributes:
        nodes_mm: (n, 3) nodes that a tetrahedron uses.
        tets: (m, 4) int32.
        triangles: (t, 3) int32 tagged surface triangles.
        surface: (t,) int8, a `Surface` per triangle.
        fibres: (m, 3) unit vectors as the file gave them.
        sheets: (m, 3) unit vectors.
        tissue: (m,) int8, a `Tissue` per tetrahedron.
        point_arrays: further values per node, by name.

    Raises:
        ValueError: for no tetrahedra, numbers that are not finite, unknown nodes, or vectors not of unit length.
    """

    nodes_mm: Float
    tets: Int
    triangles: Int | None = None
    surface: Byte | None = None
    fibres: Float | None = None
    sheets: Float | None = None
    tissue: Byte | None = None
    point_arrays: Mapping[str, Float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        nodes = frozen(self.nodes_mm, np.float64, name="nodes", shape=(None, 3))
        tets = frozen(self.tets, np.int32, name="tets", shape=(None, 4))
        if not len(tets):
            raise ValueError("the file holds no tetrahedra: it may be empty or truncated, or a surface (mesh it first)")
        check_node_numbers("tets", tets, len(nodes))
        used = np.flatnonzero(np.bincount(tets.ravel(), minlength=len(nodes)))
        number = np.full(len(nodes), -1, dtype=np.int32)
        number[used] = np.arange(len(used))
        set_(self, "nodes_mm", frozen(nodes[used], np.float64, name="nodes", shape=(None, 3)))
        set_(self, "tets", frozen(number[tets], np.int32, name="tets", shape=(None, 4)))
        if (self.triangles is None) != (self.surface is None):
            raise ValueError("triangles and their surface tags come together: the file has one without the other")
        if self.triangles is not None and self.surface is not None:
            triangles = frozen(self.triangles, np.int32, name="triangles", shape=(None, 3))
            check_node_numbers("triangles", triangles, len(nodes))
            triangles = number[triangles]
            check_node_numbers("triangles", triangles, len(used))
            set_(self, "triangles", frozen(triangles, np.int32, name="triangles", shape=(None, 3)))
            set_(self, "surface", frozen(self.surface, np.int8, name="surface", shape=(len(triangles),)))
        m = len(tets)
        for name in ("fibres", "sheets"):
            if (vectors := getattr(self, name)) is not None:
                vectors = frozen(vectors, np.float64, name=name, shape=(m, 3))
                check_unit_vectors(name, vectors)
                set_(self, name, vectors)
        if self.tissue is not None:
            set_(self, "tissue", frozen(self.tissue, np.int8, name="tissue", shape=(m,)))
        arrays = {}
        for name, values in self.point_arrays.items():
            per_node = np.asarray(values, dtype=np.float64)
            if len(per_node) != len(nodes):
                raise ValueError(f"point array {name!r} has {len(per_node)} values for {len(nodes)} nodes")
            arrays[name] = per_node[used]
            arrays[name].flags.writeable = False
        set_(self, "point_arrays", arrays)


@dataclass(frozen=True, kw_only=True, eq=False)
class SurfaceFile:
    """A triangulated surface as a file gave it.

    Attributes:
        nodes_mm: (n, 3).
        triangles: (t, 3) int32.
        surface: (t,) int8, a `Surface` per triangle, 0 where the file gave none that is known; None without any tags.

    Raises:
        ValueError: for no triangles, numbers that are not finite, or unknown nodes.
    """

    nodes_mm: Float
    triangles: Int
    surface: Byte | None = None

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "nodes_mm", frozen(self.nodes_mm, np.float64, name="nodes", shape=(None, 3)))
        set_(self, "triangles", frozen(self.triangles, np.int32, name="triangles", shape=(None, 3)))
        if not len(self.triangles):
            raise ValueError("the file holds no triangles: it may be empty or truncated")
        check_node_numbers("triangles", self.triangles, len(self.nodes_mm))
        if self.surface is not None:
            set_(self, "surface", frozen(self.surface, np.int8, name="surface", shape=(len(self.triangles),)))
