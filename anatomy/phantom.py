"""The ventricles of a patient who does not exist: a heart made of a few smooth shapes, as a label map.

Each cavity is an "egg" around an axis, of radius^2 = R^2 (1 - |t|^n) at the share t of the way from its widest level to
its end: n = 2 upwards, an ellipsoid, and 1.5 downwards, which is more pointed. One tilted base plane cuts both open:
there blood meets background, and nothing is capped. The left egg stands upright on the long axis. The right one leans
over it, and what the left ventricle leaves of it is the crescent around the septum. A second egg bounds the left wall
from outside; the right wall is what lies within its thickness of the right egg. Grooves and corners are rounded. An
infarct starts at the left endocardium and reaches to a given depth.

Sizes and ranges are our choices: a dilated, failing left ventricle such as cardiac resynchronization is offered for.
There are no atria, valves, outflow tracts, papillary muscles or trabeculae.

Units: mm, degrees. Frame: LPS patient space with the centre of the left-ventricular opening at the origin.
"""

from dataclasses import dataclass, fields
from itertools import product

import numpy as np
from numpy.typing import NDArray

from anatomy.arrays import Float
from anatomy.labels import Label, LabelMap
from anatomy.orientation import REFERENCE_LONG_AXIS, REFERENCE_SEPTAL

# A thinner wall than this would tear when it is meshed with edges of 1.5 mm.
MIN_WALL_MM = 3.0
MIN_AXES_ANGLE_DEGREES = 30.0
# Our choices of shape. How far from base to apex the widest level lies: about 0.3 in the one real heart we measured. Its
# lower half is best met by n = 1.25; 1.5 leaves less of a crease at the widest level.
EQUATOR_SHARE = 0.3
UPPER_POWER = 2.0
LOWER_POWER = 1.5
# How far the right egg's axis stands from the long axis at the widest level and at its tip, in radii of the left cavity,
# and how much it leans to the front on its way up.
RV_CENTRE_SHARE = 0.9
RV_TIP_SHARE = 0.4
RV_ANTERIOR_LEAN = 0.2
FILLET_MM = 6.0
# Below this a level is that of the middle of an egg, where the direction to its surface is undefined.
TINY = 1e-6
# Angle of the mid-septum where 0 is the inferior and 240 the anterior end of the septum, through the free wall.
SEPTAL_ANGLE_DEGREES = 300.0

