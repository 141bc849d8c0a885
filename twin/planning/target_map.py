"""From candidate sites to ranks: every site, in every twin that fits, beside the standard lateral site.

The index is the mean of LVAT95 and BIVAT90 of the beat paced from both ventricles. A site is ranked by its mean over
the twins, at the one delay that is best on that mean. Sites within the tie zone of each other are not told apart: the rank is
one more than the number of sites that are better by more than the tie zone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.spatial import KDTree

from anatomy.arrays import Float
from anatomy.heart import Heart, Tissue
from anatomy.sites import PacingSite
from ml.ecg.measure import QrsBounds, qrs_bounds
from ml.ecg.recording import Ecg
from twin.activation import Activation
from twin.dyssynchrony import Dyssynchrony, DyssynchronyMeter
from twin.leadfield import LEAD_IN_MS, LeadField
from twin.personalise import FitRules, Twin
from twin.planning.ecg_descriptors import qrs_area_uvs
from twin.planning.features import Value, checked_row
from twin.planning.settings import Settings
from twin.planning.stages import Candidates
from twin.rhythm import LEFT_STARTS, start_nodes
from twin.sweep import Sweep

# The latest zone: what activates last of the left ventricle, as a share of its living volume (our choice).
_LATE_SHARE = 0.05
INDEX_DEFINITION = (
    "mean of LVAT95 and BIVAT90 (shortest intervals that activate 95 % of the left ventricle and 90 % of both), "
    "averaged over the twins that fit; smaller is better"
)


Beat = tuple[Ecg, QrsBounds]


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetMap:
    """The ranked sites.

    Attributes:
        rows: features of every candidate, best first; sites that cannot be paced or reached come last, without a rank.
        best_beat: paced from the first-ranked site in the reference twin; None if there is none.
        lateral: features of the standard lateral site.
        paced: by id of the site, the simulated ECG of its beat in the reference twin; sites that capture have one.
    """

    rows: tuple[dict[str, Value], ...]
    best_beat: Activation | None
    lateral: dict[str, Value]
    paced: Mapping[str, Beat]


def reference_twin(twins: Sequence[Twin]) -> Twin:
    """The twin that is drawn: the one whose ECG looks most like the recorded one."""
    return max(twins, key=lambda twin: -np.inf if twin.correlation is None else twin.correlation)


def rank_sites(
    heart: Heart, lead_field: LeadField, twins: Sequence[Twin], candidates: Candidates, settings: Settings
) -> TargetMap:
    """Pace every candidate that captures, in every twin, at every delay, and rank those a lead may reach.

    The implanted lead is paced as its device does, where that is known.
    """
    paced = [site for site in candidates.sites if site.captures]
    sites = (*paced, candidates.lateral)
    programmed = candidates.implanted_vv_ms
    delays = settings.vv_delays_ms if programmed is None else (*settings.vv_delays_ms, programmed)
    offered = np.ones((len(sites), len(delays)), dtype=np.bool_)
    if programmed is not None:
        of_device = np.array([site.source == "implanted" for site in sites])
        offered[:, -1], offered[of_device, :-1] = of_device, False
    nodes = [site.node for site in sites]
    sweeps = [Sweep(heart, twin, nodes, candidates.rv_node, settings.latency, delays) for twin in twins]
    indices = [sweep.dyssynchrony(delays) for sweep in sweeps]  # twin, site, delay
    index = np.array([[[beat.index_ms for beat in beats] for beats in of_sites] for of_sites in indices])
    best_delay = _best_delays(np.where(offered, index.mean(axis=0), np.inf), delays)
    index = np.take_along_axis(index, best_delay[None, :, None], axis=2)[:, :, 0]  # twin, site

    own = _own_rhythms(heart, twins)
    tissue = _tissue(heart)
    rows: list[dict[str, Value]] = []
    shown: dict[str, Beat] = {}
    reference = list(twins).index(reference_twin(twins))
    for k, (site, d) in enumerate(zip(sites, best_delay, strict=True)):
        ecgs = [lead_field.ecg(sweep.beat(k, delays[d])) for sweep in sweeps]
        beats = [(ecg, qrs_bounds(ecg)) for ecg in ecgs]
        shown[site.id] = beats[reference]
        rows.append(
            {
                **_place(heart, site, candidates, own, tissue),
                **_simulated(site, own, [per_twin[k][d] for per_twin in indices], beats),
                "vv_delay_ms": delays[d],
                "gain_over_lateral_ms": float((index[:, -1] - index[:, k]).mean()),
                "rank": None,
                "tie_share": None,
            }
        )
    reachable = np.array([site.reachable is not False for site in paced] + [False])
    _rank(rows, index, reachable, settings.tie_zone_ms)
    order = sorted(range(len(paced)), key=lambda k: (rows[k]["rank"] is None, rows[k]["index_ms"]))
    best = next((k for k in order if rows[k]["rank"] == 1), None)
    silent = [_place(heart, site, candidates, own, tissue) for site in candidates.sites if not site.captures]
    return TargetMap(
        rows=tuple(checked_row(row) for row in [*(rows[k] for k in order), *silent]),
        best_beat=None if best is None else sweeps[reference].beat(best, delays[best_delay[best]]),
        lateral=checked_row(rows[-1]),
        paced=shown,
    )


def left_bundle_area_pacing(
    heart: Heart, lead_field: LeadField, twins: Sequence[Twin], rules: FitRules
) -> dict[str, float | str]:
    """What capture of the left bundle branch would do, if its branches below the block still conduct.

    The left ventricle starts where its own bundle branch would start it and has its fast endocardium; the right one is
    reached through the septum, without fusion.
    """
    meter = DyssynchronyMeter(heart)
    nodes, start_ms = start_nodes(heart, LEFT_STARTS)
    measured: list[Dyssynchrony] = []
    qrs: list[float] = []
    for twin in twins:
        beat = twin.with_left_endocardium(rules.endocardium_m_per_s).started(nodes, start_ms)
        measured.append(meter.measure(beat))
        qrs.append(qrs_bounds(lead_field.ecg(beat)).duration_ms)
    return {
        "name": "left bundle branch area pacing",
        "index_ms": float(np.mean([m.index_ms for m in measured])),
        "tat_ms": float(np.mean([m.tat_ms for m in measured])),
        "lvat95_ms": float(np.mean([m.lvat95_ms for m in measured])),
        "qrs_ms": float(np.mean(qrs)),
        "note": "assumes that the left bundle is captured and its branches conduct; septal scar may prevent that",
    }


def _best_delays(mean_index: Float, delays: Sequence[float]) -> NDArray[np.intp]:
    """(s,) the delay with the smallest mean index at each site; among equals the one nearest to 0."""
    order = np.argsort(np.abs(delays), kind="stable")
    best: NDArray[np.intp] = order[mean_index[:, order].argmin(axis=1)]
    return best


def _rank(rows: list[dict[str, Value]], index: Float, reachable: NDArray[np.bool_], tie_zone_ms: float) -> None:
    """Fill rank and tie share of the sites that a lead may reach."""
    contenders = np.flatnonzero(reachable)
    if not contenders.size:
        return
    mean = index[:, contenders].mean(axis=0)
    in_zone = index[:, contenders] <= index[:, contenders].min(axis=1, keepdims=True) + tie_zone_ms
    for k, value, share in zip(contenders, mean, in_zone.mean(axis=0), strict=True):
        rows[k]["rank"] = 1 + int((mean < value - tie_zone_ms).sum())
        rows[k]["tie_share"] = float(share)


@dataclass(frozen=True, kw_only=True, eq=False)
class _OwnRhythms:
    """The patient's own rhythm in t twins: (t,) each, times (t, n), the places of the latest zone in each, and their fit."""

    times_ms: Float
    onset_ms: Float
    qrs_ms: Float
    area_uvs: Float
    measured: Sequence[Dyssynchrony]
    late: Sequence[KDTree]
    fit: Mapping[str, Value]

    @property
    def features(self) -> dict[str, Value]:
        return {
            **self.fit,
            "own_qrs_ms": float(self.qrs_ms.mean()),
            **{
                f"own_{name}": float(np.mean([getattr(beat, name) for beat in self.measured]))
                for name in ("tat_ms", "lvat95_ms", "interventricular_ms")
            },
        }


