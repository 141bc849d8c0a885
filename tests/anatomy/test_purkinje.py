"""Laws of the Purkinje network: where it meets the muscle, and which files are refused."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import meshio
import numpy as np
import pytest
import pyvista as pv
from numpy.typing import NDArray

from anatomy.arrays import Int
from anatomy.heart import Heart, Surface
from anatomy.purkinje import REACH_MM, PurkinjeTree, join_to_endocardium, read_purkinje

DATA = Path(__file__).parents[2] / "../shared/data/heart-crtdemo"
BOTH = (Surface.LV_ENDOCARDIUM, Surface.RV_ENDOCARDIUM)
NO_JUNCTIONS = np.empty((0, 2), dtype=np.int32)
# A root, a fork, and a longer branch beside a shorter one.
FORK: dict[str, Any] = {
    "nodes_mm": np.array([[0, 0, 0], [10, 0, 0], [20, 0, 0], [10, 10, 0], [10, 30, 0.0]]),
    "lines": [[0, 1], [2, 1], [1, 3], [3, 4]],
    "junctions": [[2, 7], [4, 7]],
}


def fork(**changes: Any) -> PurkinjeTree:
    return PurkinjeTree(**(FORK | changes))


def star(heart: Heart, seed: int = 0, off_mm: float = 0.0) -> tuple[PurkinjeTree, Int]:
    """A hub in the left cavity, node 0; from it a bent branch to each of ten endocardial nodes, node 11 to 20, which
    stops `off_mm` before it; a root above the hub, node 21. And those ten nodes of the heart."""
    rng = np.random.default_rng(seed)
    goals = rng.choice(heart.nodes_of(Surface.LV_ENDOCARDIUM), size=10, replace=False)
    hub = heart.nodes_mm[heart.nodes_of(Surface.LV_ENDOCARDIUM)].mean(axis=0)
    away = hub - heart.nodes_mm[goals]
    tips = heart.nodes_mm[goals] + off_mm * away / np.linalg.norm(away, axis=1, keepdims=True)
    bends = (hub + tips) / 2
    tree = PurkinjeTree(
        nodes_mm=np.concatenate([[hub], bends, tips, [hub + 5]]),
        lines=np.array(
            [[0, k] for k in range(1, 11)] + [[k, k + 10] for k in range(1, 11)] + [[21, 0]], dtype=np.int32
        ),
        junctions=NO_JUNCTIONS,
    )
    return tree, goals


def grid_of(tree: PurkinjeTree, **point_data: NDArray[Any]) -> pv.UnstructuredGrid:
    cells = np.insert(tree.lines, 0, 2, axis=1).ravel().astype(np.int64)
    grid = pv.UnstructuredGrid(cells, np.full(len(tree.lines), 3, dtype=np.uint8), np.array(tree.nodes_mm))
    for name, values in point_data.items():
        grid.point_data[name] = values
    return grid


def same(one: PurkinjeTree, other: PurkinjeTree) -> bool:
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in ("nodes_mm", "lines", "junctions"))


def test_ends_are_where_one_line_ends_and_free_ends_those_without_a_junction() -> None:
    assert fork().ends.tolist() == [0, 2, 4]
    assert fork().free_ends.tolist() == [0]
    assert fork(junctions=NO_JUNCTIONS).free_ends.tolist() == [0, 2, 4]
    np.testing.assert_array_equal(fork().lengths_mm, [10, 10, 10, 20])


def test_a_loop_has_no_end() -> None:
    assert fork(lines=[[0, 1], [1, 3], [3, 0]]).ends.size == 0


def test_a_node_that_no_line_uses_is_no_end() -> None:
    assert fork(lines=[[0, 1], [1, 3]]).ends.tolist() == [0, 3]


def test_a_tree_keeps_its_own_copy_that_nobody_can_change() -> None:
    nodes = np.array(FORK["nodes_mm"])
    tree = fork(nodes_mm=nodes)
    nodes[0] = 99
    assert tree.nodes_mm[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        tree.junctions[0] = 1


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"lines": NO_JUNCTIONS}, r"lines is empty"),
        ({"lines": [[0, 1], [1, 5]]}, r"lines\[1\] = \[1, 5\] names a node outside 0\.\.4 \(1 of 2 do\)"),
        ({"lines": [[0, 1], [-1, 2]]}, r"lines\[1\] = \[-1, 2\] names a node outside"),
        ({"lines": [[0, 1], [2, 2], [3, 3]]}, r"lines\[1\] = \[2, 2\] has no length \(2 of 3 have none\)"),
        ({"lines": [[0, 1.5]]}, r"lines must hold whole numbers"),
        ({"lines": [[0, 1, 2]]}, r"lines has shape \(1, 3\)"),
        ({"nodes_mm": np.zeros((5, 3))}, r"lines\[0\] = \[0, 1\] has no length \(4 of 4"),
        ({"nodes_mm": np.full((5, 3), np.nan)}, r"nodes_mm\[0, 0\] is not a finite number \(15 of 15"),
        ({"junctions": [[2, 0], [5, 0]]}, r"junctions\[1\] = \[5, 0\], need a node of the tree, 0\.\.4"),
        ({"junctions": [[2, -1]]}, r"junctions\[0\] = \[2, -1\].*\(1 of 1 name others\)"),
    ],
)
def test_a_broken_tree_is_refused_with_its_first_offender(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        fork(**changes)


@pytest.mark.parametrize("seed", range(3))
def test_leaves_that_stop_short_of_a_node_by_less_than_reach_are_joined_to_it(small_heart: Heart, seed: int) -> None:
    tree, goals = star(small_heart, seed, off_mm=0.5)
    joined = join_to_endocardium(tree, small_heart)
    assert joined.junctions.tolist() == [[11 + k, goal] for k, goal in enumerate(goals)]
    assert joined.free_ends.tolist() == [21]
    assert same(PurkinjeTree(nodes_mm=joined.nodes_mm, lines=joined.lines, junctions=NO_JUNCTIONS), tree)


def test_every_leaf_within_reach_meets_the_nearest_node_of_either_endocardium_and_no_other_does(
    small_heart: Heart,
) -> None:
    """A plain search over all nodes, with leaves strewn in and around the heart."""
    rng = np.random.default_rng(5)
    tips = small_heart.nodes_mm[rng.choice(len(small_heart.nodes_mm), 300)] + rng.normal(scale=2, size=(300, 3))
    hub = small_heart.nodes_mm.mean(axis=0)
    tree = PurkinjeTree(
        nodes_mm=np.concatenate([tips, [hub]]),
        lines=np.array([[k, 300] for k in range(300)], dtype=np.int32),
        junctions=NO_JUNCTIONS,
    )
    endocardium = small_heart.nodes_of(*BOTH)
    wanted = []
    for leaf, tip in enumerate(tips):
        distance = np.linalg.norm(small_heart.nodes_mm[endocardium] - tip, axis=1)
        if distance.min() <= 4:
            wanted.append([leaf, int(endocardium[distance.argmin()])])
    joined = join_to_endocardium(tree, small_heart, reach_mm=4)
    assert joined.junctions.tolist() == wanted
    sides = [np.isin(joined.junctions[:, 1], small_heart.nodes_of(side)).sum() for side in BOTH]
    assert min(sides) > 10
    assert 10 < len(wanted) < 290


def test_a_leaf_named_as_the_root_gets_no_junction(small_heart: Heart) -> None:
    tree, _ = star(small_heart)
    every = join_to_endocardium(tree, small_heart)
    rest = join_to_endocardium(tree, small_heart, root=13)
    assert rest.junctions.tolist() == [pair for pair in every.junctions.tolist() if pair[0] != 13]
    assert rest.free_ends.tolist() == [13, 21]


def test_joining_again_replaces_the_junctions(small_heart: Heart) -> None:
    tree, _ = star(small_heart)
    once = join_to_endocardium(tree, small_heart, root=13)
    assert same(join_to_endocardium(once, small_heart), join_to_endocardium(tree, small_heart))


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({"root": 5}, r"root = 5 is none of the tree's 11 ends \(11, 12, 13, 14, 15, \.\.\.\)"),
        ({"root": 99}, r"root = 99 is none"),
        ({"reach_mm": 0.0}, r"reach_mm = 0, need a positive"),
        ({"reach_mm": np.nan}, r"reach_mm = nan, need a positive"),
        ({"reach_mm": np.inf}, r"reach_mm = inf, need a positive"),
        ({"reach_mm": 0.4}, r"no leaf lies within 0\.4 mm .* the nearest of 11 is 0\.5 mm away"),
    ],
)
def test_a_choice_that_makes_no_sense_is_refused(small_heart: Heart, choice: dict[str, Any], says: str) -> None:
    tree, _ = star(small_heart, off_mm=0.5)
    with pytest.raises(ValueError, match=says):
        join_to_endocardium(tree, small_heart, **choice)


@pytest.mark.parametrize(
    ("choice", "says"), [({"root": 5}, r"root = 5 is none"), ({"reach_mm": 0.0}, r"reach_mm = 0,")]
)
def test_a_choice_that_makes_no_sense_is_refused_where_the_file_gives_junctions_too(
    small_heart: Heart, tmp_path: Path, choice: dict[str, Any], says: str
) -> None:
    tree, goals = star(small_heart)
    junction = np.full(len(tree.nodes_mm), -1)
    junction[11:21] = goals
    grid_of(tree, junction=junction).save(tmp_path / "tree.vtu")
    with pytest.raises(ValueError, match=says):
        read_purkinje(tmp_path / "tree.vtu", small_heart, **choice)


def test_a_ring_has_no_leaves_to_join(small_heart: Heart) -> None:
    nodes = small_heart.nodes_mm[small_heart.nodes_of(Surface.LV_ENDOCARDIUM)[[0, 50, 100]]]
    ring = PurkinjeTree(
        nodes_mm=nodes, lines=np.array([[0, 1], [1, 2], [2, 0]], dtype=np.int32), junctions=NO_JUNCTIONS
    )
    with pytest.raises(ValueError, match="the tree has no leaves: give its junctions"):
        join_to_endocardium(ring, small_heart)


@pytest.mark.parametrize("suffix", [".vtu", ".vtk"])
def test_a_tree_comes_back_from_its_file_as_it_went_and_joined(small_heart: Heart, tmp_path: Path, suffix: str) -> None:
    tree, _ = star(small_heart)
    grid_of(tree).save(tmp_path / f"tree{suffix}")
    assert same(read_purkinje(tmp_path / f"tree{suffix}", small_heart), join_to_endocardium(tree, small_heart))


def test_a_tree_written_by_meshio_is_read_as_well(small_heart: Heart, tmp_path: Path) -> None:
    tree, _ = star(small_heart)
    meshio.Mesh(np.array(tree.nodes_mm), [("line", np.array(tree.lines))]).write(tmp_path / "tree.vtu")
    assert same(read_purkinje(tmp_path / "tree.vtu", small_heart), join_to_endocardium(tree, small_heart))


def test_poly_lines_are_read_as_the_segments_they_consist_of(small_heart: Heart, tmp_path: Path) -> None:
    """One poly-line from the root over the hub to the first leaf, beside plain lines and a point that is no line."""
    tree, _ = star(small_heart)
    mesh = pv.PolyData(np.array(tree.nodes_mm))
    long = [[4, 21, 0, 1, 11]] + [[3, 0, k, k + 10] for k in range(2, 11)]
    mesh.lines = np.concatenate(long)
    mesh.verts = [1, 0]
    for path in (tmp_path / "tree.vtp", tmp_path / "tree.vtu"):
        (mesh if path.suffix == ".vtp" else mesh.cast_to_unstructured_grid()).save(path)
        back = read_purkinje(path, small_heart)
        assert {frozenset(line) for line in back.lines.tolist()} == {frozenset(line) for line in tree.lines.tolist()}
        assert len(back.lines) == len(tree.lines)
        np.testing.assert_array_equal(back.junctions, join_to_endocardium(tree, small_heart).junctions)


def test_cells_that_are_no_lines_are_passed_over(small_heart: Heart, tmp_path: Path) -> None:
    tree, _ = star(small_heart)
    cells = np.concatenate([[3, 1, 2, 3], np.insert(tree.lines, 0, 2, axis=1).ravel(), [4, 4, 5, 6, 7]])
    kinds = np.array([5] + [3] * len(tree.lines) + [10], dtype=np.uint8)
    pv.UnstructuredGrid(cells.astype(np.int64), kinds, np.array(tree.nodes_mm)).save(tmp_path / "tree.vtu")
    assert same(read_purkinje(tmp_path / "tree.vtu", small_heart), join_to_endocardium(tree, small_heart))


@pytest.mark.parametrize("dtype", [np.int64, np.float64])
def test_junctions_that_the_file_gives_are_taken_instead_of_those_found(
    small_heart: Heart, tmp_path: Path, dtype: type[np.int64] | type[np.float64]
) -> None:
    """One of them at a node that is no leaf, and one at the root, which gets none even so."""
    tree, goals = star(small_heart)
    hub_node = int(np.linalg.norm(small_heart.nodes_mm - tree.nodes_mm[0], axis=1).argmin())
    junction = np.full(len(tree.nodes_mm), -1)
    junction[[0, 12, 21]] = hub_node, goals[1], hub_node
    grid_of(tree, junction=junction.astype(dtype)).save(tmp_path / "tree.vtu")
    back = read_purkinje(tmp_path / "tree.vtu", small_heart, root=21, reach_mm=100)
    assert back.junctions.tolist() == [[0, hub_node], [12, goals[1]]]


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({}, r"the array `junction` joins no point"),
        ({12: 0.5}, r"junction\[12\] = 0\.5, need a node of the heart"),
        ({12: -2}, r"junction\[12\] = -2, need"),
        ({12: 10**7, 14: 10**7}, r"junction\[12\] = 10000000, need .*\(2 of 22 are neither\)"),
        ({3: np.nan}, r"junction\[3\] is not a finite number"),
    ],
)
def test_given_junctions_that_name_no_node_of_the_heart_are_refused(
    small_heart: Heart, tmp_path: Path, values: dict[int, float], says: str
) -> None:
    tree, _ = star(small_heart)
    junction = np.full(len(tree.nodes_mm), -1.0)
    for node, value in values.items():
        junction[node] = value
    grid_of(tree, junction=junction).save(tmp_path / "tree.vtu")
    with pytest.raises(ValueError, match=says):
        read_purkinje(tmp_path / "tree.vtu", small_heart)


def test_the_first_number_past_the_nodes_of_the_heart_is_refused(small_heart: Heart, tmp_path: Path) -> None:
    tree, _ = star(small_heart)
    n = len(small_heart.nodes_mm)
    grid_of(tree, junction=np.full(len(tree.nodes_mm), n)).save(tmp_path / "tree.vtu")
    with pytest.raises(ValueError, match=rf"junction\[0\] = {n}, need a node of the heart, 0\.\.{n - 1}, or -1"):
        read_purkinje(tmp_path / "tree.vtu", small_heart)


def test_given_junctions_of_another_mesh_are_refused_by_their_length(small_heart: Heart, tmp_path: Path) -> None:
    tree, goals = star(small_heart)
    junction = np.full(len(tree.nodes_mm), -1)
    junction[11:21] = np.roll(goals, 1)
    grid_of(tree, junction=junction).save(tmp_path / "tree.vtu")
    with pytest.raises(ValueError, match=r"junction\[11\] = \d+ is .* mm away, need at most 3 mm \(10 of 10"):
        read_purkinje(tmp_path / "tree.vtu", small_heart)


@pytest.mark.parametrize("factor", [1e-3, 0.1, 1e3])
def test_trees_in_other_units_are_refused_even_where_they_touch_the_heart(
    small_heart: Heart, tmp_path: Path, factor: float
) -> None:
    """Shrunk about a node of the endocardium: the reader cannot rely on the distance."""
    tree, goals = star(small_heart)
    origin = small_heart.nodes_mm[goals[0]]
    grid = grid_of(tree)
    grid.points = origin + factor * (np.array(tree.nodes_mm) - origin)
    grid.save(tmp_path / "tree.vtu")
    with pytest.raises(ValueError, match=r"the tree measures .* check that the points are in mm"):
        read_purkinje(tmp_path / "tree.vtu", small_heart)


def test_lines_with_copies_of_the_points_they_share_are_refused_until_merged(
    small_heart: Heart, tmp_path: Path
) -> None:
    tree, goals = star(small_heart)
    torn = pv.PolyData(
        np.array(tree.nodes_mm)[tree.lines].reshape(-1, 3),
        lines=[[2, 2 * k, 2 * k + 1] for k in range(len(tree.lines))],
    )
    torn.save(tmp_path / "torn.vtp")
    with pytest.raises(ValueError, match="21 pieces, but 1 if points at the same place"):
        read_purkinje(tmp_path / "torn.vtp", small_heart)
    torn.clean().save(tmp_path / "merged.vtp")
    merged = read_purkinje(tmp_path / "merged.vtp", small_heart)
    assert sorted(merged.junctions[:, 1].tolist()) == sorted(goals.tolist())


def test_branches_that_cross_without_a_common_node_stay_apart(small_heart: Heart, tmp_path: Path) -> None:
    """Two branches of one tree through the same place: no piece hangs on it, so nothing is amiss."""
    tree, _ = star(small_heart)
    nodes = np.array(tree.nodes_mm)
    nodes[2] = nodes[1]
    crossed = PurkinjeTree(nodes_mm=nodes, lines=tree.lines, junctions=NO_JUNCTIONS)
    grid_of(crossed).save(tmp_path / "tree.vtu")
    assert same(read_purkinje(tmp_path / "tree.vtu", small_heart), join_to_endocardium(crossed, small_heart))


def test_trees_of_both_ventricles_may_share_a_file(small_heart: Heart, tmp_path: Path) -> None:
    left, _ = star(small_heart)
    right = small_heart.nodes_of(Surface.RV_ENDOCARDIUM)[[0, -1]]
    n = len(left.nodes_mm)
    both = PurkinjeTree(
        nodes_mm=np.concatenate([left.nodes_mm, small_heart.nodes_mm[right]]),
        lines=np.concatenate([left.lines, [[n, n + 1]]]),
        junctions=NO_JUNCTIONS,
    )
    grid_of(both).save(tmp_path / "trees.vtu")
    back = read_purkinje(tmp_path / "trees.vtu", small_heart)
    alone = join_to_endocardium(left, small_heart).junctions.tolist()
    assert back.junctions.tolist() == [*alone, [n, right[0]], [n + 1, right[1]]]


@pytest.mark.parametrize("suffix", [".vtu", ".vtp", ".vtk"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.9])
def test_truncated_files_are_refused_in_one_line(small_heart: Heart, tmp_path: Path, suffix: str, share: float) -> None:
    tree, _ = star(small_heart)
    mesh = grid_of(tree).extract_surface(algorithm=None) if suffix == ".vtp" else grid_of(tree)
    mesh.save(tmp_path / f"whole{suffix}")
    whole = (tmp_path / f"whole{suffix}").read_bytes()
    path = tmp_path / f"tree{suffix}"
    path.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(ValueError, match=r"^tree\.vt") as caught:
        read_purkinje(path, small_heart)
    assert "\n" not in str(caught.value)


def test_a_file_whose_cells_are_spoilt_is_refused_not_trusted(small_heart: Heart, tmp_path: Path) -> None:
    """VTK's own list of the cells of this file is a crash."""
    grid_of(star(small_heart)[0]).save(tmp_path / "tree.vtk")
    content = bytearray((tmp_path / "tree.vtk").read_bytes())
    second = content.index(b"OFFSETS vtktypeint64\n") + len(b"OFFSETS vtktypeint64\n") + 8
    content[second : second + 8] = (2**40).to_bytes(8, "big")
    (tmp_path / "tree.vtk").write_bytes(content)
    with pytest.raises(ValueError, match="its cells do not fit together"):
        read_purkinje(tmp_path / "tree.vtk", small_heart)