# Uniform draws of `random_phantom`: our choices around the defaults.
RANGES: dict[str, tuple[float, float]] = {
    "lv_diameter_mm": (58.0, 72.0),
    "lv_length_mm": (93.0, 108.0),
    "lv_opening_mm": (40.0, 48.0),
    "lv_wall_mm": (8.0, 10.5),
    "lv_apex_wall_mm": (5.0, 7.0),
    "rv_length_mm": (78.0, 88.0),
    "rv_width_mm": (33.0, 43.0),
    "rv_span_mm": (74.0, 86.0),
    "rv_wall_mm": (3.3, 4.2),
    "base_tilt_degrees": (6.0, 18.0),
}
AXIS_JITTER = 0.06
INFARCT_PROBABILITY = 0.6
INFARCT_RANGES: dict[str, tuple[float, float]] = {
    "scar_radius_mm": (12.0, 26.0),
    "scar_transmurality": (0.4, 1.0),
    "border_zone_mm": (2.5, 6.0),
}
# (apicobasal, angle) of the centre, within what each artery usually feeds by AHA segment [doi:10.1161/hc0402.102975].
TERRITORIES: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "LAD": ((0.15, 0.45), (210.0, 285.0)),
    "LCX": ((0.4, 0.75), (90.0, 150.0)),
    "RCA": ((0.4, 0.75), (0.0, 50.0)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Egg:
    """An egg in the heart's own frame: septal, anterior, basal coordinates from the middle of the left one's widest level.

    Attributes:
        across_mm: its radii at its widest, septal and anterior.
        up_mm: from there to the (cut-off) upper end.
        down_mm: from there to the lower end.
        septal_mm: how far its axis stands from the long axis at the widest level.
        lean: septal and anterior shift of its axis per mm upwards.
    """

    across_mm: tuple[float, float]
    up_mm: float
    down_mm: float
    septal_mm: float = 0.0
    lean: tuple[float, float] = (0.0, 0.0)

    def foot(self, points: Float) -> Float:
        """(n, 3) the point of the surface outwards or inwards of each point; for an upright egg on the long axis."""
        _, level, power = self._levels(points)
        feet: Float = points / np.column_stack([level, level, level ** (2 / power)])
        return feet

    def distance_mm(self, points: Float) -> Float:
        """(n,) to the surface, negative inside; to first order, (level - 1) / |grad level|."""
        (septal, anterior, basal), level, power = self._levels(points)
        length = np.where(basal > 0, self.up_mm, self.down_mm)
        slope_septal, slope_anterior = septal / self.across_mm[0], anterior / self.across_mm[1]
        slope_basal = power / 2 * np.sign(basal) * np.abs(basal) ** (power - 1) / length
        slope_basal -= slope_septal * self.lean[0] + slope_anterior * self.lean[1]
        steepness = np.sqrt(slope_septal**2 + slope_anterior**2 + slope_basal**2)
        distances: Float = level * (level - 1) / np.maximum(steepness, TINY / self.down_mm)
        return distances

    def _levels(self, points: Float) -> tuple[tuple[Float, Float, Float], Float, Float]:
        """Coordinates in units of the radii, the level (0 in the middle, 1 on the surface), and the power: each (n,)."""
        septal, anterior, basal = points.T
        scaled = (
            (septal - self.septal_mm - self.lean[0] * basal) / self.across_mm[0],
            (anterior - self.lean[1] * basal) / self.across_mm[1],
            basal / np.where(basal > 0, self.up_mm, self.down_mm),
        )
        power = np.where(basal > 0, UPPER_POWER, LOWER_POWER)
        level = np.sqrt(scaled[0] ** 2 + scaled[1] ** 2 + np.abs(scaled[2]) ** power)
        return scaled, np.maximum(level, TINY), power


def _direction(vector: Float) -> tuple[float, float, float]:
    x, y, z = (float(part) for part in vector)
    return x, y, z


@dataclass(frozen=True, kw_only=True)
class Phantom:
    """A biventricular heart in a few numbers.

    Attributes:
        lv_diameter_mm: largest inner diameter of the left ventricle.
        lv_length_mm: its inner length, from the centre of the opening to the apex.
        lv_opening_mm: diameter of its opening at the base (mitral and aortic valve as one), across the long axis.
        lv_wall_mm: thickness of its wall, septum included, at its widest; at least `MIN_WALL_MM`.
        lv_apex_wall_mm: thickness of its wall at the apex; at least `MIN_WALL_MM`.
        rv_length_mm: length of the right egg along the long axis, from the base; the cavity ends a little before, where
            the septum closes it. At most 0.95 of the left ventricle's.
        rv_width_mm: from the septum to the inside of the right free wall, at the left ventricle's widest level.
        rv_span_mm: inner diameter of the right ventricle from its inferior to its anterior side.
        rv_wall_mm: thickness of the right free wall; at least `MIN_WALL_MM`.
        base_tilt_degrees: how much the base plane rises towards the front, 0 to 30.
        long_axis: direction from apex to base in LPS, of any length.
        septal: direction from the left to the right ventricle in LPS, of any length; only its part across the long axis
            counts.
        scar_apicobasal: height of the infarct's centre, 0 at the apex, 1 at the base.
        scar_angle_degrees: where it lies around the long axis, as `Coordinates.rotational` times 360. The AHA sectors:
            0-60 inferior, -120 inferolateral, -180 anterolateral, -240 anterior, -300 anteroseptal, -360 inferoseptal.
            Straight angles: the middle of the septum is 300.
        scar_radius_mm: of the dense core along the endocardium; 0: no infarct and no border zone.
        scar_transmurality: share of the wall's thickness that the core takes, from the endocardium; in (0, 1].
        border_zone_mm: width of the border zone around and beyond the core; 0: none.

    Raises:
        ValueError: naming the size that breaks a rule.
    """

    lv_diameter_mm: float = 66.0
    lv_length_mm: float = 100.0
    lv_opening_mm: float = 44.0
    lv_wall_mm: float = 9.0
    lv_apex_wall_mm: float = 6.0
    rv_length_mm: float = 88.0
    rv_width_mm: float = 38.0
    rv_span_mm: float = 80.0
    rv_wall_mm: float = 3.8
    base_tilt_degrees: float = 12.0
    long_axis: tuple[float, float, float] = _direction(REFERENCE_LONG_AXIS)
    septal: tuple[float, float, float] = _direction(REFERENCE_SEPTAL)
    scar_apicobasal: float = 0.55
    scar_angle_degrees: float = 90.0
    scar_radius_mm: float = 20.0
    scar_transmurality: float = 0.6
    border_zone_mm: float = 4.0

    def __post_init__(self) -> None:
        _check(self)

    @property
    def axes(self) -> Float:
        """(3, 3) unit columns in LPS: septal, anterior, apex to base; right-handed."""
        up = _unit(np.array(self.long_axis))
        septal = np.array(self.septal)
        septal = _unit(septal - (septal @ up) * up)
        return np.column_stack([septal, np.cross(up, septal), up])

    @property
    def lv_cavity_ml(self) -> float:
        """Volume of the left ventricle's blood, in closed form.

        Stretched to a unit ball, the upper half is cut by a plane at distance `cut` from the centre. Below the plane lie
        half the ball and a slab, whatever the tilt; as the plane stays above the widest level, the slab is what the upper
        half keeps. The lower half integrates to n / (n + 1) of its cylinder.
        """
        egg = self.lv_endocardium
        radius = egg.across_mm[0]
        cut = self.base_mm / np.hypot(egg.up_mm, self.base_rise * radius)
        height = egg.up_mm * (cut - cut**3 / 3) + egg.down_mm * LOWER_POWER / (LOWER_POWER + 1)
        return float(np.pi * radius**2 * height / 1000)

    def labels_at(self, points_mm: Float) -> NDArray[np.uint8]:
        """What lies at each point.

        Args:
            points_mm: (n, 3) in LPS.

        Returns:
            (n,) a `Label` each.
        """
        points = points_mm @ self.axes
        points[:, 2] += self.base_mm
        lv, lv_outside, rv = (
            egg.distance_mm(points) for egg in (self.lv_endocardium, self.lv_epicardium, self.rv_endocardium)
        )
        below_base = points[:, 2] < self.base_mm + self.base_rise * points[:, 1]
        rv_blood = smooth_max(rv, -lv_outside) < 0
        muscle = smooth_max(-lv_outside, self.rv_wall_mm - rv) > 0
        labels = np.where(muscle, np.uint8(Label.MYOCARDIUM), np.uint8(Label.BACKGROUND))
        labels[rv_blood] = Label.RV_BLOOD
        if self.scar_radius_mm > 0:
            wall = (lv >= 0) & (lv_outside < 0)
            labels[wall] = self._tissue(points[wall], lv[wall], lv_outside[wall])
        labels[lv < 0] = Label.LV_BLOOD
        labels[~below_base] = Label.BACKGROUND
        return labels

    def label_map(self, voxel_mm: float = 1.0) -> LabelMap:
        """The heart as an image along the patient's axes, with a rim of background.

        Args:
            voxel_mm: edge of a voxel, > 0; at most a third of the thinnest wall resolves it.

        Raises:
            ValueError: if a wall would be thinner than a voxel.
        """
        thinnest = min(self.rv_wall_mm, self.lv_wall_mm, self.lv_apex_wall_mm)
        if not 0 < voxel_mm <= thinnest:
            raise ValueError(
                f"voxel_mm = {voxel_mm:g}, need more than 0 and at most the thinnest wall, {thinnest:g} mm"
            )
        corners = self.corners_mm()
        low = np.floor(corners.min(axis=0) / voxel_mm) - 1
        n = (np.ceil(corners.max(axis=0) / voxel_mm) + 2 - low).astype(int)
        x, y, z = ((low[k] + np.arange(n[k])) * voxel_mm for k in range(3))
        slice_mm = np.stack(np.meshgrid(x, y, [0.0], indexing="ij"), axis=-1).reshape(-1, 3)
        labels = np.stack(
            [self.labels_at(slice_mm + np.array([0, 0, height])).reshape(n[0], n[1]) for height in z], axis=-1
        )
        heart = np.argwhere(labels)
        first, last = heart.min(axis=0) - 1, heart.max(axis=0) + 2
        return LabelMap(
            labels=labels[first[0] : last[0], first[1] : last[1], first[2] : last[2]],
            origin_mm=(low + first) * voxel_mm,
            axes_mm=np.eye(3) * voxel_mm,
        )

    @property
    def base_mm(self) -> float:
        """Height of the base above the equator, on the long axis."""
        return EQUATOR_SHARE * self.lv_length_mm

    @property
    def base_rise(self) -> float:
        """Slope of the base towards the front."""
        return float(np.tan(np.radians(self.base_tilt_degrees)))

    @property
    def _stretch(self) -> float:
        """Full height of an egg's upper half, as a multiple of what the base plane leaves of it."""
        return float(1 / np.sqrt(1 - (self.lv_opening_mm / self.lv_diameter_mm) ** 2))

    @property
    def lv_endocardium(self) -> Egg:
        """The left cavity, before the base cuts it."""
        radius, base = self.lv_diameter_mm / 2, self.base_mm
        return Egg(across_mm=(radius, radius), up_mm=base * self._stretch, down_mm=self.lv_length_mm - base)

    @property
    def lv_epicardium(self) -> Egg:
        """The left ventricle with its wall, likewise."""
        inside, wall = self.lv_endocardium, self.lv_wall_mm
        radius = inside.across_mm[0] + wall
        return Egg(across_mm=(radius, radius), up_mm=inside.up_mm + wall, down_mm=inside.down_mm + self.lv_apex_wall_mm)

    @property
    def rv_endocardium(self) -> Egg:
        """The right cavity, likewise; the left ventricle stands in it."""
        radius, down = self.lv_diameter_mm / 2, self.rv_length_mm - self.base_mm
        centre = RV_CENTRE_SHARE * radius
        return Egg(
            across_mm=(radius + self.lv_wall_mm + self.rv_width_mm - centre, self.rv_span_mm / 2),
            up_mm=self.base_mm * self._stretch,
            down_mm=down,
            septal_mm=centre,
            lean=((RV_CENTRE_SHARE - RV_TIP_SHARE) * radius / down, RV_ANTERIOR_LEAN),
        )

    def corners_mm(self) -> Float:
        """(8, 3) in LPS, the corners of a box that holds the whole heart."""
        outside, rv = self.lv_epicardium, self.rv_endocardium
        reach = max(outside.up_mm, outside.down_mm)
        margin = self.rv_wall_mm + FILLET_MM
        radius = outside.across_mm[0] + margin
        right = max(radius, rv.septal_mm + rv.across_mm[0] + abs(rv.lean[0]) * reach + margin)
        front = max(radius, rv.across_mm[1] + abs(rv.lean[1]) * reach + margin)
        sides = (
            (-radius, right),
            (-front, front),
            (-outside.down_mm - margin, self.base_mm + self.base_rise * front),
        )
        return (np.array(list(product(*sides))) - [0, 0, self.base_mm]) @ self.axes.T

    def _tissue(self, points: Float, lv: Float, lv_outside: Float) -> NDArray[np.uint8]:
        """(n,) labels of points in the left wall, given their distances to its two surfaces."""
        aside = np.linalg.norm(self.lv_endocardium.foot(points) - self._scar_centre(), axis=1) - self.scar_radius_mm
        beyond = lv - self.scar_transmurality * (lv - lv_outside)
        outside_core = np.maximum(aside, beyond)
        labels = np.full(len(points), Label.MYOCARDIUM, dtype=np.uint8)
        labels[outside_core < self.border_zone_mm] = Label.BORDER_ZONE
        labels[outside_core <= 0] = Label.SCAR_CORE
        return labels

    def _scar_centre(self) -> Float:
        """(3,) the point of the endocardium at the infarct's height and angle, in the heart's own frame."""
        egg = self.lv_endocardium
        height = self.scar_apicobasal * self.lv_length_mm - egg.down_mm
        share, power = (height / egg.up_mm, UPPER_POWER) if height > 0 else (-height / egg.down_mm, LOWER_POWER)
        radius = egg.across_mm[0] * np.sqrt(max(1 - share**power, 0.0))
        angle = np.radians(self.scar_angle_degrees - SEPTAL_ANGLE_DEGREES)
        return np.array([radius * np.cos(angle), -radius * np.sin(angle), height])


def random_phantom(rng: np.random.Generator) -> Phantom:
    """A phantom drawn from `RANGES`, turned by a little, with an infarct in one artery's territory or none.

    Sizes are drawn independently, so they do not go together as they do in people. Same state of `rng`, same phantom.
    """
    sizes = {name: float(rng.uniform(*span)) for name, span in RANGES.items()}
    long_axis, septal = (
        _direction(axis + rng.normal(scale=AXIS_JITTER, size=3)) for axis in (REFERENCE_LONG_AXIS, REFERENCE_SEPTAL)
    )
    has_infarct = rng.random() < INFARCT_PROBABILITY
    territory = list(TERRITORIES)[rng.integers(len(TERRITORIES))]
    height, angle = (float(rng.uniform(*span)) for span in TERRITORIES[territory])
    infarct = {name: float(rng.uniform(*span)) for name, span in INFARCT_RANGES.items()}
    if not has_infarct:
        infarct["scar_radius_mm"] = 0.0
    return Phantom(
        **sizes,
        **infarct,
        scar_apicobasal=height,
        scar_angle_degrees=angle,
        long_axis=long_axis,
        septal=septal,
    )


def smooth_max(one: Float, other: Float) -> Float:
    """(n,) the larger value, raised by up to `FILLET_MM` / 4 where both are close: this rounds the corner of two shapes."""
    near = np.maximum(FILLET_MM - np.abs(one - other), 0)
    larger: Float = np.maximum(one, other) + near**2 / (4 * FILLET_MM)
    return larger


def _unit(vector: Float) -> Float:
    unit: Float = vector / np.linalg.norm(vector)
    return unit


def _check(phantom: Phantom) -> None:
    for field in fields(phantom):
        if not np.isfinite(getattr(phantom, field.name)).all():
            raise ValueError(f"{field.name} = {getattr(phantom, field.name)}, need finite numbers")
    p = phantom
    rules = (
        ("lv_diameter_mm", 30, 100),
        ("lv_length_mm", 50, 140),
        ("lv_opening_mm", 0.4 * p.lv_diameter_mm, 0.9 * p.lv_diameter_mm),
        ("lv_wall_mm", MIN_WALL_MM, 25),
        ("lv_apex_wall_mm", MIN_WALL_MM, 25),
        ("rv_length_mm", 0.6 * p.lv_length_mm, 0.95 * p.lv_length_mm),
        ("rv_width_mm", 15, 70),
        ("rv_span_mm", p.lv_diameter_mm, 1.5 * p.lv_diameter_mm),
        ("rv_wall_mm", MIN_WALL_MM, 12),
        ("base_tilt_degrees", 0, 30),
        ("scar_apicobasal", 0, 1),
        ("scar_angle_degrees", -360, 360),
        ("scar_radius_mm", 0, 100),
        ("border_zone_mm", 0, 30),
    )
    for name, low, high in rules:
        if not low <= getattr(p, name) <= high:
            raise ValueError(
                f"{name} = {getattr(p, name):g}, need {low:g} to {high:g} for a heart of these proportions"
            )
    if not 0 < p.scar_transmurality <= 1:
        raise ValueError(
            f"scar_transmurality = {p.scar_transmurality:g}, need more than 0 and at most 1: a share of the wall"
        )
    if p.lv_diameter_mm / 2 * np.tan(np.radians(p.base_tilt_degrees)) >= EQUATOR_SHARE * p.lv_length_mm:
        raise ValueError(
            f"base_tilt_degrees = {p.base_tilt_degrees:g} cuts the left ventricle at its widest: tilt the base less"
        )
    for name in ("long_axis", "septal"):
        if np.shape(getattr(p, name)) != (3,) or not np.linalg.norm(getattr(p, name)) > 0:
            raise ValueError(f"{name} = {getattr(p, name)}, need a direction of three numbers, not all zero")
    cosine = float(abs(_unit(np.array(p.long_axis)) @ _unit(np.array(p.septal))))
    if cosine > np.cos(np.radians(MIN_AXES_ANGLE_DEGREES)):
        raise ValueError(
            f"septal lies {np.degrees(np.arccos(min(cosine, 1.0))):.0f} degrees from long_axis, need at least "
            f"{MIN_AXES_ANGLE_DEGREES:g}: the right ventricle lies beside the left one"
        )
