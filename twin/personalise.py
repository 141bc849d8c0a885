"""Twins that fit a patient's ECG: one overall speed per hypothesis about the fast endocardium.

Scaling every speed by f divides every activation time by f, so each hypothesis costs one solution of the eikonal equation;
the speed is then scanned and the one that gives the recorded QRS duration taken. QRS duration need not fall steadily
with speed, and several hypotheses usually fit equally well: all that do are kept, because the ECG cannot tell them apart
[doi:10.48550/arXiv.2411.00165] and a ranking is worth what survives them all.

Units: ms, m/s.
"""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from anatomy.arrays import Float, Int
from anatomy.heart import Heart
from ml.ecg.measure import QrsBounds, qrs_bounds
from ml.ecg.recording import Ecg
from twin.activation import Activation
from twin.conduction import Conduction
from twin.eikonal import Eikonal
from twin.leadfield import LeadField
from twin.rhythm import Rhythm, start_nodes

_SCAN_POINTS = 40
_LONGEST_BEAT_MS = 1000.0


@dataclass(frozen=True, kw_only=True)
class FitRules:
    """Bounds of the fit.

    Attributes:
        endocardium_m_per_s: speed of the fast layer where the fibre conducts at the prior speed; an example of the range
            1.0 to 1.9 that published twins take (github.com/juliacamps/Cardiac-Digital-Twin).
        slowest_m_per_s, fastest_m_per_s: of the fibre speed; our choice of what is physiological.
        tolerance_ms: largest error of the QRS duration in a hypothesis that is kept; our choice.
    """

    endocardium_m_per_s: float = 1.8
    slowest_m_per_s: float = 0.35
    fastest_m_per_s: float = 1.0
    tolerance_ms: float = 5.0

    def __post_init__(self) -> None:
        if not 0 < self.slowest_m_per_s < self.fastest_m_per_s < np.inf:
            raise ValueError(
                f"need 0 < slowest < fastest (m/s), got {self.slowest_m_per_s:g} and {self.fastest_m_per_s:g}"
            )
        for name in ("endocardium_m_per_s", "tolerance_ms"):
            if not 0 < getattr(self, name) < np.inf:
                raise ValueError(f"{name} must be > 0 and finite, got {getattr(self, name):g}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Twin:
    """One hypothesis about a heart, at the speed that fits best.

    Attributes:
        name: which ventricles have a fast endocardium.
        conduction: with the fitted speed.
        intrinsic: the patient's own rhythm.
        ecg: simulated, of that rhythm.
        qrs: measured on it as on the recorded one.
        qrs_error_ms: simulated minus recorded duration; None without a recorded ECG.
        correlation: mean over the leads within the QRS; None without a recorded ECG.
        at_bound: the speed lies on a bound of the fit.
        fits: within the tolerance, or nothing to fit to.
    """

    name: str
    conduction: Conduction
    intrinsic: Activation
    ecg: Ecg
    qrs: QrsBounds
    qrs_error_ms: float | None
    correlation: float | None
    at_bound: bool
    fits: bool
    _solver: Eikonal
    _factor: float

    def paced(self, nodes: Int, until_ms: NDArray[np.float32] | None = None) -> NDArray[np.float32]:
        """(s, n) milliseconds: activation from each node alone, captured at time 0; `inf` where that is later than (n,)."""
        until = None if until_ms is None else until_ms * np.float32(self._factor)
        maps: NDArray[np.float32] = self._solver.solve_each(nodes, until_ms=until) / np.float32(self._factor)
        return maps

    def with_left_endocardium(self, speed_m_per_s: float) -> "Twin":
        """The same twin with a fast left endocardium, as where its bundle branch is captured below the block.

        Args:
            speed_m_per_s: of the layer, before the fitted overall speed is applied.
        """
        prior = replace(self.conduction.scaled(1 / self._factor), lv_endocardium_m_per_s=speed_m_per_s)
        return replace(
            self,
            conduction=prior.scaled(self._factor),
            _solver=self._solver.with_conduction(prior),
        )

    def started(self, nodes: Int, start_ms: Float) -> Activation:
        """Activation from several nodes together."""
        return Activation(times_ms=self._solver.solve(nodes, start_ms * self._factor) / self._factor)


def fast_layer_hypotheses(rhythm: Rhythm, conduction: Conduction, rules: FitRules) -> dict[str, Conduction]:
    """What may be assumed of the fast endocardium: that both ventricles have one, the fed one only, or none."""
    both = replace(
        conduction, lv_endocardium_m_per_s=rules.endocardium_m_per_s, rv_endocardium_m_per_s=rules.endocardium_m_per_s
    )
    none = replace(conduction, lv_endocardium_m_per_s=None, rv_endocardium_m_per_s=None)
    if rhythm.left_intact and rhythm.right_intact:
        return {"both": both, "none": none}
    if rhythm.right_intact:
        return {"right only": replace(both, lv_endocardium_m_per_s=None), "both": both, "none": none}
    return {"left only": replace(both, rv_endocardium_m_per_s=None), "both": both, "none": none}


def fit_twins(
    heart: Heart,
    lead_field: LeadField,
    rhythm: Rhythm,
    recorded: Ecg | None,
    *,
    conduction: Conduction,
    rules: FitRules,
) -> list[Twin]:
    """One twin per hypothesis, each at its best overall speed, in the order of the hypotheses.

    Args:
        heart: in the frame of the electrodes.
        lead_field: of the patient's electrodes.
        rhythm: the patient's own.
        recorded: one beat; None leaves every hypothesis at the prior speed.
        conduction: the prior.
        rules: bounds.
    """
    nodes, times = start_nodes(heart, rhythm.starts)
    target = None if recorded is None else qrs_bounds(recorded)
    twins = []
    muscle = Eikonal(heart, conduction)
    for name, assumed in fast_layer_hypotheses(rhythm, conduction, rules).items():
        solver = muscle.with_conduction(assumed)
        prior = Activation(times_ms=solver.solve(nodes, times))
        factor, at_bound = (1.0, False) if target is None else _fit_factor(prior, lead_field, target, assumed, rules)
        intrinsic = prior.scaled(factor)
        ecg = lead_field.ecg(intrinsic)
        qrs = qrs_bounds(ecg)
        error = None if target is None else qrs.duration_ms - target.duration_ms
        twins.append(
            Twin(
                name=name,
                conduction=assumed.scaled(factor),
                intrinsic=intrinsic,
                ecg=ecg,
                qrs=qrs,
                qrs_error_ms=error,
                correlation=None
                if recorded is None or target is None
                else lead_correlation(recorded, target, ecg, qrs),
                at_bound=at_bound,
                fits=error is None or abs(error) <= rules.tolerance_ms,
                _solver=solver,
                _factor=factor,
            )
        )
    return twins


def lead_correlation(recorded: Ecg, recorded_qrs: QrsBounds, simulated: Ecg, simulated_qrs: QrsBounds) -> float:
    """Mean over the twelve leads of the correlation within the QRS, both aligned at its onset; a flat lead counts as 0.

    The window is the longer of the two durations, so that a QRS that ends too early is not excused.
    """
    window = np.arange(0.0, max(recorded_qrs.duration_ms, simulated_qrs.duration_ms), 1.0)
    pairs = zip(
        _window(recorded, recorded_qrs.onset_ms + window),
        _window(simulated, simulated_qrs.onset_ms + window),
        strict=True,
    )
    return float(np.mean([_correlation(a, b) for a, b in pairs]))


def _correlation(a: Float, b: Float) -> float:
    """Pearson's; 0 where one of the two is flat, as in a lead that had come off."""
    a, b = a - a.mean(), b - b.mean()
    size = float(np.linalg.norm(a) * np.linalg.norm(b))
    return float(a @ b) / size if size > 0 else 0.0


def _window(ecg: Ecg, times_ms: Float) -> Float:
    return np.array([np.interp(times_ms, ecg.time_ms, row) for row in ecg.twelve_leads().signal_mv])


def _fit_factor(
    prior: Activation, lead_field: LeadField, target: QrsBounds, assumed: Conduction, rules: FitRules
) -> tuple[float, bool]:
    """The smallest speed factor that gives the recorded duration, or the nearest within the bounds."""

    def error_ms(factor: float) -> float:
        return qrs_bounds(lead_field.ecg(prior.scaled(factor))).duration_ms - target.duration_ms

    bounds = rules.slowest_m_per_s / assumed.fibre_m_per_s, rules.fastest_m_per_s / assumed.fibre_m_per_s
    # A beat longer than any QRS could not be measured as one.
    slowest = max(bounds[0], prior.last_ms / _LONGEST_BEAT_MS)
    factors = np.geomspace(slowest, max(bounds[1], slowest), _SCAN_POINTS)
    errors = [error_ms(factors[0])]
    for left, factor in enumerate(factors[1:]):
        errors.append(error_ms(factor))
        if np.sign(errors[left]) * np.sign(errors[left + 1]) <= 0:
            root = float(brentq(error_ms, factors[left], factor, xtol=1e-4))
            # A jump of the measured QRS end crosses the target without ever being near it: that is no solution.
            if abs(error_ms(root)) <= rules.tolerance_ms:
                return root, False
    nearest = int(np.abs(errors).argmin())
    return float(factors[nearest]), nearest in (0, _SCAN_POINTS - 1)
