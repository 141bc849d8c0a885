"""What really happens in a virtual patient: the true heart, its beats from every site, and the response that follows.

Nothing of this is in the patient's files. The true heart has a finer mesh than the planner's, fibres of other angles, speeds
of other proportions fitted to the drawn QRS duration, displaced starts and electrodes, its own fast layers and latencies.
"""

from dataclasses import dataclass, replace

import numpy as np

from anatomy.arrays import Float
from anatomy.heart import Heart, Surface, Tissue
from anatomy.sites import PacingSite, SiteFinder, node_by_coordinates
from anatomy.torso import electrodes_by_rule
from anatomy.vein_template import template_tree
from anatomy.veins import VenousTree
from ml.ecg.measure import qrs_bounds
from twin.activation import Activation
from twin.dyssynchrony import Dyssynchrony, DyssynchronyMeter
from twin.eikonal import Eikonal
from twin.leadfield import LeadField
from twin.planning.virtual_draws import LEAD, POPULATION, Drawn
from twin.planning.virtual_heart import phantom_mesh, true_heart
from twin.planning.virtual_people import Patch
from twin.planning.virtual_rule import ResponseRule
from twin.planning.virtual_scar import painted, patches_of
from twin.rhythm import start_nodes

TRUE_EDGE_MM = 2.25
# Bounds of the fibre speed that the drawn QRS duration may ask for, our choice.
_SPEED_M_PER_S = (0.3, 1.2)
_FIT_STEPS = 3
# An electrode beside scar captures late; our choice, added where nothing but core lies at the tip.
_SCAR_LATENCY_MS = 30.0
# Apicobasal coordinate at which implanters see the apical third end.
_APICAL = 1 / 3
_GROOVE_VEINS = ("anterior interventricular vein", "middle cardiac vein")
# The tip comes to rest up to this far from where the implanter aimed, along the vein.
_SLIP_MM = 4.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Truth:
    """One patient, seen by nobody.

    Attributes:
        heart, veins, lead_field: as they are.
        patches: scar.
        sites: of the veins, with the names that a planner gives them.
        implanted: where the lead was put.
        rv_node: where the right lead sits.
        intrinsic, paced: the patient's own beat, and that under biventricular pacing of `implanted`.
        own: indices of the first.
        resynchronisation_ms: (s + 1,) by the rule, for each site and for `implanted`.
        core_percent: of the left ventricle's mass.
        expected_change: (s + 1,) percent, likewise.
    """

    heart: Heart
    veins: VenousTree
    lead_field: LeadField
    patches: tuple[Patch, ...]
    sites: tuple[PacingSite, ...]
    implanted: PacingSite
    rv_node: int
    intrinsic: Activation
    paced: Activation
    own: Dyssynchrony
    resynchronisation_ms: Float
    core_percent: float
    expected_change: Float


def make_truth(drawn: Drawn, rule: ResponseRule, rng: np.random.Generator, edge_mm: float = TRUE_EDGE_MM) -> Truth:
    """Build the true heart of a drawn patient, implant the lead and simulate what is to come of it.

    Args:
        drawn: the patient.
        rule: of response.
        rng: for the implanter's choice and what is hidden of the patient.
        edge_mm: of the true mesh.
    """
    mesh = phantom_mesh(drawn.phantom, edge_mm)
    patches = patches_of(drawn.scars, mesh)
    heart = true_heart(mesh, edge_mm, painted(mesh, patches, drawn.phantom), drawn.angles)
    solver = Eikonal(heart, drawn.conduction)
    rv_node = _right_node(drawn, heart, rng)
    heart = _without_islands(heart, solver.solve(rv_node))
    veins = replace(template_tree(heart, drawn.tributaries), is_template=False)
    electrodes = electrodes_by_rule(heart)
    lead_field = LeadField(heart, replace(electrodes, positions_mm=electrodes.positions_mm + drawn.electrodes_mm))
    intrinsic, factor = _fitted(solver, heart, drawn, lead_field)

    finder = SiteFinder(heart)
    sites = finder.from_veins(veins, LEAD)
    implanted = _implanted(drawn, heart, finder, veins, sites, intrinsic, rng)
    everywhere = [*sites, implanted]
    maps = solver.solve_each([rv_node, *(site.node for site in everywhere)], threads=1) / np.float32(factor)
    tip = np.array([site.scar_at_tip for site in everywhere])
    from_left = maps[1:] + (drawn.latency.lv_ms + _SCAR_LATENCY_MS * tip[:, None]).astype(np.float32)
    from_right = maps[0] + np.float32(drawn.latency.rv_ms)

    meter = DyssynchronyMeter(heart)
    own = meter.measure(intrinsic)
    paced = [beat for (beat,) in meter.measure_paced(from_left, from_right, [(0.0, 0.0)])]
    resynchronisation = np.array([rule.resynchronisation_ms(own, beat) for beat in paced])
    median_ml = POPULATION.lvedv_ml[0 if drawn.female else 1]
    reserve = rule.reserve(
        female=drawn.female,
        ischaemic=drawn.ischaemic,
        volume=float(np.log(drawn.phantom.lv_cavity_ml / median_ml) / POPULATION.lvedv_log_sd),
        hidden=rng.normal(),
    )
    core_percent = _core_percent(heart)
    return Truth(
        heart=heart,
        veins=veins,
        lead_field=lead_field,
        patches=tuple(patches),
        sites=tuple(sites),
        implanted=implanted,
        rv_node=rv_node,
        intrinsic=intrinsic,
        paced=Activation(times_ms=np.minimum(from_left[-1], from_right)),
        own=own,
        resynchronisation_ms=resynchronisation,
        core_percent=core_percent,
        expected_change=rule.expected_change(
            resynchronisation_ms=resynchronisation,
            reserve=reserve,
            delivered=drawn.delivered,
            drift=rng.normal(),
            core_percent=core_percent,
            scar_at_tip=tip,
        ),
    )


