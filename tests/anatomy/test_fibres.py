from dataclasses import dataclass

import numpy as np
import pytest

from anatomy.arrays import Bool, Float
from anatomy.axes import heart_axes
from anatomy.build import complete_heart
from anatomy.fibres import FibreAngles
from anatomy.heart import Heart
from anatomy.orientation import RigidTransform


@dataclass(frozen=True, kw_only=True, eq=False)
class FreeWall:
    """Tetrahedra of the left free wall at mid height: how deep they lie, and how their fibres climb."""

    chosen: Bool
    depth: Float
    helix_deg: Float


def free_wall(heart: Heart) -> FreeWall:
    """The helix in a cylinder about the long axis: from the circumferential direction, positive = right-handed."""
    axes, c = heart_axes(heart), heart.coordinates
    out = heart.nodes_mm[heart.tets].mean(axis=1) - axes.base_mm
    out -= (out @ axes.long_axis)[:, None] * axes.long_axis
    around = np.cross(axes.long_axis, out / np.linalg.norm(out, axis=1, keepdims=True))
    climb = np.degrees(np.arctan2(heart.fibres @ axes.long_axis, np.einsum("ij,ij->i", heart.fibres, around)))
    helix = (climb + 90) % 180 - 90
    rotational = c.rotational[heart.tets]
    height = c.apicobasal[heart.tets].mean(axis=1)
    lateral = ((rotational > 0.15) & (rotational < 0.5)).all(axis=1) & c.in_left_ventricle[heart.tets].all(axis=1)
    chosen = lateral & (height > 0.45) & (height < 0.8)
    depth = c.transmural[heart.tets].mean(axis=1)
    return FreeWall(chosen=chosen, depth=depth[chosen], helix_deg=helix[chosen])


def test_fibres_and_sheets_are_unit_vectors_at_right_angles(small_heart: Heart) -> None:
    np.testing.assert_allclose(np.linalg.norm(small_heart.fibres, axis=1), 1, atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(small_heart.sheets, axis=1), 1, atol=1e-9)
    assert np.abs(np.einsum("ij,ij->i", small_heart.fibres, small_heart.sheets)).max() < 1e-9


@pytest.mark.parametrize(("inside", "outside"), [(60.0, -60.0), (40.0, -50.0), (80.0, -20.0), (0.0, 0.0)])
def test_the_helix_of_the_free_wall_changes_linearly_from_surface_to_surface(
    small_heart: Heart, inside: float, outside: float
) -> None:
    heart = complete_heart(small_heart, angles=FibreAngles(helix_endocardium=inside, helix_epicardium=outside))
    wall = free_wall(heart)
    # Through 90 degrees and back from -90: the distance of two axes.
    off = (wall.helix_deg - (inside + (outside - inside) * wall.depth) + 90) % 180 - 90
    assert abs(np.median(off)) < 5
    for low in np.arange(0, 1, 0.1):
        layer = (wall.depth >= low) & (wall.depth < low + 0.1)
        assert layer.sum() > 50
        assert abs(np.median(off[layer])) < 12


def test_the_helix_is_right_handed_inside_and_left_handed_outside(small_heart: Heart) -> None:
    wall = free_wall(small_heart)
    assert (wall.helix_deg[wall.depth < 0.2] > 0).mean() > 0.95
    assert (wall.helix_deg[wall.depth > 0.8] < 0).mean() > 0.95


def test_the_fibres_do_not_jump_between_neighbours_in_the_free_wall(small_heart: Heart) -> None:
    """Blending frames that are turned by more than 90 degrees against each other takes the short way and jumps."""
    chosen = free_wall(small_heart).chosen
    tets, fibres = small_heart.tets[chosen], small_heart.fibres[chosen]
    faces = np.sort(tets[:, [[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]]].reshape(-1, 3), axis=1)
    order = np.lexsort(faces.T)
    twin = (faces[order][1:] == faces[order][:-1]).all(axis=1)
    one, other = (order[:-1][twin] // 4, order[1:][twin] // 4)
    turn = np.degrees(np.arccos(np.clip(np.abs(np.einsum("ij,ij->i", fibres[one], fibres[other])), 0, 1)))
    assert np.quantile(turn, 0.99) < 45


def test_fibres_turn_with_the_heart(small_heart: Heart, moved_heart: Heart, motion: RigidTransform) -> None:
    for name in ("fibres", "sheets"):
        turned, found = motion.vectors(getattr(small_heart, name)), getattr(moved_heart, name)
        assert np.abs(np.einsum("ij,ij->i", turned, found)).min() > 1 - 1e-6


def test_fibres_run_along_the_wall(small_heart: Heart) -> None:
    axes = heart_axes(small_heart)
    chosen = free_wall(small_heart).chosen
    out = small_heart.nodes_mm[small_heart.tets].mean(axis=1)[chosen] - axes.base_mm
    out -= (out @ axes.long_axis)[:, None] * axes.long_axis
    out /= np.linalg.norm(out, axis=1, keepdims=True)
    assert np.quantile(np.abs(np.einsum("ij,ij->i", small_heart.fibres[chosen], out)), 0.95) < 0.35


def test_the_helix_of_a_heart_by_others_changes_linearly_too(crtdemo: Heart) -> None:
    wall = free_wall(crtdemo)
    assert abs(np.median(wall.helix_deg - (60 - 120 * wall.depth))) < 8
    assert np.corrcoef(wall.helix_deg, wall.depth)[0, 1] < -0.95
