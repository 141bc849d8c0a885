"""A stand-in for veins that no image shows: average veins laid on the epicardium of any heart.

Each vein is a curve in ventricular coordinates, so it finds its groove or wall on a heart of any shape. Where a person's
veins really run differs; whatever rests on this tree says so.

Units: mm.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter1d
from scipy.spatial import KDTree

from anatomy.arrays import Float, Int
from anatomy.heart import Heart, Surface
from anatomy.surface_normals import vertex_normals
from anatomy.veins import VenousTree


@dataclass(frozen=True, kw_only=True)
class Tributary:
    """One vein of the template.

    Attributes:
        name: as in the plan.
        rotational: where on the heart it runs (coordinate of `anatomy.heart.Coordinates`); our choice.
        ends_at: apicobasal coordinate of its far end; our choice.
        proximal_diameter_mm, distal_diameter_mm: at its mouth and 5 cm along.
        prevalence: share of people who have it.
    """

    name: str
    rotational: float
    ends_at: float
    proximal_diameter_mm: float
    distal_diameter_mm: float
    prevalence: float


# Diameters: CT of 53 people [doi:10.3389/fcvm.2020.611160]; the middle cardiac vein, not measured there, takes the posterior
# vein's. Prevalence: middle and anterior from venograms of 129 [PMID 11468207], posterolateral from 50 cadavers
# [doi:10.1111/pace.12026], left marginal from CT of 99 (Folia Morphologica). Courses are our choice.
TRIBUTARIES = (
    Tributary(
        name="middle cardiac vein",
        rotational=0.02,
        ends_at=0.2,
        proximal_diameter_mm=4.0,
        distal_diameter_mm=2.4,
        prevalence=1.00,
    ),
    Tributary(
        name="posterolateral vein",
        rotational=0.20,
        ends_at=0.3,
        proximal_diameter_mm=4.0,
        distal_diameter_mm=2.4,
        prevalence=0.72,
    ),
    Tributary(
        name="left marginal vein",
        rotational=0.37,
        ends_at=0.3,
        proximal_diameter_mm=3.2,
        distal_diameter_mm=2.3,
        prevalence=0.63,
    ),
    Tributary(
        name="anterior interventricular vein",
        rotational=0.64,
        ends_at=0.2,
        proximal_diameter_mm=3.9,
        distal_diameter_mm=2.4,
        prevalence=0.99,
    ),
)
CORONARY_SINUS = "coronary sinus"
# Our choice: wide at the mouth, the width of its largest tributary where it becomes the anterior vein.
_SINUS_DIAMETERS_MM = (9.0, 4.0)
_GROOVE_APICOBASAL = 0.93
# On the septal side of the inferior insertion, so that the middle cardiac vein joins some millimetres in.
_OSTIUM_ROTATIONAL = -0.04
_TAPER_LENGTH_MM = 50.0
_NARROWEST_MM = 1.0
_STEP_MM = 2.0


def template_tree(heart: Heart, tributaries: Sequence[Tributary] = TRIBUTARIES) -> VenousTree:
    """A stand-in: average veins laid on the epicardium of this heart through its coordinates.

    The coronary sinus runs in the atrioventricular groove from the inferior insertion of the right ventricle to the
    anterior one; each tributary leaves it at its rotational coordinate and runs towards the apex.

    Args:
        heart: in patient space.
        tributaries: which veins to lay, in the order in which the sinus meets them; all four where not given.

    Raises:
        ValueError: if no tributary is given.
    """
    if not tributaries:
        raise ValueError("a venous tree needs at least one tributary")
    surface = _Epicardium(heart)
    groove = surface.curve(
        _GROOVE_APICOBASAL, np.linspace(_OSTIUM_ROTATIONAL, max(v.rotational for v in tributaries), 80)
    )
    wide, narrow = _SINUS_DIAMETERS_MM
    along = _arc_length(groove)
    radii = [np.interp(along, [0, along[-1]], [wide, narrow]) / 2]
    points = [surface.lifted(groove, radii[0])]
    parents: list[Int] = [np.arange(-1, len(groove) - 1, dtype=np.int32)]
    labels = [np.zeros(len(groove))]
    for number, vein in enumerate(tributaries, start=1):
        course = surface.curve(np.linspace(_GROOVE_APICOBASAL, vein.ends_at, 60), vein.rotational)
        # Not at the ostium itself, where the sinus must end.
        mouth = max(int(np.linalg.norm(groove - course[0], axis=1).argmin()), 1)
        course = course[_arc_length(course) > _STEP_MM]
        fall = (vein.distal_diameter_mm - vein.proximal_diameter_mm) / _TAPER_LENGTH_MM
        diameters = np.maximum(vein.proximal_diameter_mm + fall * _arc_length(course), _NARROWEST_MM)
        first = sum(len(part) for part in points)
        parents.append(np.array([mouth, *range(first, first + len(course) - 1)], dtype=np.int32))
        points.append(surface.lifted(course, diameters / 2))
        radii.append(diameters / 2)
        labels.append(np.full(len(course), number))
    return VenousTree(
        nodes_mm=np.concatenate(points),
        parent=np.concatenate(parents),
        radius_mm=np.concatenate(radii),
        vein=np.concatenate(labels),
        names=(CORONARY_SINUS, *(vein.name for vein in tributaries)),
        is_template=True,
    )


class _Epicardium:
    """The outside of the left ventricle, searched by coordinates and by place."""

    def __init__(self, heart: Heart) -> None:
        nodes = heart.nodes_of(Surface.EPICARDIUM)
        self._nodes_mm = heart.nodes_mm[nodes]
        self._normals = vertex_normals(heart.nodes_mm, heart.triangles_of(Surface.EPICARDIUM))[nodes]
        self._places = KDTree(self._nodes_mm)
        left = heart.coordinates.in_left_ventricle[nodes]
        self._left_mm = self._nodes_mm[left]
        c = heart.coordinates
        self._coordinates = KDTree(_flat(c.apicobasal[nodes][left], c.rotational[nodes][left]))

    def curve(self, apicobasal: Float | float, rotational: Float | float) -> Float:
        """(k, 3) points on the surface along a curve in coordinates, smooth, in steps of `_STEP_MM`."""
        _, near = self._coordinates.query(_flat(*np.broadcast_arrays(apicobasal, rotational)), k=4)
        rough = self._left_mm[near].mean(axis=1)
        smooth = gaussian_filter1d(rough, sigma=len(rough) / 20, axis=0, mode="nearest")
        along = _arc_length(smooth)
        steps = np.linspace(0, along[-1], max(int(along[-1] / _STEP_MM), 2) + 1)
        return np.column_stack([np.interp(steps, along, smooth[:, k]) for k in range(3)])

    def lifted(self, points_mm: Float, height_mm: Float) -> Float:
        """(k, 3) the points moved to where a tube of this radius rests on the surface."""
        _, near = self._places.query(points_mm, k=8)
        normal = self._normals[near].mean(axis=1)
        normal = normal / np.linalg.norm(normal, axis=1, keepdims=True)
        level = np.einsum("kij,kj->ki", self._nodes_mm[near] - points_mm[:, None], normal).mean(axis=1)
        lift: Float = points_mm + (level + height_mm)[:, None] * normal
        smooth: Float = gaussian_filter1d(lift, sigma=1.5, axis=0, mode="nearest")
        return smooth


def _flat(apicobasal: Float, rotational: Float) -> Float:
    """(k, 3) coordinates as places on a cylinder about as high as it is wide, so that rotational 0 and 1 meet."""
    turn = 2 * np.pi * rotational
    return np.column_stack([2.5 * apicobasal, np.cos(turn), np.sin(turn)])


def _arc_length(points_mm: Float) -> Float:
    """(k,) length of the way from the first point."""
    return np.concatenate([[0.0], np.cumsum(np.linalg.norm(np.diff(points_mm, axis=0), axis=1))])
