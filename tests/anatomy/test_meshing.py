"""Laws of meshes made from label maps and from surfaces."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from anatomy.arrays import Float
from anatomy.boundary import boundary_triangles, triangle_edges
from anatomy.formats import read_surface_file
from anatomy.heart import HeartMesh, Surface, Tissue
from anatomy.labels import Label, LabelMap, read_label_map
from anatomy.meshing import LabelledMesh, mesh_label_map
from anatomy.surface_meshing import mesh_surface

DATA = Path(__file__).parents[2] / "../shared/data"
EDGE_MM = 3.0


def toy_labels(step_z: float = 2.0) -> NDArray[np.uint8]:
    """Two half eggs, open at the top, with an infarct in the left one's free wall."""
    x, y, z = np.meshgrid(np.arange(-40, 54, 2.0), np.arange(-36, 38, 2.0), np.arange(-50, 12, step_z), indexing="ij")
    below = z <= 0
    labels = np.zeros(x.shape, dtype=np.uint8)
    labels[below & (((x + 12) / 27) ** 2 + (y / 33) ** 2 + (z / 41) ** 2 < 1)] = Label.MYOCARDIUM
    labels[below & (((x + 12) / 21) ** 2 + (y / 27) ** 2 + (z / 35) ** 2 < 1)] = Label.RV_BLOOD
    labels[below & (((x - 18) / 28) ** 2 + (y / 28) ** 2 + (z / 46) ** 2 < 1)] = Label.MYOCARDIUM
    labels[below & (((x - 18) / 18) ** 2 + (y / 18) ** 2 + (z / 36) ** 2 < 1)] = Label.LV_BLOOD
    labels[(labels == Label.MYOCARDIUM) & ((x - 42) ** 2 + y**2 + (z + 15) ** 2 < 12**2)] = Label.SCAR_CORE
    return labels


def toy_map(axes: Float | None = None) -> LabelMap:
    return LabelMap(
        labels=toy_labels(), origin_mm=np.array([5.0, -7, 11]), axes_mm=np.eye(3) * 2 if axes is None else axes
    )


@pytest.fixture(scope="module")
def toy() -> LabelledMesh:
    return mesh_label_map(toy_map(), EDGE_MM)


def areas_mm2(mesh: HeartMesh) -> Float:
    a, b, c = (mesh.nodes_mm[mesh.triangles[:, k]] for k in range(3))
    return np.asarray(np.linalg.norm(np.cross(b - a, c - a), axis=1) / 2)


def area_by_surface(mesh: HeartMesh) -> Float:
    return np.array([areas_mm2(mesh)[mesh.surface == kind].sum() for kind in Surface])


def test_the_mesh_holds_as_much_muscle_as_the_labels(toy: LabelledMesh) -> None:
    assert toy.mesh.tet_volumes_mm3.sum() == pytest.approx(toy_map().muscle_mm3, rel=0.02)


def test_the_boundary_is_closed_and_wholly_tagged(toy: LabelledMesh) -> None:
    assert len(toy.mesh.triangles) == len(boundary_triangles(toy.mesh.tets))
    assert (np.bincount(triangle_edges(toy.mesh.triangles)[2]) == 2).all()
    # Two blind cavities that are open at the top: a ball, dented twice.
    assert len(np.unique(toy.mesh.triangles)) - len(toy.mesh.triangles) / 2 == 2


def test_endocardium_and_epicardium_never_meet_without_a_base_between(toy: LabelledMesh) -> None:
    inner = toy.mesh.nodes_of(Surface.LV_ENDOCARDIUM, Surface.RV_ENDOCARDIUM)
    assert not np.intersect1d(inner, toy.mesh.nodes_of(Surface.EPICARDIUM)).size


def test_left_endocardium_lies_on_its_egg(toy: LabelledMesh) -> None:
    centre = np.array([5.0 + 58, -7 + 36, 11 + 50])
    from_centre = (toy.mesh.nodes_mm[toy.mesh.nodes_of(Surface.LV_ENDOCARDIUM)] - centre) / [18, 18, 36]
    radius = np.linalg.norm(from_centre, axis=1)
    assert np.median(radius) == pytest.approx(1, abs=0.03)


def test_the_base_lies_at_the_top_and_the_endocardium_below(toy: LabelledMesh) -> None:
    height = toy.mesh.nodes_mm[:, 2] - 11 - 50
    assert height[toy.mesh.nodes_of(Surface.BASE)].min() > -6
    assert np.median(height[toy.mesh.nodes_of(Surface.RV_ENDOCARDIUM)]) < -10


