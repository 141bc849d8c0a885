"""Who the patients of a virtual cohort are: every number that is drawn, from which distribution, after which source.

`Population` holds what all centres share, `CENTRES` how five of them differ, `SHIFTED` centres at which something is wrong,
to see whether a model notices. "Our choice" stands where no published figure
that we could read stands behind a number; nothing drawn here is a fact about people.

Units: mm, ms, ml, years, percent, degrees.
"""

from dataclasses import dataclass, replace

import numpy as np

from anatomy.access import LeadRules
from anatomy.arrays import Float
from anatomy.fibres import FibreAngles
from anatomy.phantom import AXIS_JITTER, INFARCT_RANGES, MIN_WALL_MM, RANGES, TERRITORIES, Phantom
from anatomy.vein_template import TRIBUTARIES, Tributary
from twin.activation import CaptureLatency
from twin.conduction import Conduction
from twin.rhythm import LEFT_STARTS, RHYTHMS, Start

Span = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Centre:
    """How the patients and the habits of one centre differ from the mean of all; our choice throughout.

    Attributes:
        name: of the centre.
        ischaemic_shift, lbbb_shift: added to the shares of the population.
        qrs_shift_ms: added to the mean QRS duration.
        groove_weight: how readily implanters take the anterior and the middle vein, where 1 is a lateral one.
        apical_weight: the same for the apical third, where 1 is higher up.
        late_scale_ms: a site is e times as likely if the rhythm reaches it this much later; infinite: nobody looks.
        gain: of the electrocardiograph; 1 is right.
        noise: of a recording, as a multiple of the usual.
        low_pass_hz: of the electrocardiograph.
        wall_bias: walls are segmented this much too thick, as a share.
        time_axis: recorded times are read this many times too long.
        arms_swapped: the electrodes of the arms were exchanged.
        volume: of the patients' left ventricles, as a multiple of the usual.
    """

    name: str
    ischaemic_shift: float = 0.0
    lbbb_shift: float = 0.0
    qrs_shift_ms: float = 0.0
    groove_weight: float = 0.12
    apical_weight: float = 0.35
    late_scale_ms: float = np.inf
    gain: float = 1.0
    noise: float = 1.0
    low_pass_hz: float = 150.0
    wall_bias: float = 0.0
    time_axis: float = 1.0
    arms_swapped: bool = False
    volume: float = 1.0


CENTRES = {
    centre.name: centre
    for centre in (
        Centre(name="A"),
        Centre(name="B", ischaemic_shift=0.12, qrs_shift_ms=-3.0, gain=0.94, wall_bias=0.04),
        Centre(name="C", ischaemic_shift=-0.12, lbbb_shift=0.04, qrs_shift_ms=3.0, late_scale_ms=25.0, noise=0.7),
        Centre(name="D", lbbb_shift=-0.08, qrs_shift_ms=-6.0, apical_weight=1.0, noise=1.6, low_pass_hz=40.0),
        Centre(name="E", lbbb_shift=0.04, qrs_shift_ms=6.0, gain=1.06, low_pass_hz=100.0, wall_bias=-0.05),
    )
}

# None of these is among `CENTRES`, so that nobody learns from them.
SHIFTED = {
    centre.name: centre
    for centre in (
        Centre(name="gain-doubled", gain=2.0),
        Centre(name="gain-halved", gain=0.5),
        Centre(name="time-axis-halved", time_axis=0.5),
        Centre(name="arms-swapped", arms_swapped=True),
        Centre(name="walls-a-third-too-thick", wall_bias=1 / 3),
        Centre(name="hearts-of-half-the-volume", volume=0.5),
    )
}


