"""openCARP's mesh files: `.pts` nodes in micrometres, `.elem` elements, `.lon` fibres and sheets.

Nodes count from 0; an element line is its type, its nodes and an optional region.

Units: mm here, micrometres in the files.
"""

import os
from pathlib import Path

import numpy as np

from anatomy.arrays import Float, Int
from anatomy.heart import Heart
from anatomy.heart_file import HeartFile

_MM_PER_MICROMETRE = 1e-3


def read_opencarp(path: str | os.PathLike[str]) -> HeartFile:
    """Read the `.pts`, `.elem` and, where there is one, `.lon` file of one mesh.

    Args:
        path: any of the three; the others lie beside it under the same name.

    Returns:
        Tetrahedra (`Tt`; other elements are left out), with the fibres of `.lon`. One vector in `.lon` counts for all
        elements.

    Raises:
        ValueError: for a missing, truncated or damaged file.
    """
    stem = Path(path).with_suffix("")
    nodes = _read_nodes(stem.with_suffix(".pts"))
    tets, is_tet = _read_tets(stem.with_suffix(".elem"))
    lon = stem.with_suffix(".lon")
    fibres, sheets = _read_axes(lon, is_tet) if lon.is_file() else (None, None)
    try:
        return HeartFile(nodes_mm=nodes, tets=tets, fibres=fibres, sheets=sheets)
    except ValueError as error:
        raise ValueError(f"{stem.name}: {error}") from error


def write_opencarp(stem: str | os.PathLike[str], heart: Heart) -> None:
    """Write `stem.pts`, `stem.elem` (region: the tissue's number) and `stem.lon` (fibre and sheet)."""
    stem = Path(stem)
    micrometres = heart.nodes_mm / _MM_PER_MICROMETRE
    axes = np.concatenate([heart.fibres, heart.sheets], axis=1)
    elements = np.concatenate([heart.tets, heart.tissue[:, None]], axis=1)
    _write(stem, ".pts", str(len(micrometres)), "%.6f %.6f %.6f", micrometres)
    _write(stem, ".elem", str(len(elements)), "Tt %d %d %d %d %d", elements)
    _write(stem, ".lon", "2", "%.9f %.9f %.9f %.9f %.9f %.9f", axes)


def _write(stem: Path, suffix: str, header: str, line: str, rows: Float | Int) -> None:
    path = stem.with_name(stem.name + suffix)
    part = path.with_name(f".part-{path.name}")
    try:
        np.savetxt(part, rows, fmt=line, header=header, comments="")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _lines(path: Path) -> list[str]:
    if not path.is_file():
        raise ValueError(f"{path.name}: no such file; openCARP meshes are .pts and .elem side by side")
    try:
        lines = [line for line in path.read_text(encoding="ascii").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise ValueError(f"{path.name} is not text: the binary form of openCARP is not read; convert it") from error
    if not lines:
        raise ValueError(f"{path.name} is empty")
    return lines


def _counted(path: Path) -> list[str]:
    """The lines after the first, which says how many there are."""
    first, *lines = _lines(path)
    try:
        count = int(first)
    except ValueError as error:
        raise ValueError(f"{path.name} begins with {first[:30]!r}, need the number of its lines") from error
    if len(lines) != count:
        raise ValueError(f"{path.name} announces {count} lines and has {len(lines)}: it is truncated or damaged")
    return lines


def _numbers(path: Path, lines: list[str]) -> Float:
    try:
        return np.array([line.split() for line in lines], dtype=np.float64)
    except ValueError as error:
        raise ValueError(f"{path.name} holds lines that are not all {len(lines[0].split())} numbers") from error


def _read_nodes(path: Path) -> Float:
    nodes = _numbers(path, _counted(path))
    if nodes.ndim != 2 or nodes.shape[1] != 3:
        raise ValueError(f"{path.name} has {nodes.shape[-1]} numbers a line, need 3")
    millimetres: Float = nodes * _MM_PER_MICROMETRE
    return millimetres


def _read_tets(path: Path) -> tuple[Int, list[bool]]:
    rows = [line.split() for line in _counted(path)]
    is_tet = [row[0] == "Tt" for row in rows]
    try:
        tets = np.array([row[1:5] for row, keep in zip(rows, is_tet, strict=True) if keep], dtype=np.int32)
    except ValueError as error:
        raise ValueError(f"{path.name} has a Tt line without four node numbers") from error
    if not len(tets):
        raise ValueError(f"{path.name} holds no tetrahedra (Tt): a surface has to be meshed first")
    return tets, is_tet


def _read_axes(path: Path, is_tet: list[bool]) -> tuple[Float, Float | None]:
    lines = _lines(path)
    if len(lines[0].split()) == 1:
        lines = lines[1:]
    if not lines:
        raise ValueError(f"{path.name} holds no vectors: fill it, or remove it to have fibres made by rule")
    axes = _numbers(path, lines)
    if axes.shape[1] not in (3, 6):
        raise ValueError(f"{path.name} has {axes.shape[1]} numbers a line, need 3 (fibre) or 6 (fibre and sheet)")
    if len(axes) == 1:
        axes = np.repeat(axes, len(is_tet), axis=0)
    if len(axes) != len(is_tet):
        raise ValueError(f"{path.name} has {len(axes)} lines of vectors for {len(is_tet)} elements")
    axes = axes[np.array(is_tet)]
    return axes[:, :3], axes[:, 3:] if axes.shape[1] == 6 else None
