"""The section of a report on where a network looks: its pictures, and which leads are highlighted.

Needs the extra [deep].
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ml.ecg.recording import STANDARD_LEADS, Float
from ml.explain.gradcam import class_maps
from ml.explain.heat_pictures import draw_counts, draw_lead_heat, draw_page_heat, draw_slice_heat
from ml.explain.leads import count_highlighted, highlighted, lead_shares, limb_share
from ml.explain.subject import Section, Subject

# Maps at a time: 224 x 224 of all ECGs at once may not fit into memory.
_CHUNK = 64


class _Shares(NamedTuple):
    """Of the ECGs `rows`: (n,) share of the limb leads; of those with heat (m, 12) shares of the leads, if known."""

    rows: list[int]
    limb: Float
    leads: Float | None


def heat_section(subject: Subject) -> Section:
    """Pictures of the cases; for networks that tell leads apart also which of them are highlighted how often."""
    section = Section(
        title="Grad-CAM: where the network looks",
        intro="Dark places raised the answer. The map is as coarse as the layer that it comes from, and shows neither what "
        "lowered the answer nor what another input would do.",
    )
    cases = subject.shown()
    inputs = subject.model.network_inputs(subject.X[cases]).numpy()
    maps = class_maps(subject.model, subject.X[cases], subject.target)
    titles = [subject.titled(row) for row in cases]
    if subject.X.ndim == 5:
        for row, title, slices, heat in zip(cases, titles, inputs, maps, strict=True):
            path = subject.folder / f"gradcam_{row}.png"
            draw_slice_heat(slices, heat, title, path)
            section.pictures.append((title, path))
    elif maps.shape[1:] == (1, inputs.shape[2]):
        section.text.append("This network mixes all leads in its first layer: its map is one of time, for all leads.")
        for row, title, signals, heat in zip(cases, titles, inputs, maps, strict=True):
            path = subject.folder / f"gradcam_{row}.png"
            draw_lead_heat(signals, np.broadcast_to(heat, signals.shape), title, path)
            section.pictures.append((title, path))
    else:
        _add_counts(section, subject, one_map_per_lead=maps.ndim == 3)
        titles = [f"{title}\n{_which(share)}" for title, share in zip(titles, limb_share(maps), strict=True)]
        if maps.ndim == 4:
            path = subject.folder / "gradcam.png"
            draw_page_heat(inputs, maps, titles, path)
            section.pictures.append(("On the page that the network reads; left of the middle line limb leads", path))
        else:
            for row, title, signals, heat in zip(cases, titles, inputs, maps, strict=True):
                _add_leads(section, subject, row, title, signals, heat)
    return section


def _add_leads(
    section: Section, subject: Subject, row: int, title: str, signals: NDArray[np.float32], heat: NDArray[np.float32]
) -> None:
    """One picture per recording that the network reads, all on one scale."""
    recordings = len(signals) // len(STANDARD_LEADS)
    parts = zip(np.split(signals, recordings), np.split(heat, recordings), strict=True)
    for number, (signal, part) in enumerate(parts, start=1):
        which = f", recording {number} of {recordings}" if recordings > 1 else ""
        path = subject.folder / (f"gradcam_{row}_recording_{number}.png" if which else f"gradcam_{row}.png")
        draw_lead_heat(signal, part, f"{title}{which}", path, whole=heat)
        section.pictures.append((f"{subject.titled(row)}{which}; percentages are shares of the heat", path))


def _add_counts(section: Section, subject: Subject, *, one_map_per_lead: bool) -> None:
    shares = _shares(subject, one_map_per_lead)
    counts = count_highlighted(shares.limb.tolist())
    by_lead = None if shares.leads is None or not len(shares.leads) else shares.leads.mean(axis=0)
    path = subject.folder / "gradcam_leads.png"
    draw_counts(counts, by_lead, path)
    section.pictures.append(("Which leads are highlighted", path))
    whose = "of the class explained" if subject.y is not None else "that the model takes for the class explained"
    section.text.append(
        f"{len(shares.rows)} ECGs {whose if subject.classes else 'in all'}: precordial leads {counts['precordial']}, limb "
        f"leads {counts['limb']}, both {counts['both']}, no heat {counts['none']}. Published (Mori 2025, 36 responders, real "
        "patients): precordial 13, limb 16, both 7. How those were told apart is not published. Here a group counts alone "
        "if it holds more than two thirds of the heat."
    )
    pairs = zip(shares.rows, shares.limb.tolist(), strict=True)
    known = {subject.names[row]: None if np.isnan(share) else share for row, share in pairs}
    section.result["grad_cam"] = {"counts": counts, "limb_share": known}
    if by_lead is not None:
        section.result["grad_cam"]["mean_share_by_lead"] = dict(zip(STANDARD_LEADS, by_lead.tolist(), strict=True))


def _shares(subject: Subject, one_map_per_lead: bool) -> _Shares:
    """Of the ECGs of the class, by the truth if it is known; of all, if there are no classes."""
    rows = np.arange(len(subject.answers))
    if subject.classes:
        label = subject.model.classes_[subject.target]
        rows = np.flatnonzero((subject.predicted if subject.y is None else subject.y) == label)
    limb, leads = [np.empty(0)], [np.empty((0, len(STANDARD_LEADS)))]
    for start in range(0, len(rows), _CHUNK):
        maps = class_maps(subject.model, subject.X[rows[start : start + _CHUNK]], subject.target)
        limb.append(limb_share(maps))
        if one_map_per_lead:
            leads.append(lead_shares(maps)[~np.isnan(limb[-1])])
    return _Shares(rows.tolist(), np.concatenate(limb), np.concatenate(leads) if one_map_per_lead else None)


def _which(share: float) -> str:
    """For a title."""
    return "no heat" if np.isnan(share) else f"limb leads {share:.0%} of the heat: {highlighted(share)}"
