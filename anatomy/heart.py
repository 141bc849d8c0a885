"""The ventricles of one patient: tetrahedra, a boundary that knows what it borders, and what the tissue is made of.

A `HeartMesh` is geometry alone: what a mesher or a reader gives. A `Heart` is a `HeartMesh` with tissue, fibres and
ventricular coordinates: what a simulation takes. `anatomy.build.complete_heart` makes the second out of the first.

Units: mm. Frame: LPS patient space (x to the left, y to the back, z to the head) once `anatomy.orientation` has run.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numba import njit
from numpy.typing import NDArray

from anatomy.arrays import Bool, Byte, Float, Int, frozen
from anatomy.checks import check_node_numbers, check_size, check_unit_vectors, check_volumes

AHA_SEGMENTS = 17
# Three node numbers fit into one 63-bit key; at 0.5 mm a large heart has 1.9 M nodes.
_MAX_NODES = 2**21


class Surface(IntEnum):
    """What a boundary triangle borders; the numbers are those of the `surface` array of `heart.vtu`."""

    BASE = 1
    EPICARDIUM = 2
    LV_ENDOCARDIUM = 3
    RV_ENDOCARDIUM = 4


class Tissue(IntEnum):
    """What a tetrahedron consists of; the numbers are those of the `tissue` array of `heart.vtu`."""

    HEALTHY = 0
    BORDER_ZONE = 1
    CORE = 2


@dataclass(frozen=True, kw_only=True, eq=False)
class HeartMesh:
    """Tetrahedra of both ventricles, and their tagged boundary.

    Attributes:
        nodes_mm: (n, 3) float64.
        tets: (m, 4) int32 node numbers, from 0; every volume is positive.
        triangles: (t, 3) int32, the boundary faces that carry a tag, counter-clockwise seen from outside (given in any
            order of nodes, they are turned so).
        surface: (t,) int8, a `Surface` per triangle; all four kinds occur.

    Raises:
        ValueError: naming the rule, the first offender, how many there are, and the usual cure.
    """

    nodes_mm: Float
    tets: Int
    triangles: Int
    surface: Byte

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "nodes_mm", frozen(self.nodes_mm, np.float64, name="nodes_mm", shape=(None, 3)))
        set_(self, "tets", frozen(self.tets, np.int32, name="tets", shape=(None, 4)))
        set_(self, "triangles", frozen(self.triangles, np.int32, name="triangles", shape=(None, 3)))
        set_(self, "surface", frozen(self.surface, np.int8, name="surface", shape=(len(self.triangles),)))
        check_node_numbers("tets", self.tets, len(self.nodes_mm))
        check_node_numbers("triangles", self.triangles, len(self.nodes_mm))
        if len(self.nodes_mm) > _MAX_NODES:
            raise ValueError(f"the mesh has {len(self.nodes_mm)} nodes, need at most {_MAX_NODES}: mesh it coarser")
        check_size(self.nodes_mm)
        check_volumes(self.tets, self.tet_volumes_mm3)
        set_(self, "triangles", _turned_outward(self.triangles, self.tets))
        _check_surfaces(self.surface)

    @cached_property
    def tet_volumes_mm3(self) -> Float:
        """(m,) signed volumes."""
        volumes: Float = tet_volumes_mm3(self.nodes_mm, self.tets)
        return volumes

    @cached_property
    def node_volumes_mm3(self) -> Float:
        """(n,) a quarter of the volume of every tetrahedron at a node: the weights of all volume statistics."""
        return _shared_out(self.tet_volumes_mm3, self.tets, len(self.nodes_mm))

    def triangles_of(self, *surfaces: Surface) -> Int:
        """(k, 3) the triangles that carry one of these tags."""
        return self.triangles[np.isin(self.surface, surfaces)]

    def nodes_of(self, *surfaces: Surface) -> Int:
        """(k,) the numbers of the nodes on these surfaces, ascending."""
        on = np.zeros(len(self.nodes_mm), dtype=np.bool_)
        on[self.triangles_of(*surfaces)] = True
        return np.flatnonzero(on).astype(np.int32)


@dataclass(frozen=True, kw_only=True, eq=False)
class Coordinates:
    """Where each node lies in the ventricles, the same for hearts of any size (after Cobiveco).

    `anatomy.coordinates` computes them and says how they deviate from their source, doi:10.1016/j.media.2021.102247.

    Attributes:
        apicobasal: (n,) 0 at the apex, 1 at the base.
        transmural: (n,) 0 on the endocardium of the node's own ventricle, 1 on the epicardium or, in the septum,
            on the right side.
        rotational: (n,) in [0, 1), around the long axis: 0 at the inferior insertion of the right ventricle, through
            the free wall to 2/3 at the anterior one, and back through the septum.
        transventricular: (n,) 0 left ventricle with the septum, 1 right ventricular free wall.
        aha: (n,) AHA segment 1 to 17, or 0 in the right ventricle.
    """

    apicobasal: Float
    transmural: Float
    rotational: Float
    transventricular: Float
    aha: Byte

    def __post_init__(self) -> None:
        n = len(self.apicobasal)
        for name in ("apicobasal", "transmural", "rotational", "transventricular"):
            values = frozen(getattr(self, name), np.float64, name=name, shape=(n,))
            if values.size and (values.min() < 0 or values.max() > 1):
                raise ValueError(f"{name} must lie in 0..1, got {values.min():.3g}..{values.max():.3g}")
            object.__setattr__(self, name, values)
        aha = frozen(self.aha, np.int8, name="aha", shape=(n,))
        if aha.size and (aha.min() < 0 or aha.max() > AHA_SEGMENTS):
            raise ValueError(f"aha must lie in 0..{AHA_SEGMENTS}, got {aha.min()}..{aha.max()}")
        object.__setattr__(self, "aha", aha)

    @property
    def in_left_ventricle(self) -> Bool:
        """(n,) true in the left ventricle, septum included."""
        return self.transventricular < 0.5


@dataclass(frozen=True, kw_only=True, eq=False)
class Heart(HeartMesh):
    """A simulation-ready biventricular heart: geometry, tissue, fibres, coordinates.

    Attributes:
        tissue: (m,) int8, a `Tissue` per tetrahedron.
        fibres: (m, 3) unit vectors; the sign has no meaning.
        sheets: (m, 3) unit vectors across the fibres.
        coordinates: of the nodes.

    Raises:
        ValueError: as `HeartMesh`, and for vectors that are not of unit length or not at right angles.
    """

    tissue: Byte
    fibres: Float
    sheets: Float
    coordinates: Coordinates

    @cached_property
    def living(self) -> Bool:
        """(n,) true at nodes that touch a tetrahedron other than scar core: what can activate."""
        alive = np.zeros(len(self.nodes_mm), dtype=np.bool_)
        alive[self.tets[self.tissue != Tissue.CORE]] = True
        return alive

    @cached_property
    def living_volumes_mm3(self) -> Float:
        """(n,) as `node_volumes_mm3`, of the tissue that can activate."""
        return _shared_out(
            np.where(self.tissue == Tissue.CORE, 0.0, self.tet_volumes_mm3), self.tets, len(self.nodes_mm)
        )

    def __post_init__(self) -> None:
        HeartMesh.__post_init__(self)
        m = len(self.tets)
        tissue = frozen(self.tissue, np.int8, name="tissue", shape=(m,))
        if not np.isin(tissue, list(Tissue)).all():
            raise ValueError(f"tissue must be 0 healthy, 1 border zone or 2 core, got {np.unique(tissue).tolist()}")
        object.__setattr__(self, "tissue", tissue)
        for name in ("fibres", "sheets"):
            vectors = frozen(getattr(self, name), np.float64, name=name, shape=(m, 3))
            check_unit_vectors(name, vectors)
            object.__setattr__(self, name, vectors)
        slant = np.abs(np.einsum("ij,ij->i", self.fibres, self.sheets))
        if (slant > 1e-3).any():
            i = int(slant.argmax())
            raise ValueError(f"sheets[{i}] is not at right angles to fibres[{i}] (cosine {slant[i]:.3g})")
        if len(self.coordinates.apicobasal) != len(self.nodes_mm):
            raise ValueError(
                f"coordinates are given for {len(self.coordinates.apicobasal)} nodes, the mesh has {len(self.nodes_mm)}"
            )


@njit(cache=True)
def tet_volumes_mm3(nodes_mm: Float, tets: Int) -> Float:
    """(m,) signed volumes; positive where node 3 lies on the side to which nodes 0, 1, 2 turn counter-clockwise."""
    volumes = np.empty(len(tets))
    for i in range(len(tets)):
        o, p, q, r = tets[i]
        a0, a1, a2 = nodes_mm[p, 0] - nodes_mm[o, 0], nodes_mm[p, 1] - nodes_mm[o, 1], nodes_mm[p, 2] - nodes_mm[o, 2]
        b0, b1, b2 = nodes_mm[q, 0] - nodes_mm[o, 0], nodes_mm[q, 1] - nodes_mm[o, 1], nodes_mm[q, 2] - nodes_mm[o, 2]
        c0, c1, c2 = nodes_mm[r, 0] - nodes_mm[o, 0], nodes_mm[r, 1] - nodes_mm[o, 1], nodes_mm[r, 2] - nodes_mm[o, 2]
        # Summed in the order of numpy's einsum, so that meshes stay what they were to the last bit.
        volumes[i] = ((a1 * b2 - a2 * b1) * c0 + (a0 * b1 - a1 * b0) * c2 + (a2 * b0 - a0 * b2) * c1) / 6
    return volumes


def _shared_out(volumes: Float, tets: Int, n: int) -> Float:
    """(n,) a quarter of each tetrahedron's volume to each of its nodes."""
    return np.bincount(tets.ravel(), weights=np.repeat(volumes / 4, 4), minlength=n).astype(np.float64)


