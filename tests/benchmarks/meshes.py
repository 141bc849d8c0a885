"""The meshes that the timings run on; hearts are made once and kept in the user's temporary folder.

The fibres are those of the rule, the muscle is healthy throughout, and two speeds are enough: TorchCor knows no three.

Units: mm, ms.
"""

import os
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial import Delaunay, KDTree

from anatomy.arrays import Float, Int
from anatomy.build import complete_heart
from anatomy.formats import read_surface_file
from anatomy.heart import Heart, HeartMesh, Surface
from anatomy.meshing import mesh_label_map
from anatomy.phantom import Phantom
from anatomy.surface_meshing import mesh_surface
from anatomy.vein_template import template_tree
from tests.twin.boxes import kuhn_box

REAL_HEART = Path(__file__).parents[2] / "../shared/data/heart-geo1/heart.vtp"
# The names carry the edges; delete the folder where the mesher has changed.
CACHE = Path(tempfile.gettempdir()) / "crt-twin-benchmark"
SITES = 100


@dataclass(frozen=True, kw_only=True, eq=False)
class BenchmarkMesh:
    """Muscle to solve on.

    Attributes:
        name: as the table calls it.
        nodes_mm: (n, 3).
        tets: (m, 4).
        fibres: (m, 3).
        vein: nodes under the template's veins, one after the other, neighbours 1 to 2 mm apart; empty for the block.
    """

    name: str
    nodes_mm: Float
    tets: Int
    fibres: Float
    vein: Int

    def metric(self, along_m_per_s: float, across_m_per_s: float) -> Float:
        """(m, 3, 3) ms^2/mm^2; not taken from `twin`, which is what is measured."""
        along, across = along_m_per_s**-2, across_m_per_s**-2
        metric: Float = across * np.eye(3) + (along - across) * np.einsum("ni,nj->nij", self.fibres, self.fibres)
        return metric


def block(size_mm: float = 12.0, edge_mm: float = 1.5) -> BenchmarkMesh:
    """An irregular block of ventricular wall whose fibres turn by 120 degrees from bottom to top."""
    nodes, _ = kuhn_box((size_mm,) * 3, edge_mm)
    nodes = nodes + np.random.default_rng(0).uniform(-0.3, 0.3, nodes.shape) * edge_mm
    tets = Delaunay(nodes).simplices.astype(np.int32)
    angle = np.radians(60 - 120 * nodes[tets].mean(axis=1)[:, 2] / size_mm)
    fibres = np.column_stack([np.cos(angle), np.sin(angle), np.zeros(len(tets))])
    return BenchmarkMesh(name="block", nodes_mm=nodes, tets=tets, fibres=fibres, vein=np.empty(0, dtype=np.int32))


def phantom(edge_mm: float) -> BenchmarkMesh:
    """The project's own heart, which every machine can make."""
    return _kept("phantom", edge_mm, lambda: mesh_label_map(Phantom().label_map(), edge_mm).mesh)


def real_heart(edge_mm: float) -> BenchmarkMesh:
    """The shape of a real heart; needs `REAL_HEART`."""
    return _kept("real heart", edge_mm, lambda: _meshed_surface(edge_mm))


def _meshed_surface(edge_mm: float) -> HeartMesh:
    skin = read_surface_file(REAL_HEART)
    assert skin.surface is not None
    return mesh_surface(skin.nodes_mm, skin.triangles, skin.surface, edge_mm)


def _kept(name: str, edge_mm: float, make: Callable[[], HeartMesh]) -> BenchmarkMesh:
    path = CACHE / f"{name.replace(' ', '-')}-{edge_mm:g}mm.npz"
    if not path.exists():
        heart = complete_heart(make())
        CACHE.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.npz")  # moved at the end, so that no half file is ever read
        np.savez(part, nodes_mm=heart.nodes_mm, tets=heart.tets, fibres=heart.fibres, vein=_nodes_under_veins(heart))
        part.replace(path)
    with np.load(path) as data:
        return BenchmarkMesh(name=name, **data)


def _nodes_under_veins(heart: Heart) -> Int:
    """`SITES` different nodes of the epicardium, vein after vein, the nearest to points about 1 mm apart."""
    tree = template_tree(heart)
    before = tree.nodes_mm[np.maximum(tree.parent, 0)]
    points = np.stack([(before + tree.nodes_mm) / 2, tree.nodes_mm], axis=1).reshape(-1, 3)
    outside = heart.nodes_of(Surface.EPICARDIUM)
    _, nearest = KDTree(heart.nodes_mm[outside]).query(points)
    _, first = np.unique(nearest, return_index=True)
    return outside[nearest[np.sort(first)]][:SITES]
