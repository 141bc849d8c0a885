"""The stages of a plan, each a function of inputs and settings alone, each with a key that is their hash.

Two plans whose stage has the same key would compute the same: a cohort may skip it, and a reader of provenance.json can
tell what changed between two plans.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from scipy.spatial import KDTree

from anatomy.arrays import Float
from anatomy.axes import heart_axes
from anatomy.boundary_tags import tag_boundary
from anatomy.build import complete_heart
from anatomy.checks import check_size, check_volumes
from anatomy.fibres import endocardial_handedness
from anatomy.formats import read_heart_file, read_surface_file
from anatomy.heart import Heart, HeartMesh, Surface, tet_volumes_mm3
from anatomy.labels import read_label_map, with_rv_wall
from anatomy.meshing import mesh_label_map
from anatomy.orientation import RigidTransform, alignment, misorientations
from anatomy.remeshing import body_count, remesh
from anatomy.sites import PacingSite, SiteFinder, node_by_coordinates
from anatomy.surface_meshing import mesh_surface
from anatomy.torso import Electrodes, electrodes_by_rule, read_electrodes
from anatomy.vein_template import TRIBUTARIES, template_tree
from anatomy.veins import VenousTree, read_veins
from twin.planning.errors import InputError
from twin.planning.patient import Patient, reading
from twin.planning.settings import Settings

# Farther than this from the epicardium a place is not a lead on this heart but a wrong frame or unit.
_FARTHEST_SITE_MM = 25.0
# The nearest of nine electrodes on a body; farther away they belong to another frame.
_FARTHEST_ELECTRODE_MM = 300.0


@dataclass(frozen=True, kw_only=True, eq=False)
class Anatomy:
    """All that is geometry, in LPS patient space.

    Attributes:
        heart: simulation-ready.
        electrodes, veins: the patient's own or stand-ins.
        turned: how the heart was brought to LPS; None where it was there.
        stand_ins: what replaces something not seen in the patient, in words.
        warnings: what a reader must know, in words.
    """

    heart: Heart
    electrodes: Electrodes
    veins: VenousTree
    turned: RigidTransform | None
    stand_ins: tuple[str, ...]
    warnings: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class Candidates:
    """Where the leads may go.

    Attributes:
        sites: left-ventricular candidates, reachable or not.
        lateral: the standard lateral site, against which gains are counted.
        rv_node: where the right-ventricular lead sits.
        rv_site: its name.
        implanted_vv_ms: the delay of the implanted device, left after right; None where not known.
    """

    sites: tuple[PacingSite, ...]
    lateral: PacingSite
    rv_node: int
    rv_site: str
    implanted_vv_ms: float | None = None


def stage_key(stage: str, hashes: Mapping[str, str], settings: Mapping[str, Any]) -> str:
    """SHA-256 of what a stage depends on: its name, the tool's version, its inputs and its settings."""
    content = {"stage": stage, "version": version("crt-twin"), "inputs": dict(hashes), "settings": dict(settings)}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True, eq=False)
class BuiltHeart:
    """A heart made of one geometry file, in LPS patient space; the other fields as in `Anatomy`."""

    heart: Heart
    turned: RigidTransform | None
    stand_ins: tuple[str, ...]
    warnings: tuple[str, ...]


def build_heart(source: Path, convention: str, settings: Settings) -> BuiltHeart:
    """A simulation-ready heart from a mesh, a label map or closed tagged surfaces.

    Args:
        source: told apart by its name: `.nii` and `.nii.gz` are labels, `.vtp`, `.stl`, `.obj` and `.ply` surfaces,
            `.vtu`, `.vtk` and `.pts` meshes.
        convention: what the ids of a label map mean.
        settings: edge length and fibre angles.

    Raises:
        InputError: if the file cannot be used.
    """
    with reading(source):
        geometry = _geometry(source, convention, settings)
        mesh, given, stand_ins, warnings = (
            geometry.mesh,
            geometry.given,
            list(geometry.stand_ins),
            list(geometry.warnings),
        )
        axes = heart_axes(mesh)
        faults = misorientations(axes)
        turned = alignment(axes) if faults else None
        if turned is not None:
            warnings.append(f"the heart is not in LPS patient space ({'; '.join(faults)}): turned by its own axes")
            mesh = replace(mesh, nodes_mm=turned.points(mesh.nodes_mm))
            given = {name: turned.vectors(v) if name in ("fibres", "sheets") else v for name, v in given.items()}
        heart = complete_heart(mesh, **given, angles=settings.fibres)
    islands = int((heart.tissue != given.get("tissue", heart.tissue)).sum())
    if islands:
        warnings.append(f"{islands} living tetrahedra inside scar core, which nothing reaches, were counted as core")
    if "fibres" not in given:
        stand_ins.append("fibres by rule (Bayer 2012)")
    elif endocardial_handedness(heart) < 0:
        warnings.append(
            f"{source.name}: the fibres turn left-handed at the left endocardium, where hearts turn right-handed: "
            "fibres or heart may be mirrored; they were kept"
        )
    return BuiltHeart(heart=heart, turned=turned, stand_ins=tuple(stand_ins), warnings=tuple(warnings))


