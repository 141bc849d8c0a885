"""What Purkinje trees in the solver promise: closed forms along lines, and one fixed point with the muscle."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from anatomy.build import complete_heart
from anatomy.formats import read_heart_file
from anatomy.heart import Heart, HeartMesh, Surface, Tissue
from anatomy.purkinje import PurkinjeTree, read_purkinje
from tests.twin.boxes import as_matrices, box_heart
from tests.twin.plain_eikonal import plain_times
from twin.conduction import Conduction, metric_tensors
from twin.eikonal import Eikonal
from twin.purkinje import Purkinje

ROUNDING = 1e-5
SHARED = Path(__file__).parents[3] / "shared" / "data"


@pytest.fixture(scope="module")
def heart() -> Heart:
    return box_heart(10.0)


def star_tree(heart: Heart, leaves: list[int]) -> PurkinjeTree:
    """A root outside the box, a hub below its floor and a line from there to below each of the leaves' heart nodes."""
    hub = heart.nodes_mm[leaves].mean(axis=0) - [0.0, 0.0, 2.0]
    below = heart.nodes_mm[leaves] - [0.0, 0.0, 1.0]
    lines = [[0, 1], *([1, 2 + i] for i in range(len(leaves)))]
    junctions = np.column_stack([2 + np.arange(len(leaves)), leaves])
    return PurkinjeTree(
        nodes_mm=np.concatenate([[hub - [0.0, 0.0, 10.0], hub], below]), lines=np.array(lines), junctions=junctions
    )


def floor(heart: Heart, *places: int) -> list[int]:
    return heart.nodes_of(Surface.LV_ENDOCARDIUM)[list(places)].tolist()


def test_along_a_tree_each_node_takes_its_length_over_the_speed(heart: Heart) -> None:
    leaves = floor(heart, 3, 17, 40)
    tree = star_tree(heart, leaves)
    solver = Eikonal(
        heart, Conduction(), trees=[Purkinje(tree=tree, speed_m_per_s=2.5, to_muscle_ms=4.0, to_tree_ms=9.0)]
    )
    root = len(heart.nodes_mm)
    times = solver.solve(root)
    expected = np.concatenate([[0.0, 10.0], 10.0 + tree.lengths_mm[1:]]) / 2.5
    np.testing.assert_allclose(times[root:], expected, rtol=ROUNDING)
    np.testing.assert_allclose(times[leaves], expected[2:] + 4.0, rtol=ROUNDING)


def test_muscle_beyond_the_junctions_is_excited_as_from_sources_that_start_there(heart: Heart) -> None:
    leaves = floor(heart, 3, 17, 40)
    tree = Purkinje(tree=star_tree(heart, leaves), speed_m_per_s=2.5, to_muscle_ms=4.0, to_tree_ms=np.inf)
    n = len(heart.nodes_mm)
    times = Eikonal(heart, Conduction(), trees=[tree], ball_mm=0).solve(n)
    bare = Eikonal(heart, Conduction(), ball_mm=0).solve(leaves, times[leaves])
    np.testing.assert_allclose(times[:n], bare, rtol=ROUNDING)


def test_excitation_enters_a_tree_from_the_muscle_and_runs_ahead_in_it(heart: Heart) -> None:
    near, far = floor(heart, 0, 48)
    tree = star_tree(heart, [near, far])
    both = Purkinje(tree=tree, speed_m_per_s=4.0, to_muscle_ms=2.0, to_tree_ms=3.0)
    times = Eikonal(heart, Conduction(), trees=[both]).solve(near)
    assert times[far] == pytest.approx(3.0 + tree.lengths_mm[1:].sum() / 4.0 + 2.0, rel=ROUNDING)
    one_way = replace(both, to_tree_ms=np.inf)
    n = len(heart.nodes_mm)
    bare = Eikonal(heart, Conduction()).solve(near)
    np.testing.assert_array_equal(Eikonal(heart, Conduction(), trees=[one_way]).solve(near)[:n], bare)


def test_a_heart_with_trees_gets_the_times_of_the_plain_solver(heart: Heart) -> None:
    rng = np.random.default_rng(5)
    axes = np.linalg.qr(rng.normal(size=(len(heart.tets), 3, 3)))[0]
    heart = replace(heart, fibres=axes[:, :, 0], sheets=axes[:, :, 1])
    tree = star_tree(heart, floor(heart, 3, 17, 40))
    solver = Eikonal(
        heart, Conduction(), trees=[Purkinje(tree=tree, speed_m_per_s=2.0, to_muscle_ms=6.0, to_tree_ms=6.0)], ball_mm=0
    )
    nodes = np.concatenate([heart.nodes_mm, tree.nodes_mm])
    lines = tree.lines + len(heart.nodes_mm)
    junctions = tree.junctions + np.array([len(heart.nodes_mm), 0])
    reach = np.linalg.norm(nodes[junctions[:, 0]] - nodes[junctions[:, 1]], axis=1)
    plain = plain_times(
        nodes,
        [
            (heart.tets, as_matrices(metric_tensors(heart, Conduction()))),
            (lines, np.tile(np.eye(3) / 2.0**2, (len(lines), 1, 1))),
            (junctions, np.eye(3) * (6.0 / reach[:, None, None]) ** 2),
        ],
        [200, 30],
        [0.0, 8.0],
    )
    np.testing.assert_allclose(solver.solve([200, 30], [0.0, 8.0]), plain, rtol=ROUNDING)


