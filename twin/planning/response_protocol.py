"""The honest test of a response model: everything one must know before believing its probabilities.

Random folds say how well it does on more of the same; a held-out wall or centre how well where it never was. Beside it
stand the simple rules it must beat, the truth it cannot beat (virtual patients only), and what its choices are worth.
"""

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from ml.evaluation.calibration import calibration_bins
from ml.evaluation.comparison import mcnemar
from ml.evaluation.protocol import FitCounter, out_of_fold
from ml.response import ResponseModel
from twin.planning.policy import policy_test
from twin.planning.response_cohort import Float, Int, ResponseCohort, site_walls, truth_score
from twin.planning.response_curves import (
    curve_fits,
    family_fits,
    family_gains,
    learning_curve,
    perfect_models,
    shuffled,
)
from twin.planning.response_folds import (
    FoldAnswers,
    fold_answers,
    held_out_folds,
    need_both_outcomes,
    problem_of,
    random_folds,
)
from twin.planning.response_metrics import TASK, drawn_metrics
from twin.planning.response_models import OURS, comparators, our_model
from twin.planning.response_results import Group, HeldOut, Protocol, ResponseEvaluation, Scored, share
from twin.planning.response_shifts import shifted_patients

Told = Callable[[int, int, str], None]


def evaluate_response(cohort: ResponseCohort, protocol: Protocol, told: Told) -> ResponseEvaluation:
    """Run the protocol.

    Args:
        cohort: patients with outcomes.
        protocol: how much of it.
        told: called with fits done, fits in all, and what they are.

    Raises:
        InputError: if there are fewer patients of an outcome than folds.
    """
    need_both_outcomes(cohort, protocol.folds)
    model, others, problem = our_model(cohort.predictors), comparators(cohort), problem_of(cohort)
    walls, centres = held_out_folds(cohort.wall, cohort.outcome), held_out_folds(cohort.centre, cohort.outcome)
    fits = protocol.folds * (protocol.repeats * (1 + len(others)) + protocol.shuffles) + len(walls[0]) + len(centres[0])
    fits += 1 + family_fits(cohort, protocol) + curve_fits(cohort, protocol)
    done = FitCounter(fits, lambda i, n: told(i, n, "fits"))

    ours = [
        fold_answers(model, cohort, random_folds(cohort, protocol.folds, seed), seed=seed, sites=seed == 0, done=done)
        for seed in range(protocol.repeats)
    ]
    home = np.stack([one.probability for one in ours])
    predicted = {OURS: home}
    for name, other in others.items():
        folds = [
            out_of_fold(other, problem, one.fold_of, seed=seed, name=name, done=done) for seed, one in enumerate(ours)
        ]
        predicted[name] = np.stack(folds)[..., 1]
    shifted = shifted_patients(model, cohort, ours[0].fold_of)
    done()
    truth = truth_score(cohort)
    right = (home[0] >= 0.5) == cohort.outcome
    ceiling = None if truth is None else drawn_metrics(cohort.outcome, truth, protocol.resamples).estimate("auc")
    return ResponseEvaluation(
        protocol=protocol,
        models=_scored(cohort.outcome, predicted, protocol.resamples),
        ceiling=ceiling,
        ceiling_is_exact=cohort.label == "lvesv15",
        calibration=calibration_bins(np.tile(cohort.outcome, len(home)), home.ravel(), repeats=len(home)),
        home_flagged=share(~ours[0].supported),
        home_right_supported=share(right[ours[0].supported]),
        home_right_flagged=share(right[~ours[0].supported]),
        walls=_held_out(cohort, model, walls, ours[0], site_walls(cohort), protocol, done),
        centres=_held_out(cohort, model, centres, ours[0], None, protocol, done),
        shifted=shifted,
        perfect=perfect_models(cohort, protocol),
        families=family_gains(cohort, model, ours[0].fold_of, home[0], protocol, done),
        curve=learning_curve(cohort, model, others, protocol, done),
        leak=shuffled(cohort, model, protocol, done),
        policy=policy_test(cohort, ours[0].site_probability, ours[0].site_supported, resamples=protocol.resamples)
        if cohort.has_truth
        else None,
        answers=ours[0],
    )


def _scored(outcome: Int, predicted: Mapping[str, Float], resamples: int) -> dict[str, Scored]:
    """Every model with intervals, and ours against it, on the same resamples of the same patients."""
    drawn = {name: drawn_metrics(outcome, one, resamples, calibration=True) for name, one in predicted.items()}
    right = {name: (one.mean(axis=0) >= TASK.threshold) == outcome for name, one in predicted.items()}
    return {
        name: Scored(
            metrics={metric: one.estimate(metric) for metric in one.values},
            ours_minus_this=None
            if name == OURS
            else {metric: drawn[OURS].difference(one, metric) for metric in ("auc", "accuracy", "brier")},
            mcnemar=None if name == OURS else mcnemar(right[OURS], right[name]),
        )
        for name, one in drawn.items()
    }


def _held_out(
    cohort: ResponseCohort,
    model: ResponseModel,
    folds: tuple[tuple[str, ...], Int],
    home: FoldAnswers,
    wall_of_sites: NDArray[np.str_] | None,
    protocol: Protocol,
    done: FitCounter,
) -> HeldOut | None:
    """Leave each group out; with the walls of the sites, also ask about the sites on the wall that was left out."""
    names, fold_of = folds
    if not names:
        return None
    outcome = cohort.outcome
    out = fold_answers(model, cohort, fold_of, seed=0, sites=wall_of_sites is not None, done=done)
    patient = cohort.sites["patient_row"].to_numpy()
    groups = {}
    for fold, name in enumerate(names):
        inside = fold_of == fold
        auc = {key: drawn_metrics(outcome[inside], one.probability[inside], protocol.resamples).estimate("auc")
               for key, one in (("home", home), ("out", out))}  # fmt: skip
        there = None if wall_of_sites is None else (fold_of[patient] == fold) & (wall_of_sites == name)
        groups[name] = Group(
            patients=int(inside.sum()),
            responders=int(outcome[inside].sum()),
            auc_home=auc["home"],
            auc_out=auc["out"],
            flagged_home=share(~home.supported[inside]),
            flagged_out=share(~out.supported[inside]),
            sites_flagged_home=None if there is None else share(~home.site_supported[there]),
            sites_flagged_out=None if there is None else share(~out.site_supported[there]),
        )
    at_home = drawn_metrics(outcome, home.probability, protocol.resamples)
    away = drawn_metrics(outcome, out.probability, protocol.resamples, calibration=True)
    right = (out.probability >= TASK.threshold) == outcome
    return HeldOut(
        groups=groups,
        auc_home=at_home.estimate("auc"),
        auc_out=away.estimate("auc"),
        change=away.difference(at_home, "auc"),
        slope=away.estimate("calibration_slope"),
        intercept=away.estimate("calibration_intercept"),
        right_supported=share(right[out.supported]),
        right_flagged=share(right[~out.supported]),
    )
