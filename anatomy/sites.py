"""Places at which the left or right ventricle could be paced, as points of the mesh.

Units: mm.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial import KDTree

from anatomy.access import LeadRules, electrode_points, lead_access
from anatomy.arrays import Float, Int
from anatomy.heart import Heart, Surface, Tissue
from anatomy.veins import VenousTree

# Tissue within this distance of the electrode counts as "at the tip"; our choice, about a lead's bipole.
_TIP_RADIUS_MM = 5.0


@dataclass(frozen=True, kw_only=True)
class PacingSite:
    """One candidate place for the left-ventricular electrode.

    Attributes:
        id: unique within a plan.
        source: "vein", "user" or "implanted".
        node: of the heart's mesh, on the left-ventricular epicardium.
        position_mm: (x, y, z) of the electrode; the node lies beside it.
        vein: its name; empty where the place came without one.
        aha_segment: 1 to 17.
        reachable: whether a lead gets there; None where no vein says.
        reasons: why not, in words.
        scar_at_tip: share of scar core in the myocardium within 5 mm, 0 to 1.
        captures: whether living tissue touches the electrode's node.
    """

    id: str
    source: str
    node: int
    position_mm: tuple[float, float, float]
    vein: str
    aha_segment: int
    reachable: bool | None
    reasons: tuple[str, ...]
    scar_at_tip: float
    captures: bool


class SiteFinder:
    """Finds nodes of one heart by place or by coordinates, and says what tissue is there."""

    def __init__(self, heart: Heart) -> None:
        self._heart = heart
        epicardium = heart.nodes_of(Surface.EPICARDIUM)
        self._epicardium = epicardium[heart.coordinates.in_left_ventricle[epicardium]]
        self._epicardium_tree = KDTree(heart.nodes_mm[self._epicardium])
        # A tree that is neither balanced nor compact is built in a fifth of the time, for the few questions that follow.
        centres = heart.nodes_mm[heart.tets].mean(axis=1)
        self._centres = KDTree(centres, balanced_tree=False, compact_nodes=False)

    def from_veins(self, tree: VenousTree, rules: LeadRules) -> list[PacingSite]:
        """A site every `rules.electrode_spacing_mm` along every tributary, reachable or not."""
        access = lead_access(tree, rules)
        sites: list[PacingSite] = []
        for point in electrode_points(tree, rules):
            reasons = list(access[point].reasons)
            distance, _ = self._epicardium_tree.query(tree.nodes_mm[point])
            if distance > rules.wall_distance_mm:
                reasons.append(f"{distance:.0f} mm from the epicardium, at most {rules.wall_distance_mm:.0f}")
            initials = _initials(tree.vein_of(point))
            number = 1 + sum(_initials(site.vein) == initials for site in sites)
            sites.append(
                self.at(
                    tree.nodes_mm[point],
                    id_=f"{initials}{number}",
                    source="vein",
                    vein=tree.vein_of(point),
                    reachable=not reasons,
                    reasons=tuple(reasons),
                )
            )
        return sites

    def at(
        self,
        position_mm: Float,
        *,
        id_: str,
        source: str,
        vein: str = "",
        reachable: bool | None = None,
        reasons: tuple[str, ...] = (),
    ) -> PacingSite:
        """The site on the left-ventricular epicardium nearest to a place."""
        node = int(self._epicardium[self._epicardium_tree.query(position_mm)[1]])
        captures = bool(self._heart.living[node])
        return PacingSite(
            id=id_,
            source=source,
            node=node,
            position_mm=(float(position_mm[0]), float(position_mm[1]), float(position_mm[2])),
            vein=vein,
            aha_segment=int(self._heart.coordinates.aha[node]),
            reachable=reachable,
            reasons=reasons if captures else (*reasons, "in scar core: does not capture"),
            scar_at_tip=self.scar_share(self._heart.nodes_mm[node]),
            captures=captures,
        )

    def distance_to_epicardium_mm(self, position_mm: Float) -> float:
        """How far a place lies from the nearest node of the epicardium."""
        return float(self._epicardium_tree.query(position_mm)[0])

    def scar_share(self, place_mm: Float) -> float:
        """Share of scar core in the myocardium around a place, by volume."""
        near = self._centres.query_ball_point(place_mm, _TIP_RADIUS_MM)
        volumes = self._heart.tet_volumes_mm3[near]
        return float(volumes[self._heart.tissue[near] == Tissue.CORE].sum() / volumes.sum()) if near else 0.0


def node_by_coordinates(
    heart: Heart, surface: Surface, *, apicobasal: float, rotational: float, right: bool = False
) -> int:
    """The living node of a surface whose ventricular coordinates come nearest to those given.

    Args:
        heart: the heart.
        surface: on which the node lies.
        apicobasal: as in `Coordinates`.
        rotational: as in `Coordinates`.
        right: take the right-ventricular free wall instead of the left ventricle with its septum.

    Raises:
        ValueError: if no living node of that wall lies on the surface.
    """
    nodes: Int = heart.nodes_of(surface)
    c = heart.coordinates
    nodes = nodes[heart.living[nodes] & (c.in_left_ventricle[nodes] != right)]
    if not nodes.size:
        raise ValueError(f"no living {surface.name.lower()} in the {'right' if right else 'left'} ventricle")
    turn = np.abs(c.rotational[nodes] - rotational)
    turn = np.minimum(turn, 1 - turn)
    # One unit of height is about 0.4 turns long on a ventricle; near the apex turns shrink, which need not matter here.
    return int(nodes[(np.square(c.apicobasal[nodes] - apicobasal) + np.square(2.5 * turn)).argmin()])


def _initials(vein: str) -> str:
    return "".join(word[0] for word in vein.split()).upper()
