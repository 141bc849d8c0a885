"""Pieces of beats change places, and the fewest that are needed are found."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike, NDArray

from ml.ecg.recording import LIMB_LEADS, STANDARD_LEADS, Ecg
from ml.explain.beat_pieces import PIECES, Alterable, Piece, usual_beat
from ml.explain.counterfactual import counterfactuals, sufficient_pieces
from tests.ml.heartbeats import RATE_HZ, beats, recordings

LIMB = np.array([STANDARD_LEADS.index(lead) for lead in LIMB_LEADS])
ONSET = round(0.25 * RATE_HZ)  # of the QRS of heartbeats.beats


def ecg(signal: NDArray[np.float64]) -> Ecg:
    return Ecg(leads=STANDARD_LEADS, signal_mv=signal, rate_hz=RATE_HZ)


def pair(make: Any = beats) -> tuple[Ecg, Ecg]:
    """A narrow and a broad ECG."""
    signals, _ = make(2)
    return ecg(signals[0]), ecg(signals[1])


class Threshold:
    """Takes an ECG for "broad" if a lead's mean magnitude from the onset of the QRS of its first beats on is large."""

    classes_ = np.array(["narrow", "broad"])
    sampling_hz = RATE_HZ

    def __init__(self, limits: dict[str, float], leads: tuple[str, ...] = STANDARD_LEADS) -> None:
        self.limits, self.leads, self.asked = limits, leads, 0

    def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
        signals = np.asarray(X)
        self.asked += len(signals)
        over = [np.abs(signals[:, self.leads.index(lead)]).mean(axis=1) - limit for lead, limit in self.limits.items()]
        share = 1 / (1 + np.exp(-50 * np.mean(np.minimum(over, 0.001), axis=0)))
        broad = np.where(np.all(np.array(over) > 0, axis=0), np.maximum(share, 0.51), np.minimum(share, 0.49))
        return np.stack([1 - broad, broad], axis=1)


def limits(x: NDArray[np.float64], y: NDArray[np.int64], *leads: str) -> dict[str, float]:
    """For each lead, halfway between the classes."""
    size = {lead: np.abs(x[:, STANDARD_LEADS.index(lead)]).mean(axis=1) for lead in leads}
    return {lead: float(size[lead][y == 0].max() + size[lead][y == 1].min()) / 2 for lead in leads}


@pytest.mark.parametrize("make", [beats, recordings])
def test_the_ecgs_own_pieces_change_nothing(make: Any) -> None:
    own, _ = pair(make)
    altered = Alterable(own).altered(usual_beat(own), PIECES)
    np.testing.assert_allclose(altered.signal_mv, own.signal_mv, atol=0.03 if make is recordings else 1e-12)


def test_no_pieces_change_nothing() -> None:
    own, donor = pair()
    np.testing.assert_array_equal(Alterable(own).altered(usual_beat(donor), ()).signal_mv, own.signal_mv)


def test_within_all_pieces_the_beat_is_the_donors() -> None:
    own, donor = pair()
    mine, theirs = usual_beat(own), usual_beat(donor)
    altered = Alterable(own).altered(theirs, PIECES).signal_mv
    span = slice(0, round(0.4 * RATE_HZ))
    got = altered[:, mine.onset :][:, span]
    level = own.signal_mv[:, mine.onset - 4 : mine.onset + 1].mean(axis=1, keepdims=True)
    np.testing.assert_allclose(got - level, theirs.signal_mv[:, theirs.onset :][:, span], atol=1e-12)


@pytest.mark.parametrize("make", [beats, recordings])
def test_what_lies_before_the_first_qrs_and_in_other_leads_stays(make: Any) -> None:
    own, donor = pair(make)
    piece = next(piece for piece in PIECES if piece.leads == ("V3",) and piece.part == "QRS")
    altered = Alterable(own).altered(usual_beat(donor), [piece]).signal_mv
    others = np.arange(12) != STANDARD_LEADS.index("V3")
    np.testing.assert_array_equal(altered[others], own.signal_mv[others])
    changed = np.abs(altered - own.signal_mv).max(axis=0)
    assert changed[: ONSET - round(0.03 * RATE_HZ)].max() == 0
    assert changed.max() > 0.1


