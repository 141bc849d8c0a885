"""People who do not exist, many and cheap: a few phantom hearts, varied by scar, conduction, electrodes and size.

A heart is prepared once per process; a person then costs one lead field, one solution per beat and, with scar, one
solver. All of this is electrophysiology on a coarse mesh; `twin.planning.virtual_ecgs` says who suffers from what.

Every number here is our choice, unless a source stands beside it; nothing drawn here is a fact about people. Bundle branch
blocks and paced beats look much as they do in people, but for a frontal axis that always points upwards. The normal beat is
not very believable: so does its axis, its R waves in I, V5 and V6 are small, and that in V1 is often tall. Paced beats
have no stimulus spikes.

Units: mm, ms, mV, m/s.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.spatial import KDTree

from anatomy.arrays import Bool, Byte, Float
from anatomy.build import complete_heart
from anatomy.heart import Heart, Surface, Tissue
from anatomy.labels import Label
from anatomy.meshing import mesh_label_map
from anatomy.phantom import SEPTAL_ANGLE_DEGREES, Phantom
from anatomy.sites import node_by_coordinates
from anatomy.torso import electrodes_by_rule
from twin.activation import Activation, CaptureLatency, biventricular
from twin.conduction import Conduction
from twin.eikonal import Eikonal
from twin.leadfield import LEAD_IN_MS, ActionPotential, LeadField
from twin.rhythm import Start, start_nodes

# Coarser, or with a thinner right wall, that wall would have holes.
EDGE_MM, VOXEL_MM, _RV_WALL_MM = 3.0, 2.0, 4.5
_ELECTRODE_SD_MM = 6.0
# The end of the action potential: its mean time after the upstroke, how much sooner it comes on the epicardium (which
# makes the T wave of a normal beat upright), and the standard deviation of its fall.
_DURATION_MS, _SOONER_OUTSIDE_MS, _FALL_MS = 290.0, 45.0, 35.0
SLICES, PIXELS, PIXEL_MM = 10, 128, 1.0
GRAMS_PER_MM3 = 1.05e-3
# Heights of the slices, in shares of the left ventricle's length below the middle of its opening.
_BASAL_SLICE, _APICAL_SLICE = 0.12, 0.88
_NEAREST_NODES = 6
_WAVES, _WAVELENGTH_MM = 8, (8.0, 20.0)

# Half as fast across the fibre as along it, within what was fitted to people (0.25 to 0.60 m/s, same repository as
# `Conduction.fibre_m_per_s`): then left bundle branch block takes about as long as in people.
MUSCLE = Conduction(sheet_m_per_s=0.325, normal_m_per_s=0.325)

# Of normal size with a normal and a wide right ventricle; then three dilated left ventricles.
PHANTOMS = {
    name: Phantom(
        lv_diameter_mm=lv,
        lv_length_mm=length,
        lv_opening_mm=0.68 * lv,
        rv_length_mm=0.86 * length,
        rv_width_mm=width,
        rv_span_mm=span,
        rv_wall_mm=_RV_WALL_MM,
        scar_radius_mm=0.0,
    )
    for name, lv, length, width, span in (
        ("normal", 50.0, 84.0, 40.0, 70.0),
        ("wide right", 52.0, 86.0, 56.0, 78.0),
        ("dilated", 60.0, 95.0, 40.0, 78.0),
        ("long", 64.0, 104.0, 34.0, 76.0),
        ("large", 70.0, 102.0, 42.0, 86.0),
    )
}


@dataclass(frozen=True, kw_only=True, eq=False)
class PreparedHeart:
    """A phantom heart without scar, meshed.

    Attributes:
        phantom: its shape.
        heart: its mesh.
        solver: at the speeds of `MUSCLE`.
        rv_blood_ml: volume of the right ventricle's blood.
    """

    phantom: Phantom
    heart: Heart
    solver: Eikonal
    rv_blood_ml: float


@lru_cache
def prepared_heart(name: str) -> PreparedHeart:
    """The heart of this name of `PHANTOMS`; made at the first call in a process."""
    phantom = PHANTOMS[name]
    labels = phantom.label_map(VOXEL_MM)
    heart = complete_heart(mesh_label_map(labels, edge_mm=EDGE_MM).mesh)
    return PreparedHeart(
        phantom=phantom,
        heart=heart,
        solver=Eikonal(heart, MUSCLE),
        rv_blood_ml=float((labels.labels == Label.RV_BLOOD).sum()) * VOXEL_MM**3 / 1000,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Patch:
    """One piece of scar in a wall, with a border zone around it and a rough outline.

    Attributes:
        centre_mm: on the endocardium.
        right: in the right free wall instead of the left ventricle with its septum.
        radius_mm: of the core, along the wall.
        depth: from which to which share of the wall's thickness the core reaches; 0 is the endocardium, 1 the
            epicardium or, in the septum, its right side.
        border_mm: width of the border zone.
        roughness_mm: standard deviation by which the outline wanders; a rough one has islands of border zone.
        waves: (k, 4) wave vectors in radians per mm, and phases, that the outline follows.
    """

    centre_mm: Float
    right: bool
    radius_mm: float
    depth: tuple[float, float]
    border_mm: float
    roughness_mm: float
    waves: Float

    def reach_mm(self, phantom: Phantom) -> float:
        """Farther than this from the centre no point of this phantom's muscle is scar, whatever its depth."""
        aside = self.radius_mm + self.border_mm + self.roughness_mm * float(np.sqrt(2 * len(self.waves)))
        return float(np.hypot(aside, phantom.rv_wall_mm if self.right else phantom.lv_wall_mm))

    def outside_mm(self, points_mm: Float, transmural: Float, wall_mm: float) -> Float:
        """(n,) how far each point lies outside the core, negative inside."""
        inward = transmural * wall_mm
        along = np.sqrt(np.maximum(np.square(points_mm - self.centre_mm).sum(axis=1) - np.square(inward), 0))
        # A core that begins at a surface is not cut there by its own roughness.
        low, high = (-1.0 if self.depth[0] <= 0 else self.depth[0]), (2.0 if self.depth[1] >= 1 else self.depth[1])
        across = np.maximum(low - transmural, transmural - high) * wall_mm
        swing = np.cos(points_mm @ self.waves[:, :3].T + self.waves[:, 3]).sum(axis=1) * np.sqrt(2 / len(self.waves))
        outside: Float = np.maximum(along - self.radius_mm, across) + self.roughness_mm * swing
        return outside


