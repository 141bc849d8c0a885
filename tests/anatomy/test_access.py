import re
from dataclasses import replace

import numpy as np
import pytest

from anatomy.access import LeadRules, electrode_points, lead_access
from anatomy.arrays import Float
from anatomy.veins import VenousTree

STEP_MM = 2.0
SINUS, BRANCH = "coronary sinus", "left marginal vein"
N = 20  # points of the sinus; as many of the branch


def y_tree(take_off_deg: float = 60.0, mirror: bool = False) -> VenousTree:
    """A sinus along x, 38 mm long, and a branch of 40 mm from its tenth point; `take_off_deg` is the change of direction."""
    sinus = np.arange(N)[:, None] * [STEP_MM, 0, 0]
    turn = np.radians(take_off_deg)
    away = np.array([np.cos(turn), np.sin(turn), 0])
    branch = sinus[10] + np.arange(1, N + 1)[:, None] * STEP_MM * away
    nodes: Float = np.concatenate([sinus, branch])
    return VenousTree(
        nodes_mm=nodes * [1, -1 if mirror else 1, 1],
        parent=np.array([-1, *range(N - 1), 10, *range(N, 2 * N - 1)]),
        radius_mm=np.full(2 * N, 2.0),
        vein=np.repeat([0, 1], N),
        names=(SINUS, BRANCH),
        is_template=False,
    )


def narrowed(tree: VenousTree, *points: int, diameter_mm: float) -> VenousTree:
    radius = tree.radius_mm.copy()
    radius[list(points)] = diameter_mm / 2
    return replace(tree, radius_mm=radius)


def reachable(tree: VenousTree, rules: LeadRules | None = None) -> list[int]:
    return [i for i, access in enumerate(lead_access(tree, rules or LeadRules())) if access.reachable]


def test_a_lead_reaches_all_of_a_wide_and_straight_tree() -> None:
    access = lead_access(y_tree(), LeadRules())
    assert all(one.reachable and not one.reasons for one in access)


def test_distances_run_along_the_veins_and_the_narrowest_place_is_that_of_the_way() -> None:
    access = lead_access(narrowed(y_tree(), 5, diameter_mm=3.0), LeadRules())
    np.testing.assert_allclose([a.distance_mm for a in access[:N]], STEP_MM * np.arange(N))
    np.testing.assert_allclose([a.distance_mm for a in access[N:]], STEP_MM * np.arange(11, 11 + N))
    np.testing.assert_allclose([a.narrowest_mm for a in access], [4.0] * 5 + [3.0] * (2 * N - 5))


def test_a_narrow_place_in_the_sinus_stops_everything_beyond_it() -> None:
    tree = narrowed(y_tree(), 7, diameter_mm=1.0)
    assert reachable(tree) == list(range(7))
    says = "the coronary sinus narrows to 1.0 mm, the lead needs 1.33 mm"
    assert {access.reasons for access in lead_access(tree, LeadRules())[7:]} == {(says,)}


def test_a_narrow_place_in_a_branch_leaves_the_rest_of_the_sinus_within_reach() -> None:
    tree = narrowed(y_tree(), N + 4, diameter_mm=1.2)
    assert reachable(tree) == list(range(N + 4))
    assert lead_access(tree, LeadRules())[-1].reasons == (
        "the left marginal vein narrows to 1.2 mm, the lead needs 1.33 mm",
    )


def test_a_lead_that_does_not_fit_the_ostium_goes_nowhere() -> None:
    assert reachable(narrowed(y_tree(), 0, diameter_mm=1.0)) == [0]


def test_the_first_obstacle_on_the_way_is_the_reason() -> None:
    tree = narrowed(y_tree(take_off_deg=150), 3, N + 8, diameter_mm=0.5)
    assert {a.reasons for a in lead_access(tree, LeadRules())[3:]} == {
        ("the coronary sinus narrows to 0.5 mm, the lead needs 1.33 mm",)
    }


def test_a_thinner_lead_passes_where_a_thicker_one_does_not() -> None:
    tree = narrowed(y_tree(), 7, diameter_mm=1.0)
    assert len(reachable(tree, LeadRules(lead_diameter_mm=0.9))) == 2 * N


