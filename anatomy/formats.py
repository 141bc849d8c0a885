"""Reading and writing hearts and surfaces: VTK's files here, openCARP's in `anatomy.opencarp`.

VTK's readers answer a damaged file with an empty mesh, not with an error: what was read is checked, and every failure
is a ValueError of one line.

The layout of a heart: tetrahedra, then tagged triangles. Cell arrays `fibre`, `sheet` (zero on triangles), `tissue`,
`surface` (0 on tetrahedra); point arrays `apicobasal`, `transmural`, `rotational`, `transventricular`, `aha`.

Units: mm.
"""

import logging
import os
import warnings
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pyvista as pv
from numpy.typing import ArrayLike, NDArray

from anatomy.arrays import Byte, Int
from anatomy.heart import Coordinates, Heart, Surface
from anatomy.heart_file import HeartFile as HeartFile
from anatomy.heart_file import SurfaceFile as SurfaceFile
from anatomy.opencarp import read_opencarp
from anatomy.opencarp import write_opencarp as write_opencarp

_TRIANGLE, _TETRA = 5, 10
_OPENCARP = (".pts", ".elem", ".lon")
_HEARTS = (".vtu", ".vtk")
_SURFACES = (".vtp", ".vtk", ".stl", ".obj", ".ply")
_TAGS = ("surface", "class")


def read_heart_file(path: str | os.PathLike[str]) -> HeartFile:
    """Read the tetrahedra of a heart, and what else the file says of them: `.vtu`, `.vtk`, or openCARP's files.

    Raises:
        ValueError: for an unknown ending, and for a file that is missing, damaged or holds no tetrahedra.
    """
    path = Path(path)
    if path.suffix.lower() in _OPENCARP:
        return read_opencarp(path)
    grid = read_vtk(path, _HEARTS, "tetrahedral mesh")
    if not isinstance(grid, pv.UnstructuredGrid):
        raise ValueError(f"{path.name} holds a surface, need tetrahedra: mesh it first")
    is_tet, is_triangle = grid.celltypes == _TETRA, grid.celltypes == _TRIANGLE
    cells = grid.cells_dict
    per_tet = {name: np.asarray(values)[is_tet] for name, values in grid.cell_data.items()}
    triangles, surface = None, None
    if is_triangle.any() and "surface" in grid.cell_data:
        tags = np.asarray(grid.cell_data["surface"])[is_triangle]
        triangles, surface = cells[_TRIANGLE][tags != 0], tags[tags != 0]
    try:
        return HeartFile(
            nodes_mm=np.asarray(grid.points),
            tets=cells.get(_TETRA, np.empty((0, 4), dtype=np.int32)),
            triangles=triangles,
            surface=surface,
            fibres=per_tet.get("fibre"),
            sheets=per_tet.get("sheet"),
            tissue=per_tet.get("tissue"),
            point_arrays={name: np.asarray(values) for name, values in grid.point_data.items()},
        )
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def read_surface_file(path: str | os.PathLike[str]) -> SurfaceFile:
    """Read a triangulated surface, with the tags of a `surface` or `class` array where there is one.

    Tags of points become tags of triangles: what at least two of three agree on, else the smallest.

    Raises:
        ValueError: for an unknown ending, and for a file that is missing, damaged or holds no triangles.
    """
    path = Path(path)
    mesh = read_vtk(path, _SURFACES, "surface")
    if not isinstance(mesh, pv.PolyData):
        mesh = mesh.extract_surface(algorithm="dataset_surface")
    mesh = mesh.triangulate(pass_verts=False, pass_lines=False)
    triangles = mesh.faces.reshape(-1, 4)[:, 1:]
    surface = None
    for name in _TAGS:
        if name in mesh.cell_data:
            surface = _known(np.asarray(mesh.cell_data[name]))
            break
        if name in mesh.point_data:
            surface = _majority(_known(np.asarray(mesh.point_data[name]))[triangles])
            break
    try:
        return SurfaceFile(nodes_mm=np.asarray(mesh.points), triangles=triangles, surface=surface)
    except ValueError as error:
        raise ValueError(f"{path.name}: {error}") from error