def test_every_beat_of_a_recording_is_altered() -> None:
    own, donor = pair(recordings)
    changed = np.abs(Alterable(own).altered(usual_beat(donor), PIECES).signal_mv - own.signal_mv).max(axis=0)
    assert (changed.reshape(5, -1).max(axis=1) > 0.3).all()


def test_the_qrs_piece_reaches_to_the_end_of_the_longer_qrs() -> None:
    narrow, broad = pair()
    (piece,) = (piece for piece in PIECES if piece.leads == ("V3",) and piece.part == "QRS")
    lead, donor = STANDARD_LEADS.index("V3"), usual_beat(broad)
    own = usual_beat(narrow)
    assert donor.qrs > own.qrs + 8
    altered = Alterable(narrow).altered(donor, [piece]).signal_mv[lead, own.onset :][: donor.qrs]
    level = narrow.signal_mv[lead, own.onset - 4 : own.onset + 1].mean()
    np.testing.assert_allclose(altered - level, donor.signal_mv[lead, donor.onset :][: donor.qrs], atol=1e-12)


def test_limb_leads_still_follow_from_one_another() -> None:
    own, donor = pair(recordings)
    limb = [piece for piece in PIECES if piece.leads == LIMB_LEADS]
    one, two, three, right, left, foot = Alterable(own).altered(usual_beat(donor), limb).signal_mv[LIMB]
    follow = [two - one, -(one + two) / 2, one - two / 2, two - one / 2]
    np.testing.assert_allclose([three, right, left, foot], follow, atol=1e-12)


def test_qrs_and_st_t_together_are_the_sum_of_both_changes() -> None:
    own, donor = pair(recordings)
    recording, beat = Alterable(own), usual_beat(donor)
    qrs, rest = (piece for piece in PIECES if piece.leads == ("V2",))
    both, first, second = (recording.altered(beat, pieces).signal_mv for pieces in ([rest, qrs], [qrs], [rest]))
    np.testing.assert_allclose(both - own.signal_mv, first + second - 2 * own.signal_mv, atol=1e-12)


def test_ectopic_beats_stay_as_they_are() -> None:
    signal = np.tile(beats(1)[0][0], 7)
    samples = signal.shape[1] // 7
    signal[:, 3 * samples : 4 * samples] = -np.roll(beats(1, seed=5)[0][0], -20, axis=1)
    changed = np.abs(Alterable(ecg(signal)).altered(usual_beat(pair()[1]), PIECES).signal_mv - signal).max(axis=0)
    by_beat = changed.reshape(7, -1)[:, 10:-10].max(axis=1)
    assert by_beat[3] == 0
    assert (np.delete(by_beat, 3)[1:-1] > 0.3).all()


@pytest.mark.parametrize("make", [beats, recordings])
@pytest.mark.parametrize("leads", [("V3",), ("V5", "V2")])
def test_the_leads_that_decide_are_found_and_no_others(make: Any, leads: tuple[str, ...]) -> None:
    x, y = make(12)
    model = Threshold(limits(x, y, *leads))
    assert (model.classes_[model.predict_proba(x).argmax(axis=1)] == np.where(y, "broad", "narrow")).all()
    (found,) = counterfactuals(model, x, [2])
    assert found.changed
    assert {lead for piece in found.pieces for lead in piece.leads} == set(leads)
    assert (found.own_class, found.other_class) == (0, 1)
    assert found.before < 0.5 < found.after


def test_no_piece_of_the_answer_can_be_left_out() -> None:
    x, y = beats(12)
    model = Threshold(limits(x, y, "V2", "V3", "II"))
    (found,) = counterfactuals(model, x, [0])
    assert len(found.pieces) >= 3
    donor = usual_beat(ecg(x[found.donor]))
    for piece in found.pieces:
        fewer = Alterable(ecg(x[0])).altered(donor, [other for other in found.pieces if other != piece])
        assert model.predict_proba(fewer.signal_mv[None]).argmax() == 0
    assert model.predict_proba(found.altered.signal_mv[None])[0, 1] == pytest.approx(found.after, abs=1e-5)


