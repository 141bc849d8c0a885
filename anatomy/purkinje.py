"""The Purkinje network of one patient: thin lines on the endocardium, and where they meet the muscle.

Geometry only: how fast the lines conduct, and where they start, is `twin`'s.

Units: mm.
"""

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pyvista as pv
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from anatomy.arrays import Float, Int, frozen
from anatomy.checks import check_node_numbers
from anatomy.formats import read_vtk
from anatomy.heart import HeartMesh, Surface

# Our choice: on a mesh with edges of about 4 mm, at most 7 mm, the ends of two trees made on its endocardium by others
# lie up to 2.3 mm from its nodes; a septum is thicker than this.
REACH_MM = 3.0

_ENDINGS = (".vtu", ".vtp", ".vtk")
_LINES = (3, 4)  # VTK's line and poly-line
# Size of a tree as a share of its heart's; tells mm from centimetres, metres and micrometres. Our choice.
_MIN_SHARE, _MAX_SHARE = 0.1, 2.0


@dataclass(frozen=True, kw_only=True, eq=False)
class PurkinjeTree:
    """Lines that conduct, and the junctions at which they meet nodes of one heart.

    Loops are allowed, as networks have them, and so are parts that no line joins, such as the trees of both ventricles.
    A node that no line uses plays no part.

    Attributes:
        nodes_mm: (p, 3) places, in the frame of the heart.
        lines: (l, 2) int32 numbers of the nodes that each line joins, in either direction; at least one line.
        junctions: (j, 2) int32, number of a node of the tree, then of the heart; none yet where j is 0. Whether the
            heart has such a node is for those to check who have the heart.

    Raises:
        ValueError: for numbers that are not finite, no lines, unknown nodes, or a line without length.
    """

    nodes_mm: Float
    lines: Int
    junctions: Int

    def __post_init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "nodes_mm", frozen(self.nodes_mm, np.float64, name="nodes_mm", shape=(None, 3)))
        set_(self, "lines", frozen(self.lines, np.int32, name="lines", shape=(None, 2)))
        set_(self, "junctions", frozen(self.junctions, np.int32, name="junctions", shape=(None, 2)))
        p = len(self.nodes_mm)
        check_node_numbers("lines", self.lines, p)
        bad = np.flatnonzero(self.lengths_mm == 0)
        if bad.size:
            raise ValueError(
                f"lines[{bad[0]}] = {self.lines[bad[0]].tolist()} has no length ({bad.size} of {len(self.lines)} have "
                "none). Remove such lines, and give the nodes at their ends one number."
            )
        bad = np.flatnonzero((self.junctions < 0).any(axis=1) | (self.junctions[:, 0] >= p))
        if bad.size:
            raise ValueError(
                f"junctions[{bad[0]}] = {self.junctions[bad[0]].tolist()}, need a node of the tree, 0..{p - 1}, then one "
                f"of the heart, from 0 ({bad.size} of {len(self.junctions)} name others)"
            )

    @cached_property
    def lengths_mm(self) -> Float:
        """(l,) length of each line."""
        lengths: Float = np.linalg.norm(self.nodes_mm[self.lines[:, 1]] - self.nodes_mm[self.lines[:, 0]], axis=1)
        return lengths

    @cached_property
    def ends(self) -> Int:
        """(k,) the nodes at which one line ends and no other starts, ascending: the leaves, and the root."""
        return np.flatnonzero(np.bincount(self.lines.ravel()) == 1).astype(np.int32)

    @property
    def free_ends(self) -> Int:
        """(k,) the ends without a junction: the root, and leaves that excite nothing."""
        return np.setdiff1d(self.ends, self.junctions[:, 0]).astype(np.int32)