def an_image(path: Path) -> None:
    pv.ImageData(dimensions=(3, 3, 3)).save(path)


def a_sphere(path: Path) -> None:
    pv.Sphere(radius=30).save(path)


def a_text(path: Path) -> None:
    path.write_text("hello")


def nothing(path: Path) -> None:
    """The file stays missing."""


@pytest.mark.parametrize(
    ("name", "make", "says"),
    [
        ("tree.vtp", a_sphere, r"^tree\.vtp: lines is empty"),
        ("tree.vtk", an_image, r"^tree\.vtk: the file holds a grid, not lines"),
        ("tree.stl", a_sphere, r"^tree\.stl: the ending '\.stl' is not that of a Purkinje tree; known: \.vtu, \.vtp"),
        ("tree.vtu", a_text, r"^tree\.vtu "),
        ("tree.vtu", nothing, r"^tree\.vtu: no such file"),
    ],
)
def test_files_of_something_else_are_refused(
    small_heart: Heart, tmp_path: Path, name: str, make: Callable[[Path], None], says: str
) -> None:
    make(tmp_path / name)
    with pytest.raises(ValueError, match=says):
        read_purkinje(tmp_path / name, small_heart)


@pytest.mark.parametrize(
    ("name", "side", "lines", "leaves"),
    [
        ("True_LVtree.vtu", Surface.LV_ENDOCARDIUM, 1140, 89),
        ("True_RVtree.vtu", Surface.RV_ENDOCARDIUM, 2001, 156),
    ],
)
def test_trees_of_others_meet_their_own_endocardium_at_every_leaf(
    crtdemo: Heart, name: str, side: Surface, lines: int, leaves: int
) -> None:
    """Both start at point 0; the mesh is coarse, its endocardium has edges of about 4 mm."""
    if not (DATA / name).exists():
        pytest.skip(f"needs ../shared/data/heart-crtdemo/{name}")
    tree = read_purkinje(DATA / name, crtdemo, root=0)
    assert len(tree.lines) == lines
    assert len(tree.junctions) == leaves
    assert tree.free_ends.tolist() == [0]
    assert np.isin(tree.junctions[:, 1], crtdemo.nodes_of(side)).all()
    at, node = tree.junctions.T
    distance = np.linalg.norm(tree.nodes_mm[at] - crtdemo.nodes_mm[node], axis=1)
    assert np.median(distance) == pytest.approx(1.3, abs=0.1)
    assert 2 < distance.max() < 0.8 * REACH_MM
