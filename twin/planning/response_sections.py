"""The sections of the page on a response model's test: tables, pictures, and what to make of them."""

from ml.evaluation.metrics import METRICS
from twin.planning import response_figures as draw
from twin.planning.policy import HABIT, LATEST, MODEL, ORACLE, POLICIES, UNHELD, PolicyTest
from twin.planning.report.sections import Picture, Section, Table
from twin.planning.response_cohort import ResponseCohort
from twin.planning.response_results import HeldOut, ResponseEvaluation
from twin.planning.response_words import NONE, in_plain, interval, percent

_SHOWN = ("auc", "accuracy", "sensitivity", "specificity", "f1", "brier", "calibration_slope", "calibration_intercept")


def sections_of(cohort: ResponseCohort, found: ResponseEvaluation) -> list[Section]:
    """What there is to show, in order."""
    made = [_models(found), _calibration(found)]
    if found.walls is not None or found.centres is not None:
        made.append(_held_out(found))
    made += [_families(found), _curve(found)]
    if found.policy is not None:
        made.append(_policy(found.policy))
    return [*made, _reading(cohort, found)]


def _models(found: ResponseEvaluation) -> Section:
    protocol = found.protocol
    header = ("model", *(METRICS[name].title for name in _SHOWN))
    rows = [(name, *(interval(one.metrics.get(metric)) for metric in _SHOWN)) for name, one in found.models.items()]
    if found.ceiling is not None:
        rows.append(("the truth itself", interval(found.ceiling), *[NONE] * (len(_SHOWN) - 1)))
    against = []
    for name, one in found.models.items():
        if one.ours_minus_this is not None and one.mcnemar is not None:
            test = one.mcnemar
            against.append(
                (
                    name,
                    *(interval(one.ours_minus_this[metric], sign=True) for metric in ("auc", "accuracy", "brier")),
                    f"{test.only_first} : {test.only_second}",
                    "< 0.001" if test.p_mid < 0.001 else f"{test.p_mid:.3f}",
                )
            )
    return Section(
        title="Ours, the others, and the ceiling",
        text=(
            (
                f"Random split: {protocol.folds} folds over patients, {protocol.repeats} repeats; all models see the same "
                "folds, and whatever they scale, choose or calibrate, they do inside the training folds."
            ),
        ),
        pictures=(
            Picture(
                name="models",
                caption="Left: AUC of each model, ours in red. Right: predicted probability of our model in bins of equal "
                "size against the share that responded.",
                figure=draw.models_figure(found),
            ),
        ),
        tables=(
            Table(
                caption="Out-of-fold performance with 95 % intervals over patients.", header=header, rows=tuple(rows)
            ),
            Table(
                caption="Ours minus the other on the same resamples of the patients, and McNemar's test of the calls at a "
                "probability of 0.5.",
                header=("ours against", "AUC", "accuracy", "Brier score", "right only: ours : other", "mid-p"),
                rows=tuple(against),
            ),
        ),
    )


def _calibration(found: ResponseEvaluation) -> Section:
    tables: tuple[Table, ...] = ()
    text = "Slope 1 and intercept 0 mean that the probabilities are neither too extreme nor too high."
    if found.perfect:
        small = found.perfect[0]
        text += (
            f" A slope from 0.9 to 1.1 is often asked for. In cohorts of {small.patients} even a perfect model, which "
            f"knows the true chance of every virtual patient, misses it {100 * small.outside:.0f} % of the time: such a "
            "cohort cannot show calibration."
        )
        tables = (
            Table(
                caption="Calibration slope of the true chance itself, in cohorts of virtual patients drawn from this one, each "
                "outcome drawn anew.",
                header=("patients", "median slope", "95 % of the cohorts", "outside 0.9 to 1.1"),
                rows=tuple(
                    (str(one.patients), f"{one.median:.2f}", f"{one.low:.2f} to {one.high:.2f}", f"{100 * one.outside:.0f} %")
                    for one in found.perfect
                ),
            ),
        )  # fmt: skip
    return Section(title="Calibration", text=(text,), tables=tables)


def _held_out(found: ResponseEvaluation) -> Section:
    tables, text = [], []
    for title, held in (("wall", found.walls), ("centre", found.centres)):
        if held is None:
            text.append(f"No {title} was held out: the cohort has not two of them with patients enough.")
            continue
        tables.append(_groups(title, held))
        text.append(
            f"Every {title} held out: AUC {interval(held.auc_out)} instead of {interval(held.auc_home)} with it in "
            f"training, a change of {interval(held.change, sign=True)}; calibration slope {interval(held.slope)}, intercept "
            f"{interval(held.intercept)}. Where the model answers it is right for {percent(held.right_supported)}; where it "
            f"abstains it would have been for {percent(held.right_flagged)}."
        )
    text.append(
        f"At home, on the random split, it abstains for {percent(found.home_flagged)}; it is built to abstain for about "
        f"one in twenty patients like those it was trained on. Right there: {percent(found.home_right_supported)} where it "
        f"answers, {percent(found.home_right_flagged)} where it abstains."
    )
    return Section(
        title="Where it never was: a wall, or a centre, held out",
        text=tuple(text),
        pictures=(
            Picture(
                name="held_out",
                caption="Blue: others of the wall or centre in training. Red: none of them.",
                figure=draw.held_out_figure(found),
            ),
        ),
        tables=(*tables, _shifts(found)) if len(found.shifted) > 1 else tuple(tables),
    )


def _shifts(found: ResponseEvaluation) -> Table:
    return Table(
        caption="Patients that the model has not seen, of whom something was measured wrongly on purpose.",
        header=("what is wrong", "abstains", "noticed of them as a centre"),
        rows=tuple(
            (
                in_plain([name]),
                percent(one.flagged),
                "; ".join(f"{drift.feature} {drift.value} {drift.shift_sd:+.1f} SD" for drift in one.drifts[:3])
                or "nothing",
            )
            for name, one in found.shifted.items()
        ),
    )


