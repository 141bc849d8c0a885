"""Laws of the meshes that are made from a phantom's own numbers."""

from dataclasses import replace

import numpy as np
import pytest

from anatomy.arrays import Float
from anatomy.boundary import boundary_triangles, triangle_edges
from anatomy.build import complete_heart
from anatomy.heart import Surface, Tissue
from anatomy.labels import Label
from anatomy.phantom import Phantom, random_phantom
from anatomy.phantom_mesh import MeshedPhantom, mesh_phantom

EDGE_MM = 3.0


def made(seed: int) -> tuple[Phantom, MeshedPhantom]:
    phantom = random_phantom(np.random.default_rng(seed))
    return phantom, mesh_phantom(phantom, EDGE_MM)


@pytest.fixture(scope="module")
def hearts() -> list[tuple[Phantom, MeshedPhantom]]:
    return [made(seed) for seed in range(4)]


def cavity_ml(made: MeshedPhantom, kind: Surface) -> float:
    """Volume between the endocardium and the flat lid over its rim: cones from a point of the lid add up."""
    mesh = made.mesh
    corners = mesh.nodes_mm[mesh.triangles_of(kind)]
    corners = corners - mesh.nodes_mm[np.intersect1d(mesh.nodes_of(Surface.BASE), mesh.nodes_of(kind))].mean(axis=0)
    return float(-np.linalg.det(corners).sum() / 6e3)


def off_surface_mm(phantom: Phantom, points: Float) -> Float:
    """(k,) how far from a change of labels points lie at most, in steps of 0.1 mm: a slow plain twin of distances."""
    directions = np.array([[x, y, z] for x in (-1, 0, 1) for y in (-1, 0, 1) for z in (-1, 0, 1) if x or y or z])
    directions = directions / np.linalg.norm(directions, axis=1, keepdims=True)
    off = np.full(len(points), np.inf)
    for reach in np.arange(0.4, 0, -0.1):
        labels = np.stack([phantom.labels_at(points + reach * way) for way in directions])
        muscle = np.isin(labels, (Label.MYOCARDIUM, Label.BORDER_ZONE, Label.SCAR_CORE))
        off[muscle.any(axis=0) & ~muscle.all(axis=0)] = reach
    return off


def test_the_boundary_is_closed_simple_and_wholly_tagged(hearts: list[tuple[Phantom, MeshedPhantom]]) -> None:
    mesh = hearts[0][1].mesh
    assert len(mesh.triangles) == len(boundary_triangles(mesh.tets))
    assert (np.bincount(triangle_edges(mesh.triangles)[2]) == 2).all()
    # Two blind cavities that are open at the top: a ball, dented twice.
    assert len(np.unique(mesh.triangles)) - len(mesh.triangles) // 2 == 2


def test_endocardium_and_epicardium_never_meet_without_a_base_between(
    hearts: list[tuple[Phantom, MeshedPhantom]],
) -> None:
    mesh = hearts[0][1].mesh
    kinds = [mesh.nodes_of(kind) for kind in (Surface.EPICARDIUM, Surface.LV_ENDOCARDIUM, Surface.RV_ENDOCARDIUM)]
    assert sum(map(len, kinds)) == len(np.unique(np.concatenate(kinds)))


def test_every_boundary_node_lies_on_the_phantom(hearts: list[tuple[Phantom, MeshedPhantom]]) -> None:
    for phantom, made in hearts:
        assert off_surface_mm(phantom, made.mesh.nodes_mm[np.unique(made.mesh.triangles)]).max() <= 0.1 + 1e-9


def test_no_edge_leads_through_the_right_wall_at_once(hearts: list[tuple[Phantom, MeshedPhantom]]) -> None:
    mesh = hearts[0][1].mesh
    one, other, rim = (
        np.isin(mesh.tets, mesh.nodes_of(kind)).any(axis=1)
        for kind in (Surface.RV_ENDOCARDIUM, Surface.EPICARDIUM, Surface.BASE)
    )
    assert not (one & other & ~rim).any()


def test_the_left_cavity_has_its_volume_in_closed_form(hearts: list[tuple[Phantom, MeshedPhantom]]) -> None:
    for phantom, made in hearts:
        assert cavity_ml(made, Surface.LV_ENDOCARDIUM) == pytest.approx(phantom.lv_cavity_ml, rel=0.01)


def test_scar_lies_where_the_phantom_has_it() -> None:
    phantom = Phantom(scar_transmurality=1.0)
    made = mesh_phantom(phantom, EDGE_MM)
    labels = phantom.label_map(1.0).labels
    core = made.mesh.tet_volumes_mm3[made.tissue == Tissue.CORE].sum()
    assert core == pytest.approx((labels == Label.SCAR_CORE).sum(), rel=0.05)
    assert not mesh_phantom(replace(phantom, scar_radius_mm=0.0), EDGE_MM).tissue.any()


def test_turning_the_phantom_turns_its_mesh(hearts: list[tuple[Phantom, MeshedPhantom]]) -> None:
    phantom, made = hearts[0]
    turned = replace(phantom, long_axis=(0.0, 0.0, 1.0), septal=(-1.0, 0.0, 0.0))
    nodes = made.mesh.nodes_mm @ phantom.axes @ turned.axes.T
    np.testing.assert_allclose(mesh_phantom(turned, EDGE_MM).mesh.nodes_mm, nodes, atol=1e-6)


def test_all_phantoms_share_their_tetrahedra_and_a_place_stays_a_place(
    hearts: list[tuple[Phantom, MeshedPhantom]],
) -> None:
    one, other = (complete_heart(made.mesh).coordinates for _, made in hearts[:2])
    np.testing.assert_array_equal(hearts[0][1].mesh.tets, hearts[1][1].mesh.tets)
    assert np.abs(one.apicobasal - other.apicobasal).mean() < 0.05
    assert (one.transventricular == other.transventricular).mean() > 0.95


def test_a_scale_enlarges_the_finished_mesh(hearts: list[tuple[Phantom, MeshedPhantom]]) -> None:
    phantom, made = hearts[0]
    larger = mesh_phantom(phantom, EDGE_MM, scale=1.25)
    np.testing.assert_array_equal(larger.mesh.nodes_mm, 1.25 * made.mesh.nodes_mm)
    np.testing.assert_array_equal(larger.tissue, made.tissue)


def test_edges_too_long_for_the_right_wall_are_refused() -> None:
    with pytest.raises(ValueError, match="edge_mm = 4, need 2 to 3"):
        mesh_phantom(Phantom(), 4.0)


def test_a_phantom_out_of_reach_is_refused_with_the_cure() -> None:
    with pytest.raises(ValueError, match="Mesh its label map instead"):
        mesh_phantom(
            Phantom(lv_diameter_mm=32, lv_length_mm=52, lv_opening_mm=20, rv_length_mm=40, rv_span_mm=46), EDGE_MM
        )