@pytest.mark.parametrize("mirror", [False, True])
@pytest.mark.parametrize(("turn_deg", "passes"), [(0.5, True), (90, True), (119, True), (121, False), (170, False)])
def test_a_branch_is_reached_up_to_the_sharpest_turn_to_either_side(
    turn_deg: float, passes: bool, mirror: bool
) -> None:
    tree = y_tree(turn_deg, mirror)
    assert reachable(tree) == list(range(2 * N if passes else N))
    says = () if passes else (f"the turn into the left marginal vein is {turn_deg:.0f} degrees, at most 120",)
    assert lead_access(tree, LeadRules())[-1].reasons == says


def test_the_sharpest_turn_is_a_setting() -> None:
    tree = y_tree(take_off_deg=60)
    assert reachable(tree, LeadRules(sharpest_turn_deg=59)) == list(range(N))
    assert len(reachable(tree, LeadRules(sharpest_turn_deg=61))) == 2 * N


def test_a_kink_of_a_single_point_is_no_turn() -> None:
    tree = y_tree(take_off_deg=60)
    nodes = tree.nodes_mm.copy()
    nodes[N] = nodes[10] + [-1.0, 0.5, 0]  # the first point of the branch lies behind its mouth
    assert len(reachable(replace(tree, nodes_mm=nodes))) == 2 * N


def test_access_does_not_depend_on_the_order_of_the_branches() -> None:
    """A sinus with one branch to each side, numbered one way and the other."""
    one = y_tree(60)
    other = y_tree(60, mirror=True)
    parts = [one.nodes_mm[:N], one.nodes_mm[N:], other.nodes_mm[N:]]
    radii = [np.full(N, 2.0), np.full(N, 2.0), np.linspace(2.0, 0.3, N)]
    found = []
    for first, second in ((1, 2), (2, 1)):
        tree = VenousTree(
            nodes_mm=np.concatenate([parts[0], parts[first], parts[second]]),
            parent=[-1, *range(N - 1), 10, *range(N, 2 * N - 1), 10, *range(2 * N, 3 * N - 1)],
            radius_mm=np.concatenate([radii[0], radii[first], radii[second]]),
            vein=np.repeat([0, first, second], N),
            names=(SINUS, "one", "other"),
            is_template=False,
        )
        access = lead_access(tree, LeadRules())
        found.append({tuple(tree.nodes_mm[i]): access[i] for i in range(3 * N)})
    assert found[0] == found[1]


@pytest.mark.parametrize("spacing_mm", [4.0, 10.0, 15.0])
def test_electrodes_stand_in_the_branches_at_equal_distances_from_the_mouth(spacing_mm: float) -> None:
    tree = y_tree()
    chosen = electrode_points(tree, LeadRules(electrode_spacing_mm=spacing_mm))
    along = STEP_MM * (np.array(chosen) - N + 1)
    step = np.ceil(spacing_mm / STEP_MM) * STEP_MM
    wanted = np.arange(step, N * STEP_MM + 1e-9, step)
    if N * STEP_MM - wanted[-1] > spacing_mm / 2:
        wanted = np.append(wanted, N * STEP_MM)
    np.testing.assert_allclose(along, wanted)


def test_no_electrode_stands_in_the_sinus_and_a_short_branch_has_one_at_its_end() -> None:
    tree = y_tree()
    short = VenousTree(
        nodes_mm=tree.nodes_mm[: N + 4],
        parent=tree.parent[: N + 4],
        radius_mm=tree.radius_mm[: N + 4],
        vein=tree.vein[: N + 4],
        names=tree.names,
        is_template=False,
    )
    assert electrode_points(short, LeadRules()) == [N + 3]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lead_diameter_mm", 0.0),
        ("electrode_spacing_mm", -1.0),
        ("wall_distance_mm", np.inf),
        ("sharpest_turn_deg", 181.0),
    ],
)
def test_rules_out_of_range_are_refused(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=re.escape(name)):
        LeadRules(**{name: value})
