"""Drawing the heart off-screen. `pictures` runs this module in a process of its own; nothing else imports it.

Run as `python -m twin.planning.report.scenes HEART VEINS OUT` (VEINS may be empty) with the sites as JSON on standard
input. Every picture is one PNG in the folder OUT; one whose data are not in the files is left out. Exit code 3 with one
line on standard error: the files cannot be drawn.

Frame: LPS, mm. "From the front" has the head on top; "from the left and behind" looks at where a lead will lie.
"""

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyvista as pv
from matplotlib import colormaps
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Patch

from anatomy.arrays import Bool, Byte, Float
from anatomy.heart import Surface, Tissue
from twin.planning.report.figures import TIME_COLOURS
from twin.planning.report.pictures import BAD_FILE
from twin.planning.report.views import Actor, View, legend, save, sheet, show, view_of

# Isochrones every 10 ms up to this range, every 20 ms above it: more lines than that merge.
FINE_ISOCHRONES_MS = 120.0
DEEPEST_SCAR_MM = 20.0  # how far below the epicardium scar is looked for; no wall is thicker
SLAB_MM = 10.0
FRONT = np.array([0.0, -1.0, 0.0])
# A little from below, so that the inferior wall with the middle cardiac vein is seen too.
LEFT_BEHIND = np.array([1.0, 1.0, -0.2])
HEAD = np.array([0.0, 0.0, 1.0])
VEIN_COLOURS = ("#0072B2", "#56B4E9", "#009E73", "#CC79A7", "#E69F00", "#7A5195", "#F0E442", "#D55E00")
SCAR_COLOURS = {Tissue.BORDER_ZONE: "#d8a872", Tissue.CORE: "#84392a"}
_MUSCLE, _NEVER, _BEST = "#f3ddd6", "#c9c9c9", "#D55E00"
_LIFT_MM = 0.5  # moves lines to the camera, off the surface that they lie on


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What the pictures are drawn from: the heart, its closed boundary, the veins and the sites."""

    heart: pv.UnstructuredGrid
    skin: pv.PolyData
    veins: pv.PolyData | None
    sites: list[dict[str, Any]]

    @property
    def points_mm(self) -> Float:
        """(n, 3) the boundary's nodes."""
        return np.asarray(self.skin.points, dtype=np.float64)


def main(arguments: list[str]) -> int:
    """Draw every picture that the files allow."""
    heart, veins, out = arguments
    try:
        scene = load(Path(heart), Path(veins) if veins else None, json.load(sys.stdin))
        for kind in ("intrinsic", "best"):
            draw_activation(scene, kind, Path(out) / f"activation_{kind}.png")
        draw_veins(scene, Path(out) / "veins.png")
        draw_fibres(scene, Path(out) / "fibres.png")
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return BAD_FILE
    return 0


def load(heart_vtu: Path, veins_vtp: Path | None, sites: list[dict[str, Any]]) -> Scene:
    """Read the files of a plan; VTK gives empty meshes for broken files without a word, so the counts are checked.

    Raises:
        ValueError: if a file holds no mesh or an array is missing.
    """
    heart = pv.read(heart_vtu)
    if not heart.n_points or not heart.n_cells or not np.isfinite(heart.points).all():
        raise ValueError(f"{heart_vtu.name} holds no mesh; it may be truncated")
    for name in ("surface", "tissue", "fibre"):
        if name not in heart.cell_data:
            raise ValueError(f"{heart_vtu.name} has no cell array {name}")
    veins = None
    if veins_vtp is not None:
        veins = pv.read(veins_vtp)
        if not veins.n_points or not {"radius_mm", "vein"} <= set(veins.point_data):
            raise ValueError(f"{veins_vtp.name} holds no venous tree with point arrays radius_mm and vein")
    triangles = _polydata(heart.extract_cells(np.flatnonzero(np.asarray(heart.cell_data["surface"]) > 0)))
    skin = triangles.compute_normals(cell_normals=True, point_normals=False, auto_orient_normals=True)
    return Scene(heart=heart, skin=skin, veins=veins, sites=sites)