def test_two_trees_are_numbered_one_behind_the_other(heart: Heart) -> None:
    first, second = (star_tree(heart, floor(heart, i, i + 9)) for i in (2, 30))
    trees = [Purkinje(tree=tree, speed_m_per_s=2.0, to_muscle_ms=1.0, to_tree_ms=1.0) for tree in (first, second)]
    root = len(heart.nodes_mm) + len(first.nodes_mm)
    both = Eikonal(heart, Conduction(), trees=trees).solve(root)
    alone = Eikonal(heart, Conduction(), trees=trees[1:]).solve(len(heart.nodes_mm))
    np.testing.assert_allclose(both[root:], alone[len(heart.nodes_mm) :], rtol=ROUNDING)
    assert np.isfinite(both).all()


def test_a_junction_in_core_leads_nowhere(heart: Heart) -> None:
    core = np.where(heart.nodes_mm[heart.tets].mean(axis=1)[:, 2] < 20, Tissue.CORE, Tissue.HEALTHY).astype(np.int8)
    tree = Purkinje(tree=star_tree(heart, floor(heart, 3, 17)), speed_m_per_s=2.0, to_muscle_ms=1.0, to_tree_ms=1.0)
    n = len(heart.nodes_mm)
    times = Eikonal(replace(heart, tissue=core), Conduction(), trees=[tree]).solve(n)
    assert np.isinf(times[:n]).all()
    assert np.isfinite(times[n:]).all()


def test_superposition_holds_with_a_tree(heart: Heart) -> None:
    tree = Purkinje(tree=star_tree(heart, floor(heart, 3, 40)), speed_m_per_s=3.0, to_muscle_ms=2.0, to_tree_ms=2.0)
    solver = Eikonal(heart, Conduction(), trees=[tree])
    joint = solver.solve([60, 300], [0.0, 10.0])
    late = np.minimum(solver.solve(60), solver.solve(300) + 10.0) - joint
    assert late.min() > -ROUNDING * joint.max()
    assert late[len(heart.nodes_mm) :].max() < ROUNDING * joint.max()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"speed_m_per_s": 0.0}, "positive, finite speed"),
        ({"to_muscle_ms": -1.0}, "to_muscle_ms = -1"),
        ({"to_tree_ms": np.nan}, "to_tree_ms = nan"),
    ],
)
def test_wrong_speeds_and_delays_are_refused(heart: Heart, change: dict[str, Any], message: str) -> None:
    given = {"tree": star_tree(heart, floor(heart, 3)), "speed_m_per_s": 2.0, "to_muscle_ms": 1.0, "to_tree_ms": 1.0}
    with pytest.raises(ValueError, match=message):
        Purkinje(**given | change)


def test_a_tree_of_another_heart_is_refused(heart: Heart) -> None:
    tree = star_tree(heart, floor(heart, 3))
    lost = replace(tree, junctions=np.array([[2, len(heart.nodes_mm)]]))
    with pytest.raises(ValueError, match=r"junctions\[0\] names node 343 of the heart, which has 343"):
        Eikonal(heart, Conduction(), trees=[Purkinje(tree=lost, speed_m_per_s=2.0, to_muscle_ms=1.0, to_tree_ms=1.0)])


def test_the_real_trees_excite_the_heart_sooner_than_one_of_them() -> None:
    folder = SHARED / "heart-crtdemo"
    if not folder.exists():
        pytest.skip(f"needs the heart with Purkinje trees, {folder.name}, of the shared test data")
    file = read_heart_file(SHARED / "patients" / "crtdemo" / "heart.vtu")
    assert file.triangles is not None
    assert file.surface is not None
    mesh = HeartMesh(nodes_mm=file.nodes_mm, tets=file.tets, triangles=file.triangles, surface=file.surface)
    heart = complete_heart(mesh, fibres=file.fibres, sheets=file.sheets)
    left, right = (
        Purkinje(
            tree=read_purkinje(folder / f"True_{side}tree.vtu", mesh, root=0),
            speed_m_per_s=2.0,
            to_muscle_ms=1.0,
            to_tree_ms=1.0,
        )
        for side in ("LV", "RV")
    )
    n = len(heart.nodes_mm)
    roots = [n, n + len(left.tree.nodes_mm)]
    solver = Eikonal(heart, Conduction(), trees=[left, right])
    healthy, left_block = solver.solve(roots)[:n], solver.solve(roots[1])[:n]
    one_way = replace(left, to_tree_ms=np.inf)
    dead_left = Eikonal(heart, Conduction(), trees=[one_way, right]).solve(roots[1])[:n]
    assert (healthy <= left_block).all()
    assert (left_block <= dead_left).all()
    # Without the left tree the left ventricle waits for the septum; with it, it is entered from behind and runs ahead.
    wall = heart.nodes_of(Surface.LV_ENDOCARDIUM)
    assert healthy.max() < left_block[wall].max() < dead_left[wall].max()