@dataclass(frozen=True, kw_only=True)
class Population:
    """What all centres share; "our choice" where no source is named.

    Attributes:
        lbbb_share: of rhythms [Attain Performa cohort].
        rbbb_share: of rhythms; the rest is other intraventricular delay. Our choice.
        qrs_ms: mean and deviation of QRS duration over all [155 +- 24, Attain Performa cohort].
        lbbb_qrs_ms, rbbb_qrs_ms, other_qrs_ms: means by rhythm, our choice; with the shares above, their mean is that of all.
        qrs_range_ms: nobody lies outside; our choice.
        lvef_percent: mean and deviation as measured [25 +- 7, Attain Performa cohort].
        lvef_error_percent: deviation of a measurement, part of the above; our choice.
        lvef_range_percent: our choice.
        lvef_with_volume: correlation of LVEF with the logarithm of LVEDV; our choice.
        ischaemic_share, female_share, age_years, nyha: our choice.
        af_share: permanent atrial fibrillation; our choice.
        lvedv_ml: median in women and in men; our choice.
        lvedv_log_sd, lvedv_range_ml: of LVEDV within a sex, nobody lying outside; our choice.
        lvedv_error, lvedd_error_mm: deviation of measurements, the first as a share; our choice.
        sphericity_sd: log-deviation of the diameter at a given length; the length's is opposite. Our choice.
        infarct_share, second_infarct_share: of ischaemic patients who have an infarct; of these, who have two. Our choice;
            places by artery [territories of doi:10.1161/hc0402.102975], sizes as in `anatomy.phantom`.
        midwall_share: of the others who have a stripe in the middle of the septum; our choice.
        vein_width_sd: of a vein's calibre, as a share: about 0.35 in CT of 53 people [doi:10.3389/fcvm.2020.611160].
        vein_taper_sd: of the far end's calibre beyond that; our choice (over all, 0.25 in the same CT).
        fibre_ratio: speed across the fibre over that along it [0.35 to 0.75 around 0.4 of Lee 2019, PMC6746621].
        normal_ratio: speed across the sheet over that within it; our choice.
        border_factor: speed of the border zone, around 0.4 of CardioSolv; our choice.
        layer_m_per_s: fast endocardium at a fibre speed of 0.65 m/s [1.0 to 1.9, repository named at `Conduction`].
        layer_extent: how far it reaches; our choice.
        retrograde_share: of left bundle branch blocks whose left network conducts once it is reached [that it may:
            Wyndham 1979; how often: our choice].
        lv_latency_ms, rv_latency_ms: mean and deviation [Herweg 2010: 29 +- 15 and 15 +- 8 at 3 x threshold].
        rv_septal_share: of right-ventricular leads; our choice.
        electrode_sd_mm: along each axis; our choice.
        delivered_share: of beats that are paced from both sides, without and with atrial fibrillation; our choice.
    """

    lbbb_share: float = 0.71
    rbbb_share: float = 0.11
    qrs_ms: tuple[float, float] = (155.0, 24.0)
    lbbb_qrs_ms: float = 160.0
    rbbb_qrs_ms: float = 152.0
    other_qrs_ms: float = 137.0
    qrs_range_ms: Span = (105.0, 225.0)
    lvef_percent: tuple[float, float] = (25.0, 7.0)
    lvef_error_percent: float = 3.5
    lvef_range_percent: Span = (8.0, 45.0)
    lvef_with_volume: float = -0.4
    ischaemic_share: float = 0.48
    female_share: float = 0.27
    age_years: tuple[float, float] = (67.0, 10.0)
    nyha: tuple[float, float, float, float] = (0.0, 0.35, 0.6, 0.05)
    af_share: float = 0.18
    lvedv_ml: tuple[float, float] = (190.0, 235.0)
    lvedv_log_sd: float = 0.26
    lvedv_range_ml: Span = (100.0, 400.0)
    lvedv_error: float = 0.08
    lvedd_error_mm: float = 3.0
    sphericity_sd: float = 0.05
    infarct_share: float = 0.85
    second_infarct_share: float = 0.15
    midwall_share: float = 0.3
    vein_width_sd: float = 0.3
    vein_taper_sd: float = 0.2
    fibre_ratio: Span = (0.38, 0.62)
    normal_ratio: Span = (0.75, 1.0)
    border_factor: Span = (0.25, 0.7)
    layer_m_per_s: Span = (1.0, 1.9)
    layer_extent: Span = (0.6, 0.9)
    retrograde_share: float = 0.4
    lv_latency_ms: tuple[float, float] = (29.0, 15.0)
    rv_latency_ms: tuple[float, float] = (15.0, 8.0)
    rv_septal_share: float = 0.3
    electrode_sd_mm: float = 6.0
    delivered_share: tuple[Span, Span] = ((0.95, 1.0), (0.75, 0.98))