def _without_islands(heart: Heart, from_right_ms: Float) -> Heart:
    """Living islands inside of core, which nothing could ever activate, are core themselves."""
    lost = np.isinf(from_right_ms[heart.tets]).any(axis=1) & (heart.tissue != Tissue.CORE)
    return replace(heart, tissue=np.where(lost, np.int8(Tissue.CORE), heart.tissue)) if lost.any() else heart


def _fitted(solver: Eikonal, heart: Heart, drawn: Drawn, lead_field: LeadField) -> tuple[Activation, float]:
    """The patient's own beat at the overall speed that gives the drawn QRS duration, and that speed as a factor.

    Starts are scaled with the rest: what is drawn of them is as arbitrary as the speed itself.
    """
    beat = Activation(times_ms=solver.solve(*start_nodes(heart, drawn.starts)))
    slowest, fastest = (speed / drawn.conduction.fibre_m_per_s for speed in _SPEED_M_PER_S)
    factor = 1.0
    for _ in range(_FIT_STEPS):
        duration = qrs_bounds(lead_field.ecg(beat.scaled(factor))).duration_ms
        factor = float(np.clip(factor * duration / drawn.qrs_ms, slowest, fastest))
    return beat.scaled(factor), factor


def _right_node(drawn: Drawn, heart: Heart, rng: np.random.Generator) -> int:
    height = 0.6 if drawn.rv_septal else 0.15
    return node_by_coordinates(
        heart,
        Surface.RV_ENDOCARDIUM,
        apicobasal=height + rng.normal(0, 0.05),
        rotational=5 / 6 + rng.normal(0, 0.03),
    )


def _implanted(
    drawn: Drawn,
    heart: Heart,
    finder: SiteFinder,
    veins: VenousTree,
    sites: list[PacingSite],
    intrinsic: Activation,
    rng: np.random.Generator,
) -> PacingSite:
    """Where the implanter leaves the lead: by habit in a vein between the grooves, not at the apex, where it captures.

    Where no vein serves, a surgeon sews it onto the lateral wall.
    """
    at = drawn.centre
    usable = [site for site in sites if site.reachable and site.captures]
    if not usable:
        node = node_by_coordinates(
            heart, Surface.EPICARDIUM, apicobasal=rng.uniform(0.4, 0.7), rotational=rng.uniform(0.25, 0.45)
        )
        return finder.at(heart.nodes_mm[node], id_="implanted", source="implanted", reachable=True)
    nodes = np.array([site.node for site in usable])
    weight = np.array([at.groove_weight if site.vein in _GROOVE_VEINS else 1.0 for site in usable])
    weight = weight * np.where(heart.coordinates.apicobasal[nodes] < _APICAL, at.apical_weight, 1.0)
    late = intrinsic.times_ms[nodes]
    weight = weight * np.exp((late - late.max()) / at.late_scale_ms)
    aimed = usable[int(rng.choice(len(usable), p=weight / weight.sum()))]
    vein = np.flatnonzero(veins.vein == veins.names.index(aimed.vein))
    points = veins.nodes_mm[vein]
    slip = np.linalg.norm(points - np.array(aimed.position_mm), axis=1) <= _SLIP_MM
    place = points[rng.choice(np.flatnonzero(slip))]
    tip = finder.at(place, id_="implanted", source="implanted", vein=aimed.vein, reachable=True)
    if tip.captures:
        return tip
    return finder.at(np.array(aimed.position_mm), id_="implanted", source="implanted", vein=aimed.vein, reachable=True)


def _core_percent(heart: Heart) -> float:
    left = heart.coordinates.in_left_ventricle[heart.tets].mean(axis=1) > 0.5
    volumes = heart.tet_volumes_mm3[left]
    return float(100 * volumes[heart.tissue[left] == Tissue.CORE].sum() / volumes.sum())
