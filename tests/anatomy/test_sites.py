from dataclasses import replace

import numpy as np
import pytest

from anatomy.access import LeadRules
from anatomy.heart import Heart, Surface, Tissue
from anatomy.sites import SiteFinder, node_by_coordinates
from anatomy.vein_template import template_tree
from anatomy.veins import VenousTree


def scarred(heart: Heart, node: int, radius_mm: float) -> Heart:
    """The heart with a ball of scar core around a node, and no other scar."""
    away = np.linalg.norm(heart.nodes_mm[heart.tets] - heart.nodes_mm[node], axis=2).min(axis=1)
    return replace(heart, tissue=np.where(away < radius_mm, Tissue.CORE, Tissue.HEALTHY))


def lateral_node(heart: Heart) -> int:
    return node_by_coordinates(heart, Surface.EPICARDIUM, apicobasal=0.6, rotational=0.33)


def left_epicardium(heart: Heart) -> np.ndarray:
    nodes = heart.nodes_of(Surface.EPICARDIUM)
    return nodes[heart.coordinates.in_left_ventricle[nodes]]


@pytest.fixture(scope="module")
def tree(small_heart: Heart) -> VenousTree:
    return template_tree(small_heart)


def test_a_place_on_the_left_epicardium_is_its_own_node(small_heart: Heart) -> None:
    finder = SiteFinder(small_heart)
    for node in left_epicardium(small_heart)[::300].tolist():
        site = finder.at(small_heart.nodes_mm[node], id_="U1", source="user")
        assert site.node == node
        assert site.aha_segment == small_heart.coordinates.aha[node]
        assert site.reachable is None


def test_a_place_off_the_heart_belongs_to_the_nearest_node_of_the_left_epicardium(small_heart: Heart) -> None:
    rng = np.random.default_rng(0)
    nodes = left_epicardium(small_heart)
    finder = SiteFinder(small_heart)
    for place in small_heart.nodes_mm[rng.choice(len(small_heart.nodes_mm), 20)] + rng.normal(scale=10, size=(20, 3)):
        distances = np.linalg.norm(small_heart.nodes_mm[nodes] - place, axis=1)
        assert finder.at(place, id_="U1", source="user").node == nodes[distances.argmin()]
        assert finder.distance_to_epicardium_mm(place) == pytest.approx(distances.min())


def test_a_node_in_scar_core_does_not_capture_and_says_so(small_heart: Heart) -> None:
    node = lateral_node(small_heart)
    heart = scarred(small_heart, node, radius_mm=12)
    site = SiteFinder(heart).at(heart.nodes_mm[node], id_="U1", source="user", reasons=("too far",))
    assert not site.captures
    assert site.reasons == ("too far", "in scar core: does not capture")
    assert site.scar_at_tip == 1


def test_a_node_in_sound_muscle_captures_and_has_no_scar_at_its_tip(small_heart: Heart) -> None:
    node = lateral_node(small_heart)
    heart = replace(small_heart, tissue=np.zeros(len(small_heart.tets)))
    site = SiteFinder(heart).at(heart.nodes_mm[node], id_="U1", source="user")
    assert site.captures
    assert site.reasons == ()
    assert site.scar_at_tip == 0


@pytest.mark.parametrize("radius_mm", [2.0, 3.5, 6.0])
def test_the_scar_share_is_that_of_the_muscle_within_5_mm(small_heart: Heart, radius_mm: float) -> None:
    heart = scarred(small_heart, lateral_node(small_heart), radius_mm)
    finder = SiteFinder(heart)
    centres = heart.nodes_mm[heart.tets].mean(axis=1)
    rng = np.random.default_rng(0)
    for shift in rng.normal(scale=3, size=(10, 3)):
        place = heart.nodes_mm[lateral_node(heart)] + shift
        near = np.linalg.norm(centres - place, axis=1) <= 5
        volumes = np.where(near, heart.tet_volumes_mm3, 0)
        core = heart.tissue == Tissue.CORE
        assert finder.scar_share(place) == pytest.approx(volumes[core].sum() / volumes.sum())