POPULATION = Population()
# Sites of a virtual patient lie twice as far apart as a plan's own default: half the sites at half the cost, our choice.
LEAD = LeadRules(electrode_spacing_mm=20.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scar:
    """One piece of scar by its place, of any heart; other attributes as in `twin.planning.virtual_people.Patch`."""

    apicobasal: float
    rotational: float
    radius_mm: float
    depth: Span
    border_mm: float
    roughness_mm: float
    waves: Float


@dataclass(frozen=True, kw_only=True, eq=False)
class Drawn:
    """One patient as drawn: body, conduction and veins. Times and volumes are the true ones.

    Attributes:
        centre: where the patient is treated.
        ischaemic, female, af: yes or no.
        age_years, nyha: as known.
        lvef_percent: true.
        phantom: the heart's true shape, without scar.
        scars: in its left ventricle.
        rhythm: "lbbb", "rbbb" or "other".
        starts: where it begins.
        qrs_ms: QRS duration that the speeds are fitted to.
        conduction: before that fit.
        angles: of the fibres.
        latency: of both electrodes in healthy tissue.
        tributaries: veins.
        rv_septal: whether the right lead sits on the septum instead of the apex.
        electrodes_mm: (9, 3) how far each electrode stands from where the rule puts it.
        delivered: share of beats that are paced from both sides.
    """

    centre: Centre
    ischaemic: bool
    female: bool
    af: bool
    age_years: float
    nyha: int
    lvef_percent: float
    phantom: Phantom
    scars: tuple[Scar, ...]
    rhythm: str
    starts: tuple[Start, ...]
    qrs_ms: float
    conduction: Conduction
    angles: FibreAngles
    latency: CaptureLatency
    tributaries: tuple[Tributary, ...]
    rv_septal: bool
    electrodes_mm: Float
    delivered: float


def drawn_patient(rng: np.random.Generator, centre: str | None = None, population: Population = POPULATION) -> Drawn:
    """One patient, of a given centre or of any.

    Args:
        rng: the same state gives the same patient.
        centre: a key of `CENTRES` or `SHIFTED`.
        population: what all centres share.
    """
    p = population
    any_centre = str(rng.choice(list(CENTRES)))
    at = (CENTRES | SHIFTED)[any_centre if centre is None else centre]
    female = bool(rng.random() < p.female_share)
    ischaemic = bool(rng.random() < p.ischaemic_share + at.ischaemic_shift)
    af = bool(rng.random() < p.af_share)
    large = rng.normal()
    lvedv_ml = np.clip(p.lvedv_ml[0 if female else 1] * np.exp(p.lvedv_log_sd * large), *p.lvedv_range_ml)
    rhythm = _rhythm(rng, p.lbbb_share + at.lbbb_shift, p.rbbb_share)
    layers, starts = _conduction_system(rng, rhythm, p)
    across = 0.65 * rng.uniform(*p.fibre_ratio)
    return Drawn(
        centre=at,
        ischaemic=ischaemic,
        female=female,
        af=af,
        age_years=float(np.clip(rng.normal(*p.age_years), 30, 90)),
        nyha=1 + int(rng.choice(4, p=p.nyha)),
        lvef_percent=_lvef(rng, large, p),
        phantom=_phantom(rng, float(lvedv_ml) * at.volume, p),
        scars=tuple(_scars(rng, ischaemic, p)),
        rhythm=rhythm,
        starts=starts,
        qrs_ms=_qrs_ms(rng, rhythm, at, p),
        conduction=Conduction(
            fibre_m_per_s=0.65,
            sheet_m_per_s=across,
            normal_m_per_s=across * rng.uniform(*p.normal_ratio),
            border_zone_factor=rng.uniform(*p.border_factor),
            endocardium_extent=rng.uniform(*p.layer_extent),
            **layers,
        ),
        angles=FibreAngles(helix_endocardium=rng.uniform(45, 72), helix_epicardium=rng.uniform(-72, -45)),
        latency=CaptureLatency(
            lv_ms=max(rng.normal(*p.lv_latency_ms), 8.0), rv_ms=max(rng.normal(*p.rv_latency_ms), 5.0)
        ),
        tributaries=drawn_tributaries(rng, width_sd=p.vein_width_sd, taper_sd=p.vein_taper_sd),
        rv_septal=bool(rng.random() < p.rv_septal_share),
        electrodes_mm=rng.normal(0, p.electrode_sd_mm, (9, 3)),
        delivered=rng.uniform(*p.delivered_share[af]),
    )


def drawn_tributaries(
    rng: np.random.Generator, *, width_sd: float = 0.15, taper_sd: float = 0.0
) -> tuple[Tributary, ...]:
    """Each vein present as often as in people, somewhat displaced, of somewhat different width and taper."""
    veins = []
    for vein in TRIBUTARIES:
        width, shift, present = rng.normal(1, width_sd), rng.normal(0, 0.015), rng.random() < vein.prevalence
        taper = rng.normal(1, taper_sd) if taper_sd else 1.0
        if present:
            veins.append(
                replace(
                    vein,
                    rotational=vein.rotational + shift,
                    proximal_diameter_mm=vein.proximal_diameter_mm * max(width, 0.5),
                    distal_diameter_mm=vein.distal_diameter_mm * max(width, 0.5) * max(taper, 0.5),
                )
            )
    return tuple(veins)


def _rhythm(rng: np.random.Generator, lbbb: float, rbbb: float) -> str:
    which = rng.random()
    return "lbbb" if which < lbbb else "rbbb" if which < lbbb + rbbb else "other"


def _qrs_ms(rng: np.random.Generator, rhythm: str, centre: Centre, p: Population) -> float:
    """What the means of rhythms and centres leave of the population's variance is drawn within them."""
    mean, deviation = p.qrs_ms
    shares = {"lbbb": p.lbbb_share, "rbbb": p.rbbb_share, "other": 1 - p.lbbb_share - p.rbbb_share}
    means = {"lbbb": p.lbbb_qrs_ms, "rbbb": p.rbbb_qrs_ms, "other": p.other_qrs_ms}
    between = sum(share * (means[name] - mean) ** 2 for name, share in shares.items())
    between += float(np.mean([one.qrs_shift_ms**2 for one in CENTRES.values()]))
    drawn = rng.normal(means[rhythm] + centre.qrs_shift_ms, np.sqrt(deviation**2 - between))
    return float(np.clip(drawn, *p.qrs_range_ms))


def _lvef(rng: np.random.Generator, large: float, p: Population) -> float:
    mean, measured = p.lvef_percent
    deviation = np.sqrt(measured**2 - p.lvef_error_percent**2)
    r = p.lvef_with_volume
    drawn = mean + deviation * (r * large + np.sqrt(1 - r**2) * rng.normal())
    return float(np.clip(drawn, *p.lvef_range_percent))


def _phantom(rng: np.random.Generator, lvedv_ml: float, p: Population) -> Phantom:
    """The default phantom's shape, varied, at this volume; the right ventricle grows half as much as the left."""
    default = Phantom()
    round_ = np.exp(np.clip(rng.normal(0, p.sphericity_sd), -0.08, 0.08))
    diameter, length = default.lv_diameter_mm * round_, default.lv_length_mm / round_
    opening = rng.uniform(0.62, 0.7)
    tilt = rng.uniform(*RANGES["base_tilt_degrees"])
    of_size_1 = replace(
        default,
        lv_diameter_mm=diameter,
        lv_length_mm=length,
        lv_opening_mm=opening * diameter,
        rv_length_mm=0.85 * length,
        rv_span_mm=1.2 * diameter,
        base_tilt_degrees=tilt,
    )
    size = (lvedv_ml / of_size_1.lv_cavity_ml) ** (1 / 3)
    wall = rng.uniform(*RANGES["lv_wall_mm"]) * np.sqrt(size)
    axes = [np.array(axis) + rng.normal(scale=AXIS_JITTER, size=3) for axis in (default.long_axis, default.septal)]
    return replace(
        of_size_1,
        lv_diameter_mm=diameter * size,
        lv_length_mm=length * size,
        lv_opening_mm=opening * diameter * size,
        lv_wall_mm=wall,
        lv_apex_wall_mm=wall * rng.uniform(0.6, 0.75),
        rv_length_mm=length * size * rng.uniform(0.8, 0.88),
        rv_width_mm=rng.uniform(*RANGES["rv_width_mm"]) * np.sqrt(size),
        rv_span_mm=diameter * size * rng.uniform(1.12, 1.28),
        rv_wall_mm=max(rng.uniform(*RANGES["rv_wall_mm"]) * size, MIN_WALL_MM),
        long_axis=tuple(axes[0].tolist()),
        septal=tuple(axes[1].tolist()),
        scar_radius_mm=0.0,
    )


def _scars(rng: np.random.Generator, ischaemic: bool, p: Population) -> list[Scar]:
    """Infarcts by artery territory from the endocardium outwards, or a stripe in the middle of the septum, or none."""
    if not ischaemic:
        if rng.random() >= p.midwall_share:
            return []
        place, angle, radius, depth = (0.4, 0.75), (0.72, 0.95), (12.0, 24.0), (rng.uniform(0.25, 0.4), 0.7)
        return [_scar(rng, place, angle, radius, depth)]
    if rng.random() >= p.infarct_share:
        return []
    count = 1 + int(rng.random() < p.second_infarct_share)
    names = rng.choice(list(TERRITORIES), size=count, replace=False)
    scars = []
    for name in names:
        place, degrees = TERRITORIES[str(name)]
        depth = (0.0, rng.uniform(*INFARCT_RANGES["scar_transmurality"]))
        angle = (degrees[0] / 360, degrees[1] / 360)
        scars.append(_scar(rng, place, angle, INFARCT_RANGES["scar_radius_mm"], depth))
    return scars


def _scar(rng: np.random.Generator, apicobasal: Span, rotational: Span, radius_mm: Span, depth: Span) -> Scar:
    directions = rng.normal(size=(8, 3))
    lengths = rng.uniform(8.0, 20.0, 8)
    vectors = directions / np.linalg.norm(directions, axis=1, keepdims=True) * (2 * np.pi / lengths)[:, None]
    return Scar(
        apicobasal=rng.uniform(*apicobasal),
        rotational=rng.uniform(*rotational),
        radius_mm=rng.uniform(*radius_mm),
        depth=depth,
        border_mm=rng.uniform(*INFARCT_RANGES["border_zone_mm"]),
        roughness_mm=rng.uniform(0.5, 2.0),
        waves=np.column_stack([vectors, rng.uniform(0, 2 * np.pi, 8)]),
    )


def _conduction_system(
    rng: np.random.Generator, rhythm: str, p: Population
) -> tuple[dict[str, float | None], tuple[Start, ...]]:
    """Speeds of the fast layers, and starts moved from where `twin.rhythm` puts them.

    "Other" delay: the right bundle conducts, the left one through one of its three fascicles only, into a network that
    is as slow as the slowest; what makes the QRS long is slow muscle.
    """
    fast = rng.uniform(*p.layer_m_per_s)
    slow = rng.uniform(0.65, 1.0)
    retrograde = rng.random() < p.retrograde_share
    left = {"lbbb": slow if retrograde else None, "rbbb": fast, "other": slow}[rhythm]
    if rhythm == "other":
        fascicle = LEFT_STARTS[int(rng.integers(len(LEFT_STARTS)))]
        starts = (*RHYTHMS["lbbb"].starts, replace(fascicle, time_ms=rng.uniform(0, 20)))
    else:
        starts = RHYTHMS[rhythm].starts
    moved = tuple(
        replace(
            start,
            apicobasal=float(np.clip(start.apicobasal + rng.normal(0, 0.06), 0.1, 0.8)),
            rotational=(start.rotational + rng.normal(0, 0.03)) % 1,
            time_ms=start.time_ms + rng.uniform(0, 6),
        )
        for start in starts
    )
    return {"lv_endocardium_m_per_s": left, "rv_endocardium_m_per_s": fast}, moved
