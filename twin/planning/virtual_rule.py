"""The rule by which virtual patients respond: change of LV end-systolic volume from what pacing does to activation.

    change = drift - delivered * reserve * gain * resynchronisation + burden * core + tip * scar at tip + noise,

with resynchronisation the weighted shortening of LVAT95, BIVAT90 and interventricular delay against the patient's own
rhythm (negative where pacing makes it worse), noise normal of known deviation. The reserve is what the muscle can
make of a better activation; it goes with sex, aetiology and volume only in part. The rest of it, the drift and the share of
beats that are delivered are seen by no clinic.

That resynchronisation, scar burden, scar at the tip, sex, aetiology and size matter is common knowledge of the field; every
form and number is our choice, set so that about 55 % respond [TARGET's control arm], that the best possible score has an AUC
near 0.87, and that simple markers are of some use, as published. It says nothing about people.

Units: percent of LVESV (negative: smaller), ms.
"""

from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from anatomy.arrays import Float
from twin.dyssynchrony import Dyssynchrony

RESPONSE_PERCENT = -15.0


@dataclass(frozen=True, kw_only=True)
class ResponseRule:
    """The numbers of the rule; all our choice.

    Attributes:
        drift_percent, drift_sd_percent: change without resynchronisation and scar: mean, and hidden deviation.
        gain_percent_per_ms: of resynchronisation, at reserve 1.
        lvat95_weight, bivat90_weight, interventricular_weight: of the three shortenings.
        burden: percent per percent of core in the left ventricle.
        tip_percent: where nothing but core lies at the tip.
        noise_sd_percent: of one patient's change, measurement included.
        reserve_sd: of the hidden part of the reserve.
        reserve_female, reserve_ischaemic, reserve_volume: what sex, aetiology and one log-deviation of volume add.
        lvef_points, lvef_per_percent, lvef_sd_points: LVEF rises by the first, plus the second for each percent that the
            volume falls, plus noise.
        hazard, hazard_per_percent: of death or hospitalisation at a change of -15 %, and its log-slope: responders have 0.44
            times the hazard of the others if their changes differ by 35 points [0.44: Feeny 2020, of its QRS groups].
    """

    drift_percent: float = -5.0
    drift_sd_percent: float = 8.0
    gain_percent_per_ms: float = 1.0
    lvat95_weight: float = 0.4
    bivat90_weight: float = 0.2
    interventricular_weight: float = 0.4
    burden: float = 0.7
    tip_percent: float = 12.0
    noise_sd_percent: float = 13.0
    reserve_sd: float = 0.25
    reserve_female: float = 0.15
    reserve_ischaemic: float = -0.15
    reserve_volume: float = -0.12
    lvef_points: float = 1.5
    lvef_per_percent: float = 0.32
    lvef_sd_points: float = 7.0
    hazard: float = 0.21
    hazard_per_percent: float = 0.0235

    def resynchronisation_ms(self, own: Dyssynchrony, paced: Dyssynchrony) -> float:
        """Weighted shortening; 0 where pacing changes nothing."""
        return (
            self.lvat95_weight * (own.lvat95_ms - paced.lvat95_ms)
            + self.bivat90_weight * (own.bivat90_ms - paced.bivat90_ms)
            + self.interventricular_weight * (abs(own.interventricular_ms) - abs(paced.interventricular_ms))
        )

    def reserve(self, *, female: bool, ischaemic: bool, volume: float, hidden: float) -> float:
        """What the muscle makes of a better activation; 1 in the middle, at least 0.1.

        Args:
            female: sex of the patient.
            ischaemic: aetiology.
            volume: of the left ventricle, in log-deviations from the median.
            hidden: standard normal.
        """
        reserve = 1 + self.reserve_female * female + self.reserve_ischaemic * ischaemic + self.reserve_volume * volume
        return max(reserve + self.reserve_sd * hidden, 0.1)

    def expected_change(
        self,
        *,
        resynchronisation_ms: Float,
        reserve: float,
        delivered: float,
        drift: float,
        core_percent: float,
        scar_at_tip: Float,
    ) -> Float:
        """(s,) expected change in percent were the lead at each of these sites.

        Args:
            resynchronisation_ms: (s,) of each site.
            reserve: of the patient.
            delivered: share of beats that are paced from both sides.
            drift: hidden, in standard normals.
            core_percent: of the left ventricle's mass.
            scar_at_tip: (s,) share of core around each site.
        """
        change: Float = (
            self.drift_percent
            + self.drift_sd_percent * drift
            - delivered * reserve * self.gain_percent_per_ms * np.asarray(resynchronisation_ms)
            + self.burden * core_percent
            + self.tip_percent * np.asarray(scar_at_tip)
        )
        return change

    def probability(self, expected_change: Float) -> Float:
        """(s,) chance of a change of -15 % or below: the noise is normal."""
        chance: Float = ndtr((RESPONSE_PERCENT - np.asarray(expected_change)) / self.noise_sd_percent)
        return chance

    def outcome(self, expected_change: float, rng: np.random.Generator) -> dict[str, float | int]:
        """What is seen of one patient: one draw of everything that is left to chance."""
        change = rng.normal(expected_change, self.noise_sd_percent)
        lvef = rng.normal(self.lvef_points - self.lvef_per_percent * change, self.lvef_sd_points)
        hazard = self.hazard * np.exp(self.hazard_per_percent * (change - RESPONSE_PERCENT))
        return {
            "lvesv_change_percent": float(np.clip(change, -90.0, 150.0)),
            "lvef_change_points": float(np.clip(lvef, -30.0, 50.0)),
            "hf_event": int(rng.random() < -np.expm1(-hazard)),
        }


RULE = ResponseRule()


def ceiling_auc(probability: Float) -> float:
    """AUC that ranking these patients by their true chance is expected to reach: no score is better on average.

    Args:
        probability: (n,) chance of response of each patient, at least one of them not 0 or 1 or of both kinds.
    """
    p = np.sort(np.asarray(probability, dtype=np.float64))
    # Sum over pairs of p_i (1 - p_j), a pair in order counting 1 and a tie one half.
    others = 1 - p
    below = np.concatenate([[0.0], np.cumsum(others)])
    first, last = np.searchsorted(p, p, side="left"), np.searchsorted(p, p, side="right")
    ordered = (p * below[first]).sum()
    tied = (p * (below[last] - below[first] - others)).sum()
    pairs = p.sum() * others.sum() - (p * others).sum()
    return float((ordered + 0.5 * tied) / pairs)
