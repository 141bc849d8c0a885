import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from anatomy.boundary import boundary_triangles
from anatomy.build import complete_heart
from anatomy.heart import Heart, HeartMesh, Surface, Tissue, tet_volumes_mm3

Fields = dict[str, Any]


def fields_of(heart: Heart) -> Fields:
    """The geometry in arrays that may be changed."""
    return {name: getattr(heart, name).copy() for name in ("nodes_mm", "tets", "triangles", "surface")}


def invert_two(f: Fields) -> None:
    f["tets"][[5, 9]] = f["tets"][[5, 9]][:, [1, 0, 2, 3]]


def count_from_one(f: Fields) -> None:
    f["tets"] += 1
    f["triangles"] += 1


def use_metres(f: Fields) -> None:
    f["nodes_mm"] /= 1e3


def use_micrometres(f: Fields) -> None:
    f["nodes_mm"] *= 1e3


def drop_the_right_ventricle(f: Fields) -> None:
    keep = f["surface"] != Surface.RV_ENDOCARDIUM
    f["triangles"], f["surface"] = f["triangles"][keep], f["surface"][keep]


def tag_a_face_within_the_wall(f: Fields) -> None:
    faces = f["tets"][:, [1, 2, 3]]
    outside = {tuple(face) for face in np.sort(boundary_triangles(f["tets"]), axis=1).tolist()}
    f["triangles"][7] = next(face for face in faces.tolist() if tuple(sorted(face)) not in outside)


def tag_three_nodes_that_share_no_tetrahedron(f: Fields) -> None:
    used = f["tets"]
    f["triangles"][3] = [used[0, 0], used[len(used) // 2, 0], used[-1, 3]]


def spoil_three_numbers(f: Fields) -> None:
    f["nodes_mm"][[4, 6], [1, 2]] = np.nan
    f["nodes_mm"][8, 0] = np.inf


def tag_with_a_stray_number(f: Fields) -> None:
    f["surface"][[2, 11]] = 5


def empty_it(f: Fields) -> None:
    f["tets"] = np.empty((0, 4))


def drop_a_tag(f: Fields) -> None:
    f["surface"] = f["surface"][1:]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (invert_two, r"tets\[5\] = .* has volume -\S+ mm3, need > 0 \(2 of \d+ tetrahedra"),
        (count_from_one, r"tets\[\d+\] = .* outside 0\.\.\d+ \(\d+ of \d+ do\).*count from 1 need `tets - 1`"),
        (use_metres, r"look like metres: multiply them by 1000"),
        (use_micrometres, r"look like micrometres: multiply them by 0.001"),
        (drop_the_right_ventricle, r"the boundary has no RV endocardium"),
        (tag_a_face_within_the_wall, r"triangles\[7\] = .* lies inside the wall \(1 of \d+ "),
        (tag_three_nodes_that_share_no_tetrahedron, r"triangles\[3\] = .* is no face of a tetrahedron \(1 of \d+ "),
        (spoil_three_numbers, r"nodes_mm\[4, 1\] is not a finite number \(3 of \d+ values"),
        (tag_with_a_stray_number, r"surface\[2\] = 5, need 1 base.*\(2 of \d+ triangles"),
        (empty_it, r"tets is empty"),
        (drop_a_tag, r"surface has shape \(\d+,\), need \(\d+,\)"),
    ],
)
def test_a_broken_mesh_is_refused_with_the_first_offender_and_the_count(
    small_heart: Heart, spoil: Callable[[Fields], None], says: str
) -> None:
    fields = fields_of(small_heart)
    spoil(fields)
    with pytest.raises(ValueError, match=says) as error:
        HeartMesh(**fields)
    assert "\n" not in str(error.value)


def test_triangles_given_in_any_order_turn_outward(small_heart: Heart) -> None:
    fields = fields_of(small_heart)
    rng = np.random.default_rng(0)
    fields["triangles"] = rng.permuted(fields["triangles"], axis=1)
    corners = HeartMesh(**fields).nodes_mm[HeartMesh(**fields).triangles]
    # Divergence theorem: the cones from the origin over a closed surface that turns outward fill its inside.
    cones = np.einsum("ij,ij->i", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) / 6
    np.testing.assert_allclose(cones.sum(), small_heart.tet_volumes_mm3.sum(), rtol=1e-9)


