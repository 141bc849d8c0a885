from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import pyvista as pv
from scipy.spatial import KDTree

from anatomy.heart import Heart, Surface
from anatomy.vein_template import CORONARY_SINUS, TRIBUTARIES, template_tree
from anatomy.veins import VenousTree, read_veins, write_veins

FORK: dict[str, Any] = {
    "nodes_mm": np.array([[0, 0, 0], [10, 0, 0], [20, 0, 0], [10, 10, 0], [10, 20, 0.0]]),
    "parent": [-1, 0, 1, 1, 3],
    "radius_mm": [4, 3, 2, 1.5, 1],
    "vein": [0, 0, 0, 1, 1],
    "names": ("coronary sinus", "left marginal vein"),
    "is_template": False,
}


def fork(**changes: Any) -> VenousTree:
    return VenousTree(**(FORK | changes))


def links(tree: VenousTree) -> set[tuple[tuple[float, ...], tuple[float, ...], float, str]]:
    """Each point with its parent's place, its radius and its vein: what a tree is, whatever the order of its points."""
    places = [tuple(place) for place in tree.nodes_mm.tolist()]
    return {
        (places[i], places[p] if p >= 0 else (), float(tree.radius_mm[i]), tree.vein_of(i))
        for i, p in enumerate(tree.parent.tolist())
    }


def segments(tree: VenousTree, order: list[int]) -> pv.PolyData:
    """A file's mesh with the points in another order and every line the other way round."""
    place = np.argsort(order)
    children = np.flatnonzero(tree.parent >= 0)[::-1]
    lines = np.column_stack([np.full(len(children), 2), place[children], place[tree.parent[children]]])
    mesh = pv.PolyData(tree.nodes_mm[order], lines=lines.ravel())
    mesh.point_data["radius_mm"] = tree.radius_mm[order]
    mesh.point_data["vein"] = tree.vein[order]
    mesh.field_data["names"] = np.array(tree.names)
    return mesh


def test_the_way_to_a_point_starts_at_the_ostium_and_follows_the_parents() -> None:
    assert fork().path_to(4) == [0, 1, 3, 4]
    assert fork().path_to(0) == [0]
    assert fork().vein_of(4) == "left marginal vein"


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"parent": [-1, 0, 1, 1, -1]}, r"point 4 has parent -1"),
        ({"parent": [-1, 2, 1, 1, 3]}, r"point 1 has parent 2"),
        ({"parent": [0, 0, 1, 1, 3]}, r"point 0 has parent 0"),
        ({"parent": [-1, 0, 1, 9, 3]}, r"point 3 has parent 9"),
        ({"radius_mm": [4, 3, 2, 0, 1]}, r"radius_mm\[3\] = 0, need > 0"),
        ({"vein": [0, 0, 0, 1, 2]}, r"vein must lie in 0\.\.1, got 0\.\.2"),
        ({"nodes_mm": np.full((5, 3), np.nan)}, r"nodes_mm\[0, 0\] is not a finite number \(15 of 15"),
        ({"radius_mm": [4, 3, 2, 1]}, r"radius_mm has shape \(4,\), need \(5,\)"),
    ],
)
def test_a_broken_tree_is_refused_with_its_first_offender(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fork(**changes)


def test_a_tree_comes_back_from_its_file_as_it_went(tmp_path: Path) -> None:
    for tree in (fork(), fork(is_template=True)):
        write_veins(tmp_path / "veins.vtp", tree)
        back = read_veins(tmp_path / "veins.vtp")
        assert links(back) == links(tree)
        assert back.names == tree.names
        assert back.is_template == tree.is_template
        assert np.array_equal(back.nodes_mm[0], tree.nodes_mm[0])


def test_a_template_comes_back_from_its_file_as_it_went(small_heart: Heart, tmp_path: Path) -> None:
    tree = template_tree(small_heart)
    write_veins(tmp_path / "veins.vtp", tree)
    assert links(read_veins(tmp_path / "veins.vtp")) == links(tree)


def test_the_sinus_ends_at_its_ostium_even_if_a_tributary_opens_there(small_heart: Heart, tmp_path: Path) -> None:
    """Otherwise the file would not tell where the tree begins."""
    tree = template_tree(small_heart, (replace(TRIBUTARIES[0], rotational=-0.06), TRIBUTARIES[-1]))
    write_veins(tmp_path / "veins.vtp", tree)
    assert links(read_veins(tmp_path / "veins.vtp")) == links(tree)


@pytest.mark.parametrize("seed", range(4))
def test_points_and_lines_may_come_in_any_order(tmp_path: Path, seed: int) -> None:
    """Both ends of the sinus end a line; the wider one is the ostium."""
    order = np.random.default_rng(seed).permutation(5).tolist()
    segments(fork(), order).save(tmp_path / "veins.vtp")
    assert links(read_veins(tmp_path / "veins.vtp")) == links(fork())


def test_poly_lines_are_read_as_the_segments_they_consist_of(tmp_path: Path) -> None:
    mesh = segments(fork(), [0, 1, 2, 3, 4])
    mesh.lines = np.array([3, 0, 1, 2, 3, 4, 3, 1])
    mesh.save(tmp_path / "veins.vtp")
    assert links(read_veins(tmp_path / "veins.vtp")) == links(fork())


def lose_a_line(mesh: pv.PolyData) -> None:
    mesh.lines = mesh.lines[3:]


def close_a_loop(mesh: pv.PolyData) -> None:
    mesh.lines = np.concatenate([mesh.lines, [2, 2, 4]])


def lose_the_radii(mesh: pv.PolyData) -> None:
    del mesh.point_data["radius_mm"]


def lose_the_veins(mesh: pv.PolyData) -> None:
    del mesh.point_data["vein"]


def lose_the_names(mesh: pv.PolyData) -> None:
    del mesh.field_data["names"]


def make_all_one_tributary(mesh: pv.PolyData) -> None:
    mesh.point_data["vein"] = np.ones(5, dtype=np.int8)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lose_a_line, "the lines form no single tree"),
        (close_a_loop, "the lines form no single tree"),
        (lose_the_radii, "lacks the point array `radius_mm`"),
        (lose_the_veins, "lacks the point array `vein`"),
        (lose_the_names, "lacks the field array `names`"),
        (make_all_one_tributary, "the ostium is not to be found"),
    ],
)
def test_a_file_that_holds_no_rooted_tree_is_refused(tmp_path: Path, spoil: Any, says: str) -> None:
    mesh = segments(fork(), [0, 1, 2, 3, 4])
    spoil(mesh)
    mesh.save(tmp_path / "veins.vtp")
    with pytest.raises(ValueError, match=says):
        read_veins(tmp_path / "veins.vtp")