def write_heart(path: str | os.PathLike[str], heart: Heart, point_data: Mapping[str, ArrayLike] | None = None) -> None:
    """Write a heart as `.vtu`; the file appears complete or not at all.

    Args:
        path: ends in `.vtu`.
        heart: written in the layout above.
        point_data: further arrays with one row per node, such as activation times.

    Raises:
        ValueError: for another ending, or an array of the wrong length or with a name that is taken.
    """
    path = Path(path)
    if path.suffix.lower() != ".vtu":
        raise ValueError(f"{path.name}: a heart is written as .vtu")
    m, t = len(heart.tets), len(heart.triangles)
    cells = np.concatenate(
        [np.insert(heart.tets, 0, 4, axis=1).ravel(), np.insert(heart.triangles, 0, 3, axis=1).ravel()]
    )
    kinds = np.repeat(np.array([_TETRA, _TRIANGLE], dtype=np.uint8), [m, t])
    grid = pv.UnstructuredGrid(cells.astype(np.int64), kinds, np.array(heart.nodes_mm))
    grid.cell_data["fibre"] = np.concatenate([heart.fibres, np.zeros((t, 3))])
    grid.cell_data["sheet"] = np.concatenate([heart.sheets, np.zeros((t, 3))])
    grid.cell_data["tissue"] = np.concatenate([heart.tissue, np.zeros(t, dtype=np.int8)])
    grid.cell_data["surface"] = np.concatenate([np.zeros(m, dtype=np.int8), heart.surface])
    for one in fields(Coordinates):
        grid.point_data[one.name] = np.array(getattr(heart.coordinates, one.name))
    for name, given in (point_data or {}).items():
        values = np.asarray(given)
        if name in grid.point_data:
            raise ValueError(f"the point array {name!r} is one of the heart's own: choose another name")
        if len(values) != len(heart.nodes_mm):
            raise ValueError(f"point array {name!r} has {len(values)} rows for {len(heart.nodes_mm)} nodes")
        grid.point_data[name] = values
    part = path.with_name(f".part-{path.name}")
    try:
        grid.save(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_vtk(path: Path, endings: tuple[str, ...], what: str) -> Any:
    """Whatever VTK makes of the file, if it has points and cells."""
    if path.suffix.lower() not in endings:
        known = ", ".join(endings) + (", " + ", ".join(_OPENCARP) if endings == _HEARTS else "")
        raise ValueError(f"{path.name}: the ending {path.suffix!r} is not that of a {what}; known: {known}")
    if not path.is_file():
        raise ValueError(f"{path.name}: no such file")
    if not path.stat().st_size:
        raise ValueError(f"{path.name} is empty")
    level = logging.root.manager.disable
    try:
        # PyVista reports a reader's errors as a warning and on the root logger; here they are errors.
        logging.disable(logging.ERROR)
        with warnings.catch_warnings(), pv.vtk_verbosity("off"):
            warnings.filterwarnings("error", message="The VTK reader")
            mesh = pv.read(path)
    except Exception as error:  # the readers raise all kinds
        raise ValueError(f"{path.name} is not a {what} that VTK reads; it may be truncated") from error
    finally:
        logging.disable(level)
    if not isinstance(mesh, pv.DataSet) or mesh.n_points < 2 or not mesh.n_cells:
        raise ValueError(f"{path.name} is damaged or truncated: VTK finds no cells in it")
    return mesh


def _known(tags: NDArray[Any]) -> Byte:
    """The tags as `Surface` numbers, 0 for any other."""
    return np.where(np.isin(tags, list(Surface)), tags, 0).astype(np.int8)


def _majority(tags: Int) -> Byte:
    """(t,) the tag of a triangle from those of its three nodes; 0 has no vote."""
    a, b, c = tags.T
    agreed = np.where((a == b) | (a == c), a, np.where(b == c, b, 0))
    smallest = np.where(tags > 0, tags, np.iinfo(np.int8).max).min(axis=1)
    lone = np.where(smallest == np.iinfo(np.int8).max, 0, smallest)
    return np.where(agreed > 0, agreed, lone).astype(np.int8)
