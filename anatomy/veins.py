"""The coronary venous tree: the way a left-ventricular lead takes from the coronary sinus to the heart's surface.

Units: mm.
"""

import logging
import warnings
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pyvista as pv

from anatomy.arrays import Byte, Float, Int, frozen

# Extent of the centre lines around a heart of 50 to 200 mm; tells mm from other units.
MIN_TREE_MM = 20.0
MAX_TREE_MM = 400.0


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

    @cached_property
    def distances_mm(self) -> Float:
        """(k,) length of the way from the ostium to each point."""
        steps = np.linalg.norm(self.nodes_mm - self.nodes_mm[self.parent], axis=1)
        distances = np.zeros(len(self.parent))
        for point in range(1, len(self.parent)):
            distances[point] = distances[self.parent[point]] + steps[point]
        return distances

    @cached_property
    def children(self) -> Int:
        """(k,) how many points have each point as their parent."""
        return np.bincount(self.parent[1:], minlength=len(self.parent)).astype(np.int32)

    def path_to(self, point: int) -> list[int]:
        """The points from the ostium to this one, both included: the way of a lead."""
        path = [point]
        while path[-1] != 0:
            path.append(int(self.parent[path[-1]]))
        return path[::-1]

    def vein_of(self, point: int) -> str:
        """The name of the vein that a point belongs to."""
        return self.names[int(self.vein[point])]


def read_veins(path: Path) -> VenousTree:
    """Read centre lines from a VTP as `write_veins` makes it: lines, point arrays `radius_mm` and `vein`, field `names`.

    The ostium is the widest end of a line in the vein named first. Lines may come in any order and direction.

    Raises:
        ValueError: if the file cannot be read, holds no lines or lacks an array, or if the lines form no tree.
    """
    mesh = _read(path)
    if not isinstance(mesh, pv.PolyData) or mesh.n_points < 2 or not mesh.n_lines:
        raise ValueError("holds no lines; veins are a VTP of centre lines. The file may be damaged")
    for name in ("radius_mm", "vein"):
        if name not in mesh.point_data:
            raise ValueError(f"lacks the point array `{name}` (inner radius in mm, number of the vein)")
    if "names" not in mesh.field_data:
        raise ValueError("lacks the field array `names`: the veins' names, the coronary sinus first")
    vein = np.asarray(mesh.point_data["vein"])
    radius = np.asarray(mesh.point_data["radius_mm"])
    if vein.ndim != 1 or radius.ndim != 1:
        raise ValueError("the point arrays `radius_mm` and `vein` must hold one number per point")
    size = float(np.ptp(mesh.points, axis=0).max())
    if not MIN_TREE_MM <= size <= MAX_TREE_MM:
        raise ValueError(
            f"the veins span {size:.4g} mm, need {MIN_TREE_MM:g} to {MAX_TREE_MM:g}: check that they are in mm"
        )
    order, parent = _rooted(_segments(mesh), vein, radius)
    return VenousTree(
        nodes_mm=np.asarray(mesh.points)[order],
        parent=parent,
        radius_mm=radius[order],
        vein=vein[order],
        names=tuple(str(name) for name in mesh.field_data["names"]),
        is_template=bool(np.ravel(mesh.field_data.get("is_template", [0]))[0]),
    )


def write_veins(path: Path, tree: VenousTree) -> None:
    """Write the tree as VTP lines, one segment between each point and its parent."""
    children = np.flatnonzero(tree.parent >= 0)
    lines = np.column_stack([np.full(len(children), 2), tree.parent[children], children])
    mesh = pv.PolyData(np.asarray(tree.nodes_mm), lines=lines.ravel())
    mesh.point_data["radius_mm"] = tree.radius_mm
    mesh.point_data["vein"] = tree.vein
    mesh.field_data["names"] = np.array(tree.names)
    mesh.field_data["is_template"] = np.array([int(tree.is_template)])
    mesh.save(path)


def _read(path: Path) -> Any:
    """Whatever VTK makes of the file; its readers report errors as warnings and on stderr, here they are errors."""
    if not path.is_file() or not path.stat().st_size:
        raise ValueError("is no file, or empty")
    level = logging.root.manager.disable
    try:
        logging.disable(logging.ERROR)
        with warnings.catch_warnings(), pv.vtk_verbosity("off"):
            warnings.filterwarnings("error", message="The VTK reader")
            return pv.read(path)
    except Exception as error:  # the readers raise all kinds
        raise ValueError("is not a VTP that VTK reads; it may be truncated") from error
    finally:
        logging.disable(level)


def _segments(mesh: pv.PolyData) -> Int:
    """(s, 2) the point pairs that the file's poly-lines join."""
    flat, pairs, at = np.asarray(mesh.lines), [], 0
    while at < len(flat):
        line = flat[at + 1 : at + 1 + flat[at]]
        pairs.append(np.column_stack([line[:-1], line[1:]]))
        at += 1 + flat[at]
    return np.concatenate(pairs).astype(np.int32)


def _rooted(segments: Int, vein: Int, radius: Float) -> tuple[Int, Int]:
    """Points in an order in which parents come first, and each one's parent in that order."""
    graph = nx.Graph(segments.tolist())
    if not nx.is_tree(graph) or len(graph) != len(vein):
        raise ValueError("the lines form no single tree: join the pieces, remove loops and loose points")
    ends = [node for node in graph if graph.degree(node) == 1 and vein[node] == 0]
    if not ends:
        raise ValueError("no line of vein 0 (the coronary sinus) ends: the ostium is not to be found")
    ostium = max(ends, key=lambda node: float(radius[node]))
    order = list(nx.dfs_preorder_nodes(graph, ostium))
    place = {node: number for number, node in enumerate(order)}
    parents = dict(nx.dfs_predecessors(graph, ostium))
    parent = [-1 if node == ostium else place[parents[node]] for node in order]
    return np.array(order, dtype=np.int32), np.array(parent, dtype=np.int32)