def build_anatomy(patient: Patient, settings: Settings) -> Anatomy:
    """Heart, electrodes and veins of a patient, with stand-ins for what is missing.

    Raises:
        InputError: if a file cannot be used, or electrodes or veins lie elsewhere than the heart.
    """
    electrodes, veins = _read_electrodes(patient), _read_veins(patient)  # before the mesh: small files fail fast
    built = build_heart(patient.geometry, patient.file.labels, settings)
    heart, turned, stand_ins = built.heart, built.turned, list(built.stand_ins)

    if electrodes is None:
        electrodes = electrodes_by_rule(heart)
        stand_ins.append("electrodes placed by rule around the heart")
    else:
        if turned is not None:
            electrodes = replace(electrodes, positions_mm=turned.points(electrodes.positions_mm))
        _check_near("electrodes.json: the electrodes lie", electrodes.positions_mm, heart, _FARTHEST_ELECTRODE_MM)

    if veins is None:
        with reading(patient.geometry):
            veins = template_tree(heart)
    else:
        if turned is not None:
            veins = replace(veins, nodes_mm=turned.points(veins.nodes_mm))
        _check_near("veins.vtp: the veins lie", veins.nodes_mm, heart, _FARTHEST_SITE_MM)
    if veins.is_template:
        shares = ", ".join(f"{vein.name} {vein.prevalence:.0%}" for vein in TRIBUTARIES if vein.name in veins.names)
        stand_ins.append(
            f"coronary veins from a template of published averages (share of people who have them: {shares})"
        )
    return Anatomy(
        heart=heart,
        electrodes=electrodes,
        veins=veins,
        turned=turned,
        stand_ins=tuple(stand_ins),
        warnings=built.warnings,
    )


def _read_electrodes(patient: Patient) -> Electrodes | None:
    if patient.electrodes is None:
        return None
    with reading(patient.electrodes):
        return read_electrodes(patient.electrodes)


def _read_veins(patient: Patient) -> VenousTree | None:
    if patient.veins is None:
        return None
    with reading(patient.veins):
        return read_veins(patient.veins)


