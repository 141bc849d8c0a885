"""The sections of a report: what each kind of explanation shows of a model, or why there is none.

Every kind is one function from the subject to a section, or to the reason why there is none; `KINDS` lists them.
"""

import numpy as np

from ml.explain.contributions import contributions, draw_contributions, write_table
from ml.explain.counterfactual import counterfactuals, draw_counterfactual, write_pages
from ml.explain.subject import Section, Subject
from ml.explain.waveforms import Waves, draw_extremes, extremes, shown_part
from ml.lightgbm_classifier import LightGbmClassifier
from ml.signals import as_signals

# Rows of the table of features.
_FEATURES = 12


def _waveforms(subject: Subject) -> Section | str:
    if subject.X.ndim != 3:
        return "the model reads no ECG"
    section = Section(
        title="Waveforms of the highest and lowest answers",
        intro="After Le: the three highest (red) and the three lowest (blue), lead by lead; solid, dashed, dotted from the "
        "most extreme inwards. What the two groups have in common may be what the model goes by, or only go with it.",
    )
    if not getattr(subject.model, "real_time", True):
        section.text.append(
            "The time axis of these beats was warped: no width or interval on this page means anything."
        )
    recordings = getattr(subject.model, "recordings", None)
    if recordings is None:
        shown = [
            shown_part(as_signals(subject.X, subject.model.leads, subject.model.sampling_hz), subject.model.sampling_hz)
        ]
    else:
        windows = np.split(subject.model.network_inputs(subject.X).numpy(), recordings, axis=1)
        at = np.arange(windows[0].shape[2], dtype=np.float64)
        shown = [Waves(signal_mv=one, at=at, unit="sample of the window that the network reads") for one in windows]
    for i, waves in enumerate(shown):
        path = subject.folder / ("waveforms.png" if len(shown) == 1 else f"waveforms_recording_{i + 1}.png")
        draw_extremes(waves, subject.answers, subject.names, path)
        caption = subject.meaning.capitalize() + (f", recording {i + 1} of {len(shown)}" if len(shown) > 1 else "")
        section.pictures.append((caption, path))
    high, low = extremes(subject.answers)
    section.result["waveforms"] = {
        "highest": [subject.names[i] for i in high],
        "lowest": [subject.names[i] for i in low],
    }
    return section


def _heat(subject: Subject) -> Section | str:
    if not hasattr(subject.model, "network_"):
        return "the model is no network"
    from ml.explain.heat_section import heat_section  # needs torch, which is an extra

    return heat_section(subject)


def _contributions(subject: Subject) -> Section | str:
    if not isinstance(subject.model, LightGbmClassifier):
        return "the model has no features; contributions are computed for boosted trees"
    found = contributions(subject.model, subject.X, subject.target)
    picture, table = subject.folder / "contributions.png", subject.folder / "contributions.csv"
    draw_contributions(found, picture)
    write_table(found, subject.names, table)
    row = subject.shown()[0]
    strongest = np.argsort(-np.abs(found.added[row]), kind="stable")[:_FEATURES].tolist()
    cells = []
    for i in strongest:
        column, value = found.columns[i], found.values[row, i]
        measured = f"{value:.3g} {column.unit if column.unit != '1' else ''}" if np.isfinite(value) else "none"
        cells.append([column.name, column.meaning, measured, f"{found.added[row, i]:+.3f}"])
    others = found.added[row].sum() - found.added[row, strongest].sum()
    cells.append(["all others", "", "", f"{others:+.3f}"])
    cells.append(["constant", "holds without any feature", "", f"{found.constant[row]:+.3f}"])
    cells.append(
        ["sum", "log-odds" if len(subject.classes) == 2 else "before the softmax", "", f"{found.raw[row]:+.3f}"]
    )
    mean = np.abs(found.added).mean(axis=0)
    return Section(
        title="Contributions of the features (SHAP)",
        intro="What each feature adds to the log-odds of each ECG (a dot; yellow: high value, blue: low, grey: none). They "
        "tell how the model adds up, not what would happen if a feature changed.",
        text=[f"In the table: {subject.titled(row)}. All ECGs are in contributions.csv."],
        pictures=[("Features and leads", picture)],
        header=("feature", "meaning", "value", "adds"),
        table=cells,
        result={"mean_contribution": {found.columns[i].name: float(mean[i]) for i in found.strongest()}},
    )


def _counterfactuals(subject: Subject) -> Section | str:
    if subject.X.ndim != 3:
        return "the model reads no ECG"
    if not subject.classes:
        return "the model answers values, so that there is no other class to come to"
    if getattr(subject.model, "recordings", 1) != 1:
        return "the model reads two recordings at once; only single ones are altered"
    rows = [int(subject.answers.argmax()), int(subject.answers.argmin())] if subject.cases is None else subject.cases
    try:
        found = counterfactuals(subject.model, subject.X, rows, subject.y)
    except ValueError as error:
        return str(error).rstrip(".")
    section = Section(
        title="Counterfactuals: what would change the answer",
        intro="Pieces of the most similar ECG of another class replace those of the ECG until the answer changes. Every piece "
        "was recorded, but not together: their mixture may be one that no heart gives. The change suffices and none of it "
        "can be left out; others may suffice as well. It explains the model, not the patient.",
    )
    results = []
    for one in found:
        name, donor = subject.names[one.row], subject.names[one.donor]
        own, other = subject.classes[one.own_class], subject.classes[one.other_class]
        pieces = f"{', '.join(map(str, one.pieces))}, from {donor}, in {len(one.onsets)} of its beats"
        moved = f"probability of {other} from {one.before:.2f} to {one.after:.2f}"
        if one.changed:
            section.text.append(f"{name}, taken for {own}: with {pieces}, it is taken for {other}: {moved}.")
        else:
            section.text.append(f"{name}, taken for {own}: not even whole beats of {donor} make it {other}: {moved}.")
        overlay, before, after = (
            subject.folder / f"counterfactual_{one.row}{kind}.png" for kind in ("", "_page_before", "_page_after")
        )
        draw_counterfactual(one, overlay)
        write_pages(one, before, after)
        section.pictures += [
            (f"{name}: one of its beats, and what was replaced", overlay),
            (f"{name} as recorded, taken for {own}", before),
            (f"{name} altered, {'' if one.changed else 'yet not '}taken for {other}", after),
        ]
        results.append(
            {
                "ecg": name,
                "donor": donor,
                "from": own,
                "to": other,
                "changed": one.changed,
                "pieces": [str(piece) for piece in one.pieces],
                "beats": len(one.onsets),
                "probability_before": one.before,
                "probability_after": one.after,
            }
        )
    section.result["counterfactuals"] = results
    return section


KINDS = {
    "Waveforms": _waveforms,
    "Grad-CAM": _heat,
    "Contributions of features": _contributions,
    "Counterfactuals": _counterfactuals,
}