def asker(*enough: set[int], help_of: dict[int, float]) -> Any:
    """Answers class 1 to any choice that contains one of these sets of pieces, otherwise by what each piece helps."""

    def ask(choices: Any) -> NDArray[np.float64]:
        sets = [{PIECES.index(piece) for piece in pieces} for pieces in choices]
        some = [sum(help_of.get(i, 0.0) for i in one) / 100 for one in sets]
        wanted = [0.9 if any(need <= one for need in enough) else part for part, one in zip(some, sets, strict=True)]
        return np.stack([1 - np.array(wanted), wanted], axis=1)

    return ask


def test_what_helps_most_comes_first() -> None:
    pieces, _ = sufficient_pieces(asker({9}, {2, 4}, help_of={9: 3.0, 2: 1.0}), 1)
    assert pieces == (PIECES[9],)


def test_a_piece_that_helped_but_turns_out_not_to_be_needed_is_put_back() -> None:
    pieces, answer = sufficient_pieces(asker({2, 4}, help_of={7: 5.0, 2: 2.0, 4: 1.0}), 1)
    assert pieces == (PIECES[2], PIECES[4])
    assert answer.tolist() == pytest.approx([0.1, 0.9])


def test_the_donor_is_the_nearest_of_the_other_class() -> None:
    x, y = beats(12)
    (found,) = counterfactuals(Threshold(limits(x, y, "V3")), x, [4])
    own = usual_beat(ecg(x[4]))
    distance = [own.distance_mv(usual_beat(ecg(one))) for one in x]
    assert found.donor == min(np.flatnonzero(y == 1), key=lambda row: distance[row])


def test_donors_that_the_truth_contradicts_are_not_taken() -> None:
    x, y = beats(12)
    model = Threshold(limits(x, y, "V3"))
    first = counterfactuals(model, x, [4])[0].donor
    truth = np.where(y, "broad", "narrow").astype(object)
    truth[first] = "narrow"
    assert counterfactuals(model, x, [4], truth)[0].donor != first


def test_a_model_that_hears_no_beats_is_told_to_be_unmoved() -> None:
    x, y = beats(6)

    class Stubborn(Threshold):
        def predict_proba(self, X: ArrayLike) -> NDArray[np.float64]:  # noqa: N803
            known = [bool(y[i]) for one in np.asarray(X) for i in range(6) if np.array_equal(one, x[i])]
            broad = np.array(known if len(known) == len(np.asarray(X)) else [False] * len(np.asarray(X)), dtype=float)
            return np.stack([1 - broad, broad], axis=1)

    (found,) = counterfactuals(Stubborn({}), x, [0])
    assert not found.changed
    assert found.pieces == PIECES
    assert found.after == 0


def test_models_with_eight_leads_in_their_own_order_get_the_same_answer() -> None:
    x, y = beats(8)
    eight = ("v6", "V1", "II", "V3", "I", "V2", "V5", "V4")
    rows = [[name.upper() for name in STANDARD_LEADS].index(name.upper()) for name in eight]
    full = counterfactuals(Threshold(limits(x, y, "V3")), x, [0])[0]
    part = counterfactuals(Threshold(limits(x, y, "V3"), eight), x[:, rows], [0])[0]
    assert (part.donor, part.pieces) == (full.donor, full.pieces)
    assert part.after == pytest.approx(full.after, abs=1e-5)


def test_without_another_class_it_says_so() -> None:
    x, _ = beats(4)
    with pytest.raises(ValueError, match=r"X\[1\] is taken for narrow, and no ECG"):
        counterfactuals(Threshold({"V3": 10.0}), x, [1])


def test_an_ecg_without_a_heartbeat_is_named() -> None:
    x, y = recordings(6)
    model = Threshold(limits(x, y, "V3"))
    x[4] = np.random.default_rng(0).normal(scale=1e-3, size=x[4].shape)
    x[4, LIMB] = np.array(ecg(x[4]).signal_mv[LIMB])
    one, two = x[4, 0], x[4, 1]
    x[4, 2:6] = two - one, -(one + two) / 2, one - two / 2, two - one / 2
    x[4, 6] += np.linspace(0, 1, x.shape[2])  # a drift that is no microvolt
    with pytest.raises(ValueError, match=r"X\[4\] cannot be altered: no "):
        counterfactuals(model, x, [4])


def test_pieces_say_what_they_are() -> None:
    assert str(Piece(LIMB_LEADS, "QRS")) == "QRS of the limb leads"
    assert str(Piece(("V4",), "ST-T")) == "ST-T of V4"
    assert len(PIECES) == 14