def _turned_outward(triangles: Int, tets: Int) -> Int:
    """The triangles as faces of the tetrahedra whose boundary they are, counter-clockwise seen from outside."""
    on_boundary = np.zeros(int(tets.max()) + 1, dtype=np.bool_)
    on_boundary[triangles] = True
    # Few tetrahedra have a face between nodes of triangles.
    near = tets[np.count_nonzero(on_boundary[tets], axis=1) >= 3]
    faces = near[:, [[1, 2, 3], [0, 3, 2], [0, 1, 3], [0, 2, 1]]].reshape(-1, 3)
    faces = faces[on_boundary[faces].all(axis=1)]
    keys = _face_keys(faces)
    order = np.argsort(keys)
    keys = keys[order]
    wanted = _face_keys(triangles)
    first = np.searchsorted(keys, wanted)
    count = np.searchsorted(keys, wanted, side="right") - first
    bad = np.flatnonzero(count != 1)
    if bad.size:
        i = bad[0]
        what = "lies inside the wall" if count[i] else "is no face of a tetrahedron"
        raise ValueError(
            f"triangles[{i}] = {triangles[i].tolist()} {what} ({bad.size} of {len(triangles)} do not lie on the "
            "boundary). Tag boundary faces only, with the node numbers of the tetrahedra."
        )
    turned: Int = faces[order[first]]
    turned.flags.writeable = False
    return turned


def _face_keys(faces: Int) -> NDArray[np.int64]:
    """(k,) one number per triple of nodes, whatever their order."""
    a, b, c = np.sort(faces, axis=1).astype(np.int64).T
    keys: NDArray[np.int64] = (a * _MAX_NODES + b) * _MAX_NODES + c
    return keys


def _check_surfaces(surface: Byte) -> None:
    bad = np.flatnonzero(~np.isin(surface, list(Surface)))
    if bad.size:
        raise ValueError(
            f"surface[{bad[0]}] = {surface[bad[0]]}, need 1 base, 2 epicardium, 3 LV endocardium or 4 RV endocardium "
            f"({bad.size} of {len(surface)} triangles carry another tag). Leave out triangles without a tag."
        )
    missing = [kind.name for kind in Surface if not (surface == kind).any()]
    if missing:
        names = ", ".join(missing).lower().replace("_", " ").replace("lv", "LV").replace("rv", "RV")
        raise ValueError(
            f"the boundary has no {names}; a biventricular heart needs 1 base, 2 epicardium, 3 LV endocardium and "
            "4 RV endocardium. Check the `surface` tags, and that both ventricles are in the file."
        )