def draw_activation(scene: Scene, kind: str, path: Path) -> None:
    """Isochrones from both sides; `kind` is intrinsic or best, and both have the same colour range."""
    all_times = {}
    for name in ("intrinsic", "best"):
        if f"activation_{name}_ms" in scene.skin.point_data:
            all_times[name] = np.asarray(scene.skin.point_data[f"activation_{name}_ms"], dtype=np.float64)
    if kind not in all_times or not np.isfinite(all_times[kind]).any():
        return
    times = all_times[kind]
    latest = max(float(t[np.isfinite(t)].max(initial=0.0)) for t in all_times.values())
    step = 10.0 if latest <= FINE_ISOCHRONES_MS else 20.0
    end = step * max(1.0, np.ceil(latest / step))

    # A triangle with one node that is never reached has no time: grey. The rest is coloured and contoured.
    corners = scene.skin.regular_faces
    reached = np.isfinite(times)[corners].all(axis=1)
    skin = scene.skin.copy()
    skin["times"] = np.where(np.isfinite(times), times, 0.0)
    actors: list[Actor] = []
    if not reached.all():
        actors.append((_polydata(skin.extract_cells(np.flatnonzero(~reached))), {"color": _NEVER}))
    lines = None
    if reached.any():
        coloured = _polydata(skin.extract_cells(np.flatnonzero(reached)))
        lines = coloured.contour(np.arange(step, end, step), scalars="times")
        actors.append(
            (_rounded(coloured), {"scalars": "times", "cmap": TIME_COLOURS, "clim": (0.0, end), "n_colors": 256})
        )

    figure, panels = sheet(2)
    for axes, direction, title in zip(
        panels, (FRONT, LEFT_BEHIND), ("from the front", "from the left and behind"), strict=True
    ):
        view = view_of(scene.points_mm, direction, HEAD)
        extra: list[Actor] = []
        if lines is not None and lines.n_points:
            extra = [
                (
                    lines.translate(_LIFT_MM * view.towards, inplace=False),
                    {"color": "black", "line_width": 2.2, "lighting": False},
                )
            ]
        show(axes, view, actors + extra, title)
        if kind == "best":
            _mark_sites(axes, view, scene, _best_site(scene))
    bar = figure.add_axes((0.25, 0.085, 0.5, 0.028))
    figure.colorbar(
        ScalarMappable(Normalize(0, end), colormaps[TIME_COLOURS]), cax=bar, orientation="horizontal",
        ticks=np.arange(0, end + 1, step if end / step <= 9 else 2 * step),
    )  # fmt: skip
    for level in np.arange(step, end, step):
        bar.axvline(level, color="black", lw=0.8)
    bar.set_xlabel(f"activation time, ms; lines every {step:g} ms", fontsize=9)
    if not reached.all():
        legend(figure, [Patch(color=_NEVER)], ["never reached"], right=True)
    save(figure, path)


def draw_veins(scene: Scene, path: Path) -> None:
    """The outside of the heart, the scar beneath it, the veins and the candidate sites."""
    handles: list[Artist] = []
    names: list[str] = []
    actors: list[Actor] = []
    beneath = scar_beneath(scene)
    for kind, colour in ((Tissue.HEALTHY, _MUSCLE), *SCAR_COLOURS.items()):
        cells = np.flatnonzero(beneath == kind)
        if cells.size:
            actors.append((_polydata(scene.skin.extract_cells(cells)), {"color": colour}))
            if kind != Tissue.HEALTHY:
                handles.append(Patch(color=colour))
                names.append(f"scar in the wall: {kind.name.lower().replace('_', ' ')}")
    for name, colour, tube in _vein_tubes(scene):
        actors.append((tube, {"color": colour, "smooth_shading": True}))
        handles.append(Patch(color=colour))
        names.append(name)
    for looks in dict.fromkeys(_site_looks(site) for site in scene.sites):
        fill, edge, _ = looks
        dot = Line2D([], [], marker="o", linestyle="none", markersize=9, markerfacecolor=fill, markeredgecolor=edge)
        handles.append(dot)
        names.append(f"site, {looks[2]}")
    figure, panels = sheet(2)
    for axes, direction, title in zip(
        panels, (FRONT, LEFT_BEHIND), ("from the front", "from the left and behind"), strict=True
    ):
        view = view_of(scene.points_mm, direction, HEAD)
        show(axes, view, actors, title)
        _mark_sites(axes, view, scene, *scene.sites)
    if handles:
        legend(figure, handles, names)
    save(figure, path)