def test_node_volumes_add_up_to_the_muscle(small_heart: Heart) -> None:
    np.testing.assert_allclose(small_heart.node_volumes_mm3.sum(), small_heart.tet_volumes_mm3.sum(), rtol=1e-12)
    core = small_heart.tissue == Tissue.CORE
    living = small_heart.tet_volumes_mm3[~core].sum()
    np.testing.assert_allclose(small_heart.living_volumes_mm3.sum(), living, rtol=1e-12)
    assert (small_heart.living_volumes_mm3[~small_heart.living] == 0).all()


def test_the_volume_of_the_unit_corner_is_a_sixth() -> None:
    corner = np.vstack([np.zeros(3), np.eye(3)])
    np.testing.assert_allclose(tet_volumes_mm3(corner, np.array([[0, 1, 2, 3], [0, 2, 1, 3]])), [1 / 6, -1 / 6])


def test_the_four_surfaces_share_out_the_whole_boundary(small_heart: Heart) -> None:
    parts = [small_heart.triangles_of(kind) for kind in Surface]
    assert sum(map(len, parts)) == len(boundary_triangles(small_heart.tets))
    assert np.array_equal(small_heart.nodes_of(*Surface), np.unique(np.concatenate(parts)))


def test_arrays_of_a_heart_cannot_be_changed(small_heart: Heart) -> None:
    for name in ("nodes_mm", "tets", "triangles", "surface", "tissue", "fibres", "sheets"):
        with pytest.raises(ValueError, match="read-only"):
            getattr(small_heart, name)[0] = 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fibres": lambda h: 20 * h.fibres}, r"fibres\[0\] has length 20, need 1 \(\d+ of \d+ vectors\)"),
        ({"sheets": lambda h: h.fibres}, r"sheets\[\d+\] is not at right angles to fibres\[\d+\]"),
        ({"tissue": lambda h: h.tissue + 1}, r"tissue must be 0 healthy, 1 border zone or 2 core"),
        ({"tissue": lambda h: h.tissue[1:]}, r"tissue has shape"),
    ],
)
def test_a_heart_with_unfit_tissue_or_fibres_is_refused(
    small_heart: Heart, changes: dict[str, Callable[[Heart], Any]], says: str
) -> None:
    with pytest.raises(ValueError, match=says):
        replace(small_heart, **{name: change(small_heart) for name, change in changes.items()})


def test_coordinates_outside_0_to_1_are_refused(small_heart: Heart) -> None:
    with pytest.raises(ValueError, match=re.escape("transmural must lie in 0..1, got")):
        replace(small_heart.coordinates, transmural=small_heart.coordinates.transmural + 1)


def test_a_heart_keeps_the_fibres_it_is_given(small_heart: Heart) -> None:
    rng = np.random.default_rng(1)
    fibres = rng.normal(size=(len(small_heart.tets), 3))
    fibres /= np.linalg.norm(fibres, axis=1, keepdims=True)
    heart = complete_heart(small_heart, fibres=fibres)
    assert np.array_equal(heart.fibres, fibres)
    assert np.abs(np.einsum("ij,ij->i", heart.fibres, heart.sheets)).max() < 1e-9


def test_a_heart_keeps_the_sheets_and_tissue_it_is_given(small_heart: Heart) -> None:
    heart = complete_heart(small_heart, tissue=small_heart.tissue, fibres=small_heart.sheets, sheets=small_heart.fibres)
    assert np.array_equal(heart.sheets, small_heart.fibres)
    assert np.array_equal(heart.tissue, small_heart.tissue)


def test_sheets_without_fibres_are_refused(small_heart: Heart) -> None:
    with pytest.raises(ValueError, match="sheets are given without fibres"):
        complete_heart(small_heart, sheets=small_heart.sheets)


def test_fibres_given_at_the_nodes_are_refused_by_their_shape(small_heart: Heart) -> None:
    with pytest.raises(ValueError, match=r"fibres has shape \(\d+, 3\), need \(\d+, 3\)"):
        complete_heart(small_heart, fibres=small_heart.nodes_mm)
