"""Scar of virtual patients on a mesh of any kind, without ventricular coordinates: from distances to the surfaces alone.

Which wall a point belongs to is the pair of surfaces that it lies between most narrowly; its depth is its share of the
way. In walls of even thickness that is what the harmonic fields of `anatomy.coordinates` give.

Units: mm.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from scipy.spatial import KDTree

from anatomy.arrays import Byte, Float
from anatomy.axes import heart_axes
from anatomy.heart import HeartMesh, Surface
from anatomy.phantom import SEPTAL_ANGLE_DEGREES, Phantom
from twin.planning.virtual_draws import Scar
from twin.planning.virtual_people import Patch, tissue_at


def patches_of(scars: Sequence[Scar], mesh: HeartMesh) -> list[Patch]:
    """The scars at their places on this heart, by height and angle about its own axes."""
    if not scars:
        return []
    axes = heart_axes(mesh)
    nodes = mesh.nodes_mm[mesh.nodes_of(Surface.LV_ENDOCARDIUM)]
    height, angle = axes.height(nodes), axes.angle(nodes)
    patches = []
    for scar in scars:
        wanted = np.radians(SEPTAL_ANGLE_DEGREES - 360 * scar.rotational)
        turn = np.abs((angle - wanted + np.pi) % (2 * np.pi) - np.pi) / (2 * np.pi)
        nearest = np.argmin(np.square(height - scar.apicobasal) + np.square(2.5 * turn))
        patches.append(
            Patch(
                centre_mm=nodes[nearest],
                right=False,
                radius_mm=scar.radius_mm,
                depth=scar.depth,
                border_mm=scar.border_mm,
                roughness_mm=scar.roughness_mm,
                waves=scar.waves,
            )
        )
    return patches


def misjudged(patches: Sequence[Patch], rng: np.random.Generator) -> list[Patch]:
    """The same scars as a reader would outline them: somewhat displaced, too large or small, too deep or shallow.

    Deviations of 2 mm along each axis, 15 % of the radius, 0.12 of the wall and 25 % of the border; the outline is smooth.
    All our choice.
    """
    seen = []
    for patch in patches:
        shift, radius, deeper, border = (
            rng.normal(0, 2.0, 3),
            rng.normal(1, 0.15),
            rng.normal(0, 0.12),
            rng.normal(1, 0.25),
        )
        low, high = patch.depth
        seen.append(
            replace(
                patch,
                centre_mm=patch.centre_mm + shift,
                radius_mm=patch.radius_mm * max(radius, 0.4),
                depth=(low, float(np.clip(high + deeper, low + 0.15, 1.0))),
                border_mm=patch.border_mm * max(border, 0.3),
                roughness_mm=0.0,
            )
        )
    return seen


def painted(mesh: HeartMesh, patches: Sequence[Patch], phantom: Phantom) -> Byte:
    """(m,) a `Tissue` per tetrahedron of a mesh of this phantom."""
    tissue = np.zeros(len(mesh.tets), dtype=np.int8)
    if not patches:
        return tissue
    centres = mesh.nodes_mm[mesh.tets].mean(axis=1)
    near = np.zeros(len(centres), dtype=np.bool_)
    for patch in patches:
        near |= np.square(centres - patch.centre_mm).sum(axis=1) < patch.reach_mm(phantom) ** 2
    # Distances are asked for where scar may be, not in the whole heart.
    nodes, corners = np.unique(mesh.tets[near], return_inverse=True)
    lv, rv, outside = (
        KDTree(mesh.nodes_mm[mesh.nodes_of(surface)], compact_nodes=False, balanced_tree=False).query(
            mesh.nodes_mm[nodes]
        )[0]
        for surface in (Surface.LV_ENDOCARDIUM, Surface.RV_ENDOCARDIUM, Surface.EPICARDIUM)
    )
    left = rv + outside > lv + np.minimum(rv, outside)
    beyond = np.where(left, np.minimum(rv, outside), outside)
    inner: Float = np.where(left, lv, rv)
    depth = inner / np.maximum(inner + beyond, 1e-9)
    tissue[near] = tissue_at(
        patches, phantom, centres[near], depth[corners].mean(axis=1), left[corners].mean(axis=1) > 0.5
    )
    return tissue