def find_candidates(patient: Patient, anatomy: Anatomy, settings: Settings) -> Candidates:
    """Sites from the veins, the user's list and the implanted lead; the lateral reference; the right-ventricular site."""
    heart, finder = anatomy.heart, SiteFinder(anatomy.heart)
    sites = finder.from_veins(anatomy.veins, settings.lead)
    taken = {*(site.id for site in sites), "implanted", "lateral"}
    for user in patient.sites:
        if user.id in taken:
            raise InputError(f"sites.csv: id {user.id} is also the name of a site of the plan: choose another")
        place = _placed(finder, anatomy, user.position_mm, f"sites.csv: site {user.id} lies")
        sites.append(finder.at(place, id_=user.id, source="user", vein=user.vein))
    implanted = patient.file.implanted
    if implanted.lv_mm is not None:
        place = _placed(finder, anatomy, implanted.lv_mm, "patient.yaml: implanted.lv_mm lies")
        sites.append(finder.at(place, id_="implanted", source="implanted", reachable=True))
    lateral = node_by_coordinates(heart, Surface.EPICARDIUM, apicobasal=0.55, rotational=1 / 3)
    if implanted.rv_mm is not None:
        place = _turned(anatomy, implanted.rv_mm)
        endocardium = heart.nodes_of(Surface.RV_ENDOCARDIUM)
        endocardium = endocardium[heart.living[endocardium]]
        distance = np.linalg.norm(heart.nodes_mm[endocardium] - place, axis=1)
        if distance.min() > _FARTHEST_SITE_MM:
            raise InputError(_far("patient.yaml: implanted.rv_mm lies", float(distance.min()), "RV endocardium"))
        rv_node, rv_site = int(endocardium[distance.argmin()]), "implanted"
    else:
        height = {"apex": 0.15, "septum": 0.6}[settings.rv_site]
        rv_node = node_by_coordinates(heart, Surface.RV_ENDOCARDIUM, apicobasal=height, rotational=5 / 6)
        rv_site = settings.rv_site
    return Candidates(
        sites=tuple(sites),
        lateral=finder.at(heart.nodes_mm[lateral], id_="lateral", source="reference"),
        rv_node=rv_node,
        rv_site=rv_site,
        implanted_vv_ms=implanted.vv_delay_ms if implanted.lv_mm is not None else None,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _Geometry:
    """A mesh, what its file knows of it per tetrahedron, and what had to be made up or changed."""

    mesh: HeartMesh
    given: dict[str, Any]
    stand_ins: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


def _geometry(path: Path, convention: str, settings: Settings) -> _Geometry:
    if path.name.endswith((".nii", ".nii.gz")):
        labels, wall_made = with_rv_wall(read_label_map(path, convention))
        meshed = mesh_label_map(labels, edge_mm=settings.edge_mm)
        wall = ("right ventricular wall of even thickness around its blood",) if wall_made else ()
        return _Geometry(mesh=meshed.mesh, given={"tissue": meshed.tissue}, stand_ins=wall)
    if path.suffix in (".vtp", ".stl", ".obj", ".ply"):
        closed = read_surface_file(path)
        if closed.surface is None:
            tags = ", ".join(f"{kind} {kind.name.lower()}" for kind in Surface)
            raise ValueError(f"has no tags; give every triangle a `surface`: {tags}")
        missing = [f"{kind} {kind.name.lower()}" for kind in Surface if kind not in closed.surface]
        if missing:
            raise ValueError(f"no triangle is tagged {', '.join(missing)}; check its array `surface`")
        check_size(closed.nodes_mm)
        return _Geometry(
            mesh=mesh_surface(closed.nodes_mm, closed.triangles, closed.surface, settings.edge_mm), given={}
        )
    file = read_heart_file(path)
    check_size(file.nodes_mm)
    check_volumes(file.tets, tet_volumes_mm3(file.nodes_mm, file.tets))
    given = {name: getattr(file, name) for name in ("tissue", "fibres", "sheets")}
    given = {name: values for name, values in given.items() if values is not None}
    if file.triangles is not None and file.surface is not None:
        mesh = HeartMesh(nodes_mm=file.nodes_mm, tets=file.tets, triangles=file.triangles, surface=file.surface)
        return _Geometry(mesh=mesh, given=given)
    told = f"{path.name}: the boundary carries no tags: base, epicardium and endocardium were told from the shape"
    bodies = body_count(file.tets, len(file.nodes_mm))
    if bodies == 1:
        triangles, surface = tag_boundary(file.nodes_mm, file.tets)
        mesh = HeartMesh(nodes_mm=file.nodes_mm, tets=file.tets, triangles=triangles, surface=surface)
        return _Geometry(mesh=mesh, given=given, warnings=(told,))
    mesh, nearest = remesh(file.nodes_mm, file.tets, settings.edge_mm)
    joined = f"{path.name}: {bodies} bodies that share no faces were meshed again as one; fibres from the nearest tetrahedron"
    return _Geometry(
        mesh=mesh, given={name: values[nearest] for name, values in given.items()}, warnings=(told, joined)
    )


def _turned(anatomy: Anatomy, position_mm: tuple[float, float, float]) -> Float:
    place = np.array(position_mm)
    return place if anatomy.turned is None else anatomy.turned.points(place[None])[0]


def _placed(finder: SiteFinder, anatomy: Anatomy, position_mm: tuple[float, float, float], what: str) -> Float:
    place = _turned(anatomy, position_mm)
    distance = finder.distance_to_epicardium_mm(place)
    if distance > _FARTHEST_SITE_MM:
        raise InputError(_far(what, distance, "epicardium"))
    return place


def _check_near(what: str, places_mm: Float, heart: Heart, limit_mm: float) -> None:
    """Refuse what has no point near the heart: it is in another frame or unit."""
    distance, _ = KDTree(heart.nodes_mm[heart.nodes_of(Surface.EPICARDIUM)]).query(places_mm)
    if distance.min() > limit_mm:
        raise InputError(_far(what, float(distance.min()), "epicardium"))


def _far(what: str, distance_mm: float, surface: str) -> str:
    return f"{what} {distance_mm:.0f} mm from the {surface}: give mm in the frame of the geometry file"