def read_purkinje(
    path: str | os.PathLike[str], heart: HeartMesh, *, root: int | None = None, reach_mm: float = REACH_MM
) -> PurkinjeTree:
    """Read the lines of a `.vtu`, `.vtp` or `.vtk`, and join them to a heart.

    The file's point array `junction`, where it has one, says which row of `heart.nodes_mm` each point meets, -1 for none.
    Otherwise the junctions are found, as `join_to_endocardium` does. Points keep the file's numbers; poly-lines
    become segments; cells that are no lines are passed over.

    Args:
        path: the file, in mm and in the frame of the heart: of one that was turned into LPS, the tree must be, too.
        heart: what to join the lines to.
        root: the end at which excitation enters; it gets no junction. Without it, every end is a leaf.
        reach_mm: the longest junction.

    Raises:
        ValueError: in one line that starts with the file's name: for an unknown ending, a file that is missing, damaged
            or without lines, a size that does not fit the heart's, pieces that meet but share no point, a `junction`
            that names no node of the heart or one out of reach, and as `PurkinjeTree` and `join_to_endocardium`.
    """
    path = Path(path)
    mesh = read_vtk(path, _ENDINGS, "Purkinje tree")
    try:
        tree = PurkinjeTree(nodes_mm=mesh.points, lines=_lines(mesh), junctions=np.empty((0, 2), dtype=np.int32))
        _check_size(tree, heart)
        _check_pieces(tree)
        if "junction" not in mesh.point_data:
            return join_to_endocardium(tree, heart, root=root, reach_mm=reach_mm)
        _check_choice(tree, root, reach_mm)
        return replace(tree, junctions=_given(tree, heart, np.asarray(mesh.point_data["junction"]), root, reach_mm))
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def join_to_endocardium(
    tree: PurkinjeTree, heart: HeartMesh, *, root: int | None = None, reach_mm: float = REACH_MM
) -> PurkinjeTree:
    """The tree with a junction from each leaf to the nearest node of the endocardium, left or right, within reach.

    A leaf out of reach gets none and is one of the tree's `free_ends`. Leaves may share a node of the heart. A
    node in scar core is as good as any: where it lies is geometry, that it does not conduct is not.

    Args:
        tree: its junctions, if it has any, are replaced.
        heart: what to join it to.
        root: the end at which excitation enters; it gets no junction. Without it, every end is a leaf.
        reach_mm: the longest junction.

    Raises:
        ValueError: if the root is no end of the tree, the reach is not positive and finite, or no leaf is within reach.
    """
    _check_choice(tree, root, reach_mm)
    leaves = tree.ends[tree.ends != root] if root is not None else tree.ends
    if not leaves.size:
        raise ValueError("the tree has no leaves: give its junctions (in a file, as the point array `junction`)")
    nodes = heart.nodes_of(Surface.LV_ENDOCARDIUM, Surface.RV_ENDOCARDIUM)
    distance, near = KDTree(heart.nodes_mm[nodes]).query(tree.nodes_mm[leaves])
    touches = distance <= reach_mm
    if not touches.any():
        raise ValueError(
            f"no leaf lies within {reach_mm:g} mm of a node of the endocardium: the nearest of {len(leaves)} is "
            f"{distance.min():.3g} mm away. Check that tree and heart lie in the same frame, or raise reach_mm."
        )
    return replace(tree, junctions=np.column_stack([leaves, nodes[near]])[touches])


def _lines(mesh: pv.DataSet) -> Int:
    """(l, 2) the point pairs that the lines and poly-lines of a file join.

    The cells are taken from VTK's arrays: its own way to list them crashes where a damaged file has spoilt them.
    """
    if isinstance(mesh, pv.PolyData):
        cells, kinds = mesh.GetLines(), None
    elif isinstance(mesh, pv.UnstructuredGrid):
        cells, kinds = mesh.GetCells(), mesh.celltypes
    else:
        raise ValueError("the file holds a grid, not lines")
    first, flat = (pv.convert_array(array) for array in (cells.GetOffsetsArray(), cells.GetConnectivityArray()))
    sizes = np.diff(first)
    is_line = np.ones(len(sizes), dtype=np.bool_) if kinds is None else np.isin(kinds, _LINES)
    if (sizes < 0).any() or first[0] != 0 or first[-1] != len(flat) or len(is_line) != len(sizes):
        raise ValueError("the file is damaged: its cells do not fit together")
    cell = np.repeat(np.arange(len(sizes)), sizes)
    joined = (cell[1:] == cell[:-1]) & is_line[cell[1:]]
    pairs: Int = np.column_stack([flat[:-1], flat[1:]])[joined]
    return pairs


