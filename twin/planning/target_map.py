"""From candidate sites to ranks: every site, in every twin that fits, beside the standard lateral site.

The index is the mean of LVAT95 and BIVAT90 of the beat paced from both ventricles. A site is ranked by its mean over
the twins, at the one delay that is best on that mean. Sites within the tie zone of each other are not told apart: the rank is
one more than the number of sites that are better by more than the tie zone.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from anatomy.arrays import Float
from anatomy.heart import Heart
from anatomy.sites import PacingSite
from ml.ecg.measure import qrs_bounds
from twin.activation import Activation
from twin.dyssynchrony import Dyssynchrony, DyssynchronyMeter
from twin.leadfield import LEAD_IN_MS, LeadField
from twin.personalise import FitRules, Twin
from twin.planning.features import Value, checked_row
from twin.planning.settings import Settings
from twin.planning.stages import Candidates
from twin.rhythm import LEFT_STARTS, start_nodes
from twin.sweep import Sweep

INDEX_DEFINITION = (
    "mean of LVAT95 and BIVAT90 (shortest intervals that activate 95 % of the left ventricle and 90 % of both), "
    "averaged over the twins that fit; smaller is better"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class TargetMap:
    """The ranked sites.

    Attributes:
        rows: features of every candidate, best first; sites that cannot be paced or reached come last, without a rank.
        best_beat: paced from the first-ranked site in the reference twin; None if there is none.
        best_ecg_qrs_ms: its QRS duration.
        lateral: features of the standard lateral site.
    """

    rows: tuple[dict[str, Value], ...]
    best_beat: Activation | None
    lateral: dict[str, Value]


def reference_twin(twins: Sequence[Twin]) -> Twin:
    """The twin that is drawn: the one whose ECG looks most like the recorded one."""
    return max(twins, key=lambda twin: -np.inf if twin.correlation is None else twin.correlation)


def rank_sites(
    heart: Heart, lead_field: LeadField, twins: Sequence[Twin], candidates: Candidates, settings: Settings
) -> TargetMap:
    """Pace every candidate that captures, in every twin, at every delay, and rank those a lead may reach."""
    paced = [site for site in candidates.sites if site.captures]
    nodes = [site.node for site in (*paced, candidates.lateral)]
    delays = settings.vv_delays_ms
    sweeps = [Sweep(heart, twin, nodes, candidates.rv_node, settings.latency) for twin in twins]
    indices = [sweep.dyssynchrony(delays) for sweep in sweeps]  # twin, site, delay
    index = np.array([[[beat.index_ms for beat in beats] for beats in sites] for sites in indices])
    best_delay = _best_delays(index.mean(axis=0), delays)
    index = np.take_along_axis(index, best_delay[None, :, None], axis=2)[:, :, 0]  # twin, site

    reachable = np.array([site.reachable is not False for site in paced] + [False])
    beats = [[sweep.beat(k, delays[d]) for k, d in enumerate(best_delay)] for sweep in sweeps]
    rows = [
        _row(
            heart,
            site,
            candidates,
            lead_field,
            twins,
            beats=[per_twin[k] for per_twin in beats],
            measured=[per_twin[k][best_delay[k]] for per_twin in indices],
            delay=delays[best_delay[k]],
        )
        for k, site in enumerate((*paced, candidates.lateral))
    ]
    gains = (index[:, -1:] - index).mean(axis=0)
    for row, gain in zip(rows, gains, strict=True):
        row["gain_over_lateral_ms"] = float(gain)
    _rank(rows, index, reachable, settings.tie_zone_ms)
    order = sorted(range(len(paced)), key=lambda k: (rows[k]["rank"] is None, rows[k]["index_ms"]))
    best = next((k for k in order if rows[k]["rank"] == 1), None)
    reference = list(twins).index(reference_twin(twins))
    silent = [_place(heart, site, candidates) for site in candidates.sites if not site.captures]
    return TargetMap(
        rows=tuple(checked_row(row) for row in [*(rows[k] for k in order), *silent]),
        best_beat=None if best is None else beats[reference][best],
        lateral=checked_row(rows[-1]),
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


def _place(heart: Heart, site: PacingSite, candidates: Candidates) -> dict[str, Value]:
    """What is known of a site before it is paced."""
    x, y, z = site.position_mm
    between = heart.nodes_mm[site.node] - heart.nodes_mm[candidates.rv_node]
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
        "rv_lv_distance_mm": float(np.linalg.norm(between)),
        "rv_site": candidates.rv_site,
    }


def _row(
    heart: Heart,
    site: PacingSite,
    candidates: Candidates,
    lead_field: LeadField,
    twins: Sequence[Twin],
    *,
    beats: Sequence[Activation],
    measured: Sequence[Dyssynchrony],
    delay: float,
) -> dict[str, Value]:
    """Every feature of a paced site: means over the twins, and the spread of the index."""
    meter = DyssynchronyMeter(heart)
    qrs = np.array([qrs_bounds(lead_field.ecg(beat)).duration_ms for beat in beats])
    own_qrs = np.array([twin.qrs.duration_ms for twin in twins])
    onset = np.array([twin.qrs.onset_ms - LEAD_IN_MS for twin in twins])
    q_lv = np.array([twin.intrinsic.times_ms[site.node] for twin in twins]) - onset
    own_tat = np.array([meter.measure(twin.intrinsic).tat_ms for twin in twins])
    tat = np.array([m.tat_ms for m in measured])
    index = [m.index_ms for m in measured]
    return {
        **_place(heart, site, candidates),
        "q_lv_ms": float(q_lv.mean()),
        "q_lv_over_qrs": float((q_lv / own_qrs).mean()),
        "vv_delay_ms": delay,
        "qrs_ms": float(qrs.mean()),
        "tat_ms": float(tat.mean()),
        "lvat95_ms": float(np.mean([m.lvat95_ms for m in measured])),
        "bivat90_ms": float(np.mean([m.bivat90_ms for m in measured])),
        "lv_dispersion_ms": float(np.mean([m.lv_dispersion_ms for m in measured])),
        "interventricular_ms": float(np.mean([m.interventricular_ms for m in measured])),
        "index_ms": float(np.mean(index)),
        "index_low_ms": float(min(index)),
        "index_high_ms": float(max(index)),
        "delta_tat_ms": float((tat - own_tat).mean()),
        "delta_qrs_ms": float((qrs - own_qrs).mean()),
        "response_probability": None,
        "rank": None,
        "tie_share": None,
    }