def drawn_patch(
    rng: np.random.Generator,
    heart: Heart,
    *,
    apicobasal: tuple[float, float],
    rotational: tuple[float, float],
    radius_mm: tuple[float, float],
    depth: tuple[float, float],
    border_mm: tuple[float, float],
    roughness_mm: tuple[float, float] = (0.5, 1.5),
    right: bool = False,
) -> Patch:
    """A patch of this heart, its place, size and outline drawn evenly from these ranges (depth is not drawn)."""
    surface = Surface.RV_ENDOCARDIUM if right else Surface.LV_ENDOCARDIUM
    centre = node_by_coordinates(
        heart, surface, apicobasal=rng.uniform(*apicobasal), rotational=rng.uniform(*rotational) % 1, right=right
    )
    directions = rng.normal(size=(_WAVES, 3))
    lengths = rng.uniform(*_WAVELENGTH_MM, _WAVES)
    vectors = directions / np.linalg.norm(directions, axis=1, keepdims=True) * (2 * np.pi / lengths)[:, None]
    return Patch(
        centre_mm=heart.nodes_mm[centre],
        right=right,
        radius_mm=rng.uniform(*radius_mm),
        depth=depth,
        border_mm=rng.uniform(*border_mm),
        roughness_mm=rng.uniform(*roughness_mm),
        waves=np.column_stack([vectors, rng.uniform(0, 2 * np.pi, _WAVES)]),
    )