def _given(tree: PurkinjeTree, heart: HeartMesh, junction: Float, root: int | None, reach_mm: float) -> Int:
    """(j, 2) the junctions that a file gives, without that of the root."""
    number = frozen(junction, np.float64, name="junction", shape=(len(tree.nodes_mm),))
    n = len(heart.nodes_mm)
    bad = np.flatnonzero((number != np.round(number)) | (number < -1) | (number >= n))
    if bad.size:
        raise ValueError(
            f"junction[{bad[0]}] = {number[bad[0]]:.10g}, need a node of the heart, 0..{n - 1}, or -1 for none ({bad.size} of "
            f"{len(number)} are neither). The numbers may be those of another mesh: leave the array out to have them found."
        )
    joined = np.flatnonzero(number >= 0)
    joined = joined[joined != root] if root is not None else joined
    if not joined.size:
        raise ValueError("the array `junction` joins no point to the heart: leave it out to have the junctions found")
    nodes = number[joined].astype(np.int32)
    distance = np.linalg.norm(heart.nodes_mm[nodes] - tree.nodes_mm[joined], axis=1)
    far = np.flatnonzero(distance > reach_mm)
    if far.size:
        i = far[0]
        raise ValueError(
            f"junction[{joined[i]}] = {nodes[i]} is {distance[i]:.3g} mm away, need at most {reach_mm:g} mm ({far.size} of "
            f"{len(joined)} are further). The numbers may be those of another mesh: leave the array out to have them "
            "found, or raise reach_mm."
        )
    return np.column_stack([joined, nodes])


def _check_choice(tree: PurkinjeTree, root: int | None, reach_mm: float) -> None:
    if not 0 < reach_mm < np.inf:
        raise ValueError(f"reach_mm = {reach_mm:g}, need a positive, finite length")
    if root is not None and root not in tree.ends:
        some = ", ".join(str(end) for end in tree.ends[:5]) + (", ..." if len(tree.ends) > 5 else "")
        raise ValueError(
            f"root = {root} is none of the tree's {len(tree.ends)} ends ({some}); a root within needs no name"
        )


def _check_size(tree: PurkinjeTree, heart: HeartMesh) -> None:
    """Refuse trees in another unit than their heart: they could touch it by chance, near the origin."""
    size, whole = (float(np.ptp(x, axis=0).max()) for x in (tree.nodes_mm[tree.lines.ravel()], heart.nodes_mm))
    if not _MIN_SHARE <= size / whole <= _MAX_SHARE:
        raise ValueError(
            f"the tree measures {size:.3g} mm, the heart {whole:.3g} mm, need {_MIN_SHARE:g} to {_MAX_SHARE:g} times that: "
            "check that the points are in mm (metres need `* 1000`, micrometres `/ 1000`)"
        )


def _check_pieces(tree: PurkinjeTree) -> None:
    """Refuse lines with copies of the points that they share: where a branch starts would pass for a leaf."""
    place = np.unique(tree.nodes_mm, axis=0, return_inverse=True)[1].ravel()
    apart, together = _pieces(tree.lines), _pieces(place[tree.lines].astype(np.int32))
    if together < apart:
        raise ValueError(
            f"the lines fall into {apart} pieces, but {together} if points at the same place count as one: merge "
            "such points (pyvista: `.clean()`)"
        )


def _pieces(lines: Int) -> int:
    """Into how many parts, none joined to another, the lines fall."""
    size = int(lines.max()) + 1
    graph = coo_array((np.ones(len(lines), dtype=np.int8), (lines[:, 0], lines[:, 1])), shape=(size, size))
    return len(np.unique(connected_components(graph, directed=False)[1][lines[:, 0]]))