def test_scar_keeps_its_volume(toy: LabelledMesh) -> None:
    core = toy.mesh.tet_volumes_mm3[toy.tissue == Tissue.CORE].sum()
    assert core == pytest.approx((toy_labels() == Label.SCAR_CORE).sum() * 8, rel=0.06)
    assert not (toy.tissue == Tissue.BORDER_ZONE).any()


def test_turning_and_mirroring_the_image_turns_and_mirrors_the_mesh(toy: LabelledMesh) -> None:
    turn = np.array([[0.0, -1, 0], [0.6, 0, -0.8], [0.8, 0, 0.6]]) @ np.diag([1.0, 1, -1])
    turned = mesh_label_map(toy_map(axes=turn * 2), EDGE_MM).mesh
    origin = np.array([5.0, -7, 11])
    np.testing.assert_allclose(turned.nodes_mm, (toy.mesh.nodes_mm - origin) @ turn.T + origin, atol=1e-9)
    np.testing.assert_allclose(turned.tet_volumes_mm3, toy.mesh.tet_volumes_mm3, rtol=1e-6)


def test_the_order_of_the_axes_hardly_matters(toy: LabelledMesh) -> None:
    one = toy_map()
    swapped = LabelMap(labels=one.labels.transpose(2, 0, 1), origin_mm=one.origin_mm, axes_mm=one.axes_mm[:, [2, 0, 1]])
    mesh = mesh_label_map(swapped, EDGE_MM).mesh
    assert mesh.tet_volumes_mm3.sum() == pytest.approx(toy.mesh.tet_volumes_mm3.sum(), rel=0.01)
    np.testing.assert_allclose(area_by_surface(mesh)[1:], area_by_surface(toy.mesh)[1:], rtol=0.05)


def test_thick_slices_give_the_same_heart() -> None:
    thick = LabelMap(labels=toy_labels(step_z=8.0), origin_mm=np.zeros(3), axes_mm=np.diag([2.0, 2, 8]))
    mesh = mesh_label_map(thick, EDGE_MM).mesh
    assert mesh.tet_volumes_mm3.sum() == pytest.approx(thick.muscle_mm3, rel=0.02)
    # No terraces: the epicardium's area is that of a smooth shape.
    fine = mesh_label_map(toy_map(), EDGE_MM).mesh
    assert area_by_surface(mesh)[1] == pytest.approx(area_by_surface(fine)[1], rel=0.15)


def test_a_heart_made_of_its_own_boundary_is_the_same_heart(toy: LabelledMesh) -> None:
    again = mesh_surface(toy.mesh.nodes_mm, toy.mesh.triangles, toy.mesh.surface, EDGE_MM)
    assert again.tet_volumes_mm3.sum() == pytest.approx(toy.mesh.tet_volumes_mm3.sum(), rel=0.02)
    np.testing.assert_allclose(area_by_surface(again)[1:], area_by_surface(toy.mesh)[1:], rtol=0.07)


def test_an_open_surface_is_refused_with_the_number_of_open_edges(toy: LabelledMesh) -> None:
    with pytest.raises(ValueError, match="3 edges belong to one triangle"):
        mesh_surface(toy.mesh.nodes_mm, toy.mesh.triangles[1:], toy.mesh.surface[1:], EDGE_MM)


def test_walls_thinner_than_the_edges_are_refused_not_lost() -> None:
    with pytest.raises(ValueError, match="too thin"):
        mesh_label_map(toy_map(), 12.0)


def test_the_real_patient_keeps_volume_openings_and_handles() -> None:
    path = DATA / "patients/cine-lbbb/labels.nii.gz"
    if not path.exists():
        pytest.skip("needs ../shared/data/patients/cine-lbbb")
    mesh = mesh_label_map(read_label_map(path, "acdc"), 1.5).mesh
    assert mesh.tet_volumes_mm3.sum() == pytest.approx(177.9e3, rel=0.02)
    # Two chambers with an inlet and an outlet each: two handles.
    assert len(np.unique(mesh.triangles)) - len(mesh.triangles) / 2 == -2
    assert not np.intersect1d(mesh.nodes_of(Surface.LV_ENDOCARDIUM), mesh.nodes_of(Surface.EPICARDIUM)).size


def test_the_cobiveco_surface_keeps_its_volume() -> None:
    path = DATA / "heart-geo1/heart.vtp"
    if not path.exists():
        pytest.skip("needs ../shared/data/heart-geo1")
    skin = read_surface_file(path)
    assert skin.surface is not None
    mesh = mesh_surface(skin.nodes_mm, skin.triangles, skin.surface, 2.0)
    assert mesh.tet_volumes_mm3.sum() == pytest.approx(145e3, rel=0.02)
