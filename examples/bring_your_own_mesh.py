"""How do I activate a mesh of my own? Reads a heart with tagged surfaces, completes it, paces the septum, saves a picture.

    python examples/bring_your_own_mesh.py [heart.vtu | heart.vtk | heart.pts]

Without a file it writes one first (openCARP's format, in micrometres) and reads that.
"""

import sys
import tempfile
from pathlib import Path

import numpy as np

from anatomy.boundary_tags import tag_boundary
from anatomy.build import complete_heart
from anatomy.formats import read_heart_file, write_opencarp
from anatomy.heart import HeartMesh, Surface
from anatomy.meshing import mesh_label_map
from anatomy.phantom import Phantom
from anatomy.sites import node_by_coordinates
from twin.conduction import Conduction
from twin.eikonal import Eikonal
from twin.planning.report.figures import bullseye_figure, png

with tempfile.TemporaryDirectory() as scratch:
    if len(sys.argv) > 1:
        source = Path(sys.argv[1])
    else:
        source = Path(scratch) / "heart.pts"
        write_opencarp(source.with_suffix(""), complete_heart(mesh_label_map(Phantom().label_map(1.5), 2.5).mesh))
    file = read_heart_file(source)

triangles, surface = file.triangles, file.surface
if triangles is None or surface is None:  # openCARP meshes know no surfaces: they are told from the shape
    triangles, surface = tag_boundary(file.nodes_mm, file.tets)
mesh = HeartMesh(nodes_mm=file.nodes_mm, tets=file.tets, triangles=triangles, surface=surface)
heart = complete_heart(mesh, fibres=file.fibres, sheets=file.sheets)

septum = node_by_coordinates(heart, Surface.LV_ENDOCARDIUM, apicobasal=0.6, rotational=5 / 6)
times_ms = Eikonal(heart, Conduction()).solve(np.array([septum]))
print(
    f"{len(heart.nodes_mm)} nodes, {len(heart.tets)} tetrahedra; the last node activates after {times_ms.max():.0f} ms"
)

segments = [heart.coordinates.aha == k for k in range(1, 18)]
means = np.array([np.average(times_ms[here], weights=heart.node_volumes_mm3[here]) for here in segments])
picture = Path("examples/out/bring_your_own_mesh.png")
picture.parent.mkdir(parents=True, exist_ok=True)
png(bullseye_figure(means, label="paced from the septum", unit="ms"), picture, dpi=110)
print(f"bull's-eye in {picture}")
