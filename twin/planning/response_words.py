"""What the test of a response model found, in words: numbers as a reader sees them, and the answers in a few sentences."""

from collections.abc import Sequence

import numpy as np

from ml.evaluation.intervals import Estimate
from twin.planning.policy import HABIT, LATEST
from twin.planning.response_cohort import ResponseCohort
from twin.planning.response_models import OURS
from twin.planning.response_results import ResponseEvaluation, Share
from twin.planning.response_shifts import NO_SHIFT

NONE = "–"  # of what there is nothing to say
_WIDE = 0.5  # interval of a calibration slope from which on it shows little; our choice


def answers(cohort: ResponseCohort, found: ResponseEvaluation) -> list[str]:
    """What the page says, in a few sentences."""
    ours = found.models[OURS].metrics
    who = "virtual patients" if cohort.virtual else "patients"
    lines = [f"On {who} that it has not seen, the model has an AUC of {interval(ours['auc'])}."]
    if found.ceiling is not None:
        strict = ": no model can be better in the long run" if found.ceiling_is_exact else ""
        lines[0] += f" The truth itself has {interval(found.ceiling)}{strict}."
    slope, intercept = ours["calibration_slope"], ours["calibration_intercept"]
    holds = slope.low <= 1 <= slope.high and intercept.low <= 0 <= intercept.high
    little = "; wide as they are, they show little" if slope.high - slope.low > _WIDE else ""
    lines.append(
        f"Calibration slope {interval(slope)}, intercept {interval(intercept)}: the intervals "
        f"{'hold' if holds else 'do NOT hold'} 1 and 0{little}."
    )
    beaten = [name for name, one in found.models.items() if one.ours_minus_this and one.ours_minus_this["auc"].low > 0]
    others = [name for name in found.models if name not in (OURS, *beaten)]
    lines.append(
        f"By AUC it beats {'; '.join(beaten) or 'none of the other models'}"
        + (f"; it does not clearly beat {'; '.join(others)}." if others else ".")
    )
    for title, held in (("wall of the ventricle", found.walls), ("centre", found.centres)):
        if held is not None:
            flagged = max(held.groups, key=lambda name: held.groups[name].flagged_out.estimate.value)
            lines.append(
                f"With each {title} held out in turn the AUC is {interval(held.auc_out)}; the model abstains most at "
                f"{flagged}, for {percent(held.groups[flagged].flagged_out)}, and at home for {percent(found.home_flagged)}."
            )
    caught = {name: one for name, one in found.shifted.items() if name != NO_SHIFT}
    if caught:
        least = min(caught, key=lambda name: caught[name].flagged.estimate.value)
        missed = [name for name, one in caught.items() if not one.drifts]
        lines.append(
            f"Of patients of whom something was measured wrongly on purpose it notices least with {in_plain([least])}: it "
            f"abstains for {percent(caught[least].flagged)}; with nothing wrong, for "
            f"{percent(found.shifted[NO_SHIFT].flagged)}. As a centre of their own they are noticed in "
            f"{len(caught) - len(missed)} of {len(caught)} kinds{f', not with {in_plain(missed)}' if missed else ''}."
        )
    if found.policy is not None:
        for routine in (HABIT, LATEST):
            gain = found.policy.values[routine].model_gain
            verdict = "beats" if found.policy.beaten[routine] else "does NOT clearly beat"
            lines.append(
                f"Implanting at the model's site {verdict} the {routine}: true chance of response {interval(gain, sign=True)}."
            )
    leak = found.leak
    verdict = "holds 0.5: no leak found" if leak.passed else "does NOT hold 0.5: A LEAK"
    lines.append(f"With shuffled outcomes the mean AUC is {interval(leak.mean)} (99 % interval), which {verdict}.")
    return lines


def interval(estimate: Estimate | None, digits: int = 3, *, sign: bool = False) -> str:
    """Value and interval as a reader sees them."""
    if estimate is None or not np.isfinite(estimate.value):
        return NONE

    def number(value: float) -> str:
        return f"{round(value, digits) + 0.0:{'+' if sign else ''}.{digits}f}".replace("-", "−")

    if not estimate.has_interval:
        return number(estimate.value)
    return f"{number(estimate.value)} ({number(estimate.low)} to {number(estimate.high)})"


def percent(share: Share | None) -> str:
    """`12 of 80, 15 % (9 to 24)`."""
    if share is None or not share.of:
        return NONE
    one = share.estimate
    return f"{share.hits} of {share.of}, {100 * one.value:.0f} % ({100 * one.low:.0f} to {100 * one.high:.0f})"


def in_plain(names: Sequence[str]) -> str:
    """Names that are keys, as words."""
    return ", ".join(name.replace("-", " ") for name in names)