def _groups(title: str, held: HeldOut) -> Table:
    with_sites = any(one.sites_flagged_out is not None for one in held.groups.values())
    header: tuple[str, ...] = (
        title,
        "patients",
        "responded",
        "AUC at home",
        "AUC held out",
        "abstains at home",
        "abstains held out",
    )
    if with_sites:
        header += ("their sites on it, at home", "their sites on it, held out")
    rows = []
    for name, one in held.groups.items():
        row: tuple[str, ...] = (
            name,
            str(one.patients),
            str(one.responders),
            interval(one.auc_home, 2),
            interval(one.auc_out, 2),
            percent(one.flagged_home),
            percent(one.flagged_out),
        )
        rows.append((*row, percent(one.sites_flagged_home), percent(one.sites_flagged_out)) if with_sites else row)
    return Table(
        caption=f"Patients by {title}; walls and centres with few patients are held out together.",
        header=header,
        rows=tuple(rows),
    )


def _families(found: ResponseEvaluation) -> Section:
    rows = tuple(
        (name, str(one.columns), interval(one.added, sign=True), interval(one.dropped, sign=True))
        for name, one in found.families.items()
    )
    return Section(
        title="What each family of features adds",
        text=("A family may tell what others tell as well: little lost without it does not mean that it is useless.",),
        pictures=(
            Picture(
                name="families", caption="Paired differences of AUC, first repeat.", figure=draw.families_figure(found)
            ),
        ),
        tables=(
            Table(
                caption="Differences of AUC on the same folds, with paired 95 % intervals over patients.",
                header=("family", "features", "added to the clinical ones", "lost when taken from all"),
                rows=rows,
            ),
        ),
    )


def _curve(found: ResponseEvaluation) -> Section:
    names = list(found.curve[0].auc) if found.curve else []
    rows = tuple(
        (
            str(point.patients),
            str(point.draws),
            *("{:.3f} ({:.3f} to {:.3f})".format(*point.auc[name]) for name in names),
        )
        for point in found.curve
    )
    return Section(
        title="Would more patients help?",
        text=("A curve that still rises at its end says so.",),
        pictures=(
            Picture(
                name="learning",
                caption="Left: AUC on the patients left out, against the number trained on. Right: what calibration slope a "
                "perfect model shows in cohorts of a size; green is 0.9 to 1.1.",
                figure=draw.curve_figure(found),
            ),
        )
        if found.curve
        else (),
        tables=(
            Table(
                caption="AUC on the patients left out: mean and range over the draws.",
                header=("patients trained on", "draws", *names),
                rows=rows,
            ),
        ),
    )


def _policy(policy: PolicyTest) -> Section:
    rows = tuple(
        (
            name,
            interval(one.probability),
            interval(one.change_percent, 1),
            interval(one.regret),
            NONE if name == MODEL else interval(one.model_gain, sign=True),
            POLICIES[name],
        )
        for name, one in sorted(policy.values.items(), key=lambda item: -item[1].probability.value)
    )
    text = [
        (
            f"True response of {policy.patients} virtual patients, had the lead been put where each way of choosing says; "
            f"{policy.without_site} have no site that a lead reaches and are left out. The model of each patient was "
            f"fitted without them. It abstains at every site of {100 * policy.abstained:.1f} % of the patients, whose lead "
            "then goes to the lateral vein."
        )
    ]
    for routine in (HABIT, LATEST):
        if not policy.beaten[routine]:
            text.append(
                f"The model does NOT clearly beat the {routine}: the interval of its gain, "
                f"{interval(policy.values[routine].model_gain, sign=True)}, is not above 0."
            )
    held = policy.values[UNHELD].model_gain
    text.append(f"Abstaining changes the true chance of response by {interval(held, sign=True)}.")
    best = policy.values[ORACLE].probability.value - policy.values[HABIT].probability.value
    if best > 0:
        won = policy.values[HABIT].model_gain.value
        late = won - policy.values[LATEST].model_gain.value
        text.append(
            f"Of what the oracle could add to the habit, the model adds {100 * won / best:.0f} %, the latest site "
            f"{100 * late / best:.0f} %."
        )
    return Section(
        title="What its choices are worth",
        text=tuple(text),
        pictures=(Picture(name="policy", caption="The model in red.", figure=draw.policy_figure(policy)),),
        tables=(
            Table(
                caption="Means over patients with 95 % intervals.",
                header=(
                    "site chosen",
                    "true chance of response",
                    "true change of LVESV, %",
                    "regret",
                    "model minus this",
                    "rule",
                ),
                rows=rows,
            ),
        ),
    )


def _reading(cohort: ResponseCohort, found: ResponseEvaluation) -> Section:
    lines = [
        (
            "Intervals: BCa bootstrap over patients, the fitted models held fixed; shares: Wilson. A metric is computed on all "
            "out-of-fold predictions of a repeat, then averaged over the repeats."
        ),
        (
            "No outcome and no true value is ever offered to a model: it is given the columns of the feature table that are "
            "marked as predictors, and no others."
        ),
    ]
    if found.ceiling is not None and not found.ceiling_is_exact:
        lines.append(
            "The truth is the expected change of volume; for this label it ranks patients well, but is not exactly their "
            "chance of response: its AUC is no strict ceiling. What choices are worth is counted in the true chance that LV "
            "end-systolic volume falls by 15 %."
        )
    if not cohort.has_truth:
        lines.append("The truth at other sites is not known: there is neither a ceiling nor a value of the choices.")
    return Section(title="How to read this", text=(*lines, *cohort.notes))
