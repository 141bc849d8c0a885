"""Laws of tagging a boundary from its shape alone."""

from pathlib import Path

import numpy as np
import pytest

from anatomy.arrays import Byte, Float, Int
from anatomy.boundary import boundary_triangles, without_specks
from anatomy.boundary_tags import tag_boundary
from anatomy.formats import read_heart_file
from anatomy.heart import Heart, HeartMesh, Surface, tet_volumes_mm3
from anatomy.lattice import stuff_lattice
from anatomy.remeshing import remesh

DATA = Path(__file__).parents[2] / "../shared/data"


def areas(nodes: Float, triangles: Int) -> Float:
    a, b, c = (nodes[triangles[:, k]] for k in range(3))
    return np.asarray(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2)


def in_order(triangles: Int, tags: Byte) -> dict[tuple[int, ...], int]:
    return {tuple(sorted(face)): tag for face, tag in zip(triangles.tolist(), tags.tolist(), strict=True)}


def agreement(mesh: HeartMesh) -> float:
    triangles, tags = tag_boundary(mesh.nodes_mm, mesh.tets)
    found = in_order(triangles, tags)
    same = [
        found[tuple(sorted(face))] == tag
        for face, tag in zip(mesh.triangles.tolist(), mesh.surface.tolist(), strict=True)
    ]
    size = areas(mesh.nodes_mm, mesh.triangles)
    return float(size[same].sum() / size.sum())


def test_boundary_faces_turn_outward() -> None:
    nodes, tets = stuff_lattice(lambda p: np.linalg.norm(p, axis=1) - 6, np.full(3, -6.0), np.full(3, 6.0), 2.0)
    a, b, c = (nodes[boundary_triangles(tets)[:, k]] for k in range(3))
    # The divergence theorem: the faces enclose what the tetrahedra fill.
    enclosed = np.einsum("ij,ij->i", a, np.cross(b, c)).sum() / 6
    assert enclosed == pytest.approx(tet_volumes_mm3(nodes, tets).sum())


def test_a_small_heart_gets_back_the_tags_it_lost(small_heart: Heart) -> None:
    assert agreement(small_heart) > 0.9


def test_a_heart_of_others_gets_back_the_tags_it_lost() -> None:
    path = DATA / "patients/crtdemo/heart.vtu"
    if not path.exists():
        pytest.skip("needs ../shared/data/patients/crtdemo")
    file = read_heart_file(path)
    assert file.triangles is not None
    assert file.surface is not None
    mesh = HeartMesh(nodes_mm=file.nodes_mm, tets=file.tets, triangles=file.triangles, surface=file.surface)
    assert agreement(mesh) > 0.99


def test_a_ball_has_no_cavities() -> None:
    nodes, tets = stuff_lattice(lambda p: np.linalg.norm(p, axis=1) - 30, np.full(3, -30.0), np.full(3, 30.0), 6.0)
    with pytest.raises(ValueError, match="0 open cavities"):
        tag_boundary(nodes, tets)


def test_bodies_that_share_no_face_are_refused(small_heart: Heart) -> None:
    n = len(small_heart.nodes_mm)
    nodes = np.concatenate([small_heart.nodes_mm, small_heart.nodes_mm + 200])
    with pytest.raises(ValueError, match="2 pieces"):
        tag_boundary(nodes, np.concatenate([small_heart.tets, small_heart.tets + n]))


def test_a_single_odd_face_takes_the_tag_around_it() -> None:
    nodes, tets = stuff_lattice(lambda p: np.linalg.norm(p, axis=1) - 6, np.full(3, -6.0), np.full(3, 6.0), 1.0)
    triangles = boundary_triangles(tets)
    centres = nodes[triangles].mean(axis=1)
    clean = np.where(centres[:, 2] > 0, Surface.BASE, Surface.EPICARDIUM).astype(np.int8)
    spoilt = clean.copy()
    for far in (centres[:, 2].argmax(), centres[:, 2].argmin()):
        spoilt[far] = Surface.BASE if clean[far] == Surface.EPICARDIUM else Surface.EPICARDIUM
    np.testing.assert_array_equal(without_specks(triangles, centres, spoilt), clean)


def test_the_two_bodies_of_a_dogs_heart_become_one_with_its_own_layers() -> None:
    path = DATA / "canine-lbbb/heart.vtu"
    if not path.exists():
        pytest.skip("needs ../shared/data/canine-lbbb")
    file = read_heart_file(path)
    mesh, _ = remesh(file.nodes_mm, file.tets, 2.5)
    assert mesh.tet_volumes_mm3.sum() == pytest.approx(tet_volumes_mm3(file.nodes_mm, file.tets).sum(), rel=0.03)
    # Its makers cut a hole into the apex: one handle.
    assert len(np.unique(mesh.triangles)) - len(mesh.triangles) / 2 == 0
