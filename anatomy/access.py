"""What a lead can reach: a walk from the coronary sinus ostium through the venous tree.

The tree is searched as a directed graph (networkx) whose edges run away from the ostium. A lead passes an edge if the
vein is wide enough and the turn is not too sharp; a place is reachable if a way of passable edges leads there. There is no
quantitative standard of "implantable" in the literature; the thresholds are our choice, each of them a setting.

Units: mm, degrees.
"""

from dataclasses import dataclass

import networkx as nx
import numpy as np

from anatomy.arrays import Float
from anatomy.veins import VenousTree

# Directions are taken over this length, or the noise of single centre-line points would count as turns.
_DIRECTION_MM = 6.0


@dataclass(frozen=True, kw_only=True)
class LeadRules:
    """What stops a lead.

    Attributes:
        lead_diameter_mm: 4 Fr, the tip of current quadripolar leads; makers' data, not verified against the manuals.
        sharpest_turn_deg: change of direction at a branch; a take-off angle of 60 degrees is a turn of 120.
        electrode_spacing_mm: distance between candidate sites along a vein.
        wall_distance_mm: farthest that an electrode may lie from the epicardium it is to capture.
    """

    lead_diameter_mm: float = 1.33
    sharpest_turn_deg: float = 120.0
    electrode_spacing_mm: float = 10.0
    wall_distance_mm: float = 10.0

    def __post_init__(self) -> None:
        for name in ("lead_diameter_mm", "electrode_spacing_mm", "wall_distance_mm"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be > 0, got {getattr(self, name)}")
        if not 0 < self.sharpest_turn_deg <= 180:
            raise ValueError(f"sharpest_turn_deg must lie in 0..180, got {self.sharpest_turn_deg}")


@dataclass(frozen=True, kw_only=True)
class Access:
    """How a lead fares on the way to one point of the tree.

    Attributes:
        reachable: no edge on the way stops it.
        reasons: what stops it, in words; empty where reachable.
        distance_mm: from the ostium along the veins.
        narrowest_mm: smallest diameter on the way.
    """

    reachable: bool
    reasons: tuple[str, ...]
    distance_mm: float
    narrowest_mm: float


def lead_access(tree: VenousTree, rules: LeadRules) -> list[Access]:
    """How a lead fares on the way to each point of the tree, in the order of its points."""
    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(tree.parent)))
    for child, parent in enumerate(tree.parent.tolist()):
        if parent >= 0:
            graph.add_edge(parent, child, obstacle=_obstacle(tree, rules, parent, child))
    passable = nx.subgraph_view(graph, filter_edge=lambda a, b: not graph.edges[a, b]["obstacle"])
    reached = nx.descendants(passable, 0) | {0}

    narrowest = 2 * tree.radius_mm
    reasons: list[tuple[str, ...]] = [()] * len(tree.parent)
    for child, parent in enumerate(tree.parent.tolist()):  # parents come first
        if parent < 0:
            continue
        narrowest[child] = min(narrowest[child], narrowest[parent])
        reasons[child] = reasons[parent] or ((graph.edges[parent, child]["obstacle"],) if child not in reached else ())
    return [
        Access(
            reachable=point in reached,
            reasons=reasons[point],
            distance_mm=float(tree.distances_mm[point]),
            narrowest_mm=float(narrowest[point]),
        )
        for point in range(len(tree.parent))
    ]


def electrode_points(tree: VenousTree, rules: LeadRules) -> list[int]:
    """Points of the tributaries at which a lead's electrode may stop: every `electrode_spacing_mm`, ends included.

    The coronary sinus itself is a way, not a place: it runs in the groove, between atrium and ventricle.
    """
    lengths = tree.distances_mm
    last = np.zeros(len(tree.parent))
    chosen = []
    for child, parent in enumerate(tree.parent.tolist()):
        if parent < 0:
            continue
        last[child] = last[parent] if tree.vein[child] == tree.vein[parent] else lengths[parent]
        if tree.vein[child] == 0:
            continue
        since = lengths[child] - last[child]
        if since >= rules.electrode_spacing_mm or (
            tree.children[child] == 0 and since > rules.electrode_spacing_mm / 2
        ):
            chosen.append(child)
            last[child] = lengths[child]
    return chosen


def _obstacle(tree: VenousTree, rules: LeadRules, parent: int, child: int) -> str:
    """What stops a lead between two neighbouring points; empty if nothing does."""
    diameter = 2 * float(min(tree.radius_mm[child], tree.radius_mm[parent]))  # the ostium is nobody's child
    if diameter < rules.lead_diameter_mm:
        return f"the {tree.vein_of(child)} narrows to {diameter:.1f} mm, the lead needs {rules.lead_diameter_mm:.2f} mm"
    if tree.children[parent] > 1 and parent != 0:  # at the ostium there is no way before the turn
        turn = _turn_deg(_direction(tree, parent, before=True), _direction(tree, child, before=False))
        if turn > rules.sharpest_turn_deg:
            return (
                f"the turn into the {tree.vein_of(child)} is {turn:.0f} degrees, at most {rules.sharpest_turn_deg:.0f}"
            )
    return ""


def _direction(tree: VenousTree, point: int, *, before: bool) -> Float:
    """Where the lead heads just before, or just after, a point."""
    here = tree.nodes_mm[point]
    if before:
        path = tree.path_to(point)[::-1]
        far = next((p for p in path if np.linalg.norm(tree.nodes_mm[p] - here) >= _DIRECTION_MM), path[-1])
        travelled: Float = here - tree.nodes_mm[far]
        return travelled
    start = tree.nodes_mm[tree.parent[point]]
    while np.linalg.norm(tree.nodes_mm[point] - start) < _DIRECTION_MM:
        onward = np.flatnonzero((tree.parent == point) & (tree.vein == tree.vein[point]))
        if not onward.size:
            break
        point = int(onward[0])
    ahead: Float = tree.nodes_mm[point] - start
    return ahead


def _turn_deg(before: Float, after: Float) -> float:
    lengths = np.linalg.norm(before) * np.linalg.norm(after)
    if lengths == 0:  # points on one spot: no way, no turn
        return 0.0
    return float(np.degrees(np.arccos(np.clip(before @ after / lengths, -1, 1))))