def draw_fibres(scene: Scene, path: Path) -> None:
    """Fibres near the outer and the inner surface seen from the left, and in a short-axis slab; colour: helix angle."""
    if not {"apicobasal", "transmural"} <= set(scene.heart.point_data):
        return
    tets = scene.heart.extract_cells(np.flatnonzero(np.asarray(scene.heart.cell_data["surface"]) == 0))
    slopes = tets.compute_derivative(scalars="transmural", gradient=True).point_data_to_cell_data()
    centres = np.asarray(slopes.cell_centers().points, dtype=np.float64)
    depth = np.asarray(slopes.cell_data["transmural"], dtype=np.float64)
    height = np.asarray(slopes.cell_data["apicobasal"], dtype=np.float64)
    fibres = np.asarray(tets.cell_data["fibre"], dtype=np.float64)
    axis = centres[height > 0.9].mean(axis=0) - centres[height < 0.1].mean(axis=0)
    axis /= np.linalg.norm(axis)
    angles = helix_angles_deg(fibres, np.asarray(slopes.cell_data["gradient"], dtype=np.float64), axis)

    left = LEFT_BEHIND - (LEFT_BEHIND @ axis) * axis
    near = (centres - centres.mean(axis=0)) @ left > 0
    along = centres @ axis
    slab = np.abs(along - np.median(along[np.abs(height - 0.5) < 0.1])) < SLAB_MM / 2
    figure, panels = sheet(3)
    plan = (
        ("outer fifth of the wall, base on top", near & (depth > 0.8), left, axis),
        ("inner fifth of the wall, base on top", near & (depth < 0.2), left, axis),
        (f"short-axis slab, {SLAB_MM:g} mm, seen from the apex", slab, -axis, HEAD),
    )
    for axes, (title, chosen, direction, up) in zip(panels, plan, strict=True):
        kept = np.flatnonzero(chosen & np.isfinite(angles))
        if len(kept) > 2500:
            kept = np.sort(np.random.default_rng(0).choice(kept, 2500, replace=False))
        actors: list[Actor] = []
        if kept.size:
            ends = centres[kept][:, None] + np.array([-2.0, 2.0])[None, :, None] * fibres[kept][:, None]
            rods = pv.line_segments_from_points(ends.reshape(-1, 3))
            rods.cell_data["angle"] = angles[kept]
            actors = [
                (rods.tube(radius=0.35, n_sides=8), {"scalars": "angle", "cmap": "viridis", "clim": (-90.0, 90.0)})
            ]
        show(axes, view_of(scene.points_mm, direction, up), actors, title)
    bar = figure.add_axes((0.3, 0.095, 0.4, 0.03))
    figure.colorbar(
        ScalarMappable(Normalize(-90, 90), colormaps["viridis"]),
        cax=bar,
        orientation="horizontal",
        ticks=range(-90, 91, 30),
    )
    bar.set_xlabel("helix angle, degrees: rises to the right (+) or to the left (−), seen from outside", fontsize=9)
    save(figure, path)