def test_there_is_no_scar_where_there_is_no_muscle(small_heart: Heart) -> None:
    assert SiteFinder(small_heart).scar_share(small_heart.nodes_mm.max(axis=0) + 100) == 0


def test_sites_of_a_template_are_named_after_their_veins_and_lie_in_their_segments(
    small_heart: Heart, tree: VenousTree
) -> None:
    sites = SiteFinder(small_heart).from_veins(tree, LeadRules())
    ids = [site.id for site in sites]
    assert len(set(ids)) == len(ids)
    assert {site.vein for site in sites} == set(tree.names[1:])
    assert {"MCV1", "PV1", "LMV1", "AIV1"} <= set(ids)
    assert all(site.source == "vein" for site in sites)
    assert {site.aha_segment for site in sites if site.vein == "posterolateral vein"} <= {4, 5, 10, 11, 15, 16}
    assert {site.aha_segment for site in sites if site.vein == "left marginal vein"} <= {6, 12, 16}


def test_two_veins_of_the_same_initials_do_not_share_ids(small_heart: Heart, tree: VenousTree) -> None:
    twins = replace(tree, names=(tree.names[0], "posterior vein", *tree.names[2:]))
    ids = [site.id for site in SiteFinder(small_heart).from_veins(twins, LeadRules())]
    assert len(set(ids)) == len(ids)


def test_a_site_beyond_a_narrow_place_is_kept_with_its_reason(small_heart: Heart, tree: VenousTree) -> None:
    rules = LeadRules(lead_diameter_mm=3.0)
    blocked = [site for site in SiteFinder(small_heart).from_veins(tree, rules) if not site.reachable]
    assert blocked
    assert all("narrows to" in site.reasons[0] for site in blocked)


def test_a_vein_far_from_the_heart_reaches_no_site(small_heart: Heart, tree: VenousTree) -> None:
    away = replace(tree, nodes_mm=tree.nodes_mm + np.array([200.0, 0, 0]))
    sites = SiteFinder(small_heart).from_veins(away, LeadRules())
    assert sites
    assert all(site.reachable is False and "mm from the epicardium, at most 10" in site.reasons[-1] for site in sites)


@pytest.mark.parametrize(("surface", "right"), [(Surface.EPICARDIUM, False), (Surface.RV_ENDOCARDIUM, True)])
def test_a_node_is_found_by_its_own_coordinates(small_heart: Heart, surface: Surface, right: bool) -> None:
    c = small_heart.coordinates
    nodes = small_heart.nodes_of(surface)
    nodes = nodes[(c.in_left_ventricle[nodes] != right) & (c.apicobasal[nodes] > 0.3) & (c.apicobasal[nodes] < 0.9)]
    for node in nodes[::200]:
        found = node_by_coordinates(
            small_heart,
            surface,
            apicobasal=float(c.apicobasal[node]),
            rotational=float(c.rotational[node]),
            right=right,
        )
        assert c.apicobasal[found] == pytest.approx(c.apicobasal[node])
        assert c.rotational[found] == pytest.approx(c.rotational[node])


def test_rotational_0_and_1_are_the_same_place(small_heart: Heart) -> None:
    found = {node_by_coordinates(small_heart, Surface.EPICARDIUM, apicobasal=0.5, rotational=r) for r in (0.0, 1.0)}
    assert len(found) == 1


def test_a_node_in_scar_core_is_not_found(small_heart: Heart) -> None:
    node = lateral_node(small_heart)
    heart = scarred(small_heart, node, radius_mm=12)
    assert node not in np.flatnonzero(heart.living)
    found = lateral_node(heart)
    assert heart.living[found]
    assert 12 < np.linalg.norm(heart.nodes_mm[found] - heart.nodes_mm[node]) < 25


def test_a_surface_without_living_nodes_of_that_wall_is_refused(small_heart: Heart) -> None:
    with pytest.raises(ValueError, match="no living lv_endocardium in the right ventricle"):
        node_by_coordinates(small_heart, Surface.LV_ENDOCARDIUM, apicobasal=0.5, rotational=0.3, right=True)