def tissue_at(
    patches: Iterable[Patch], phantom: Phantom, points_mm: Float, transmural: Float, in_left_ventricle: Bool
) -> Byte:
    """(n,) a `Tissue` for each point of the muscle."""
    tissue = np.full(len(points_mm), Tissue.HEALTHY, dtype=np.int8)
    for patch in patches:
        wall_mm = phantom.rv_wall_mm if patch.right else phantom.lv_wall_mm
        there = np.flatnonzero(in_left_ventricle != patch.right)
        outside = patch.outside_mm(points_mm[there], transmural[there], wall_mm)
        kind = np.where(outside <= 0, Tissue.CORE, np.where(outside < patch.border_mm, Tissue.BORDER_ZONE, 0))
        tissue[there] = np.maximum(tissue[there], kind)
    return tissue


@dataclass(frozen=True, kw_only=True)
class Beating:
    """How a person's heart conducts.

    Attributes:
        starts: where the intrinsic rhythm begins.
        conduction: its speeds.
        size: the whole person as a multiple of the phantom. Times grow with it; potentials do not, for sources grow with
            the area and fall with the square of the distance.
    """

    starts: tuple[Start, ...]
    conduction: Conduction
    size: float


class VirtualPerson:
    """One person: a prepared heart with scar, electrodes somewhat displaced, and the beats of it.

    Args:
        prepared: the heart.
        patches: scar.
        beating: how it conducts.
        rng: draws the electrodes.

    Attributes:
        heart: with its scar. Living islands within it that the intrinsic rhythm does not reach are core.
        intrinsic: activation in the intrinsic rhythm.
        rv_blood_ml: volume of the right ventricle's blood.
    """

    def __init__(
        self, prepared: PreparedHeart, patches: Sequence[Patch], beating: Beating, rng: np.random.Generator
    ) -> None:
        heart, self._size, self._conduction = prepared.heart, beating.size, beating.conduction
        if patches:
            shape = heart.coordinates
            tissue = tissue_at(
                patches,
                prepared.phantom,
                heart.nodes_mm[heart.tets].mean(axis=1),
                shape.transmural[heart.tets].mean(axis=1),
                shape.in_left_ventricle[heart.tets].mean(axis=1) > 0.5,
            )
            heart = replace(heart, tissue=tissue)
            self._solver = Eikonal(heart, beating.conduction)
        else:
            self._solver = prepared.solver.with_conduction(beating.conduction)
        times = self._solver.solve(*start_nodes(heart, beating.starts))
        lost = np.isinf(times[heart.tets]).any(axis=1) & (heart.tissue != Tissue.CORE)
        if lost.any():
            heart = replace(heart, tissue=np.where(lost, np.int8(Tissue.CORE), heart.tissue))
        self.heart = heart
        self.intrinsic = Activation(times_ms=times).scaled(1 / self._size)
        self.rv_blood_ml = prepared.rv_blood_ml * self._size**3
        electrodes = electrodes_by_rule(heart)
        displaced = electrodes.positions_mm + rng.normal(0, _ELECTRODE_SD_MM, electrodes.positions_mm.shape)
        self._lead_field = LeadField(heart, replace(electrodes, positions_mm=displaced))

    def muscle_g(self, tissue: Tissue) -> float:
        """Mass of this tissue in the left ventricle."""
        kind = self.heart.tissue == tissue
        left = self.heart.coordinates.in_left_ventricle[self.heart.tets[kind]].mean(axis=1) > 0.5
        return float(self.heart.tet_volumes_mm3[kind][left].sum()) * self._size**3 * GRAMS_PER_MM3

    def paced(self, *, apicobasal: float, rotational: float, latency: CaptureLatency) -> Activation:
        """Biventricular pacing, both stimuli at once: the right one at the apex, the left one at these coordinates.

        The right one reaches the right fast layer, whether or not its bundle conducts; nothing arrives from the atria.
        """
        speeds = self._conduction
        if speeds.rv_endocardium_m_per_s is None:
            speeds = replace(speeds, rv_endocardium_m_per_s=speeds.lv_endocardium_m_per_s)
        right = node_by_coordinates(self.heart, Surface.RV_ENDOCARDIUM, apicobasal=0.12, rotational=0.35, right=True)
        left = node_by_coordinates(self.heart, Surface.EPICARDIUM, apicobasal=apicobasal, rotational=rotational)
        solver = self._solver.with_conduction(speeds)
        from_left, from_right = self._size * solver.solve_each([left, right], threads=1).astype(np.float64)
        times = biventricular(from_left, from_right, latency=latency).times_ms
        return Activation(times_ms=np.where(self.heart.living, times, np.inf))

    def beat_mv(self, activation: Activation, time_ms: Float) -> Float:
        """(12, t) QRS and T wave at these times after the first activation."""
        times = activation.times_ms - activation.times_ms.min()
        over = times + _DURATION_MS - _SOONER_OUTSIDE_MS * self.heart.coordinates.transmural
        rise = self._lead_field.ecg(Activation(times_ms=times))
        fall = self._lead_field.ecg(Activation(times_ms=over), ActionPotential(upstroke_ms=_FALL_MS))
        # Before its first and after its last sample each stays where it is.
        up, down = (
            np.array([np.interp(time_ms + LEAD_IN_MS, wave.time_ms, row) for row in wave.signal_mv])
            for wave in (rise, fall)
        )
        beat: Float = up - down
        return beat