def _own_rhythms(heart: Heart, twins: Sequence[Twin]) -> _OwnRhythms:
    meter = DyssynchronyMeter(heart)
    left = np.flatnonzero(heart.living & heart.coordinates.in_left_ventricle)
    volumes = heart.living_volumes_mm3[left]

    def latest(times_ms: Float) -> KDTree:
        order = np.argsort(times_ms[left])
        behind = volumes[order][::-1].cumsum()[::-1]
        return KDTree(heart.nodes_mm[left[order[behind <= max(_LATE_SHARE * behind[0], behind[-1])]]])

    correlations = [twin.correlation for twin in twins if twin.correlation is not None]
    return _OwnRhythms(
        times_ms=np.array([twin.intrinsic.times_ms for twin in twins]),
        onset_ms=np.array([twin.qrs.onset_ms - LEAD_IN_MS for twin in twins]),
        qrs_ms=np.array([twin.qrs.duration_ms for twin in twins]),
        area_uvs=np.array([qrs_area_uvs(twin.ecg, twin.qrs) for twin in twins]),
        measured=[meter.measure(twin.intrinsic) for twin in twins],
        late=[latest(twin.intrinsic.times_ms) for twin in twins],
        fit={
            "fibre_m_per_s": float(np.mean([twin.conduction.fibre_m_per_s for twin in twins])),
            "ecg_correlation": float(np.mean(correlations)) if correlations else None,
        },
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class _ScarOf:
    """How much muscle the left ventricle has, what of it is scar, and where core lies in either; None without any."""

    features: dict[str, Value]
    core: KDTree | None


def _tissue(heart: Heart) -> _ScarOf:
    left = heart.coordinates.in_left_ventricle[heart.tets].mean(axis=1) > 0.5
    volumes = np.bincount(heart.tissue[left], weights=heart.tet_volumes_mm3[left], minlength=len(Tissue))
    shares = volumes / volumes.sum()
    core = np.unique(heart.tets[heart.tissue == Tissue.CORE])
    return _ScarOf(
        features={
            "lv_muscle_ml": float(volumes.sum() / 1000),
            "scar_share": float(shares[Tissue.CORE]),
            "border_share": float(shares[Tissue.BORDER_ZONE]),
        },
        core=KDTree(heart.nodes_mm[core]) if core.size else None,
    )


def _place(
    heart: Heart, site: PacingSite, candidates: Candidates, own: _OwnRhythms, tissue: _ScarOf
) -> dict[str, Value]:
    """What is known of a site before it is paced, and of its patient."""
    x, y, z = site.position_mm
    node = heart.nodes_mm[site.node]
    return {
        "id": site.id,
        "source": site.source,
        "vein": site.vein or None,
        "reachable": site.reachable,
        "captures": site.captures,
        "reasons": "; ".join(site.reasons) or None,
        "x_mm": x,
        "y_mm": y,
        "z_mm": z,
        "aha_segment": site.aha_segment,
        "apicobasal": float(heart.coordinates.apicobasal[site.node]),
        "rotational": float(heart.coordinates.rotational[site.node]),
        "scar_at_tip": site.scar_at_tip,
        "scar_distance_mm": None if tissue.core is None else float(tissue.core.query(node)[0]),
        "rv_lv_distance_mm": float(np.linalg.norm(node - heart.nodes_mm[candidates.rv_node])),
        "late_distance_mm": float(np.mean([zone.query(node)[0] for zone in own.late])),
        "rv_site": candidates.rv_site,
        **tissue.features,
        **own.features,
    }


def _simulated(
    site: PacingSite, own: _OwnRhythms, measured: Sequence[Dyssynchrony], beats: Sequence[Beat]
) -> dict[str, Value]:
    """What pacing a site does: means over the twins, and the spread of the index."""
    q_lv = own.times_ms[:, site.node] - own.onset_ms
    qrs = np.array([bounds.duration_ms for _, bounds in beats])
    area = np.array([qrs_area_uvs(ecg, bounds) for ecg, bounds in beats])
    index = [beat.index_ms for beat in measured]
    names = ("tat_ms", "lvat95_ms", "bivat90_ms", "lv_dispersion_ms", "interventricular_ms", "index_ms")
    paced = {name: float(np.mean([getattr(beat, name) for beat in measured])) for name in names}
    before = {name: float(np.mean([getattr(beat, name) for beat in own.measured])) for name in names}
    return {
        **paced,
        "q_lv_ms": float(q_lv.mean()),
        "q_lv_over_qrs": float((q_lv / own.qrs_ms).mean()),
        "qrs_ms": float(qrs.mean()),
        "index_low_ms": min(index),
        "index_high_ms": max(index),
        "index_spread_ms": max(index) - min(index),
        **{f"delta_{name}": paced[name] - before[name] for name in ("tat_ms", "lvat95_ms", "index_ms")},
        "delta_qrs_ms": float((qrs - own.qrs_ms).mean()),
        "paced_qrs_area_uvs": float(area.mean()),
        "delta_qrs_area_uvs": float((area - own.area_uvs).mean()),
    }