def test_a_surface_is_refused_as_it_holds_no_lines(tmp_path: Path) -> None:
    pv.Sphere().save(tmp_path / "veins.vtp")
    with pytest.raises(ValueError, match="holds no lines"):
        read_veins(tmp_path / "veins.vtp")


def nearest_on_epicardium(heart: Heart, tree: VenousTree) -> tuple[np.ndarray, np.ndarray]:
    """Distance of each point to the nearest node of the epicardium, and that node."""
    nodes = heart.nodes_of(Surface.EPICARDIUM)
    distance, near = KDTree(heart.nodes_mm[nodes]).query(tree.nodes_mm)
    return distance, nodes[near]


def test_the_template_lies_on_the_epicardium_and_outside_of_the_muscle(small_heart: Heart) -> None:
    tree = template_tree(small_heart)
    boundary = pv.PolyData.from_regular_faces(small_heart.nodes_mm, small_heart.triangles)
    outside = pv.PolyData(np.array(tree.nodes_mm)).compute_implicit_distance(boundary)["implicit_distance"]
    assert outside.min() > 0
    distance, _ = nearest_on_epicardium(small_heart, tree)
    assert (distance < tree.radius_mm + 4).all()


def test_every_tributary_leaves_the_groove_and_runs_towards_the_apex(small_heart: Heart) -> None:
    tree = template_tree(small_heart)
    c, epicardium = small_heart.coordinates, small_heart.nodes_of(Surface.EPICARDIUM)
    left = epicardium[c.in_left_ventricle[epicardium]]  # where the ventricles meet, the coordinate jumps
    height = c.apicobasal[left[KDTree(small_heart.nodes_mm[left]).query(tree.nodes_mm)[1]]]
    for number, vein in enumerate(TRIBUTARIES, start=1):
        points = np.flatnonzero(tree.vein == number)
        mouth = tree.parent[points[0]]
        assert tree.vein_of(mouth) == CORONARY_SINUS
        assert height[mouth] > 0.85
        assert (tree.parent[points[1:]] == points[:-1]).all()
        assert np.diff(height[points]).max() < 0.05
        assert height[points[-1]] == pytest.approx(vein.ends_at, abs=0.06)


def test_tributaries_leave_the_sinus_in_their_anatomical_order(small_heart: Heart) -> None:
    tree = template_tree(small_heart)
    assert tree.names == (
        "coronary sinus",
        "middle cardiac vein",
        "posterolateral vein",
        "left marginal vein",
        "anterior interventricular vein",
    )
    mouths = [int(tree.parent[np.flatnonzero(tree.vein == number)[0]]) for number in range(1, 5)]
    assert mouths == sorted(set(mouths))
    assert mouths[0] > 0


def test_every_vein_of_the_template_grows_narrower_on_its_way(small_heart: Heart) -> None:
    tree = template_tree(small_heart)
    for number in range(len(tree.names)):
        radii = tree.radius_mm[tree.vein == number]
        assert (np.diff(radii) <= 0).all()
        assert radii[-1] < radii[0]


def test_the_template_has_the_veins_asked_for_and_says_what_it_is(small_heart: Heart) -> None:
    marginal = next(vein for vein in TRIBUTARIES if vein.name == "left marginal vein")
    tree, full = template_tree(small_heart, [marginal]), template_tree(small_heart)
    assert tree.names == (CORONARY_SINUS, marginal.name)
    assert tree.is_template
    course = full.nodes_mm[full.vein == full.names.index(marginal.name)]
    assert np.array_equal(tree.nodes_mm[tree.vein == 1], course)


def test_a_template_without_tributaries_is_refused(small_heart: Heart) -> None:
    with pytest.raises(ValueError, match="at least one tributary"):
        template_tree(small_heart, [])