def slice_distance_mm(name: str) -> float:
    """From one slice of this heart to the next."""
    return (_APICAL_SLICE - _BASAL_SLICE) * PHANTOMS[name].lv_length_mm / (SLICES - 1)


def short_axis_slices(name: str, patches: Sequence[Patch]) -> Float:
    """(10, 2, 128, 128) slices of a heart of `PHANTOMS`, 1 mm per pixel, from base to apex.

    Channel 0 is the left ventricle's muscle, channel 1 scar: 0.5 border zone, 1 core. The inferior insertion of the right
    ventricle looks down, the free wall to the right. A person's size is not seen, as in slices cut to the heart.
    """
    masks, points, transmural = _muscle_pixels(name)
    slices = np.zeros((SLICES, 2, PIXELS, PIXELS))
    slices[:, 0][masks] = 1
    left = np.ones(len(points), dtype=np.bool_)
    slices[:, 1][masks] = tissue_at(patches, PHANTOMS[name], points, transmural, left) / Tissue.CORE
    return slices


@lru_cache
def _muscle_pixels(name: str) -> tuple[Bool, Float, Float]:
    """(10, 128, 128) where the left ventricle's muscle lies in the slices, (p, 3) its places and (p,) its depths."""
    prepared = prepared_heart(name)
    phantom, heart = prepared.phantom, prepared.heart
    turn = np.radians(-SEPTAL_ANGLE_DEGREES)
    septal, anterior, up = phantom.axes.T
    down = np.cos(turn) * septal - np.sin(turn) * anterior
    lateral = np.sin(turn) * -septal - np.cos(turn) * anterior
    steps = (np.arange(PIXELS) - (PIXELS - 1) / 2) * PIXEL_MM
    heights = -np.linspace(_BASAL_SLICE, _APICAL_SLICE, SLICES) * phantom.lv_length_mm
    places = (
        heights[:, None, None, None] * up + steps[None, :, None, None] * down + steps[None, None, :, None] * lateral
    )
    points = places.reshape(-1, 3)
    muscle = np.flatnonzero(phantom.labels_at(points) == Label.MYOCARDIUM)
    distance, near = KDTree(heart.nodes_mm).query(points[muscle], k=_NEAREST_NODES)
    left = heart.coordinates.in_left_ventricle[near[:, 0]]
    muscle, distance, near = muscle[left], distance[left], near[left]
    masks = np.zeros(len(points), dtype=np.bool_)
    masks[muscle] = True
    depth = np.average(heart.coordinates.transmural[near], axis=1, weights=1 / np.maximum(distance, 0.1))
    return masks.reshape(SLICES, PIXELS, PIXELS), points[muscle], depth