def helix_angles_deg(fibres: Float, outward: Float, axis: Float) -> Float:
    """(m,) angle of fibres to the short-axis plane, in the plane of the wall, -90 to 90.

    Seen from outside with the base on top, a fibre that rises to the right is positive: a right-handed helix.

    Args:
        fibres: (m, 3) unit vectors; the sign has no meaning.
        outward: (m, 3) from the endocardium to the epicardium, any length.
        axis: (3,) unit vector from apex to base.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        radial = outward / np.linalg.norm(outward, axis=1, keepdims=True)
        up = axis - (radial @ axis)[:, None] * radial
        up /= np.linalg.norm(up, axis=1, keepdims=True)
        around = np.cross(up, radial)
        angles = np.degrees(np.arctan(np.einsum("ij,ij->i", fibres, up) / np.einsum("ij,ij->i", fibres, around)))
    return np.asarray(angles, dtype=np.float64)


def scar_beneath(scene: Scene) -> Byte:
    """(t,) the worst `Tissue` on the way in from each triangle of the epicardium to a cavity; -1 on the endocardium."""
    surface = np.asarray(scene.skin.cell_data["surface"])
    outer = np.flatnonzero(np.isin(surface, [int(Surface.EPICARDIUM), int(Surface.BASE)]))
    kinds = np.full(len(surface), -1, dtype=np.int8)
    kinds[outer] = Tissue.HEALTHY
    solid = scene.heart.extract_cells(np.flatnonzero(np.asarray(scene.heart.cell_data["surface"]) == 0))
    tissue = np.asarray(solid.cell_data["tissue"])
    if not (tissue > 0).any():
        return kinds
    epicardium = np.flatnonzero(surface == Surface.EPICARDIUM)
    starts = np.asarray(scene.skin.cell_centers().points, dtype=np.float64)[epicardium]
    inward = -np.asarray(scene.skin.cell_data["Normals"], dtype=np.float64)[epicardium]
    alive = np.ones(len(epicardium), dtype=np.bool_)
    for depth in np.arange(0.5, DEEPEST_SCAR_MM, 1.0):
        # Once a ray has left the wall it may meet the opposite one; that one does not count.
        cells = np.full(len(epicardium), -1)
        cells[alive] = solid.find_containing_cell(starts[alive] + depth * inward[alive])
        alive &= cells >= 0
        kinds[epicardium[alive]] = np.maximum(kinds[epicardium[alive]], tissue[cells[alive]])
    return kinds


def _mark_sites(axes: Axes, view: View, scene: Scene, *sites: dict[str, Any] | None) -> None:
    """Circles with the sites' names, on the side of the heart that the reader sees; the best ranks lie on top."""
    shown = [site for site in sites if site is not None]
    if not shown:
        return
    places = np.array([site["position_mm"] for site in shown], dtype=np.float64)
    seen = _faces_camera(scene, places, view)
    for site, (x, y), visible in zip(shown, view.flat_mm(places), seen, strict=True):
        if not visible:
            continue
        rank = site.get("rank")
        height = 10.0 - (9.0 if rank is None else min(float(rank), 50.0) / 10)
        fill, edge, _ = _site_looks(site)
        ink = "white" if site.get("rank") is not None else edge
        axes.add_patch(Circle((x, y), 2.9, facecolor=fill, edgecolor=edge, linewidth=1.0, zorder=height))
        name = str(site["id"])
        if len(name) <= 3:
            axes.text(x, y - 0.1, name, ha="center", va="center", fontsize=6.5, color=ink, weight="bold", zorder=height)
        else:
            box = {"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none", "alpha": 0.8}
            axes.text(x + 3.6, y, name, ha="left", va="center", fontsize=6.5, bbox=box, zorder=height)


def _site_looks(site: dict[str, Any]) -> tuple[str, str, str]:
    """Fill, edge and meaning of a site's circle."""
    if site.get("rank") is None:
        return "white", "#777777", "not reachable, or no capture"
    return (_BEST, "white", "first rank") if site["rank"] == 1 else ("#222222", "white", "further ranks")


def _faces_camera(scene: Scene, places_mm: Float, view: View) -> Bool:
    """(n,) whether the surface next to each place is turned to the reader."""
    cells = np.atleast_1d(scene.skin.find_closest_cell(places_mm))
    normals = np.asarray(scene.skin.cell_data["Normals"], dtype=np.float64)[cells]
    return np.asarray(normals @ view.towards > 0.0)


def _best_site(scene: Scene) -> dict[str, Any] | None:
    ranked = [site for site in scene.sites if site.get("rank") is not None]
    return min(ranked, key=lambda site: int(site["rank"])) if ranked else None


def _vein_tubes(scene: Scene) -> list[tuple[str, str, pv.PolyData]]:
    """Name, colour and tube of the true radius of every vein."""
    if scene.veins is None:
        return []
    number = np.asarray(scene.veins.point_data["vein"]).astype(int)
    names = [str(name) for name in scene.veins.field_data["names"]] if "names" in scene.veins.field_data else []
    tubes = []
    for vein in np.unique(number):
        # A tributary with adjacent cells, so that its first piece reaches the coronary sinus (vein 0) that it drains into.
        part = _polydata(scene.veins.extract_points(number == vein, adjacent_cells=bool(vein > 0)))
        if not part.n_cells:
            continue
        # There it keeps its own width: flaring to that of the larger vein looks like a funnel.
        own = np.asarray(part.point_data["vein"]).astype(int) == vein
        radius = np.asarray(part.point_data["radius_mm"])
        part.point_data["radius_mm"] = np.where(own, radius, radius[own].max())
        tube = part.strip().tube(scalars="radius_mm", absolute=True, n_sides=16)
        tubes.append(
            (names[vein] if vein < len(names) else f"vein {vein}", VEIN_COLOURS[vein % len(VEIN_COLOURS)], tube)
        )
    return tubes


def _polydata(mesh: pv.DataSet) -> pv.PolyData:
    return mesh.extract_surface(algorithm="dataset_surface")


def _rounded(mesh: pv.PolyData) -> pv.PolyData:
    """With normals at the points for smooth shading, but sharp edges kept."""
    return mesh.compute_normals(cell_normals=False, point_normals=True, split_vertices=True, feature_angle=50.0)


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
